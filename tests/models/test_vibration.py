"""Vibration: against oscillators integrated in time and averaged over exposures, which share no code with the product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh

from models.estimate import ModelError
from models.spectrum import band_levels, spectrum_of, third_octaves
from models.vibration import Mode, displacement, motion, sine_mtf
from tests.oracles.oscillator import exposed, floor_motion, shaken

RATE = 2000.0
TONES = ((25.37, 2e-3), (49.71, 1e-3))  # no whole number of half periods in any exposure here: see the last test
W = 2 * np.pi * 35.0
FLOOR = floor_motion(np.random.default_rng(8), 8, 1000.0)


@pytest.fixture(scope="module")
def recorded():
    """Two minutes of a floor, and what a mode of 35 Hz makes of it (the first second, in which it swings up, is cut)."""
    floor = floor_motion(np.random.default_rng(1), 121, RATE, lines=TONES)
    moved = shaken([1.0], [W * W], [2 * 0.02 * W], floor, RATE)[:, 0]
    return floor[int(RATE) :], moved[int(RATE) :]


@pytest.mark.parametrize(("samples", "jitter_within"), [(16, 0.01), (29, 0.01), (57, 0.03), (131, 0.1)])
def test_blur_and_jitter_are_those_of_an_oscillator_integrated_in_time(recorded, samples, jitter_within):
    """From fT = 0.28 over 0.5 to 2.3; jitter at long exposures is the mean of few and small numbers in the oracle, too."""
    floor, moved = recorded
    seen = motion(floor, RATE, [Mode(35.0, 0.02)], samples / RATE)
    blur, jitter = exposed(moved, samples)
    assert seen.blur.value == pytest.approx(blur, rel=0.02)
    assert seen.jitter.value == pytest.approx(jitter, rel=jitter_within)
    assert seen.total.value == pytest.approx(float(moved.var()), rel=0.01)


def test_half_a_period_is_mostly_blur_and_a_hard_cut_would_be_wrong():
    """A tone at fT = 0.5 (a little beside it, as one in step has a fixed phase): 59 % of its variance is within exposures.

    A cut at 1/T would call all of it jitter.
    """
    assert 1 - np.sinc(0.5) ** 2 == pytest.approx(0.59, abs=5e-3)
    t = np.arange(400_000) / 20_000.0
    tone = np.sin(2 * np.pi * 50.4 * t)
    blur, jitter = exposed(tone, 200)
    stiff = motion(tone, 20_000.0, [Mode(5000.0, 0.01)], 0.01)
    assert stiff.blur.value / stiff.total.value == pytest.approx(1 - np.sinc(0.504) ** 2, abs=2e-3)
    assert blur / (blur + jitter) == pytest.approx(1 - np.sinc(0.504) ** 2, abs=2e-3)


def modal(masses, springs, dampers, mass):
    """Modes of a chain with proportional damping, as the configuration would state them for one of its masses."""
    n = len(masses)
    stiffness, losses = np.zeros((n, n)), np.zeros((n, n))
    for matrix, values in ((stiffness, springs), (losses, dampers)):
        for i, value in enumerate(values):
            matrix[i, i] += value
            if i:
                matrix[i - 1, i - 1] += value
                matrix[i, i - 1] -= value
                matrix[i - 1, i] -= value
    squares, shapes = eigh(stiffness, np.diag(masses))
    for k, square in enumerate(squares):
        shape = shapes[:, k]
        damping = shape @ losses @ shape / (2 * np.sqrt(square))
        participation = shape @ np.asarray(masses)  # shapes are normalised to unit modal mass
        yield Mode(float(np.sqrt(square) / (2 * np.pi)), float(damping), float(shape[mass] * participation))


def test_two_masses_are_the_sum_of_their_modes_with_sign_and_phase():
    masses, springs = [1.0, 1.0], [(2 * np.pi * 50) ** 2] * 2
    dampers = [1e-4 * k for k in springs]
    floor = floor_motion(np.random.default_rng(2), 61, RATE, lines=((56.13, 2e-2),))
    moved = shaken(masses, springs, dampers, floor, RATE)[int(RATE) :]
    floor = floor[int(RATE) :]
    for mass in (1, 0):
        modes = list(modal(masses, springs, dampers, mass))
        seen = motion(floor, RATE, modes, 29 / RATE)
        blur, jitter = exposed(moved[:, mass], 29)
        assert seen.blur.value == pytest.approx(blur, rel=0.02)
        assert seen.jitter.value == pytest.approx(jitter, rel=0.02)
    apart = sum(motion(floor, RATE, [mode], 29 / RATE).total.value for mode in modes)
    assert abs(apart / (blur + jitter) - 1) > 0.05, "adding the powers of the modes would be wrong"


def test_two_bodies_that_move_alike_do_not_blur():
    floor = floor_motion(np.random.default_rng(3), 20, RATE)
    alike = motion(floor, RATE, [Mode(35.0, 0.02, 1.0), Mode(35.0, 0.02, -1.0)], 0.02)
    assert alike.total.value == 0.0


def test_sigma_is_the_scatter_of_blocks():
    """300 blocks of ten seconds: the stated σ is the empirical one within 15 %, and the mean is unbiased within 2 %."""
    rng, found = np.random.default_rng(4), []
    modes = [Mode(80.0, 0.05)]
    for _ in range(300):
        found.append(motion(1e-3 * rng.standard_normal(5000), 500.0, modes, 0.02).blur)
    values, sigmas = np.array([b.value for b in found]), np.array([b.sigma for b in found])
    assert sigmas.mean() == pytest.approx(values.std(), rel=0.15)
    f = np.arange(1.0, 250.0, 0.01)
    response = 1.0 / np.abs((2 * np.pi) ** 2 * (80.0**2 - f**2 + 2j * 0.05 * 80.0 * f)) ** 2
    expected = float((1e-6 / 250.0 * response * (1 - np.sinc(f * 0.02) ** 2)).sum() * 0.01)
    assert values.mean() == pytest.approx(expected, rel=0.02)
    assert float(np.std([b.rms for b in found])) == pytest.approx(np.mean([b.rms_sigma for b in found]), rel=0.15)


def test_noise_of_the_accelerometer_is_taken_off_and_left_in_sigma():
    rng = np.random.default_rng(5)
    noise = 1e-3 * rng.standard_normal(200_000) * np.sqrt(RATE / 2)  # density 1e-3 per √Hz
    still = motion(noise, RATE, [Mode(35.0, 0.02)], 0.1, noise_density=1e-3)
    raw = motion(noise, RATE, [Mode(35.0, 0.02)], 0.1)
    assert abs(still.total.value) < 2 * still.total.sigma < raw.total.value
    assert still.blur.sigma > 0.2 * raw.blur.value, "a stated noise is believed to a fifth"
    floor = floor_motion(rng, 100, RATE, level=0.02)
    clean = motion(floor, RATE, [Mode(35.0, 0.02)], 0.1).total
    noisy = motion(floor + noise[: len(floor)], RATE, [Mode(35.0, 0.02)], 0.1, noise_density=1e-3).total
    assert noisy.value == pytest.approx(clean.value, abs=2 * noisy.sigma)


def test_low_frequency_noise_ruins_the_displacement_of_the_base_and_not_the_relative_motion():
    """Why a lower edge must be stated for the one and hardly matters for the other."""
    rng = np.random.default_rng(6)
    samples = 1e-4 * rng.standard_normal(100_000)
    spectrum = spectrum_of(samples, 1000.0, 0.1)
    low, high = displacement(spectrum, 0.5), displacement(spectrum, 5.0)
    assert low.rms > 25 * high.rms
    modes = [Mode(35.0, 0.02)]
    near, far = (motion(samples, 1000.0, modes, 0.1, edge).total.rms for edge in (0.5, 5.0))
    assert far == pytest.approx(near, rel=0.01)


def test_a_sine_long_against_its_period_is_j0_and_its_gaussian_close_to_it():
    """Against the mean of the phase factor over time; σ = A/√2 is close while 2πAf stays below 1."""
    a, f = 1e-7, np.array([0.5, 1.0, 1.5, 2.2]) / (2 * np.pi * 1e-7)
    x = a * np.sin(2 * np.pi * np.linspace(0.0, 50.0, 200_001))
    direct = np.abs(np.exp(2j * np.pi * np.outer(f, x)).mean(axis=1))
    assert sine_mtf(f, a) == pytest.approx(direct, abs=1e-4)
    gauss = np.exp(-2 * np.pi**2 * (a / np.sqrt(2)) ** 2 * f**2)
    assert gauss[:2] == pytest.approx(direct[:2], rel=0.02)
    assert gauss[3] > 2 * direct[3], "and far too mild where the tone is all the blur there is"


def test_a_tone_is_a_sine_of_its_amplitude():
    t = np.arange(20_000) / 1000.0
    base = 9e-3 * np.sin(2 * np.pi * 12.3 * t)
    seen = motion(base, 1000.0, [Mode(200.0, 0.05)], exposure_s=5.0)
    amplitude = 9e-3 / (2 * np.pi * 200.0) ** 2 / (1 - (12.3 / 200) ** 2)
    assert seen.blur.rms == pytest.approx(amplitude / np.sqrt(2), rel=2e-3)
    assert seen.jitter.value < 1e-3 * seen.blur.value


@given(
    f0=st.floats(5.0, 400.0),
    damping=st.floats(0.005, 0.3),
    exposure=st.floats(1e-3, 30.0),
    longer=st.floats(1.01, 5.0),
    gain=st.floats(-3.0, 3.0),
)
@settings(max_examples=60, deadline=None)
def test_what_does_not_jitter_blurs(f0, damping, exposure, longer, gain):
    """The total doesn't depend on the exposure, and is that of an exposure too short to blur; gains scale amplitudes."""
    short, long = (motion(FLOOR, 1000.0, [Mode(f0, damping)], t) for t in (exposure, exposure * longer))
    still = motion(FLOOR, 1000.0, [Mode(f0, damping)], 1e-9)
    assert short.total.value == pytest.approx(still.jitter.value, rel=1e-12)
    assert long.total.value == pytest.approx(short.total.value, rel=1e-12)
    assert min(short.blur.value, short.jitter.value) >= 0.0
    scaled = motion(FLOOR, 1000.0, [Mode(f0, damping, gain)], exposure)
    assert scaled.blur.value == pytest.approx(gain**2 * short.blur.value, rel=1e-9, abs=1e-30)


@pytest.mark.parametrize("beside_hz", [0.13, 0.5, 1.0, -0.37])
def test_a_tone_beside_a_sharp_resonance_keeps_its_place(beside_hz):
    """Pumps run beside resonances; a spectrum of short windows would smear the tone across this one (ζ = 0.004)."""
    w = 2 * np.pi * 31.0
    floor = 1e-3 * np.sin(2 * np.pi * (31.0 + beside_hz) * np.arange(40_000) / RATE)
    moved = shaken([1.0], [w * w], [2 * 0.004 * w], floor, RATE)[20_000:, 0]  # five decay times after its start
    assert motion(floor[20_000:], RATE, [Mode(31.0, 0.004)], 1.0).total.rms == pytest.approx(moved.std(), rel=0.05)


def test_band_levels_hold_the_power():
    rng = np.random.default_rng(7)
    spectrum = spectrum_of(rng.standard_normal(100_000), 1000.0)
    levels = band_levels(spectrum, third_octaves(10.0, 400.0))
    assert np.isfinite(levels).all()
    edges = 1000.0 * 2.0 ** ((np.array([-19, -4]) - np.array([0.5, -0.5])) / 3.0)
    inside = (spectrum.frequency_hz > edges[0]) & (spectrum.frequency_hz < edges[1])
    power = float(spectrum.density[inside].sum() * spectrum.step_hz)
    assert float((levels**2).sum()) == pytest.approx(power, rel=0.01)


@pytest.mark.parametrize(
    ("samples", "rate", "words"),
    [
        (np.zeros(63), 1000.0, "63 samples are too few"),
        (np.zeros((64, 2)), 1000.0, "128 samples are too few"),
        (np.zeros(64), 0.0, "0 Hz"),
        (np.zeros(64), np.nan, "nan Hz"),
        (np.array([np.nan, *np.zeros(80)]), 100.0, "1 of 81 samples are not finite"),
    ],
)
def test_what_is_no_block_is_refused(samples, rate, words):
    with pytest.raises(ModelError, match=words):
        spectrum_of(samples, rate)


def test_an_exposure_of_nothing_is_refused():
    with pytest.raises(ModelError, match="exposure"):
        motion(FLOOR, 1000.0, [], 0.0)


def test_a_tone_in_step_with_the_exposures_is_taken_at_the_mean_over_its_phases():
    """25 Hz, exposures of 0.1 s: every mean has the same size, and which one is a matter of phase that no spectrum holds."""
    t = np.arange(200_000) / RATE
    means = [exposed(np.sin(2 * np.pi * 25.0 * t + phase), 200)[1] for phase in np.linspace(0, np.pi, 9)[:-1]]
    assert max(means) > 10 * min(means)
    stiff = motion(np.sin(2 * np.pi * 25.0 * t), RATE, [Mode(5000.0, 0.01, (2 * np.pi * 5000.0) ** 2)], 0.1)
    assert stiff.jitter.value == pytest.approx(float(np.mean(means)), rel=0.02)
