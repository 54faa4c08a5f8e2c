"""Edges of volumes whose modulation transfer is known in closed form, against it and against the oracle's own measurement."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from models.imaging.edge_patch import alike, edge_patch
from models.imaging.edge_places import FACE, Gradient, edge_places
from models.imaging.edge_region import edge_regions
from models.imaging.edge_stack import stacked_edge
from models.imaging.volume import Volume
from tests.oracles.edge_mtf import rim

STEP, REACH, HALF = 0.47, 11.0, 8.0


def ramp(x: np.ndarray, parts: list[tuple[float, float]]) -> np.ndarray:
    """Unit step blurred by a mixture of Gaussians, (weight, σ)."""
    return sum(weight * 0.5 * (1.0 + erf(x / (np.sqrt(2.0) * sigma))) for weight, sigma in parts)


def mtf10(parts: list[tuple[float, float]]) -> float:
    """Where the mixture's modulation is 10 %, by bisection."""
    low, high = 0.0, 2.0
    for _ in range(60):
        f = 0.5 * (low + high)
        value = sum(weight * np.exp(-2.0 * np.pi**2 * sigma**2 * f**2) for weight, sigma in parts)
        low, high = (f, high) if value > 0.1 else (low, f)
    return low


def grid(wide: int = 121, tall: int = 61) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float, float]]:
    first = (-(wide // 2) * STEP, -(tall // 2) * STEP, -(wide // 2) * STEP)
    w, v, u = np.meshgrid(
        *(start + STEP * np.arange(n) for start, n in zip(first, (wide, tall, wide), strict=True)), indexing="ij"
    )
    return u, v, w, first


BLURS = {
    "sharp": [(1.0, 0.6)],
    "a Gaussian": [(1.0, 1.3)],
    "a core with a halo": [(0.7, 0.9), (0.3, 2.4)],
}


@pytest.mark.parametrize("blur", BLURS)
def test_rims_in_eight_directions_have_the_modulation_that_they_were_given(blur):
    u, _, w, first = grid()
    rod = Volume(ramp(17.0 - np.hypot(u - 0.3, w + 0.2), BLURS[blur]), first, STEP)
    gradient = Gradient.of(rod)
    for orientation in range(8):
        places = edge_places(rod, gradient, orientation, REACH, HALF)
        assert places
        assert abs((places[0].looks_deg - 45.0 * orientation + 180.0) % 360.0 - 180.0) < 8.0
        found = stacked_edge([edge_patch(rod, places[0], REACH, HALF, 0.0)], REACH)
        assert found.mtf10[0] == pytest.approx(mtf10(BLURS[blur]), rel=0.02)
    assert not edge_places(rod, gradient, FACE, REACH, HALF)


@pytest.mark.parametrize("blur", BLURS)
def test_a_face_across_the_axis_has_it_too(blur):
    u, v, _, first = grid()
    block = Volume(ramp(v - 0.1 + 0.03 * u, BLURS[blur]), first, STEP)
    place = edge_places(block, Gradient.of(block), FACE, REACH, HALF)[0]
    assert place.normal[1] > 0.99  # from thin to dense
    found = stacked_edge([edge_patch(block, place, REACH, HALF, 0.0)], REACH)
    assert found.mtf10[0] == pytest.approx(mtf10(BLURS[blur]), rel=0.02)


def test_noise_and_a_slope_change_nothing_beyond_sigma():
    """Six draws of noise of 6 % of the step: what is told lies about the truth as often as it says."""
    u, _, w, first = grid(111, 41)
    clean = ramp(14.0 - np.hypot(u, w), BLURS["a Gaussian"]) * (1.0 + 0.004 * u)
    truth, away = mtf10(BLURS["a Gaussian"]), []
    for seed in range(6):
        noisy = Volume(clean + 0.06 * np.random.default_rng(seed).normal(size=clean.shape), first, STEP)
        places = edge_places(noisy, Gradient.of(noisy), 2, REACH, HALF)
        found = stacked_edge([edge_patch(noisy, places[0], REACH, HALF, 0.0)], REACH)
        away.append((found.mtf10[0] - truth) / found.mtf10[1])
        assert 0.001 < found.mtf10[1] / truth < 0.08
    assert np.sqrt(np.mean(np.square(away))) < 1.8


def test_the_oracle_measures_the_same():
    u, _, w, first = grid(141)
    rod = Volume(ramp(20.0 - np.hypot(u, w), BLURS["a core with a halo"]), first, STEP)
    x = first[0] + STEP * np.arange(141)
    theirs = rim(np.moveaxis(rod.values, 1, 0)[20:40], x, x, 20.0, np.array([0.0, 90.0]))
    for orientation, expected in ((0, theirs[0]), (2, theirs[1])):
        place = edge_places(rod, Gradient.of(rod), orientation, REACH, HALF)[0]
        assert stacked_edge([edge_patch(rod, place, REACH, HALF, 0.0)], REACH).mtf10[0] == pytest.approx(
            expected, rel=0.03
        )


def test_an_edge_that_lies_elsewhere_in_another_volume_is_found_again():
    u, _, w, first = grid()
    here = Volume(ramp(17.0 - np.hypot(u, w), [(1.0, 0.8)]), first, STEP)
    there = Volume(ramp(17.0 - np.hypot(u - 3.0, w), [(1.0, 2.0)]), first, STEP)
    place = edge_places(here, Gradient.of(here), 0, REACH, HALF)[0]
    one, other = edge_patch(here, place, REACH, HALF, 0.0), edge_patch(there, place, REACH, HALF, 6.0)
    assert alike(one, other)
    assert other.offset_px - one.offset_px == pytest.approx(-3.0, abs=0.1)  # the normal points inwards
    assert other.blur == pytest.approx(2.0, rel=0.03)


def test_noise_alone_has_no_edges():
    _, _, _, first = grid()
    noise = Volume(np.random.default_rng(1).normal(size=(121, 61, 121)), first, STEP)
    gradient = Gradient.of(noise)
    assert not any(edge_places(noise, gradient, orientation, REACH, HALF) for orientation in range(FACE + 1))


def test_the_region_is_about_the_thing_with_edges_in_all_directions():
    """A long wall at one side has more edge, but in one direction; a small cylinder with a face is worth more."""
    w, v, u = np.mgrid[-40:41, -20:21, -40:41] * 2.0
    wall = 1.0 * (u < -50)
    pin = 1.0 * ((np.hypot(u - 36, w - 10) < 14) & (v > 4))
    noise = 0.03 * np.random.default_rng(2).normal(size=u.shape)
    scene = Volume(wall + pin + noise, (-80.0, -40.0, -80.0), 2.0)
    allowed = np.hypot(u, w) < 60
    found = edge_regions(scene, allowed, (64.0, 48.0), (9.0, 8.0))
    assert np.hypot(found[0][0] - 36, found[0][2] - 10) < 12
    assert abs(found[0][1] - 4) < 16
    empty = Volume(noise, scene.first, 2.0)
    assert edge_regions(empty, allowed, (64.0, 48.0), (9.0, 8.0)) == []
