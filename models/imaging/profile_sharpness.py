"""Sharpness of a wire's averaged profiles, blur, edge width and modulation, and what shifting gained."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from models.estimate import Array, ModelError
from models.imaging.edge_response import FINE, KERNEL, EdgeResponse
from models.imaging.mean_profile import MeanProfiles, Profile
from models.imaging.mtf import Transfer, transfer
from models.imaging.wire_profile import BY_BLUR, BY_DEPTH, BY_RADIUS, SLOPE, VALUE, Shape, shadow

APERTURE = 1.0 / 12.0  # px²; variance of a pixel's own width
PER_PIXEL = 4  # bins per pixel that are fitted
FAINT = 6.0  # σ; a shadow less deep is none
LEAST_FLANK = 3.0  # px from a wire's edge to its middle, for a flank to be taken for an edge
BARELY = 1e-3  # px; a blur of nothing
CONVENTIONS = {
    "blur": "σ of a Gaussian beside the pixel aperture that blurs a round wire's shadow to this profile [px]",
    "width_10_90": "from 10 % to 90 % of a flank's own height, pixel aperture included, mean of both flanks [px]",
    "mtf10": "frequency of 10 % modulation of the mean flank, pixel aperture included [cycles/px]",
    "sharpening": "standard deviation of the line spread before over after, pixel aperture included [1]",
}


@dataclass(frozen=True, slots=True)
class Blurred:
    """One profile measured.

    Attributes
    ----------
    blur : (float, float)
        σ of the Gaussian beside the pixel aperture, and its error [px].
    width_10_90 : (float, float)
        Mean of the two flanks, and its σ [px].
    contrast : float
        Depth of the shadow over the brightness beside it [1].
    fitted : Profile
        The wire as fitted, in the profile's bins; its σ that of the profile.
    transfer : Transfer or None
        From the mean of both flanks; None for a wire too thin to have any.
    """

    blur: tuple[float, float]
    width_10_90: tuple[float, float]
    contrast: float
    fitted: Profile
    transfer: Transfer | None


@dataclass(frozen=True, slots=True)
class Sharpening:
    """What shifting is worth.

    Attributes
    ----------
    before, after : Blurred
        Without and with shifting.
    shape : Shape
        Depth and radius of the wire, common to both; blur as after.
    ratio : (float, float)
        ``sharpening`` of :data:`CONVENTIONS`, and its σ.
    taken_px : (float, float)
        Root of the difference of the squared blurs: what shifting took away, and its σ [px]. Less than the shifts'
        own standard deviation means that the shifts were not where the marker was.
    """

    before: Blurred
    after: Blurred
    shape: Shape
    ratio: tuple[float, float]
    taken_px: tuple[float, float]


def profile_sharpness(profiles: MeanProfiles) -> Sharpening:
    """Fit a blurred round wire to both averages at once.

    ``level (1 + slope x) T(x - place; κ, R, σ)`` with T of :func:`models.imaging.wire_profile.shadow`; depth κ and
    radius R are common to both, blur, place, level and slope are not. Weighted least squares on bins of a quarter of
    a pixel, whose own width is taken off the blur. Errors grow with the root of χ² per degree of freedom where that
    is above 1.

    Notes
    -----
    Drift is not Gaussian: after hours in one direction the profile before is flatter than any Gaussian makes it, and
    its blur that of the best fitting one. A wire thinner than its blur tells radius and blur apart badly. The
    transfer takes what a flank differs from the fit for the response of an edge of full depth: right for an opaque
    wire, some per cent off for a translucent one.

    Raises
    ------
    ModelError
        No shadow in the averages.
    """
    by = max(1, round(1.0 / PER_PIXEL / profiles.after.width))
    before, after = profiles.before.thinned(by), profiles.after.thinned(by)
    first = _start(after)
    wider = math.log(math.hypot(math.exp(first[3]), profiles.shift_sigma_px))
    start = np.array([*first[:3], wider, *first[:4], *first[4:]])
    two = [_Seen(profile) for profile in (before, after)]

    def rest(p: Array) -> Array:
        return np.concatenate([seen.rest(p[[*range(4 * k, 4 * k + 4), 8, 9]]) for k, seen in enumerate(two)])

    def slopes(p: Array) -> Array:
        out = np.zeros((sum(len(seen.x) for seen in two), 10))
        row = 0
        for k, seen in enumerate(two):
            columns = [*range(4 * k, 4 * k + 4), 8, 9]
            out[row : row + len(seen.x), columns] = seen.model(p[columns])[1] / seen.sigma[:, None]
            row += len(seen.x)
        return out

    found = least_squares(rest, start, jac=slopes, x_scale="jac", max_nfev=200)
    p = found.x
    scale = max(1.0, 2.0 * float(found.cost) / max(len(found.fun) - len(p), 1))
    cov = scale * np.linalg.pinv(found.jac.T @ found.jac, hermitian=True)
    squares = [max(math.exp(2.0 * p[k]) - 1.0 / (12.0 * PER_PIXEL**2), BARELY**2) for k in (3, 7)]
    # σ of the squares, from those of the logarithms
    slope = np.array([2.0 * math.exp(2.0 * p[3]), 2.0 * math.exp(2.0 * p[7])])
    square_cov = cov[np.ix_([3, 7], [3, 7])] * np.outer(slope, slope)
    measured = []
    for k, profile in enumerate((before, after)):
        columns = [*range(4 * k, 4 * k + 4), 8, 9]
        blur = math.sqrt(squares[k])
        error = math.sqrt(square_cov[k, k]) / (2.0 * blur)
        measured.append(_measured(profile, p[columns], squares[k], (blur, error)))
    total = [square + APERTURE for square in squares]
    ratio = math.sqrt(total[0] / total[1])
    by_square = 0.5 * ratio * np.array([1.0 / total[0], -1.0 / total[1]])
    gone = squares[0] - squares[1]
    gone_sigma = float(np.sqrt(np.array([1.0, -1.0]) @ square_cov @ np.array([1.0, -1.0])))
    taken = math.sqrt(max(gone, 0.0))
    return Sharpening(
        measured[0],
        measured[1],
        Shape(math.exp(p[8]), math.sqrt(squares[1]), math.exp(p[9])),
        (ratio, float(np.sqrt(by_square @ square_cov @ by_square))),
        (taken, gone_sigma / (2.0 * taken) if gone > gone_sigma else math.sqrt(gone_sigma)),
    )


class _Seen:
    """The bins of a profile that pixels met."""

    def __init__(self, profile: Profile) -> None:
        seen = np.isfinite(profile.sigma) & (profile.sigma > 0)
        self.x, self.y, self.sigma = profile.distance[seen], profile.value[seen], profile.sigma[seen]

    def model(self, p: Array) -> tuple[Array, Array]:
        """Values, and derivatives by place, level, slope, ln σ, ln κ, ln R."""
        return _wire(p, self.x)

    def rest(self, p: Array) -> Array:
        return np.asarray((self.model(p)[0] - self.y) / self.sigma)


def _wire(p: Array, x: Array) -> tuple[Array, Array]:
    place, level, slope, log_blur, log_depth, log_radius = p
    table = shadow(x - place, Shape(math.exp(log_depth), math.exp(log_blur), math.exp(log_radius)))
    shade = 1.0 + slope * x
    by = np.stack(
        [
            -level * shade * table[SLOPE],
            shade * table[VALUE],
            level * x * table[VALUE],
            level * shade * table[BY_BLUR],
            level * shade * table[BY_DEPTH],
            level * shade * table[BY_RADIUS],
        ],
        axis=1,
    )
    return level * shade * table[VALUE], by


def _start(profile: Profile) -> Array:
    """Place, level, slope, ln σ, ln κ, ln R to begin with."""
    seen = _Seen(profile.thinned(PER_PIXEL // 2))
    if len(seen.x) < 12:
        raise ModelError("the averaged profile has too few bins with pixels; make it longer")
    outer = np.abs(seen.x) > 0.75 * np.abs(seen.x).max()
    level = float(np.median(seen.y[outer]))
    lost = 1.0 - seen.y / level if level > 0 else np.zeros_like(seen.y)
    smooth = np.convolve(lost, np.ones(3) / 3.0, mode="same")
    depth = float(smooth[1:-1].max())
    if not depth > FAINT * float(np.median(seen.sigma)) / max(abs(level), 1e-300):
        raise ModelError("no shadow stands out of the averaged profile; was it the marker's window?")
    deep = smooth > 0.5 * depth
    place = float(np.average(seen.x[deep], weights=smooth[deep]))
    radius = max(0.55 * float(np.ptp(seen.x[deep])), 0.5)
    return np.array(
        [
            place,
            level,
            0.0,
            math.log(max(0.2 * radius, 0.5)),
            math.log(-math.log(1.0 - min(depth, 0.98))),
            math.log(radius),
        ]
    )


def _measured(profile: Profile, p: Array, variance: float, blur: tuple[float, float]) -> Blurred:
    place, level, slope, radius = p[0], p[1], p[2], math.exp(p[5])
    seen = _Seen(profile)
    fitted, _ = _wire(p, profile.distance)
    rest = seen.y - seen.model(p)[0]
    floor = float(_wire(p, np.array([place]))[0][0])
    bright = level * (1.0 + slope * place)
    kernel = max(KERNEL * math.sqrt(variance + APERTURE), profile.width)

    def depth(x: Array) -> tuple[Array, Array]:
        """Part of the way from bright to floor, and its σ."""
        weight = np.exp(-0.5 * ((x[:, None] - seen.x) / kernel) ** 2)
        total = np.maximum(weight.sum(axis=1), 1e-300)
        course = _wire(p, x)[0] + weight @ rest / total
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


def _flanks(seen: _Seen, rest: Array, p: Array, variance: float, half: float, radius: float) -> Transfer | None:
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
