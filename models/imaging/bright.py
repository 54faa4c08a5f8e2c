"""Free rays: how many counts they bring, in spite of dead pixels and of things that come into the window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging.blocks import Blocks, beyond_noise
from models.imaging.fix import Fix, Verdict
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
ENOUGH = 10_000  # pixels that tell a median
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
    full = window >= light.full_scale
    good = ~(light.dead | full | ~np.isfinite(window) | (light.flat <= 0))
    if np.count_nonzero(good) < 0.5 * good.size:
        return Fix.lost("more than half of the pixels are dead or at full scale")
    gain = np.where(good, light.flat / light.flat[good].mean(), 0.0)
    counts = np.where(good, window - light.dark, 0.0)
    safe = np.where(good, gain, 1.0)
    level = _middle((counts / safe)[good])
    variance = _variance(counts, gain, good, level, light)
    off = good & (np.abs(counts - level * gain) > OUTLIER * np.sqrt(variance))
    blocks = Blocks.of((window.shape[0], window.shape[1]), max(2, min(window.shape) // PATCHES))
    pixels = blocks.sum(good.astype(float))
    seen = pixels > 0
    covered = seen & (blocks.sum(off.astype(float)) > COVERED_PIXELS * pixels)
    kept = good & ~off
    flux, sigma = _pieces(blocks, counts, gain, variance, kept)
    sigma *= math.sqrt(neighbours_noise(np.where(kept, counts - level * gain, np.nan), variance))
    free = float(np.percentile(flux[seen & np.isfinite(flux)], UPPER)) if np.isfinite(flux).any() else 0.0
    covered |= seen & (flux < free - np.maximum(COVERED * abs(free), COVERED_SIGMA * sigma))
    covered |= seen & ~np.isfinite(flux)
    part = float(covered.sum()) / max(float(seen.sum()), 1.0)
    if part > 1.0 - LEAST_FREE:
        return Fix.lost("something covers the window")
    clear = good & ~blocks.spread(covered)
    level = _middle((counts / safe)[clear])
    off = np.abs(counts - level * gain) > OUTLIER * np.sqrt(_variance(counts, gain, clear, level, light))
    kept = clear & ~off
    total = float(gain[kept].sum())
    mean = float(counts[kept].sum() / total)
    variance = _variance(counts, gain, kept, mean, light)
    rest = np.where(kept, counts - mean * gain, np.nan)
    power = shared_noise(rest, variance)
    noise = math.sqrt(power * float(variance[kept].sum())) / total
    if not mean > DARK_SIGMA * noise:
        return Fix.lost("no beam: the window counts no more than its noise")
    flux, sigma = _pieces(blocks, counts, gain, variance, kept)
    told = np.isfinite(flux) & ~covered
    structure = beyond_noise(flux[told] / mean - 1.0, math.sqrt(power) * sigma[told] / mean)
    known = math.isfinite(light.variance_per_count)
    misfit = float(np.mean(rest[kept] ** 2 / variance[kept])) if known else math.nan
    reason = _doubt(part, float(full.mean()), structure)
    return Fix(
        {"flux": mean, "structure": structure[0]},
        {"flux": noise, "structure": structure[1]},
        misfit,
        Verdict.SUSPECT if reason else Verdict.GOOD,
        reason,
    )


class FreeWindow:
    """Watches the flux of a free ray; fulfils :class:`models.imaging.fix.Tracker`.

    Examples
    --------
    >>> FreeWindow(Light.plain((8, 8))).look(np.zeros((8, 8))).reason
    'no beam: the window counts no more than its noise'
    """

    suffixes = SUFFIXES

    def __init__(self, light: Light) -> None:
        self._light = light

    def look(self, window: NDArray[Any], angle_deg: float = float("nan")) -> Fix:  # noqa: ARG002 (a free ray has no angle)
        """Flux of the next image."""
        return free_flux(window, self._light)


def _variance(counts: Array, gain: Array, used: NDArray[np.bool_], level: float, light: Light) -> Array:
    """Variance of every pixel; per count from the light, or from the pixels' scatter about the level (robust)."""
    if math.isfinite(light.variance_per_count):
        return np.asarray(light.variance_per_count * max(level, 0.0) * gain + max(light.read_variance, 1e-12))
    apart = (counts[used] - level * gain[used]) / np.sqrt(gain[used])
    scatter = 1.4826 * _middle(np.abs(apart - _middle(apart)))
    return np.asarray(max(scatter**2, 1e-12) * gain + 1e-12)


def _middle(values: Array) -> float:
    """Median; of a large window that of some thousand pixels, which is exact enough for a level and a scatter."""
    return float(np.median(values[:: max(1, len(values) // ENOUGH)]))


def _pieces(
    blocks: Blocks, counts: Array, gain: Array, variance: Array, kept: NDArray[np.bool_]
) -> tuple[Array, Array]:
    weight = blocks.sum(np.where(kept, gain, 0.0))
    safe = np.where(weight > 0, weight, np.nan)
    return blocks.sum(np.where(kept, counts, 0.0)) / safe, np.sqrt(blocks.sum(np.where(kept, variance, 0.0))) / safe


def _doubt(covered: float, saturated: float, structure: tuple[float, float]) -> str:
    if saturated > SATURATED:
        return "pixels at full scale"
    if covered > 0:
        return "something covers a part of the window"
    if structure[0] > UNEVEN and structure[0] > 4.0 * structure[1]:
        return "the window is uneven"
    return ""
