"""The texture of a reference as it is best compared with images: noise held down, and weighed against its own noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import gaussian_filter

from models.estimate import Array, ModelError
from models.imaging.light import Light
from models.imaging.patch_interpolation import Interpolator, Single
from models.imaging.patch_reference import Reference

MARGIN = 14  # px of texture beyond the window's edges, for the interpolating filters
SURROUND = 32  # px of texture beyond the window's edges, for the noise filter
LAG_PX = 8.0  # largest σ of the lag window: spectra are smoothed over 1/(2π · this) cycles per px
MARGINAL_LAG_PX = 24.0  # the same for interpolation, which must not take the texture for a shorter one
LAGS = 24  # lag windows' σ in a window: narrower ones scatter more
SURE = 5.0  # σ above the noise from which a frequency holds texture
LONGEST = 64  # px: lag up to which interpolation asks for the autocovariance
PILOT = 0.1  # rad/px: width of the rings of a first, isotropic estimate of the spectrum
RING = 0.3  # rad/px: width of rings of frequencies in which what is not sure is averaged
CORNER = 0.7  # of the Nyquist frequency, along both axes: beyond it nothing but noise is expected
PASSES = 2  # of the noise filter, each with a better guess of what is beyond the window


@dataclass(frozen=True, slots=True)
class Texture:
    """A reference, ready for comparison.

    Attributes
    ----------
    model : (rows + 24, columns + 24) array
        Relative texture as it is best known: R/mean - 1, noise filtered (Wiener).
    template : same
        Texture as an image is best multiplied with it; the same array when the reference has no noise.
    known : (rows, columns) bool array
    mean : float
        Mean of the reference, in its unit.
    contrast : float
        rms of the texture without noise, relative to the mean.
    along_u, along_v : Interpolator
    left : (4,) array
        Variance of the error of ``model``, relative to the mean squared, as the templates for offset, gain, u, v see it.
    error : float
        The same as a pixel sees it.
    doubt : float
        Part of the answer to a shift that is owed to what the noise filter takes away; textures of a few waves, whose
        spectrum isn't smooth, falsify it by up to a third.
    variance_per_count : float
        As light states it, or as the noise of the reference tells it; ``nan`` when neither does.
    """

    model: Single
    template: Single
    known: NDArray[np.bool_]
    mean: float
    contrast: float
    along_u: Interpolator
    along_v: Interpolator
    left: Array
    error: float
    doubt: float
    variance_per_count: float

    @property
    def cell_px(self) -> float:
        """Area over which the texture is one thing: Σ of its squared autocorrelation [px²]."""
        return self.along_u.cell_px * self.along_v.cell_px


def prepare(reference: Reference, light: Light, level: float) -> Texture:
    """Texture of a reference for images of a certain brightness.

    A reference with noise is R = T + n: what is best known of T is ``W R`` with ``W = S/(S + N2)``, which leaves an error
    of spectrum ``P = S N2/(S + N2)``; an image with noise N1 is best multiplied with ``R S/(N1 (S + N2) + S N2)``, the
    maximum-likelihood weight for two noisy copies of one Gaussian texture (Knapp & Carter 1976, IEEE Trans. Acoust. Speech
    24, 320, eq. 33). S is the smoothed spectrum of the reference itself less its noise.

    Parameters
    ----------
    reference : Reference
    light : Light
    level : float
        Mean flat-corrected counts of the images.

    Notes
    -----
    Assumes white noise. S is one spectrum for the whole window: a texture that fills a part of it is filtered more than
    it need be there, which costs efficiency, no bias.

    Raises
    ------
    ModelError
        The reference has no texture beyond its noise.
    """
    known = (reference.averaged > 0) & np.isfinite(reference.image)
    mean = float(reference.image[known].mean())
    t = _filled(np.where(known, reference.image / mean - 1.0, 0.0), known)
    variance = float(np.var(t[known]))
    if not variance > 1e-12:
        raise ModelError("the reference is even: nothing in it shows a shift")
    if bool(np.isinf(reference.averaged[known]).all()):
        along_u, along_v = Interpolator(_marginal(t)), Interpolator(_marginal(t.T))
        model = np.ascontiguousarray(_surrounded(t, along_u, along_v, MARGIN), dtype=np.float32)
        per_count = light.variance_per_count
        return Texture(model, model, known, mean, variance**0.5, along_u, along_v, np.zeros(4), 0.0, 0.0, per_count)

    shape = (next_fast_len(t.shape[0] + 2 * SURROUND, True), next_fast_len(t.shape[1] + 2 * SURROUND, True))
    power, floor, scatter = _spectrum(t, shape)
    stated = _noise(reference, light, mean, known)
    noise = stated if np.isfinite(stated) else floor
    per_count = light.variance_per_count
    if not np.isfinite(per_count):
        per_count = noise / _noise(reference, Light.plain(t.shape, variance_per_count=1.0), mean, known)
    if not variance - noise > 5.0 * noise / np.sqrt(t.size):
        raise ModelError("the reference has no texture beyond its noise; average more images")
    image_noise = _image_noise(light, per_count, level, known)
    signal, sure = _signal(power, noise, scatter, t.size)
    both = image_noise * (signal + noise)
    weight = both / (both + signal * noise)
    wiener = signal / (signal + noise)
    # a spectrum that is smoothed over few frequencies knows its own noise: less of it is texture
    bend = 1.0 + (signal + noise) / signal - (both + (signal + noise) * noise) / (both + signal * noise)
    wiener = np.where(sure, np.maximum(wiener - (1.0 - wiener) * scatter**2 * bend, 1e-3 * wiener), wiener)
    bands = _denoised(t, known, wiener, signal, noise)
    model, template = (_cut(irfft2(b, s=shape), t.shape) for b in (bands, bands * weight.astype(np.float32)))
    along_u, along_v = _along(signal * wiener, shape)
    left, error, doubt = _left(signal * wiener * weight, weight, wiener, noise)
    return Texture(
        model, template, known, mean, (variance - noise) ** 0.5, along_u, along_v, left, error, doubt, per_count
    )


def _along(spectrum: Array, shape: tuple[int, int]) -> tuple[Interpolator, Interpolator]:
    """Interpolators along u and v for a texture with this spectrum."""
    inner = 2.0 * spectrum.sum(axis=1) - spectrum[:, 0] - spectrum[:, -1]
    both = np.fft.irfft(spectrum.sum(axis=0), n=shape[1]), np.fft.ifft(inner).real
    along_u, along_v = (Interpolator(acf[: min(LONGEST, n // 2)]) for acf, n in zip(both, shape[::-1], strict=True))
    return along_u, along_v


def _cut(image: Array, shape: tuple[int, int]) -> Single:
    first = SURROUND - MARGIN
    part = image[first : first + shape[0] + 2 * MARGIN, first : first + shape[1] + 2 * MARGIN]
    return np.ascontiguousarray(part, dtype=np.float32)


def _surrounded(t: Array, along_u: Interpolator, along_v: Interpolator, width: int, noise: float = 0.0) -> Array:
    """Texture with a margin predicted from what is inside."""
    return along_u.extended(along_v.extended(t, width, noise).T, width, noise).T


def _denoised(t: Array, known: NDArray[np.bool_], wiener: Array, signal: Array, noise: float) -> NDArray[np.complex64]:
    """Fourier transform of the texture without noise, as well as a window tells it.

    Best linear prediction with unknown pixels and the surroundings missing: they are first extrapolated, then filled with
    what the filter itself makes of them (expectation maximisation).
    """
    shape = (signal.shape[0], 2 * signal.shape[1] - 2)
    along_u, along_v = _along(signal, shape)
    whole = float(np.mean(signal))
    wide = np.zeros(shape, np.float32)
    rows, columns = t.shape
    wide[: rows + 2 * SURROUND, : columns + 2 * SURROUND] = _surrounded(t, along_u, along_v, SURROUND, noise / whole)
    wiener = wiener.astype(np.float32)
    inside = (slice(SURROUND, SURROUND + rows), slice(SURROUND, SURROUND + columns))
    data = t.astype(np.float32)
    bands = rfft2(wide) * wiener
    for _ in range(PASSES - 1):
        wide = irfft2(bands, s=shape)
        wide[inside] = np.where(known, data, wide[inside])
        bands = rfft2(wide) * wiener
    return np.asarray(bands)


def _filled(t: Array, known: NDArray[np.bool_]) -> Array:
    """Unknown pixels from their neighbours, nearer ones first."""
    out, width = t.copy(), 1.0
    todo = ~known
    while todo.any() and width < max(t.shape):
        weight = gaussian_filter(known.astype(float), width, truncate=3.0)
        near = todo & (weight > 1e-3)
        if near.any():
            out[near] = gaussian_filter(np.where(known, t, 0.0), width, truncate=3.0)[near] / weight[near]
        todo &= ~near
        width *= 2.0
    return out


def _noise(reference: Reference, light: Light, mean: float, known: NDArray[np.bool_]) -> float:
    """Mean relative variance of the noise of the reference's pixels."""
    flat = np.where(known & (light.flat > 0), light.flat, 1.0)
    counts = np.maximum(reference.image, 0.0) * flat
    variance = light.variance_per_count * counts + light.read_variance
    share = np.divide(1.0, reference.averaged, out=np.zeros_like(flat), where=known)
    return float((variance / (flat * mean) ** 2 * share)[known].mean())


def _image_noise(light: Light, per_count: float, level: float, known: NDArray[np.bool_]) -> float:
    """Mean relative variance of the noise of an image's pixels."""
    flat = light.flat[known & (light.flat > 0)]
    return float(((per_count * level * flat + light.read_variance) / (flat * level) ** 2).mean())


def _marginal(t: Array) -> Array:
    """Autocovariance along axis 1, from the periodogram of tapered rows, up to the longest lag that matters."""
    rows = t[:: max(1, t.shape[0] // 128)]
    n = next_fast_len(2 * t.shape[1], True)
    z = np.fft.rfft((rows - rows.mean()) * np.hanning(t.shape[1] + 2)[1:-1], n=n)
    acf = np.fft.irfft((z.real**2 + z.imag**2).mean(axis=0))[: min(LONGEST, n // 2)]
    width = min(MARGINAL_LAG_PX, t.shape[1] / 5.0)
    return np.asarray(acf * np.exp(-0.5 * (np.arange(len(acf)) / width) ** 2))


def _spectrum(t: Array, shape: tuple[int, int]) -> tuple[Array, float, float]:
    """Smoothed variance spectrum of a window (mean over all frequencies = variance), floor, and relative scatter.

    Blackman and Tukey's: the Fourier transform of the autocovariance times a Gaussian lag window. The floor is the mean at
    high frequencies; the scatter is that of the smoothed spectrum of white noise.
    """
    taper = np.outer(np.hanning(t.shape[0] + 2)[1:-1], np.hanning(t.shape[1] + 2)[1:-1])
    square = np.square(taper)
    t = t - (t * taper).sum() / taper.sum()
    rough = np.abs(rfft2((t * taper).astype(np.float32), s=shape)) ** 2 / square.sum()
    fv, fu = np.abs(np.fft.fftfreq(shape[0])), np.fft.rfftfreq(shape[1])
    corner = rough[np.ix_(fv > 0.5 * CORNER, fu > 0.5 * CORNER)]
    lag_v, lag_u = fv * shape[0], np.minimum(np.arange(shape[1]), shape[1] - np.arange(shape[1]))
    wide_v, wide_u = (min(LAG_PX, n / LAGS) for n in t.shape)
    window = np.outer(np.exp(-0.5 * (lag_v / wide_v) ** 2), np.exp(-0.5 * (lag_u / wide_u) ** 2))
    omega = 2.0 * np.pi * np.hypot(fv[:, None], fu[None, :])
    ring = (omega / PILOT).astype(int)
    mean = np.bincount(ring.ravel(), rough.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
    rings = PILOT * (np.arange(len(mean)) + 0.5)
    pilot = np.exp(np.interp(omega, rings, np.log(np.maximum(mean, 1e-30))))
    pilot = pilot.astype(np.float32)
    smooth = pilot * rfft2(irfft2(rough / pilot, s=shape) * window.astype(np.float32)).real
    scatter = np.sqrt(np.pi * wide_u * wide_v * np.square(square).sum()) / square.sum()
    return np.asarray(np.maximum(smooth, 0.0), dtype=float), float(corner.mean()), float(scatter)


def _signal(power: Array, noise: float, scatter: float, size: int) -> tuple[Array, NDArray[np.bool_]]:
    """Spectrum of the texture, and where it is sure.

    Where the spectrum doesn't stand out of the noise, the average over a ring of frequencies is taken, less two of its σ:
    high frequencies weigh so much in a shift that an excess by chance would do harm, and there are many of them.
    """
    fv, fu = np.fft.fftfreq(power.shape[0])[:, None], np.arange(power.shape[1])[None, :] / (2.0 * power.shape[1] - 2.0)
    sure = power > noise * (1.0 + SURE * scatter)
    rest = ~sure
    ring = (2.0 * np.pi / RING * np.hypot(fv, fu)).astype(int)
    count = np.bincount(ring[rest], minlength=int(ring.max()) + 1)
    excess = np.bincount(ring[rest], power[rest] - noise, minlength=len(count)) / np.maximum(count, 1)
    excess -= 2.0 * noise * np.sqrt(3.78 * power.size / (size * np.maximum(count, 1)))
    return np.maximum(np.where(sure, power - noise, excess[ring]), 1e-6 * noise), sure


def _left(power: Array, weight: Array, wiener: Array, noise: float) -> tuple[Array, float, float]:
    """What the noise of the reference leaves: error as the templates see it, as a pixel sees it, and doubt.

    ``power · weight`` is the templates' spectrum, but for the derivatives.
    """
    fv, fu = np.fft.fftfreq(power.shape[0]), np.arange(power.shape[1]) / (2.0 * power.shape[1] - 2.0)
    twice = np.where((fu > 0) & (fu < 0.5), 2.0, 1.0)  # one half of the plane stands for both
    seen = power * weight

    def moments(density: Array) -> Array:
        """Sums over all frequencies of a density times 1, fu², fv²."""
        along_u, along_v = density.sum(axis=0) * twice, density @ twice
        return np.array([along_u.sum(), along_u @ fu**2, along_v @ fv**2])

    error = np.concatenate(([wiener[0, 0]], moments(seen * wiener) / moments(seen))) * noise
    kept = moments(power * wiener) / moments(power)
    plain = noise * float(wiener.sum(axis=0) @ twice) / (len(fv) * twice.sum())
    return error, plain, float(1.0 - kept[1:].mean())
