"""Known shifts: series rendered by gVirtualXray, whose rays know nothing of the tracker's profile, with a moving source.

Geometries of the seed documents: a wire of 30 µm beside the sample of the sub-micron CT (M 71.7 at the wire), and
spheres at its axis and at the nanoCT's (M 585). The focal spot is a handful of point sources; the detector's blur and
counting noise are added here.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from models.imaging.find import find_wires
from models.imaging.fix import Verdict
from models.imaging.light import Light
from models.imaging.sphere import SphereTracker, magnification_change
from models.imaging.wire import WireTracker

PROGRAM = Path(__file__).parents[1] / "oracles" / "render_gvxr.py"
COUNT = 12
# Gauss-Hermite points and weights for a mean over a Gaussian
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
FWHM_PER_SIGMA = 2.3548


def rendered(scene: dict, folder: Path) -> np.ndarray:
    """Transmission images of a scene."""
    python = os.environ.get("CTWIN_GVXR_PYTHON") or (sys.executable if find_spec("gvxrPython3") else "")
    if not python:
        pytest.skip("gVirtualXray is not installed; pip install gvxr, or name its interpreter in CTWIN_GVXR_PYTHON")
    (folder / "scene.json").write_text(json.dumps(scene))
    done = subprocess.run(
        [python, PROGRAM, folder / "scene.json", folder / "images.npz"], capture_output=True, text=True, check=False,
        timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-500:]
    with np.load(folder / "images.npz") as data:
        return data["images"]


def path_mm(seed: int, size_mm: tuple[float, float, float]) -> np.ndarray:
    """A drift that wanders and jumps, from zero."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0.0, 1.0, (COUNT, 3)), axis=0)
    walk[COUNT // 2 :] += 1.5
    walk -= walk[0]
    return walk / np.abs(walk).max(axis=0) * np.array(size_mm)


def spot(fwhm_mm: float, both: bool) -> list[list[float]]:
    sigma = fwhm_mm / FWHM_PER_SIGMA
    if not both:
        return [[x * sigma, 0.0, w] for x, w in zip(NODES, WEIGHTS, strict=True)]
    return [
        [x * sigma, y * sigma, v * w]
        for x, v in zip(NODES[1:4], WEIGHTS[1:4] / WEIGHTS[1:4].sum(), strict=True)
        for y, w in zip(NODES[1:4], WEIGHTS[1:4] / WEIGHTS[1:4].sum(), strict=True)
    ]


def place_px(scene: dict, source_mm: np.ndarray, point_mm: tuple[float, float]) -> np.ndarray:
    """Where rays from the displaced source through a point at the marker's depth meet the detector, columns and rows."""
    near, far = scene["source_marker_mm"] + source_mm[:, 2], scene["source_detector_mm"] + source_mm[:, 2]
    middle = np.array([(scene["columns"] - 1) / 2.0, (scene["rows"] - 1) / 2.0])
    hit = source_mm[:, :2] + (far / near)[:, None] * (np.array(point_mm) - source_mm[:, :2])
    return middle + hit / scene["pixel_mm"]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_wire_at_the_magnification_of_the_submicron_ct(tmp_path):
    tilt = 3.0
    scene = {
        "source_detector_mm": 42.99, "source_marker_mm": 0.60, "pixel_mm": 0.05, "columns": 112, "rows": 128, "fine": 6,
        "marker": "wire", "energy_kev": 40.0, "radius_mm": 0.015, "tilt_deg": tilt, "place_mm": [0.0, 0.0],
        "sources_mm": path_mm(1, (2.5e-3, 2.5e-3, 0.0)).tolist(), "spot": spot(0.494e-3, both=False),
    }  # fmt: skip
    images = rendered(scene, tmp_path)
    source = np.array(scene["sources_mm"])
    # the axis of the cylinder, turned right-handed about z from y: (-sin, cos); its normal in columns and rows
    normal = np.array([math.cos(math.radians(tilt)), math.sin(math.radians(tilt))])
    truth = (place_px(scene, source, (0.0, 0.0)) - place_px(scene, source[:1], (0.0, 0.0))) @ normal
    assert np.ptp(truth) > 3.0
    rng, counts = np.random.default_rng(2), 2000.0
    light = Light.plain(images.shape[1:], variance_per_count=1.0)
    noisy = [rng.poisson(counts * gaussian_filter(image, 1.0)).astype(np.uint16) for image in images]
    found = find_wires(noisy[0], light)[0]
    tracker = WireTracker(found.guess, found.region.light(light))
    fixes = [tracker.look(found.region.of(image)) for image in noisy]
    assert {fix.verdict for fix in fixes} == {Verdict.GOOD}
    n = np.array([fix.values["n"] for fix in fixes])
    sigma = np.array([fix.sigma["n"] for fix in fixes])
    error = n - n.mean() - (truth - truth.mean())
    assert np.median(sigma) < 0.012
    assert np.mean((error / sigma) ** 2) < 2.0
    assert np.abs(error).max() < 0.04
    # penumbra of the spot and the detector's blur, along the normal
    blur = np.mean([fix.values["blur"] for fix in fixes])
    magnified = (scene["source_detector_mm"] / scene["source_marker_mm"] - 1.0) * 0.494e-3 / FWHM_PER_SIGMA
    assert blur == pytest.approx(math.hypot(1.0, magnified / scene["pixel_mm"]), rel=0.03)


SPHERES = {
    "sub-micron CT": (42.99, 0.5073, 0.05, 0.010, (1.5e-3, 1.5e-3, 1.5e-3), 0.494e-3, 30.0),
    "nanoCT": (300.0, 300.0 / 585.0, 0.055, 0.0016, (0.3e-3, 0.3e-3, 1.0e-3), 0.080e-3, 12.0),
}


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("name", SPHERES)
def test_a_sphere_tells_both_shifts_and_the_magnification(name, tmp_path):
    far, near, pixel, radius, size, fwhm, energy = SPHERES[name]
    scene = {
        "source_detector_mm": far, "source_marker_mm": near, "pixel_mm": pixel, "columns": 88, "rows": 88, "fine": 6,
        "marker": "sphere", "energy_kev": energy, "radius_mm": radius, "tilt_deg": 0.0, "place_mm": [0.0, 0.0],
        "sources_mm": path_mm(3, size).tolist(), "spot": spot(fwhm, both=True),
    }  # fmt: skip
    images = rendered(scene, tmp_path)
    source = np.array(scene["sources_mm"])
    truth = place_px(scene, source, (0.0, 0.0))
    assert np.ptp(truth, axis=0).min() > 2.0
    rng = np.random.default_rng(4)
    light = Light.plain(images.shape[1:], variance_per_count=1.0)
    shadow = radius * far / near / pixel
    tracker = SphereTracker(light, truth[0, 0] + 1.0, truth[0, 1] - 1.0, 0.9 * shadow, 1.0)
    fixes = [tracker.look(rng.poisson(2000.0 * gaussian_filter(image, 0.7)).astype(np.uint16)) for image in images]
    assert {fix.verdict for fix in fixes} == {Verdict.GOOD}
    for k, axis in enumerate("uv"):
        value = np.array([fix.values[axis] for fix in fixes])
        sigma = np.array([fix.sigma[axis] for fix in fixes])
        error = value - truth[:, k]
        assert np.abs(error).max() < 0.05
        assert np.mean((error / sigma) ** 2) < 2.0
    # the source nearer to the sphere: a larger shadow
    ratio = (far + source[:, 2]) / (near + source[:, 2]) / (far / near) - 1.0
    first = fixes[0]
    told = [
        magnification_change(fix.values["size"], first.values["size"], fix.sigma["size"], first.sigma["size"])
        for fix in fixes
    ]
    error, sigma = np.array(told)[:, 0] - ratio, np.array(told)[:, 1]
    assert np.ptp(ratio) > 5.0 * np.median(sigma)
    assert np.mean((error[1:] / sigma[1:]) ** 2) < 2.0
