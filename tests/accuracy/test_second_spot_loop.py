"""A second spot, from radiographs of an independent projector to RTK's tomogram: how sharp a disk's edges are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from models.blur import Budget, SecondSpot
from models.disk_rim import axial_f10, rim_f10
from tests.accuracy.tomogram import NORMALS_DEG, SIDE, Bench, Sharpness, moving, rtk_python, still
from tests.oracles.cylinders import Scanner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BENCH = Bench(Scanner(0.5073, 42.99, 0.05, 200, 64), 75.0, 1.0)
COUNT, PART, BESIDE_PX = 300, 0.3, (2.2, -1.6)  # of the image of the object, in pixels at the axis
DRIFT_PX = np.outer(np.arange(COUNT) / COUNT, [1.5, 1.0])


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, Sharpness]:
    """Of both spots still, and drifting together."""
    folder, jobs = tmp_path_factory.mktemp("second"), []
    for name, drift in (("still", 0.0 * DRIFT_PX), ("drift", DRIFT_PX)):
        images = [part * BENCH.radiographs(by(drift + at)) for part, at in ((1.0 - PART, 0.0), (PART, BESIDE_PX))]
        path = folder / f"{name}.npy"
        np.save(path, sum(images)[:, ::-1].astype(np.float32))
        jobs.append(BENCH.jobs(folder, name, path, still(COUNT)))
    todo = folder / "jobs.json"
    todo.write_text(json.dumps(jobs))
    run = subprocess.run([rtk_python(), SIDE, todo], capture_output=True, text=True, timeout=800)
    assert run.returncode == 0, run.stderr[-2000:]
    return {name: BENCH.sharpness(Path(str(job["out"]))) for name, job in zip(("still", "drift"), jobs, strict=True)}


def by(content_px: np.ndarray):
    """Projections by a source that displaces the image content so."""
    m = BENCH.scanner.magnification
    moved = np.zeros((COUNT, 3))
    moved[:, :2] = -content_px * BENCH.unit * 1e3 * m / (m - 1.0)
    return moving(BENCH.pose, still(COUNT), source_um=moved)


def predicted(drift: np.ndarray) -> Sharpness:
    unit, angle = BENCH.unit * 1e-3, np.deg2rad(still(COUNT).angle_deg)
    second = SecondSpot(PART, 0.0, BESIDE_PX[0] * unit, BESIDE_PX[1] * unit)
    budget = Budget(0.0, BENCH.blur_px * unit, 0.0, 0.0, unit, second)
    normals = np.deg2rad(NORMALS_DEG)
    rim = rim_f10(budget, drift[:, 0] * unit, angle, normals, BENCH.radius_px * unit, 0.0, BENCH.pose.source_object_m)
    return Sharpness(rim * unit, axial_f10(budget, drift[:, 1] * unit) * unit)


@pytest.mark.parametrize(("name", "drift"), [("still", 0.0 * DRIFT_PX), ("drift", DRIFT_PX)])
def test_what_it_costs_is_what_is_reconstructed(found, name, drift):
    said, seen = predicted(drift), found[name]
    assert said.worst == pytest.approx(seen.worst, rel=0.10)
    off = np.append(said.rim, said.face) / np.append(seen.rim, seen.face) - 1.0
    assert np.median(np.abs(off)) <= 0.05
    alone = BENCH.predicted(drift, still(COUNT).angle_deg)
    assert seen.worst < 0.9 * alone.worst, "the second spot costs something here"
