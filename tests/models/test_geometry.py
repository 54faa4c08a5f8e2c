"""Signs of the geometry against rays drawn in space (no formula of the product)."""

from __future__ import annotations

import numpy as np
import pytest

from models.estimate import ModelError
from models.geometry import ConeBeam, marker_row, wire_normal

POSE = ConeBeam(10e-3, 50e-3, 50e-6)


def pixel(point, source, detector):
    """Where the ray from the source through a point meets the detector plane, (column, row) [px] from its centre."""
    origin = np.array([0.0, 0.0, -POSE.source_object_m]) + source
    plane = POSE.source_detector_m - POSE.source_object_m + detector[2]
    ray = point - origin
    hit = origin + ray * (plane - origin[2]) / ray[2]
    return (hit[:2] - detector[:2]) / POSE.pixel_m


@pytest.mark.parametrize("seed", range(5))
def test_content_shift_and_magnification(seed):
    rng = np.random.default_rng(seed)
    s, o, d = rng.normal(size=(3, 3)) * 1e-6
    moved = pixel(o, s, d) - pixel(np.zeros(3), np.zeros(3), np.zeros(3))
    # first order: what is left is of the order (1 µm / 10 mm) of the shift
    assert np.allclose(POSE.content_shift_px(s, o, d), moved, atol=2e-4 * np.abs(moved).max() + 1e-9)
    reach = np.array([1e-4, 0.0, 0.0])
    ratio = (pixel(o + reach, s, d) - pixel(o, s, d))[0] / (pixel(reach, *np.zeros((2, 3))) - pixel(*np.zeros((3, 3))))[
        0
    ]
    assert POSE.magnification_ratio(s, o, d) - 1.0 == pytest.approx(ratio - 1.0, rel=2e-3, abs=1e-9)


def test_common_motion_is_no_shift():
    together = np.array([3e-6, -2e-6, 1e-6])
    assert np.allclose(POSE.content_shift_px(together, together, together), 0.0, atol=1e-12)


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 87.0, 90.0])
def test_marker_moves_along_itswire_normal(angle_deg):
    rng = np.random.default_rng(1)
    s, m, d = rng.normal(size=(3, 3)) * 1e-6
    s[2] = m[2] = d[2] = 0.0
    normal = np.array(wire_normal(angle_deg))
    along = np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))])
    assert normal @ along == pytest.approx(0.0, abs=1e-12)
    assert normal[0] > 0 or (normal[0] == 0 and normal[1] > 0)
    place = np.array([0.0, 0.0, 12e-3 - POSE.source_object_m])
    moved = pixel(place + m, s, d) - pixel(place, np.zeros(3), np.zeros(3))
    rows = marker_row(POSE, 12e-3, tuple(normal))
    assert rows[0] @ s + rows[1] @ m + rows[2] @ d == pytest.approx(normal @ moved, rel=1e-6)


def test_depth_residual_is_what_an_axis_shift_leaves():
    source, r = np.array([1e-6, 0.0, 0.0]), 1e-3
    near = np.array([0.0, 0.0, -r])
    moved = pixel(near, source, np.zeros(3)) - pixel(near, np.zeros(3), np.zeros(3))
    left = (moved[0] - POSE.content_shift_px(source, np.zeros(3), np.zeros(3))[0]) * POSE.pixel_m
    assert abs(left) == pytest.approx(float(POSE.depth_residual_m(source[0], r)), rel=1e-3)
    assert float(ConeBeam(0.5073e-3, 42.99e-3, 50e-6).depth_residual_m(np.array(1.0), 0.2e-3)) / 84.74 == pytest.approx(
        0.65, abs=0.01
    )


def test_impossible_poses_are_refused():
    with pytest.raises(ModelError):
        ConeBeam(50e-3, 10e-3, 50e-6)
    with pytest.raises(ModelError):
        POSE.depth_residual_m(np.array(1e-6), 10e-3)
    with pytest.raises(ModelError):
        marker_row(POSE, 60e-3, (1.0, 0.0))
