"""Power spectral density of a block of samples, and its levels in third-octave bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import get_window, welch

from models.estimate import Array, ModelError

FEWEST = 64  # samples


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One-sided power spectral density of a block.

    Attributes
    ----------
    frequency_hz : (K,) array
        Centres of the bins [Hz], evenly spaced from 0.
    density : (K,) array
        [(m/s²)²/Hz] of an acceleration.
    seconds : float
        Effective length of the record: an integral over many bins scatters like that of so many seconds of Gaussian noise.
    """

    frequency_hz: Array
    density: Array
    seconds: float

    @property
    def averages(self) -> float:
        """Independent spectra that the mean is worth (a Hann window sees 1.5 bins)."""
        return max(1.5 * self.step_hz * self.seconds, 1.0)

    @property
    def step_hz(self) -> float:
        """Width of a bin [Hz]."""
        return float(self.frequency_hz[1] - self.frequency_hz[0])


def spectrum_of(samples: Array, rate_hz: float, resolution_hz: float = 0.5) -> Spectrum:
    """One-sided PSD by Welch's method: Hann windows that overlap by half, the mean of each taken off.

    Welch (1967), IEEE Trans. Audio Electroacoust. 15, 70. Windows are ``1/resolution_hz`` long, but never more than half
    of the record, so that at least three are averaged.

    Parameters
    ----------
    samples : (N,) array
    rate_hz : float
    resolution_hz : float
        Wanted width of a bin; a short record has wider ones.

    Raises
    ------
    ModelError
        Fewer than 64 samples, a rate that is not positive, samples that are not finite.

    Examples
    --------
    A sine of amplitude 2 has the power 2, wherever it falls between the bins:

    >>> t = np.arange(20000) / 1000.0
    >>> found = spectrum_of(2.0 * np.sin(2 * np.pi * 35.17 * t), 1000.0)
    >>> round(float(found.density.sum() * found.step_hz), 2)
    2.0
    """
    samples = checked(samples, rate_hz)
    length = int(min(max(round(rate_hz / resolution_hz), 16), len(samples) // 2))
    f, density = welch(samples, rate_hz, "hann", length, length // 2, detrend="constant", scaling="density")
    return Spectrum(f, density, _effective(len(samples), length) / rate_hz)


def checked(samples: Array, rate_hz: float) -> Array:
    """Samples as floats, if a spectrum can be made of them; ModelError says what is wrong."""
    samples = np.asarray(samples, dtype=float)
    if not 0 < rate_hz < np.inf:
        raise ModelError(f"a rate of {rate_hz:g} Hz is none; it must be positive")
    if samples.ndim != 1 or len(samples) < FEWEST:
        raise ModelError(f"{samples.size} samples are too few for a spectrum; at least {FEWEST} are needed")
    if not np.isfinite(samples).all():
        raise ModelError(f"{int((~np.isfinite(samples)).sum())} of {len(samples)} samples are not finite")
    return samples


def _effective(count: int, length: int) -> float:
    """Samples that overlapping windows are worth: ``(Σ g)²/Σ g²`` with g the sum of the squared windows."""
    window = get_window("hann", length) ** 2
    weight = np.zeros(count)
    for first in range(0, count - length + 1, length - length // 2):
        weight[first : first + length] += window
    return float(weight.sum() ** 2 / (weight**2).sum())


def band_levels(spectrum: Spectrum, centres_hz: Array, low_hz: float = 1.0) -> Array:
    """Rms within third-octave bands, ``√∫ S df`` from centre·2^(-1/6) to centre·2^(1/6); NaN where a band is not resolved.

    A band is left out that reaches below ``low_hz`` or beyond the spectrum, or is narrower than a bin.

    Examples
    --------
    >>> f = np.arange(0.0, 500.0, 0.5)
    >>> band_levels(Spectrum(f, np.full(f.shape, 1e-6), 10.0), np.array([0.1, 100.0])).round(6)
    array([     nan, 0.004812])
    """
    step, f = spectrum.step_hz, spectrum.frequency_hz
    # power up to each edge, the density being constant within a bin
    edges = np.concatenate([[0.0], f[:-1] + 0.5 * step, [f[-1]]])
    gathered = np.concatenate([[0.0], np.cumsum(spectrum.density * np.diff(edges))])
    low, high = centres_hz * 2.0 ** (-1.0 / 6.0), centres_hz * 2.0 ** (1.0 / 6.0)
    power = np.interp(high, edges, gathered) - np.interp(low, edges, gathered)
    resolved = (low >= min(low_hz, low_hz * 2.0 ** (-1.0 / 6.0))) & (high <= f[-1]) & (high - low >= step)
    return np.where(resolved, np.sqrt(np.maximum(power, 0.0)), np.nan)


def third_octaves(low_hz: float, high_hz: float) -> Array:
    """Centres ``1000 · 2^(k/3)`` Hz (IEC 61260, base two) from ``low_hz`` to ``high_hz``.

    Examples
    --------
    >>> third_octaves(50.0, 130.0).round(1)
    array([ 62.5,  78.7,  99.2, 125. ])
    """
    first, last = np.ceil(3.0 * np.log2(low_hz / 1000.0)), np.floor(3.0 * np.log2(high_hz / 1000.0))
    return np.asarray(1000.0 * 2.0 ** (np.arange(first, last + 1.0) / 3.0))
