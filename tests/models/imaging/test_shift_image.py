"""Images brought back by parts of a pixel, against images that are known at every point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from models.estimate import ModelError
from models.imaging.shift_image import brought_back

ROWS, COLUMNS = 91, 100
V, U = np.mgrid[:ROWS, :COLUMNS].astype(float)
SHIFTS = [(0.5, 0.5), (0.37, -0.21), (-3.64, 2.5), (7.0, -4.0), (0.0, 0.003)]


def blobs(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Gaussians, which have nothing above half a period per pixel to the last bit, and fade within the image."""
    places = ((45.2, 42.7, 2.9, 1.0), (54.6, 48.1, 3.4, -0.4), (50.0, 45.5, 3.1, 0.3))
    return sum(a * np.exp(-((u - u0) ** 2 + (v - v0) ** 2) / (2 * s * s)) for u0, v0, s, a in places)


@pytest.mark.parametrize("shift", SHIFTS)
def test_exact_for_what_is_band_limited_and_inside(shift):
    du, dv = shift
    moved = blobs(U - du, V - dv)
    assert np.abs(moved - blobs(U, V)).max() > 5e-4
    assert np.abs(brought_back(moved, shift) - blobs(U, V)).max() < 2e-14


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_slope_into_the_edges_is_exact_too(shift):
    du, dv = shift
    ramp = lambda u, v: 0.7 + 0.02 * u - 0.015 * v  # noqa: E731
    back = brought_back(ramp(U - du, V - dv), shift)
    inside = (U + du >= 0) & (U + du <= COLUMNS - 1) & (V + dv >= 0) & (V + dv <= ROWS - 1)
    assert inside.mean() > 0.8
    assert np.abs(back - ramp(U, V))[inside].max() < 2e-14


def wave_error(period_px: float, method, at: slice) -> float:
    """rms over phases and shifts of the error, for a wave of rms 1 that runs into both edges."""
    rng, errors = np.random.default_rng(1), []
    u = np.arange(256.0)
    for _ in range(60):
        phase, moved = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.9)
        wave = lambda at, phase=phase: np.sqrt(2) * np.sin(2 * np.pi * at / period_px + phase)  # noqa: E731
        errors.append((method(wave(u - moved)[None], moved)[0] - wave(u))[at])
    return float(np.sqrt(np.mean(np.square(errors))))


def ours(image, moved):
    return brought_back(image, (moved, 0.0))


def quintic(image, moved):
    return ndimage.shift(image, (0.0, -moved), order=5, mode="reflect")


@pytest.mark.parametrize(
    ("period_px", "edge", "ten_in"), [(100, 2e-5, 5e-7), (20, 2e-3, 5e-5), (10, 1.5e-2, 4e-4), (5, 0.1, 3e-3)]
)
def test_ringing_at_the_edges(period_px, edge, ten_in):
    """What decision 26 states, and less than a quintic spline's with mirrored edges, except near the pixel's own scale."""
    assert wave_error(period_px, ours, slice(0, 2)) < edge
    assert wave_error(period_px, ours, slice(8, 12)) < ten_in
    if period_px >= 10:
        assert wave_error(period_px, ours, slice(0, 2)) < 0.6 * wave_error(period_px, quintic, slice(0, 2))


def test_the_middle_is_better_than_a_spline_where_it_matters():
    """Period of 2.5 px: a spline is off by 10 % of the wave and more, by another amount in each projection."""
    middle = slice(100, 156)
    assert wave_error(2.5, ours, middle) < 1e-3
    assert wave_error(2.5, quintic, middle) > 0.1


def test_white_noise_stays_white():
    noise = np.random.default_rng(3).normal(size=(400, 256))
    for moved in (0.25, 0.5):
        back = brought_back(noise, (moved, 0.0))
        assert back[:, 10:-10].std() == pytest.approx(1.0, abs=0.01)
        neighbours = (back[:, 10:-11] * back[:, 11:-10]).mean()
        assert abs(neighbours) < 0.01
        assert back[:, [0, 1, -3, -2]].std(axis=0) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(("du", "dv"), [(2.3, 0.0), (-2.3, 0.0), (0.0, 1.6), (0.0, -1.6)])
def test_what_comes_from_outside_repeats_the_edge(du, dv):
    image = np.random.default_rng(4).normal(size=(9, 11))
    back = brought_back(image, (du, dv))
    rows, columns = np.arange(9) + dv, np.arange(11) + du
    out = (rows > 8) | (rows < 0) if dv else (columns > 10) | (columns < 0)
    edge = (image[-1] if dv > 0 else image[0]) if dv else (image[:, -1] if du > 0 else image[:, 0])
    assert out.sum() == (2 if dv else 3)
    part = back[out] if dv else back[:, out].T
    np.testing.assert_array_equal(part, np.broadcast_to(edge, part.shape))


def test_whole_pixels_are_moved_as_they_are():
    image = np.random.default_rng(5).normal(size=(30, 40))
    back = brought_back(image, (3.0, -2.0))
    np.testing.assert_allclose(back[2:, :-3], image[:-2, 3:], atol=1e-13)


def test_nothing_is_changed_by_no_shift_and_the_image_given_stays():
    image = np.random.default_rng(6).normal(size=(5, 7))
    kept = image.copy()
    np.testing.assert_array_equal(brought_back(image, (0.0, 0.0)), kept)
    brought_back(image, (0.4, 0.4))
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("shape", [(1, 40), (2, 3), (40, 1)])
def test_narrow_images(shape):
    """Two rows, as the tooth has: an even image stays even, one row can be moved along itself only."""
    shift = tuple(0.4 if n > 1 else 0.0 for n in shape[::-1])
    np.testing.assert_allclose(brought_back(np.full(shape, 3.0), shift), 3.0, atol=1e-14)


@pytest.mark.parametrize("shift", [(100.0, 0.0), (0.0, -91.0), (np.nan, 0.0), (0.0, np.inf)])
def test_a_shift_that_leaves_no_content(shift):
    with pytest.raises(
        ModelError, match=r"content that has moved by \S+ px is not in an image of (100|91) px any more"
    ):
        brought_back(U, shift)
