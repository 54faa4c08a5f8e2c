"""Sharpness of a wire's profiles averaged without and with shifting, and what shifting gained."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from models.estimate import Array
from models.imaging.mean_profile import MeanProfiles
from models.imaging.profile_fit import PER_PIXEL, Seen, start_of
from models.imaging.profile_flanks import APERTURE, Blurred, measured_flanks
from models.imaging.wire_profile import Shape

BARELY = 1e-3  # px; a blur of nothing
CONVENTIONS = {
    "blur": "σ of a Gaussian beside the pixel aperture that blurs a round wire's shadow to this profile [px]",
    "width_10_90": "from 10 % to 90 % of a flank's own height, pixel aperture included, mean of both flanks [px]",
    "mtf10": "frequency of 10 % modulation of the mean flank, pixel aperture included [cycles/px]",
    "sharpening": "standard deviation of the line spread before over after, pixel aperture included [1]",
}


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
    Drift is not Gaussian: the blur before is that of the Gaussian that fits best, up to a tenth off the root mean
    square of a drift that ran out early. A wire thinner than its blur tells radius and blur apart badly. The
    transfer takes what a flank differs from the fit for the response of an edge of full depth: right for an opaque
    wire, some per cent off for a translucent one.

    Raises
    ------
    ModelError
        No shadow in the averages.
    """
    by = max(1, round(1.0 / PER_PIXEL / profiles.after.width))
    before, after = profiles.before.thinned(by), profiles.after.thinned(by)
    first = start_of(after)
    wider = math.log(math.hypot(math.exp(first[3]), profiles.shift_sigma_px))
    start = np.array([*first[:3], wider, *first[:4], *first[4:]])
    two = [Seen(profile) for profile in (before, after)]

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
        measured.append(measured_flanks(profile, p[columns], squares[k], (blur, error)))
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
