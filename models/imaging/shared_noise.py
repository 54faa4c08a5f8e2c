"""How much of their noise neighbouring pixels share: a scintillator's, an interpolation's."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging.blocks import Blocks

CHI2_MEDIAN = 0.4549  # of χ² with one degree of freedom
SIDE = 4  # px; blocks whose means are compared
LAG = 3  # px; noise shared over more is structure
LEVELLED = (20, 32)  # px; least and largest side of blocks from which a plane is taken off: slow changes are no noise
MOST = 256  # px; a larger window is known well enough from so many rows and columns in its middle


def shared_noise(rest: Array, variance: Array) -> float:
    """Variance of a mean over many pixels, over what independent pixels of the stated variance would give; or 1.

    Sum of the autocovariances at all distances up to 3 px, in units of the stated variance, of residuals whose means
    over 32 px are taken off. 1 unless it is surely more (3 σ).

    Parameters
    ----------
    rest : (rows, columns) array
        Residuals, ``nan`` for pixels left out.
    variance : (rows, columns) array
        What they should scatter.

    Examples
    --------
    >>> from scipy.ndimage import uniform_filter
    >>> noise = np.random.default_rng(1).normal(size=(200, 200))
    >>> shared_noise(noise, np.ones(noise.shape)), round(shared_noise(3.0 * uniform_filter(noise, 3), np.ones(noise.shape)))
    (1.0, 9)
    """
    cut = tuple(slice(max(0, (n - MOST) // 2), max(0, (n - MOST) // 2) + MOST) for n in rest.shape)
    white = rest[cut] / np.sqrt(np.maximum(variance[cut], 1e-300))
    seen = np.isfinite(white)
    if np.count_nonzero(seen) < 4 * (2 * LAG + 1) ** 2:
        return 1.0
    white, seen, side = _levelled(np.where(seen, white, 0.0), seen)
    mask = seen.astype(float)
    rows, columns = white.shape
    power, trials = 0.0, 0.0
    for down in range(LAG + 1):
        for right in range(-LAG if down else 0, LAG + 1):
            here = (slice(0, rows - down), slice(max(0, -right), columns - max(0, right)))
            there = (slice(down, rows), slice(max(0, right), columns - max(0, -right)))
            pairs = float((mask[here] * mask[there]).sum())
            if pairs < 1.0:
                continue
            twice = 1.0 if down == right == 0 else 2.0
            power += twice * float((white[here] * white[there]).sum()) / pairs
            trials += 2.0 * twice / pairs
    power /= 1.0 - min(3.0 * (2 * LAG + 1) ** 2 / side**2, 0.5)  # taking off the planes took some of it
    return power if power > 1.0 + 3.0 * math.sqrt(trials) else 1.0


def _levelled(white: Array, seen: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_], int]:
    """Values of the pixels in blocks, less a plane over each block; which of them are seen; the blocks' side."""
    rows, columns = white.shape
    least = min(LEVELLED[0], rows, columns)
    sides = range(least, min(LEVELLED[1], rows, columns) + 1)
    side = max(sides, key=lambda n: ((rows // n * n) * (columns // n * n), n))
    count = (rows // side, columns // side)
    cut = (slice(0, count[0] * side), slice(0, count[1] * side))
    shape = (count[0], side, count[1], side)
    value, mask = white[cut].reshape(shape), seen[cut].reshape(shape).astype(float)
    x = np.arange(side) - (side - 1) / 2.0
    down, across = x[:, None, None], x
    total = np.maximum(mask.sum(axis=(1, 3), keepdims=True), 1.0)
    plane = (value * mask).sum(axis=(1, 3), keepdims=True) / total
    for slope in (down, across):
        by = (value * mask * slope).sum(axis=(1, 3), keepdims=True)
        plane = plane + slope * by / np.maximum((mask * slope**2).sum(axis=(1, 3), keepdims=True), 1.0)
    flat = (value - plane) * mask
    return flat.reshape(white[cut].shape), seen[cut], side


def neighbours_noise(rest: Array, variance: Array) -> float:
    """How much more means of 4 × 4 pixels scatter than they would if the pixels' noise were independent, or 1.

    From differences of neighbouring means, which know nothing of what changes slowly. 1 unless the excess is sure (3
    σ).

    Parameters
    ----------
    rest : (rows, columns) array
        Residuals, ``nan`` for pixels left out.
    variance : (rows, columns) array
        What they should scatter.

    Examples
    --------
    >>> neighbours_noise(np.random.default_rng(1).normal(size=(64, 64)), np.ones((64, 64)))
    1.0
    """
    if min(rest.shape) < 2 * SIDE:
        return 1.0
    blocks = Blocks.of((rest.shape[0], rest.shape[1]), SIDE)
    mean = blocks.sum(rest) / SIDE**2
    expected = blocks.sum(variance) / SIDE**4
    ratios = []
    for axis in (0, 1):
        apart = np.diff(mean, axis=axis) ** 2
        usual = expected + np.roll(expected, -1, axis=axis)
        usual = usual[:-1] if axis == 0 else usual[:, :-1]
        told = np.isfinite(apart)
        ratios.append((apart[told] / usual[told]).ravel())
    all_of_them = np.concatenate(ratios)
    if len(all_of_them) < 2 * SIDE**2:
        return 1.0
    power = float(np.median(all_of_them)) / CHI2_MEDIAN
    sure = 1.0 + 3.0 * math.sqrt(8.0 / len(all_of_them))  # of a median, and differences share blocks
    return power if power > sure else 1.0
