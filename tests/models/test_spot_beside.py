"""A second focal spot in the resolution that is told: against what it does to an edge, drawn and measured."""

from __future__ import annotations

import numpy as np
import pytest

from models.blur import Budget, SecondSpot, f10, mtf, static_budget, tomogram_f10
from models.disk_rim import axial_f10, rim_f10
from models.geometry import ConeBeam
from models.off_axis import Place

UNIT = 1e-6
ANGLE = np.deg2rad(np.arange(360.0))
ONE = Budget(1.0 * UNIT, 0.0, 0.0, 0.0, 0.5 * UNIT)


def two(part: float, width: float, u: float = 0.0, v: float = 0.0) -> Budget:
    return Budget(ONE.spot_m, 0.0, 0.0, 0.0, ONE.aperture_m, SecondSpot(part, width * UNIT, u * UNIT, v * UNIT))


def drawn_f10(sigmas: list[float], parts: list[float], places: list[float], interpolated: bool) -> float:
    """First 10 % of the Fourier modulus of a line spread that is added up on a grid [cycles/µm]."""
    x = np.arange(-40.0, 40.0, 0.1)
    spread = sum(p * np.exp(-0.5 * ((x - m) / s) ** 2) / s for s, p, m in zip(sigmas, parts, places, strict=True))
    f = np.linspace(0.0, 0.6, 3001)
    modulus = np.abs(np.exp(-2j * np.pi * np.outer(f, x)) @ spread) / spread.sum()
    modulus *= np.abs(np.sinc(f * 0.5)) ** (3 if interpolated else 1)
    return float(f[np.flatnonzero(modulus < 0.1)[0]])


@pytest.mark.parametrize(
    ("part", "width", "away"), [(0.2, 4.0, 0.0), (0.15, 1.5, 5.0), (0.4, 1.0, 1.2), (0.3, 2.0, 3.0)]
)
def test_along_the_axis_the_image_is_that_of_both_spots(part, width, away):
    found = axial_f10(two(part, width, v=away), np.zeros(4)) * UNIT
    assert found == pytest.approx(drawn_f10([1.0, width], [1.0 - part, part], [0.0, away], True), rel=0.003)


@pytest.mark.parametrize(
    ("part", "width", "away"), [(0.2, 4.0, 0.0), (0.15, 1.5, 5.0), (0.4, 1.0, 1.2), (0.3, 2.0, 3.0)]
)
def test_in_the_plane_opposite_projections_see_it_on_either_side(part, width, away):
    """A rim, a straight edge off the axis, and the pairing of opposite projections, all against one line spread."""
    spots = [1.0, width, width], [1.0 - part, part / 2.0, part / 2.0], [0.0, away, -away]
    spread, budget, still = drawn_f10(*spots, True), two(part, width, u=away), np.zeros(len(ANGLE))
    rim = rim_f10(budget, still, ANGLE, np.array([0.4]), 100.0 * UNIT)[0] * UNIT
    assert rim == pytest.approx(spread, rel=0.03)
    place = Place(budget, ConeBeam(1.0, 2000.0, 1000.0 * UNIT), 1e-4, 0.0)
    assert place.edge_f10(still, ANGLE, 0.4) * UNIT == pytest.approx(spread, rel=0.003)
    paired = tomogram_f10(budget, np.zeros((len(ANGLE), 2)), ANGLE) * UNIT
    face = drawn_f10([1.0, width], [1.0 - part, part], [0.0, 0.0], False)
    assert paired == pytest.approx(min(drawn_f10(*spots, False), face), rel=0.01)


def test_it_costs_and_a_spot_without_light_costs_nothing():
    assert f10(two(0.2, 4.0)) < f10(ONE)
    assert f10(two(0.0, 4.0, 3.0)) == pytest.approx(f10(ONE), rel=1e-3)
    assert mtf(two(0.2, 4.0), np.zeros(1))[0] == pytest.approx(1.0)


def test_where_it_lies_is_seen_through_the_magnification():
    pose = ConeBeam(10e-3, 50e-3, 50e-6)
    budget = static_budget(pose, 5e-6, 1.0, second=(0.1, 10e-6, 20e-6, -5e-6))
    (_, main, *_), (part, spot, u, v) = budget.spots
    assert (part, u, v) == pytest.approx((0.1, -16e-6, 4e-6))
    assert spot.spot_m == pytest.approx(2.0 * main.spot_m)
    # the image of the object by a source that stands at s is that by one at 0, displaced by -(M - 1) s on the detector
    moved = pose.content_shift_px(np.array([[20e-6, -5e-6, 0.0]]), np.zeros((1, 3)), np.zeros((1, 3)))
    assert pose.object_plane_m(moved)[0] == pytest.approx((u, v))
