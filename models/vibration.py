"""Vibration: acceleration of the base → motion between source and object → blur in an exposure, jitter between exposures.

The base's acceleration ``a`` drives every mode, and the relative displacement ``z`` of a mode of natural frequency f0 and
damping ζ obeys ``z'' + 2ζω0 z' + ω0² z = -a``. With r = f/f0 its displacement against that of the base is

    r² / (1 - r² + 2iζr),        and against the acceleration  -1 / [ω0² (1 - r² + 2iζr)]

(Harris, Shock and Vibration Handbook, ch. 2). The second form is the one that is computed: below the resonance the two
powers of frequency that make a displacement of an acceleration cancel against the r² of the mode, so the noise of an
accelerometer at low frequency, which ruins a displacement of the base, is only multiplied by 1/ω0².
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import j0

from models.estimate import Array, ModelError
from models.spectrum import Spectrum, checked, spectrum_of

NOISE_POWER_SIGMA = 0.2  # data sheets give a typical noise density; its power is believed to a fifth
POINTS = 32  # at which weights are taken within one bin of the spectrum


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode of relative motion.

    Attributes
    ----------
    frequency_hz : float
        Natural frequency f0 (undamped) [Hz].
    damping : float
        Fraction of critical, ζ.
    gain : float
        What a unit of the mode's motion is worth where it is looked at: the mode's participation times the lever of the
        body it moves. Signed.
    """

    frequency_hz: float
    damping: float
    gain: float = 1.0


@dataclass(frozen=True, slots=True)
class Variance:
    """A variance of motion and the standard deviation of that estimate; ``rms`` is its root."""

    value: float
    sigma: float

    @property
    def rms(self) -> float:
        """Root of the variance; 0 where noise was all there was."""
        return float(np.sqrt(max(self.value, 0.0)))

    @property
    def rms_sigma(self) -> float:
        """σ of the rms: ``σ/(2 rms)``, and ``√σ/2`` where the variance is not larger than its σ."""
        return float(0.5 * self.sigma / max(self.rms, np.sqrt(self.sigma))) if self.sigma > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Motion:
    """Relative motion seen by exposures: ``blur + jitter = total`` (variances).

    Attributes
    ----------
    blur : Variance
        Within an exposure, ``∫ |H|² S (1 - sinc²(fT)) df``.
    jitter : Variance
        Of the mean position from one exposure to the next, ``∫ |H|² S sinc²(fT) df``.
    low_hz : float
        Nothing below it is in these numbers [Hz].
    """

    blur: Variance
    jitter: Variance
    low_hz: float

    @property
    def total(self) -> Variance:
        """Both together; the parts' errors are taken as fully correlated, as they come from one spectrum."""
        return Variance(self.blur.value + self.jitter.value, self.blur.sigma + self.jitter.sigma)


def transfer(frequency_hz: Array, modes: Sequence[Mode]) -> Array:
    """Displacement per acceleration of the base, complex [m/(m/s²)]: ``-Σ g_i / [ω_i² (1 - r_i² + 2iζ_i r_i)]``.

    The modes are driven by one and the same base, so their motions add with sign and phase before anything is squared
    (modal superposition): two bodies that move alike do not blur, and between two resonances opposite signs add.

    Examples
    --------
    At its resonance a mode moves 1/(2ζ) times as far as the base:

    >>> at = np.array([35.0])
    >>> base = 1.0 / (2 * np.pi * 35.0) ** 2
    >>> round(float(abs(transfer(at, [Mode(35.0, 0.02)])[0]) / base), 6)
    25.0
    """
    f = np.asarray(frequency_hz, dtype=float)
    out = np.zeros(f.shape, dtype=complex)
    for mode in modes:
        r = f / mode.frequency_hz
        out -= mode.gain / ((2.0 * np.pi * mode.frequency_hz) ** 2 * (1.0 - r**2 + 2j * mode.damping * r))
    return out


def relative(samples: Array, rate_hz: float, modes: Sequence[Mode], low_hz: float = 1.0) -> Array:
    """Displacement that modes make of the acceleration of their base, sample by sample [m].

    The whole block is transformed once, so that a tone beside a sharp resonance keeps its place. A spectrum of short windows,
    weighted by the response, would smear it across the resonance: with bins of 0.5 Hz and 1 Hz beside one of 31 Hz and
    ζ = 0.004 it finds 61 % too much power. The beginning, in which the modes still ring from the jump between the block's end
    and its beginning, is cut: three decay times, at most a quarter.

    Examples
    --------
    >>> t = np.arange(20000) / 1000.0
    >>> z = relative(np.sin(2 * np.pi * 5.0 * t), 1000.0, [Mode(100.0, 0.05)])
    >>> round(float(z.max() * (2 * np.pi * 100.0) ** 2), 3)
    1.002
    """
    samples = np.asarray(samples, dtype=float)
    f = np.asarray(np.fft.rfftfreq(len(samples), 1.0 / rate_hz), dtype=np.float64)
    spectrum = np.fft.rfft(samples - samples.mean()) * transfer(f, modes)
    spectrum[f < low_hz] = 0.0
    decay_s = max((1.0 / (2.0 * np.pi * mode.frequency_hz * mode.damping) for mode in modes), default=0.0)
    cut = min(int(np.ceil(3.0 * decay_s * rate_hz)), len(samples) // 4)
    return np.asarray(np.fft.irfft(spectrum, len(samples))[cut:])


def motion(
    samples: Array,
    rate_hz: float,
    modes: Sequence[Mode],
    exposure_s: float,
    low_hz: float = 1.0,
    noise_density: float = 0.0,
) -> Motion:
    """Blur within an exposure and jitter between exposures, of the motion that modes make of a base's acceleration.

    The mean over an exposure T passes the amplitude ``sinc(fT)`` (sinc x = sin πx/πx), so with S the density of the relative
    motion its variance between exposures is ``∫ S sinc²(fT) df``, and what is left, ``∫ S (1 - sinc²(fT)) df``, blurs each of
    them; there is no frequency at which the one ends and the other begins (at fT = 0.5, 59 % is blur).

    Parameters
    ----------
    samples : (N,) array
        Acceleration of the base [m/s²].
    rate_hz : float
    modes : sequence of Mode
    exposure_s : float
        T [s]; of frames that are averaged without a pause, all together.
    low_hz : float
        Lower edge. What lies below is left out: it is tilt and drift of the sensor as much as motion.
    noise_density : float
        Stated noise of the accelerometer [(m/s²)/√Hz]. Its power is taken off; it is believed to 20 %.

    Returns
    -------
    Motion
        With σ of each variance: ``(1/T_block) ∫ (w S)² df`` for Gaussian noise (w is sinc², or the rest), and 20 % of what
        was taken off for noise. For a pure tone this σ is too large, as its power does not scatter. A resonance that is not
        resolved in the block (shorter than about 4/(ζ f0)) has a σ somewhat too small.

    Notes
    -----
    Assumes that the base moves as a whole along the axis, that it is stationary within the block and longer, that modes are
    linear, and that tones have no fixed phase to the exposures (a tone in step with them jitters by anything from nothing to
    twice the variance given here).

    Raises
    ------
    ModelError
        As :func:`models.spectrum.spectrum_of`, or an exposure that is not positive.

    Examples
    --------
    White acceleration of density S drives one mode to the variance ``S/(8 ζ ω0³)`` (Crandall & Mark 1963, one-sided, per
    Hz); with fT = 0.5 at the resonance most of it blurs:

    >>> white = np.random.default_rng(1).standard_normal(600_000) * (1e-6 * 500.0) ** 0.5
    >>> seen = motion(white, 1000.0, [Mode(35.0, 0.02)], exposure_s=0.5 / 35.0)
    >>> exact = (1e-6 / (8 * 0.02 * (2 * np.pi * 35.0) ** 3)) ** 0.5
    >>> round(seen.total.rms * 1e6, 2), round(seen.total.rms_sigma * 1e6, 2), round(1e6 * exact, 2)
    (0.77, 0.01, 0.77)
    >>> round(seen.blur.value / seen.total.value, 2)
    0.58
    """
    if not 0 < exposure_s < np.inf:
        raise ModelError(f"an exposure of {exposure_s:g} s is none; it must be positive")
    samples = checked(samples, rate_hz)
    narrowest = min((mode.damping * mode.frequency_hz for mode in modes), default=1.0)
    moved = relative(samples, rate_hz, modes, low_hz)
    spectrum = spectrum_of(moved, rate_hz, min(0.5, 0.5 * narrowest))
    step, f = spectrum.step_hz, spectrum.frequency_hz
    # within a bin the density is constant and sinc² is not
    inside = np.maximum(f[:, None] + step * ((np.arange(POINTS) + 0.5) / POINTS - 0.5), 0.0)
    passed = (np.sinc(inside * exposure_s) ** 2).mean(axis=1)
    noise = np.where(inside >= low_hz, np.abs(transfer(inside, modes)) ** 2, 0.0) * noise_density**2
    held = np.sinc(inside * exposure_s) ** 2
    return Motion(
        _integral(spectrum, 1.0 - passed, float((noise * (1.0 - held)).mean(axis=1).sum() * step)),
        _integral(spectrum, passed, float((noise * held).mean(axis=1).sum() * step)),
        low_hz,
    )


def displacement(spectrum: Spectrum, low_hz: float = 1.0, noise_density: float = 0.0) -> Variance:
    """Displacement of the base itself above ``low_hz``: ``∫ S_a/(2πf)⁴ df`` [m²].

    Here the accelerometer's noise is amplified by 1/f⁴: the lower edge decides the outcome, and where noise is most of it
    the variance is not larger than its σ.

    Examples
    --------
    1 mg rms at 10 Hz is 2.5 µm:

    >>> t = np.arange(20000) / 1000.0
    >>> base = spectrum_of(9.81e-3 * np.sqrt(2) * np.sin(2 * np.pi * 10.0 * t), 1000.0)
    >>> round(displacement(base).rms * 1e6, 1)
    2.5
    """
    f, low = spectrum.frequency_hz, max(low_hz, 1.5 * spectrum.step_hz)
    keep = f >= low
    weight = np.zeros(f.shape)
    weight[keep] = (2.0 * np.pi * f[keep]) ** -4.0
    return _integral(spectrum, weight, float(weight.sum() * spectrum.step_hz) * noise_density**2)


def _integral(spectrum: Spectrum, weight: Array, noise: float) -> Variance:
    """``∫ w S df - noise`` with its σ; the square of an estimated density is too large by one part in ``averages``."""
    step = spectrum.step_hz
    value = float((weight * spectrum.density).sum() * step)
    squares = float(((weight * spectrum.density) ** 2).sum() * step) / (1.0 + 1.0 / spectrum.averages)
    return Variance(value - noise, float(np.sqrt(squares / spectrum.seconds + (NOISE_POWER_SIGMA * noise) ** 2)))


def sine_mtf(frequency_per_m: Array, amplitude_m: float) -> Array:
    """Modulation that a sine of amplitude A leaves in a long exposure, ``|J0(2πAf)|``.

    The budget takes the Gaussian of the same variance, σ = A/√2. The two agree while the motion is a small part of the
    blur; where one tone is most of it, the Gaussian is too mild: 10 % at 0.483/A, the sine itself at 0.353/A.

    Examples
    --------
    >>> sine_mtf(np.array([0.05, 0.353]), 1.0).round(3)
    array([0.975, 0.1  ])
    >>> np.exp(-2 * np.pi**2 * 0.5 * np.array([0.05, 0.353]) ** 2).round(3)
    array([0.976, 0.292])
    """
    return np.asarray(np.abs(j0(2.0 * np.pi * amplitude_m * np.asarray(frequency_per_m))))
