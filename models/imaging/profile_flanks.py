"""The two flanks of a wire's averaged profile: their width, and the modulation that they pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.imaging.edge_response import FINE, KERNEL, EdgeResponse
from models.imaging.mean_profile import Profile
from models.imaging.mtf import Transfer, transfer
from models.imaging.profile_fit import PER_PIXEL, Seen, wire

APERTURE = 1.0 / 12.0  # px²; variance of a pixel's own width
LEAST_FLANK = 3.0  # px from a wire's edge to its middle, for a flank to be taken for an edge


@dataclass(frozen=True, slots=True)
class Blurred:
    """One profile measured.

    Attributes
    ----------
    blur : (float, float)
        σ of the Gaussian beside the pixel aperture, and its error [px].
    width_10_90 : (float, float)
        Mean of the two flanks, and its σ [px].
    place_px : float
        Middle of the shadow in the profile [px].
    contrast : float
        Depth of the shadow over the brightness beside it [1].
    fitted : Profile
        The wire as fitted, in the profile's bins; its σ that of the profile.
    transfer : Transfer or None
        From the mean of both flanks; None for a wire too thin to have any.
    """

    blur: tuple[float, float]
    width_10_90: tuple[float, float]
    place_px: float
    contrast: float
    fitted: Profile
    transfer: Transfer | None


def measured_flanks(profile: Profile, p: Array, variance: float, blur: tuple[float, float]) -> Blurred:
    """Measure a profile that was fitted with p; ``variance`` is its blur's, the bins' width taken off."""
    place, level, slope, radius = p[0], p[1], p[2], math.exp(p[5])
    seen = Seen(profile)
    fitted, _ = wire(p, profile.distance)
    rest = seen.y - seen.model(p)[0]
    floor = float(wire(p, np.array([place]))[0][0])
    bright = level * (1.0 + slope * place)
    kernel = max(KERNEL * math.sqrt(variance + APERTURE), profile.width)

    def depth(x: Array) -> tuple[Array, Array]:
        """Part of the way from bright to floor, and its σ."""
        weight = np.exp(-0.5 * ((x[:, None] - seen.x) / kernel) ** 2)
        total = np.maximum(weight.sum(axis=1), 1e-300)
        course = wire(p, x)[0] + weight @ rest / total
        noise = np.sqrt(weight**2 @ seen.sigma**2) / total
        return (level * (1.0 + slope * x) - course) / (bright - floor), noise / (bright - floor)

    widths, errors = [], []
    for side in (-1.0, 1.0):
        way = np.arange(0.0, float(np.abs(profile.distance).max()) - abs(place), profile.width / FINE)
        part, noise = depth(place + side * way)
        ends = [_falls(way, part, noise, share) for share in (0.9, 0.1)]
        widths.append(ends[1][0] - ends[0][0])
        errors.append(math.hypot(ends[0][1], ends[1][1]))
    return Blurred(
        blur,
        (0.5 * sum(widths), 0.5 * math.hypot(*errors)),
        float(place),
        (bright - floor) / bright,
        Profile(profile.distance, fitted, profile.sigma),
        _flanks(seen, rest, p, variance, float(np.abs(profile.distance).max()), radius),
    )


def _falls(way: Array, part: Array, noise: Array, share: float) -> tuple[float, float]:
    """Where the depth has fallen to a share, coming from outside, and its σ."""
    above = np.flatnonzero(part >= share)
    if above.size == 0 or above[-1] + 1 >= len(way):
        return math.nan, math.nan
    k = int(above[-1])
    at = way[k] + (part[k] - share) / (part[k] - part[k + 1]) * (way[k + 1] - way[k])
    near = max(1, FINE)
    low, high = max(k - near, 0), min(k + near, len(way) - 1)
    slope = (part[low] - part[high]) / (way[high] - way[low])
    return float(at), float(noise[k] / slope) if slope > 0 else math.nan


def _flanks(seen: Seen, rest: Array, p: Array, variance: float, half: float, radius: float) -> Transfer | None:
    """Both flanks as one edge response, laid over each other at the wire's edges."""
    reach = min(radius, half - radius - abs(float(p[0])))
    if reach < LEAST_FLANK:
        return None
    bins = 2 * int(reach * PER_PIXEL)
    height = p[1] * (1.0 + p[2] * seen.x) * -math.expm1(-math.exp(p[4]))
    at = np.floor((np.abs(seen.x - p[0]) - radius) * PER_PIXEL).astype(np.int64) + bins // 2
    inside = (at >= 0) & (at < bins)
    weight = (height / seen.sigma) ** 2
    total = np.bincount(at[inside], weight[inside], bins)
    summed = np.bincount(at[inside], (weight * rest / height)[inside], bins)
    met = total > 0
    safe = np.where(met, total, 1.0)
    return transfer(
        EdgeResponse(
            (np.arange(bins) - bins // 2 + 0.5) / PER_PIXEL,
            np.where(met, summed / safe, 0.0),
            np.where(met, 1.0 / np.sqrt(safe), np.inf),
            variance,
            (1.0, 0.0),
            PER_PIXEL,
            np.zeros((2, 2)),
        )
    )
