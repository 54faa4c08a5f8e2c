"""The rim of a drifting disk against parallel-beam reconstructions by scikit-image, and what must hold of itself.

In cone beams, against RTK: ``tests/accuracy/test_closed_loop.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from skimage.transform import iradon

from models.blur import Budget, inplane_mtf
from models.disk_rim import axial_f10, rim_f10
from tests.oracles.edge_mtf import rim

COUNT, RADIUS, BLUR, SIDE, FINE = 360, 60.0, 1.2, 191, 4
ANGLE = 2.0 * np.pi * np.arange(COUNT) / COUNT
NORMALS = np.deg2rad(np.arange(8) * 45.0)
BUDGET = Budget(BLUR, 0.0, 0.0, 0.0, 1.0)  # in pixels


def reconstructed(x: np.ndarray) -> np.ndarray:
    """MTF10 at the normals from a filtered backprojection of a disk whose projections are displaced by x."""
    t = (np.arange(SIDE * FINE) - (SIDE * FINE - 1) / 2) / FINE
    sinogram = 2.0 * np.sqrt(np.maximum(RADIUS**2 - (t[:, None] - x) ** 2, 0.0))
    sinogram = gaussian_filter1d(sinogram, BLUR * FINE, axis=0).reshape(SIDE, FINE, COUNT).mean(axis=1)
    image = iradon(sinogram, np.rad2deg(ANGLE), filter_name="ramp", interpolation="linear", circle=True)
    at = np.arange(SIDE) - SIDE // 2
    return rim(image[None, ::-1], at.astype(float), at.astype(float), RADIUS, np.rad2deg(NORMALS))


@pytest.mark.parametrize(
    "x",
    [
        np.zeros(COUNT),
        2.0 * np.arange(COUNT) / COUNT,
        1.2 * np.sin(3.0 * ANGLE + 0.4),
        1.6 * (np.arange(COUNT) > 140),
        1.5 * np.exp(-np.arange(COUNT) / 60.0),
    ],
    ids=["still", "line", "sine", "step", "exponential"],
)
def test_the_rim_is_as_sharp_as_reconstructed(x):
    said, found = rim_f10(BUDGET, x, ANGLE, NORMALS, RADIUS), reconstructed(x)
    assert said.min() == pytest.approx(found.min(), rel=0.06)
    assert np.median(np.abs(said / found - 1.0)) < 0.05


def test_motion_of_the_object_is_no_blur():
    still = rim_f10(BUDGET, np.zeros(COUNT), ANGLE, NORMALS, RADIUS)
    moved = rim_f10(BUDGET, 5.0 * np.cos(ANGLE) - 3.0 * np.sin(ANGLE), ANGLE, NORMALS, RADIUS)
    assert moved == pytest.approx(still, rel=0.01)


def test_the_order_of_the_projections_doesn_t_matter():
    x = 2.0 * np.arange(COUNT) / COUNT
    order = np.append(0, 1 + np.random.default_rng(1).permutation(COUNT - 1))
    one = rim_f10(BUDGET, x, ANGLE, NORMALS, RADIUS, source_object_m=500.0)
    other = rim_f10(BUDGET, x[order], ANGLE[order], NORMALS, RADIUS, source_object_m=500.0)
    assert other == pytest.approx(one, rel=1e-6)


def test_a_large_disk_sees_what_pairs_of_projections_see():
    """Far from jumps, with a narrow fan, the local formula holds."""
    x, f = 1.2 * np.sin(3.0 * ANGLE), np.linspace(0.0, 0.5, 2001)[1:]
    static = np.exp(-2.0 * np.pi**2 * BLUR**2 * f**2) * np.sinc(f) ** 3
    for normal, said in zip(NORMALS, rim_f10(BUDGET, x, ANGLE, NORMALS, 300.0), strict=True):
        curve = static * inplane_mtf(f, x, ANGLE, float(normal))
        assert said == pytest.approx(f[np.flatnonzero(curve < 0.1)[0]], rel=0.03)


def test_along_the_axis_all_projections_count_alike():
    f = np.linspace(0.0, 0.6, 60001)[1:]
    x = 1.5 * np.arange(COUNT) / COUNT
    curve = np.exp(-2.0 * np.pi**2 * BLUR**2 * f**2) * np.sinc(f) ** 3 * np.abs(np.sinc(1.5 * f))
    assert axial_f10(BUDGET, x) == pytest.approx(f[np.flatnonzero(curve < 0.1)[0]], rel=1e-3)
