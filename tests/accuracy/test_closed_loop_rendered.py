"""From drift to tomogram and back with radiographs rendered by gVirtualXray from polygons, and reconstructed by RTK.

Source, object and detector drift, the first two along w, too. MTF10 as in ``test_closed_loop.py``: a disk's rim in eight
wedges and its face along the axis; and four thin lines inside the disk, whose contrast a blur spreads.
``python -m tests.accuracy.test_closed_loop_rendered`` prints the table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from models.correction import Correction
from tests.accuracy.tomogram import FINE, Bench, Sharpness, as_shift, reconstructed, still
from tests.oracles.cylinders import Cylinder, Scanner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIDE = Path(__file__).parents[1] / "oracles" / "gvxr_cylinders.py"
COUNT = 360
T = np.arange(COUNT) / COUNT
ATTENUATION = 0.2  # 1/mm; so weak that the mean of transmissions over a pixel's rays is that of line integrals
LINES_PX = ((45.0, 8.0), (-12.0, 42.0), (-40.0, -20.0), (20.0, -38.0))  # (u, w) in pixels at the axis
LINE_RADIUS_PX = 0.8


@dataclass(frozen=True)
class Rendered(Bench):
    """A bench whose radiographs gVirtualXray renders, of the disk with lines in it."""

    folder: Path

    @property
    def cylinders(self) -> list[Cylinder]:
        bottom = 0.3 * self.scanner.rows * self.unit
        lines = [
            Cylinder(u * self.unit, w * self.unit, LINE_RADIUS_PX * self.unit, 0.0, bottom, 3.0 * ATTENUATION)
            for u, w in LINES_PX
        ]
        return [Cylinder(0.0, 0.0, self.radius_px * self.unit, 0.0, bottom, ATTENUATION), *lines]

    def transmissions(self, moved: Correction) -> np.ndarray:
        """Without blur."""
        s = self.scanner
        scene = {
            "sod": s.sod, "sdd": s.sdd, "pixel": s.pixel, "columns": s.columns, "rows": s.rows, "fine": 4,
            "cylinders": [[c.u, c.w, c.radius, c.top, c.bottom, c.attenuation] for c in self.cylinders],
            "angle_deg": moved.angle_deg.tolist(),
        }  # fmt: skip
        for name in ("source", "object", "detector"):
            scene["axis" if name == "object" else name] = (1e-3 * getattr(moved, f"{name}_um")).tolist()
        (self.folder / "scene.json").write_text(json.dumps(scene))
        run = subprocess.run(
            [gvxr_python(), SIDE, self.folder / "scene.json", self.folder / "rendered.npy"], capture_output=True, text=True,
            timeout=1200,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-500:]
        return np.load(self.folder / "rendered.npy").astype(float)

    def radiographs(self, moved: Correction) -> np.ndarray:
        images = self.transmissions(moved)
        return np.stack([-np.log(gaussian_filter(image, self.blur_px, mode="nearest")) for image in images])


def gvxr_python() -> str:
    """An interpreter that has gVirtualXray, or skip."""
    python = os.environ.get("CTWIN_GVXR_PYTHON") or (sys.executable if find_spec("gvxrPython3") else "")
    if not python:
        pytest.skip("gVirtualXray is not installed; pip install gvxr, or name its interpreter in CTWIN_GVXR_PYTHON")
    return python


def bench(folder: Path) -> Rendered:
    """fxe160-submicron's geometry, cropped."""
    return Rendered(Scanner(0.5073, 42.99, 0.05, 224, 64), 85.0, 1.0, folder)


def drifted(bench: Bench, part: float = 1.0) -> Correction:
    """Source, object and detector displaced: u and v so that the content moves by up to some pixels, w in micrometres."""
    walk = np.cumsum(np.random.default_rng(1).normal(size=(COUNT, 2)), axis=0)
    walk = (walk - walk[0]) / walk.std(axis=0)
    zero = np.zeros(COUNT)
    # u, v [px of the image content], w [um]
    source = np.stack([3.0 * T, 1.8 * np.sin(2.0 * np.pi * T), 1.5 * np.sin(np.pi * T)], axis=1)
    axis = np.stack([0.6 * walk[:, 0], 0.5 * walk[:, 1], 1.0 * T], axis=1)
    detector = np.stack([1.0 * (T > 0.6), -1.5 * T, zero], axis=1)
    m, um = bench.scanner.magnification, 1e3 * bench.unit
    source *= [-um * m / (m - 1.0), -um * m / (m - 1.0), 1.0]
    axis *= [um, um, 1.0]
    detector *= [-um * m, -um * m, 1.0]
    source, axis, detector = (part * x for x in (source, axis, detector))
    return replace(
        still(COUNT), source_um=source, object_um=axis, detector_um=detector,
        shift_px=bench.pose.content_shift_px(1e-6 * source, 1e-6 * axis, 1e-6 * detector),
        magnification=bench.pose.magnification_ratio(1e-6 * source, 1e-6 * axis, 1e-6 * detector),
    )  # fmt: skip


def line_contrast(slices: np.ndarray) -> np.ndarray:
    """How far each line stands out of the disk: the largest value about its place, over the median around it."""
    z, x = (np.arange(-8.0, 8.01, 0.25) for _ in range(2))
    zz, xx = np.meshgrid(z, x, indexing="ij")
    away, middle = np.hypot(zz, xx), slices.shape[-1] // 2
    out = []
    for u, w in LINES_PX:
        at = np.stack([(-w + zz) / FINE + middle, (u + xx) / FINE + middle])
        near = map_coordinates(slices.mean(axis=1), at, order=3)
        out.append(near[away < 4.0].max() - np.median(near[(away > 6.0) & (away < 8.0)]))
    return np.array(out)


@dataclass(frozen=True)
class Loop:
    bench: Rendered
    moved: Correction
    edges: dict[str, Sharpness]
    lines: dict[str, np.ndarray]


def measured(folder: Path) -> Loop:
    one = bench(folder)
    none, moved = still(COUNT), drifted(one)
    geometries = {
        "uncorrected": none,
        "shift": as_shift(one.pose, moved),
        "geometry": moved,
        "wrong sign": drifted(one, -1.0),
    }
    found = reconstructed(
        one, folder, {"still": none, "moved": moved},
        {"still": [("none", none)], "moved": list(geometries.items())},
    )  # fmt: skip
    edges = {"ideal" if motion == "still" else by: sharp for (motion, by), sharp in found.items()}
    files = {"ideal": "still by none"} | {by: f"moved by {by}" for by in geometries}
    lines = {by: line_contrast(np.load(folder / f"{file}.npz")["box0"]) for by, file in files.items()}
    return Loop(one, moved, edges, lines)


@pytest.fixture(scope="module")
def loop(tmp_path_factory) -> Loop:
    return measured(tmp_path_factory.mktemp("loop"))


def test_both_projectors_agree_on_where_everything_is(tmp_path):
    """Polygons drawn by a renderer, and chords computed: the edges of moved radiographs within 0.02 px of each other."""
    one = bench(tmp_path)
    some = [0, 77, 150, 260, 359]
    moved = drifted(one)
    few = replace(
        still(len(some)), **{n: getattr(moved, n)[some] for n in ("angle_deg", "source_um", "object_um", "detector_um")}
    )
    drawn = -np.log(one.transmissions(few))
    disk, *lines = one.cylinders
    exact = one.scanner.radiographs(
        [disk, *lines], few.angle_deg, 1e-3 * few.source_um, 1e-3 * few.object_um, 1e-3 * few.detector_um
    )
    for a, b in zip(drawn, exact, strict=True):
        assert np.std(a - b) < 0.01 * np.std(b)
        for axis in (0, 1):
            slope = np.gradient(b, axis=axis)
            assert abs(np.sum((a - b) * slope) / np.sum(slope**2)) < 0.02


def test_the_geometry_gives_the_ideal_resolution_back(loop):
    ideal, corrected = loop.edges["ideal"], loop.edges["geometry"]
    # without drift the face is 0.291 to 0.327 sharp by where it lies between two rows; the static budget is the mean
    static = loop.bench.predicted(np.zeros((COUNT, 2)), loop.moved.angle_deg)
    assert corrected.rim.min() >= 0.97 * ideal.rim.min()
    assert np.all(corrected.rim >= 0.97 * ideal.rim)
    assert corrected.face >= 0.97 * min(ideal.face, static.face)
    assert np.all(loop.lines["geometry"] >= 0.97 * loop.lines["ideal"])


def test_without_correction_it_is_lost_and_with_the_wrong_sign_more_so(loop):
    assert loop.edges["uncorrected"].worst < 0.7 * loop.edges["ideal"].worst
    assert loop.edges["wrong sign"].worst < 0.8 * loop.edges["uncorrected"].worst
    assert loop.lines["uncorrected"].mean() < 0.8 * loop.lines["ideal"].mean()
    assert loop.lines["wrong sign"].mean() < loop.lines["uncorrected"].mean()


def test_shifts_alone_gain_most_of_it_on_so_small_a_disk(loop):
    assert loop.edges["uncorrected"].worst < loop.edges["shift"].worst
    assert loop.edges["shift"].worst >= 0.9 * loop.edges["ideal"].worst


def main() -> None:
    """Print MTF10 and the lines' contrast of all reconstructions."""
    from tempfile import mkdtemp

    loop = measured(Path(mkdtemp()))
    print(
        "| reconstruction | MTF10 of the rim: least, median | of the face | lines' contrast to the ideal: least, mean |"
    )
    print("|---|---|---|---|")
    for name, edges in loop.edges.items():
        lines = loop.lines[name] / loop.lines["ideal"]
        print(
            f"| {name} | {edges.rim.min():.3f}, {np.median(edges.rim):.3f} | {edges.face:.3f} | "
            f"{lines.min():.3f}, {lines.mean():.3f} |"
        )


if __name__ == "__main__":
    main()
