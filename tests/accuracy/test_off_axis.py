"""What an image shift leaves away from the axis: predicted, and reconstructed by RTK from an independent projector.

A small cylinder stands off the axis of a wide cone while the source drifts; RTK is given the shift that is right on the axis,
or the true geometry.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from models.blur import Budget
from models.off_axis import Place, shift_costs
from tests.accuracy.tomogram import FINE, NORMALS_DEG, SIDE, Bench, as_shift, moving, rtk_python, still
from tests.oracles.cylinders import Cylinder, Scanner
from tests.oracles.edge_mtf import rim
from twin.export import Setup, make

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BENCH = Bench(Scanner(0.25, 21.185, 0.05, 224, 24), 14.0, 1.0)
COUNT, AWAY_PX, HALF_PX = 360, 70.0, 26.0
T = np.arange(COUNT) / COUNT
DRIFTS_PX = {  # of the source along u, in pixels at the axis
    "line": 12.0 * T,
    "sine, once": 7.0 * np.sin(2.0 * np.pi * T + 0.7) - 7.0 * np.sin(0.7),
    "exponential": 12.0 * (1.0 - np.exp(-T / 0.3)),
}


def source_moved(drift_px: np.ndarray):
    moved = np.zeros((COUNT, 3))
    moved[:, 0] = drift_px * BENCH.unit * 1e3
    return moving(BENCH.pose, still(COUNT), source_um=moved)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[tuple[str, str], np.ndarray]:
    """MTF10 of the cylinder's rim by normals [cycles/px at the axis], for each drift and geometry."""
    folder, scanner, unit = tmp_path_factory.mktemp("off-axis"), BENCH.scanner, BENCH.unit
    cylinder = Cylinder(0.0, -AWAY_PX * unit, BENCH.radius_px * unit, -unit * 100.0, unit * 100.0, 1.0)
    step, wide = FINE * unit, 2 * round(HALF_PX / FINE) + 1
    # x = u, z = -w: towards the source at the stage's angle 0
    box = [[-(wide // 2) * step, 0.0, AWAY_PX * unit - (wide // 2) * step], [step] * 3, [wide, 1, wide]]
    jobs, names = [], []
    for name, drift in (*DRIFTS_PX.items(), ("nothing", 0.0 * T)):
        moved = source_moved(drift)
        path = folder / f"{name}.npy"
        images = scanner.radiographs(
            [cylinder],
            moved.angle_deg,
            moved.source_um * 1e-3,
            moved.object_um * 1e-3,
            moved.detector_um * 1e-3,
            BENCH.blur_px,
        )
        np.save(path, images[:, ::-1].astype(np.float32))
        for kind, geometry in (("shift", as_shift(BENCH.pose, moved)), ("true", moved)):
            xml = folder / f"{name} {kind}.xml"
            make("rtk", Setup(BENCH.pose, scanner.columns, scanner.rows, COUNT)).write(geometry, xml)
            jobs.append({
                "projections": str(path), "geometry": str(xml), "pixel": scanner.pixel, "boxes": [box],
                "out": str(folder / f"{name} {kind}.npz"),
            })  # fmt: skip
            names.append((name, kind))
    todo = folder / "jobs.json"
    todo.write_text(json.dumps(jobs))
    run = subprocess.run([rtk_python(), SIDE, todo], capture_output=True, text=True, timeout=800)
    assert run.returncode == 0, run.stderr[-2000:]
    return {name: measured(Path(str(job["out"]))) for name, job in zip(names, jobs, strict=True)}


def measured(path: Path) -> np.ndarray:
    planes = np.moveaxis(np.load(path)["box0"], 1, 0)
    x = (np.arange(planes.shape[2]) - planes.shape[2] // 2) * FINE
    return rim(planes, x, x, BENCH.radius_px, NORMALS_DEG)


def predicted(drift_px: np.ndarray) -> np.ndarray:
    """MTF10 of straight edges at the cylinder's place, by the eight normals [cycles/px at the axis]."""
    unit, moved = BENCH.unit * 1e-3, source_moved(drift_px)
    angle = np.deg2rad(moved.angle_deg)
    place = Place(Budget(0.0, BENCH.blur_px * unit, 0.0, 0.0, unit), BENCH.pose, AWAY_PX * unit, 0.0)
    x = place.depth_m(angle) / BENCH.pose.source_object_m * (moved.object_um - moved.source_um)[:, 0] * 1e-6
    return np.array([place.edge_f10(x, angle, float(normal)) for normal in np.deg2rad(NORMALS_DEG)]) * unit


def test_without_drift_near_and_far_projections_blur_as_their_magnifications_say(found):
    assert predicted(0.0 * T) == pytest.approx(found["nothing", "true"], rel=0.04)


@pytest.mark.parametrize("name", DRIFTS_PX)
def test_what_a_shift_leaves_is_what_is_reconstructed(found, name):
    said, seen = predicted(DRIFTS_PX[name]), found[name, "shift"]
    assert (seen / found["nothing", "true"]).min() < 0.9, "the shift loses something here"
    off = said / seen - 1.0
    assert np.median(np.abs(off)) <= 0.05
    assert np.abs(off).max() <= 0.10


@pytest.mark.parametrize("name", DRIFTS_PX)
def test_the_true_geometry_loses_nothing(found, name):
    assert (found[name, "true"] / found["nothing", "true"]).min() >= 0.97


@pytest.mark.parametrize("name", DRIFTS_PX)
def test_what_is_told_of_a_scan_is_what_happens_at_that_depth(found, name):
    """The edge that looks along the circle there; nothing moved along w, so the one that looks outward loses nothing."""
    unit, moved = BENCH.unit * 1e-3, source_moved(DRIFTS_PX[name])
    budget = Budget(0.0, BENCH.blur_px * unit, 0.0, 0.0, unit)
    apart, stretch = (moved.object_um - moved.source_um)[:, 0] * 1e-6, moved.magnification - 1.0
    costs = shift_costs(budget, BENCH.pose, apart, stretch, np.deg2rad(moved.angle_deg), 0.0, AWAY_PX * unit)
    assert costs == pytest.approx(found["nothing", "true"][0] / found[name, "shift"][0], rel=0.05)
