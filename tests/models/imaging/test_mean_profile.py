"""A wire's profile averaged over a scan, before and after shifting: exact deposit, honest σ, numbers of the sharpening."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from models.estimate import ModelError
from models.imaging.light import Light
from models.imaging.mean_profile import mean_profiles
from models.imaging.profile_sharpness import CONVENTIONS, profile_sharpness
from tests.models.imaging.rendered_wire import RenderedWire

Array = NDArray[np.float64]
SHAPE = (120, 80)
TILT_DEG = 2.0
NORMAL = (float(np.cos(np.deg2rad(TILT_DEG))), float(np.sin(np.deg2rad(TILT_DEG))))  # of a wire along 92°
MIDDLE = NORMAL[0] * (SHAPE[1] - 1) / 2 + NORMAL[1] * (SHAPE[0] - 1) / 2
WIRE = RenderedWire(8.0, 2.0, 0.9)


def scan(rng: np.random.Generator, shifts: Array, counts: float, wire: RenderedWire = WIRE) -> Iterator[Array]:
    for shift in shifts:
        yield rng.poisson(counts * wire.image(SHAPE, NORMAL, MIDDLE + shift)).astype(np.uint16)


def test_shifted_average_is_the_still_wires_profile() -> None:
    """Every bin within its σ of the true profile (χ²/dof), after 60 projections that drift by 5 px and jitter."""
    rng = np.random.default_rng(1)
    shifts = np.linspace(0, 5, 60) + rng.normal(0, 0.02, 60)
    shifts[0] = 0.0
    found = mean_profiles(scan(rng, shifts, 2000.0), shifts, 92.0, Light.plain(SHAPE), half_px=30.0)
    assert found.projections == 60
    assert found.shift_sigma_px == pytest.approx(shifts.std(), rel=1e-9)
    seen = np.isfinite(found.after.sigma)
    assert seen.all()
    # a bin's mean is that over its width
    truth = np.mean([2000 * WIRE.profile(found.after.distance + at) for at in (np.arange(8) - 3.5) / 64], axis=0)
    z = (found.after.value - truth) / found.after.sigma
    assert np.mean(z**2) == pytest.approx(1.0, abs=4 * np.sqrt(2 / len(z)))
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    still = (found.before.value - truth)[np.abs(found.before.distance) < 15]
    assert np.abs(still).max() > 100  # the average without shifting is another one


def test_nothing_is_interpolated() -> None:
    """A step without blur, shifted by whole numbers of bins, stays one bin wide."""
    u = np.arange(60.0)
    shifts = np.arange(8) / 8
    images = [np.tile(np.where(u < 30 + s, 100.0, 200.0), (4, 1)) for s in np.arange(8) // 8]
    found = mean_profiles(images, -shifts, 90.0, Light.plain((4, 60)), place_px=30.0, half_px=5.0)
    met = np.isfinite(found.after.value)
    assert set(np.unique(found.after.value[met])) <= {100.0, 200.0}


@pytest.mark.parametrize("course", ["line", "exponential", "walk"])
def test_numbers_of_the_sharpening(course: str) -> None:
    rng = np.random.default_rng(2)
    t = np.linspace(0, 1, 150)
    shifts = {
        "line": 4 * t,
        "exponential": 5 * (1 - np.exp(-t / 0.2)),
        "walk": np.cumsum(rng.normal(0, 0.15, 150)),
    }[course]
    shifts = shifts - shifts[0]
    found = mean_profiles(scan(rng, shifts, 3000.0), shifts, 92.0, Light.plain(SHAPE), half_px=32.0)
    sharp = profile_sharpness(found)
    assert sharp.after.blur[0] == pytest.approx(0.9, abs=5 * sharp.after.blur[1] + 0.002)
    assert sharp.shape.radius == pytest.approx(8.0, abs=0.03)
    # the Gaussian that fits best is not the rms of a drift that ran out early
    assert sharp.taken_px[0] == pytest.approx(shifts.std(), rel=0.11 if course == "exponential" else 0.06)
    expected = np.sqrt(0.9**2 + shifts.var() + 1 / 12) / np.sqrt(0.9**2 + 1 / 12)
    assert sharp.ratio[0] == pytest.approx(expected, rel=0.06)
    assert sharp.before.width_10_90[0] > sharp.after.width_10_90[0]
    assert sharp.before.transfer is not None
    assert sharp.after.transfer is not None
    f10, sigma = sharp.after.transfer.falls_to(0.1)
    f = np.linspace(0.2, 0.5, 30001)
    truth = f[np.argmax(np.exp(-2 * np.pi**2 * 0.81 * f**2) * np.sinc(f) < 0.1)]
    assert f10 == pytest.approx(truth, abs=max(4 * sigma, 0.003))
    assert sharp.before.transfer.falls_to(0.1)[0] < f10 - 5 * sigma
    assert set(CONVENTIONS) == {"blur", "width_10_90", "mtf10", "sharpening"}


def test_width_of_a_flank_is_the_true_profiles() -> None:
    rng = np.random.default_rng(3)
    shifts = np.zeros(40)
    found = mean_profiles(scan(rng, shifts, 5000.0), shifts, 92.0, Light.plain(SHAPE), half_px=30.0)
    width, sigma = profile_sharpness(found).after.width_10_90
    x = np.arange(0, 30, 0.001)
    depth = (1 - WIRE.profile(x)) / (1 - WIRE.profile(np.array([0.0])))
    truth = x[np.argmax(depth < 0.1)] - x[np.argmax(depth < 0.9)]
    assert width == pytest.approx(truth, abs=5 * sigma + 0.01)


def test_sigma_of_the_blur() -> None:
    """20 short scans: χ²/dof of blur and sharpening."""
    rng = np.random.default_rng(4)
    shifts = np.where(np.arange(20) % 2, 0.8, 0.0)
    expected = [500 * WIRE.image(SHAPE, NORMAL, MIDDLE + at) for at in shifts[:2]]
    z = []
    for _ in range(20):
        windows = (rng.poisson(expected[k % 2]) for k in range(20))
        found = profile_sharpness(mean_profiles(windows, shifts, 92.0, Light.plain(SHAPE), half_px=30.0))
        z.append((found.after.blur[0] - 0.9) / found.after.blur[1])
    assert np.mean(np.square(z)) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 20))
    assert abs(np.mean(z)) < 4 / np.sqrt(20)


def test_wrong_shifts_are_seen_as_such() -> None:
    """Shifts of another course: what is taken away is less than they scatter, or nothing."""
    rng = np.random.default_rng(5)
    true, told = np.linspace(0, 3, 60), np.linspace(0, -3, 60)
    found = mean_profiles(scan(rng, true, 2000.0), told, 92.0, Light.plain(SHAPE), half_px=32.0)
    sharp = profile_sharpness(found)
    assert sharp.ratio[0] < 1.0
    assert sharp.taken_px[0] < 0.5 * found.shift_sigma_px


def test_flux_dead_pixels_and_uneven_gain() -> None:
    rng = np.random.default_rng(6)
    gain = 1 + 0.05 * rng.standard_normal(SHAPE)
    gain[rng.random(SHAPE) < 0.01] = 0.0
    shifts = np.linspace(0, 3, 50)
    flux = 2000 * (1 + 0.05 * rng.standard_normal(50))
    light = Light.of(2000 * gain + 50, np.full(SHAPE, 50.0), SHAPE)
    windows = [
        rng.poisson(f * gain * WIRE.image(SHAPE, NORMAL, MIDDLE + s)) + 50 for f, s in zip(flux, shifts, strict=True)
    ]
    sharp = profile_sharpness(mean_profiles(windows, shifts, 92.0, light, half_px=30.0))
    assert sharp.after.blur[0] == pytest.approx(0.9, abs=5 * sharp.after.blur[1])
    assert sharp.shape.radius == pytest.approx(8.0, abs=0.03)


def test_memory_does_not_grow_and_time_is_short() -> None:
    rng = np.random.default_rng(7)
    window = rng.poisson(500 * WIRE.image(SHAPE, NORMAL, MIDDLE)).astype(np.uint16)

    def peak(count: int) -> int:
        tracemalloc.start()
        mean_profiles((window.copy() for _ in range(count)), (0.01 * k for k in range(count)), 92.0, Light.plain(SHAPE))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(5)
    assert peak(400) < 1.2 * peak(20)
    start = time.process_time()
    mean_profiles((window for _ in range(200)), np.zeros(200), 92.0, Light.plain(SHAPE))
    assert (time.process_time() - start) / 200 / window.size < 100e-9  # some 10 ns per pixel where nothing else runs


def test_wrong_input_is_one_line() -> None:
    light = Light.plain((4, 30))
    image = np.ones((4, 30))
    for windows, shifts, words in (
        ([image], [0.0], "two projections"),
        ([image] * 3, [0.0, 1.0], "differ in number after 2"),
        ([image, np.ones((4, 31))], [0.0, 0.0], "projection 1"),
        ([image] * 3, [0.0, np.nan, np.nan], "two projections"),
    ):
        with pytest.raises(ModelError, match=words):
            mean_profiles(windows, shifts, 90.0, light)
    with pytest.raises(ModelError, match="to either side"):
        mean_profiles([image] * 2, [0.0, 0.0], 90.0, light, half_px=1e9)
    flat = mean_profiles(
        [np.random.default_rng(k).poisson(100.0, SHAPE) for k in range(4)],
        [0.0, 0.1, 0.4, 0.7],
        92.0,
        Light.plain(SHAPE),
    )
    with pytest.raises(ModelError, match="no shadow"):
        profile_sharpness(flat)
