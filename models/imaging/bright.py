"""Free rays: how many counts they bring, in spite of dead pixels and of things that come into the window."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging import flux_kernel
from models.imaging.blocks import Blocks, beyond_noise
from models.imaging.bright_change import shading_shapes
from models.imaging.fix import Fix, Verdict
from models.imaging.flux_kernel import COUNTS, GAIN, MISFIT, OFF, PIXELS, VARIANCE
from models.imaging.light import Light
from models.imaging.shared_noise import neighbours_noise, shared_noise

SUFFIXES = ("flux", "structure")
OUTLIER = 6.0  # σ; a pixel that far off is hot, or covered
PATCHES = 8  # along the shorter side: pieces of the window that are free or covered
COVERED_PIXELS = 0.25  # part of a piece's pixels that are off: no longer faults of pixels
COVERED, COVERED_SIGMA = 0.01, 6.5  # a piece that lacks so much of the flux, and so many σ, is covered
UPPER = 75.0  # percentile of the pieces that is taken for free
LEAST_FREE = 0.2
SATURATED = 1e-3
DARK_SIGMA = 5.0  # less flux is none
ENOUGH = 2000  # pixels that tell a median, and which others are off
ASKED, MOST = 8, 256  # images, and rows and columns of them, that tell how much noise neighbours share
UNEVEN = 0.01  # a structure that makes a fix suspect


def free_flux(window: NDArray[Any], light: Light) -> Fix:
    """Mean counts of a window that nothing should stand in.

    ``F = Σ c_i/Σ g_i`` over the pixels believed, c counts above dark and g the gain relative to its mean: the maximum
    likelihood for photons. Pixels off by more than 6 σ are left out; pieces of the window (some 8 × 8) that lack more
    than 1 % and 6 σ, or a quarter of whose pixels are off, are covered by something: they are left out, and the fix
    is suspect.

    Parameters
    ----------
    window : (rows, columns) array
        Raw counts.
    light : Light
        With a flat image: what is uneven in the beam and the detector then is no structure.

    Returns
    -------
    Fix
        ``flux``: counts of an average pixel. Its σ counts noise alone: from the light's variance per count or,
        unknown, from the scatter of the pixels (a flat image's own noise in it then counts as well); noise that
        neighbours share included. ``structure``: rms of the pieces about their mean beyond the noise, relative to the
        flux [1].

    Notes
    -----
    A thing that covers the whole window evenly, or nearly the whole, looks like a lower flux. One that covers more
    than half of it makes the fix lost or suspect.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> fix = free_flux(rng.poisson(900.0, (60, 80)), Light.plain((60, 80), variance_per_count=1.0))
    >>> round(fix.sigma["flux"], 2), abs(fix.values["flux"] - 900.0) < 1.5, fix.verdict.value
    (0.43, True, 'good')
    """
    return _Rays(light).flux(window)


class _Rays:
    """What is the same for all images of a window: gains, a sample of pixels, and the noise that neighbours share."""

    def __init__(self, light: Light) -> None:
        self._light = light
        alive = ~light.dead & (light.flat > 0)
        self._gain = np.where(alive, light.flat / (light.flat[alive].mean() if alive.any() else 1.0), 0.0)
        self._dark = np.asarray(light.dark, dtype=float)
        at = np.flatnonzero(alive)
        self._sample = at[:: max(1, len(at) // ENOUGH)]
        rows, columns = light.flat.shape
        self._blocks = Blocks.of((rows, columns), max(2, min(rows, columns) // PATCHES))
        cut = self._blocks.cut
        self._corner = cut[0].start, cut[1].start
        self._shared: list[tuple[float, float]] = []

    def flux(self, window: NDArray[Any]) -> Fix:
        """As :func:`free_flux`."""
        none = np.zeros(self._blocks.count, dtype=bool)
        level, noise = self._usual(window)
        sums, full = self._sums(window, level, noise, none)
        if sums[..., PIXELS].sum() < 0.5 * window.size:
            return Fix.lost("more than half of the pixels are dead or at full scale")
        seen = sums[..., PIXELS] > 0
        flux, sigma = _means(sums)
        by_neighbours, power = self._asked(window, level, noise)
        free = float(np.percentile(flux[seen & np.isfinite(flux)], UPPER)) if np.isfinite(flux).any() else 0.0
        covered = seen & (sums[..., OFF] > COVERED_PIXELS * sums[..., PIXELS])
        lacking = np.maximum(COVERED * abs(free), COVERED_SIGMA * sigma * math.sqrt(by_neighbours))
        covered |= seen & ~(flux >= free - lacking)
        part = float(covered.sum()) / max(float(seen.sum()), 1.0)
        if part > 1.0 - LEAST_FREE:
            return Fix.lost("something covers the window")
        known = math.isfinite(self._light.variance_per_count)
        for again in (True, False):  # about the mean itself, with the noise that is left
            sums, _ = self._sums(window, level, noise, covered)
            total, kept = float(sums[..., GAIN].sum()), float((sums[..., PIXELS] - sums[..., OFF]).sum())
            level = float(sums[..., COUNTS].sum()) / total
            if again and not known:
                scale = float(sums[..., MISFIT].sum()) / kept
                noise = noise[0] * scale, noise[1] * scale
        error = math.sqrt(power * float(sums[..., VARIANCE].sum())) / total
        if not level > DARK_SIGMA * error:
            return Fix.lost("no beam: the window counts no more than its noise")
        flux, sigma = _means(sums)
        told = np.isfinite(flux) & ~covered
        structure = beyond_noise(flux[told] / level - 1.0, math.sqrt(power) * sigma[told] / level)
        reason = _doubt(part, full / window.size, structure)
        return Fix(
            {"flux": level, "structure": structure[0]},
            {"flux": error, "structure": structure[1]},
            float(sums[..., MISFIT].sum()) / kept if known else math.nan,
            Verdict.SUSPECT if reason else Verdict.GOOD,
            reason,
        )

    def _sums(
        self, window: NDArray[Any], level: float, noise: tuple[float, float], left_out: NDArray[np.bool_]
    ) -> tuple[Array, int]:
        sums = np.zeros((*self._blocks.count, 6))
        light = self._light
        full = flux_kernel.pieces(
            np.ascontiguousarray(window), self._dark, self._gain, max(level, 0.0), noise, light.full_scale, OUTLIER,
            left_out, self._blocks.side, self._corner, sums,
        )  # fmt: skip
        return sums, int(full)

    def _usual(self, window: NDArray[Any]) -> tuple[float, tuple[float, float]]:
        """Median level, and the noise: from the light, or from some pixels' scatter about the level (robust)."""
        at = self._sample
        raw, gain = window.ravel()[at].astype(float), self._gain.ravel()[at]
        good = (raw < self._light.full_scale) & np.isfinite(raw)
        counts, gain = (raw - self._dark.ravel()[at])[good], gain[good]
        if not counts.size:
            return 0.0, (0.0, 1e-12)
        level = float(np.median(counts / gain))
        if math.isfinite(self._light.variance_per_count):
            return level, (self._light.variance_per_count, max(self._light.read_variance, 1e-12))
        apart = (counts - level * gain) / np.sqrt(gain)
        scatter = 1.4826 * float(np.median(np.abs(apart - np.median(apart))))
        # per gain, and so per level times gain
        return level, (max(scatter**2, 1e-12) / level if level > 0 else 0.0, 1e-12)

    def _asked(self, window: NDArray[Any], level: float, noise: tuple[float, float]) -> tuple[float, float]:
        """Excess of the noise of neighbouring means, and of a mean over all: that of the first images, then remembered."""
        if len(self._shared) >= ASKED:
            return tuple(np.median(self._shared, axis=0).tolist())
        cut = tuple(slice(max(0, (n - MOST) // 2), max(0, (n - MOST) // 2) + MOST) for n in window.shape)
        gain, raw = self._gain[cut], window[cut].astype(float)
        rest = raw - self._dark[cut] - level * gain
        variance = noise[0] * max(level, 0.0) * gain + noise[1]
        good = (gain > 0) & (raw < self._light.full_scale) & (np.abs(rest) <= OUTLIER * np.sqrt(variance))
        rest = np.where(good, rest, np.nan)
        found = neighbours_noise(rest, variance), shared_noise(rest, variance)
        self._shared.append(found)
        return found


class FreeWindow:
    """Watches the flux of a free ray; fulfils :class:`models.imaging.fix.Tracker`.

    Parameters
    ----------
    light : Light
        Without a flat image (an even one) the shape of the beam is taken from the first image that shows one, as a
        polynomial of second order: structure is then what changes, or is finer than that. What covers a part of the
        window in that image already isn't told.

    Examples
    --------
    >>> FreeWindow(Light.plain((8, 8))).look(np.zeros((8, 8))).reason
    'no beam: the window counts no more than its noise'
    """

    suffixes = SUFFIXES

    def __init__(self, light: Light) -> None:
        self._light, self._rays = light, _Rays(light)
        self._shaped = bool(np.ptp(light.flat) > 0)

    def look(self, window: NDArray[Any], angle_deg: float = float("nan")) -> Fix:  # noqa: ARG002 (a free ray has no angle)
        """Flux of the next image."""
        fix = self._rays.flux(window)
        if self._shaped or fix.verdict is Verdict.LOST:
            return fix
        self._rays, self._shaped = _Rays(replace(self._light, flat=_beam(window, self._light))), True
        return self._rays.flux(window)


def _beam(window: NDArray[Any], light: Light) -> Array:
    """Shape of the beam in an image: mean 1, Legendre polynomials to the second order fitted to the means of blocks."""
    rows, columns = window.shape
    blocks = Blocks.of((rows, columns), max(2, min(window.shape) // PATCHES))
    good = ~light.dead & (window < light.full_scale) & np.isfinite(window)
    pixels = blocks.sum(good.astype(float))
    seen = 2.0 * pixels > pixels.max()
    mean = blocks.sum(np.where(good, window - light.dark, 0.0))[seen] / pixels[seen]
    u, v = (2.0 * at / max(n - 1, 1) - 1.0 for at, n in zip(blocks.middles(), (columns, rows), strict=True))
    u, v = np.meshgrid(u, v)
    base = np.concatenate([np.ones((1, *u.shape)), shading_shapes(u, v)])[:, seen]
    c = np.linalg.lstsq(base.T, mean, rcond=None)[0]
    u, v = np.meshgrid(np.linspace(-1.0, 1.0, columns), np.linspace(-1.0, 1.0, rows))
    shape = c[0] + np.tensordot(c[1:], shading_shapes(u, v), axes=1)
    return np.asarray(np.maximum(shape / shape.mean(), 0.1))


def _means(sums: Array) -> tuple[Array, Array]:
    """Flux of each piece and its σ; ``nan`` where no pixel tells."""
    weight = np.where(sums[..., GAIN] > 0, sums[..., GAIN], np.nan)
    return sums[..., COUNTS] / weight, np.sqrt(sums[..., VARIANCE]) / weight


def _doubt(covered: float, saturated: float, structure: tuple[float, float]) -> str:
    if saturated > SATURATED:
        return "pixels at full scale"
    if covered > 0:
        return "something covers a part of the window"
    if structure[0] > UNEVEN and structure[0] > 4.0 * structure[1]:
        return "the window is uneven"
    return ""
