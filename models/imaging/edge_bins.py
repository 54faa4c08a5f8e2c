"""The edge response of a window, from its pixels' own distances to a fitted edge."""

from __future__ import annotations

import math

import numpy as np

from models.estimate import Array, ModelError
from models.imaging.blocks import Blocks, beyond_noise
from models.imaging.edge import StraightEdge
from models.imaging.edge_kernel import binned, residuals
from models.imaging.edge_response import TAPER, EdgeResponse
from models.imaging.shared_noise import SIDE, shared_noise

OVERSAMPLING = 4  # bins per pixel (ISO 12233); fewer where an edge runs so along the pixels that bins stay empty
REACH_SPREADS, REACH_PX = 7.0, 4.0  # least reach to either side: standard deviations of the line spread, and pixels
TAIL_SIGMA = 4.5  # mean over a pixel that is something: by chance once in a thousand edges
TAIL_LEAST = 0.004  # of the step; less is left to the levels
PLATEAU_SPREADS, PLATEAU_PX = 6.0, 8.0  # distance from which on levels and gradients are judged
FEW_PIXELS = 50


def edge_response(image: Array, gain: Array, edge: StraightEdge) -> EdgeResponse:
    """Bin the pixels of a window by their distance to a fitted edge.

    Every pixel's centre is projected on the normal, whatever its direction; the edge's gradients are taken off first.

    Parameters
    ----------
    image, gain : (rows, columns) arrays
        From :func:`models.imaging.edge_fit.flattened`, and the gain as the edge's fit left it.
    edge : StraightEdge

    Notes
    -----
    Noise that neighbouring pixels share (a scintillator's, an interpolation's) is seen in the means of 4 × 4 pixels
    and counted in σ. In an edge along the pixels (0°, 45°, 90°, and near them in a short window) few different
    distances occur; then the bins are as wide as it takes to fill them, down to one per pixel, and frequencies above
    half of the bins' are folded.

    Raises
    ------
    ModelError
        The window shows less than three pixels on one side of the edge.
    """
    p, cov = _levelled(image, gain, edge)
    distance, rest = residuals(image, gain, p, edge.centre)
    used = gain > 0
    inside = float(min(-distance[used].min(), distance[used].max()))
    spread = edge.spread_px
    if inside < 3.0:
        raise ModelError(
            f"the edge lies {max(inside, 0.0):.1f} px from the window's end; give a window with both its sides"
        )
    weight = _weight(distance, gain, edge)
    step = float(p[4])
    for oversampling in (OVERSAMPLING, OVERSAMPLING // 2, 1):
        half = int(inside * oversampling)
        width = 1.0 / oversampling
        total, summed = binned(distance, rest, weight, -half * width, width, 2 * half)
        core = slice(half - min(half, 2 * oversampling), half + min(half, 2 * oversampling))
        if (total[core] > 0).all():
            break
    filled = total > 0
    safe = np.where(filled, total, 1.0)
    mean = np.where(filled, summed / safe, 0.0)
    power, clutter = _neighbours(distance, rest, mean, width, weight, spread)
    sigma = np.where(filled, np.sqrt(power / safe), np.inf)
    kept = _reach(mean / step, sigma / step, max(REACH_SPREADS * spread, REACH_PX), oversampling)
    inner = slice(half - kept, half + kept)
    middle = np.asarray((np.arange(2 * half) - half + 0.5) * width, dtype=float)
    levels = power * cov / step**2
    return EdgeResponse(
        middle[inner],
        mean[inner] / step,
        sigma[inner] / step,
        float(p[2]),
        edge.aperture,
        oversampling,
        levels,
        power,
        clutter / step,
    )


def _weight(distance: Array, gain: Array, edge: StraightEdge) -> Array:
    expected = np.where(distance < 0, edge.p[3], edge.p[3] + edge.p[4])
    return np.asarray(gain / (edge.noise[0] + edge.noise[1] * expected))


def _levelled(image: Array, gain: Array, edge: StraightEdge) -> tuple[Array, Array]:
    """Parameters with levels and gradients from the plateaus alone, so that a line spread with tails doesn't tilt them.

    Where a plateau is too short they stay as fitted. The second is the covariance of the two levels.
    """
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    u, v = u - edge.centre[0], v - edge.centre[1]
    distance = edge.normal[0] * u + edge.normal[1] * v - edge.p[0]
    far = (np.abs(distance) > max(PLATEAU_SPREADS * edge.spread_px, PLATEAU_PX)) & (gain > 0)
    bright = distance > 0
    if min(np.count_nonzero(far & bright), np.count_nonzero(far & ~bright)) < FEW_PIXELS:
        return edge.p, edge.cov[3:5, 3:5]
    u, v, step, value = u[far], v[far], bright[far].astype(float), image[far]
    weight = _weight(distance, gain, edge)[far]
    p = edge.p.copy()
    for _ in range(3):
        level, shade = p[3] + p[4] * step, 1.0 + p[5] * u + p[6] * v
        base = np.stack([shade, step * shade, level * u, level * v])
        cov = np.linalg.inv((base * weight) @ base.T)
        p[3:] += cov @ (base @ (weight * (value - level * shade)))
    return (p, cov[:2, :2]) if p[4] > 0 else (edge.p, edge.cov[3:5, 3:5])


def _reach(rest: Array, sigma: Array, least: float, oversampling: int) -> int:
    """Bins kept on either side: the least reach, or as far as means over a pixel are neither noise nor negligible."""
    half = len(rest) // 2
    pixel = np.ones(oversampling) / oversampling
    seen = np.isfinite(sigma)
    mean = np.convolve(rest, pixel, mode="same")
    noise = np.sqrt(np.convolve(np.where(seen, sigma, 1.0) ** 2, pixel / oversampling, mode="same"))
    clear = (np.abs(mean) > TAIL_SIGMA * noise) & (np.abs(mean) > TAIL_LEAST)
    out = max((abs(int(k) - half) for k in np.flatnonzero(clear)), default=0)
    return min(half, max(math.ceil(least * oversampling), math.ceil(out / TAPER)))


def _neighbours(
    distance: Array, rest: Array, mean: Array, width: float, weight: Array, spread: float
) -> tuple[float, float]:
    """How noise adds up over blocks of pixels away from the edge, and what scatters there beyond it [counts]."""
    away = np.where(np.abs(distance) > 2.0 * spread + 1.0, rest, np.nan)
    at = np.floor(distance / width).astype(np.int64) + len(mean) // 2
    away -= np.where((at >= 0) & (at < len(mean)), mean[np.clip(at, 0, len(mean) - 1)], 0.0)
    variance = 1.0 / np.where(weight > 0, weight, np.inf)
    power = shared_noise(away, variance)
    blocks = Blocks.of((rest.shape[0], rest.shape[1]), SIDE)
    means = blocks.sum(away) / blocks.side**2
    told = np.isfinite(means)
    noise = np.sqrt(power * blocks.sum(variance)) / blocks.side**2
    return power, beyond_noise(means[told], noise[told])[0] if told.any() else 0.0
