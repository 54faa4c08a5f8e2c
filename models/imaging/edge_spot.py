"""A second spot seen on an edge: each spot throws its own shadow of it, so the line spread has two parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from models.estimate import Array
from models.imaging.edge_kernel import step_profile
from models.imaging.edge_response import EdgeResponse

SURE_CHI2 = 30.0  # gain in χ² of the second part's three numbers over one Gaussian
STOP = {"ftol": 1e-8, "xtol": 1e-7, "max_nfev": 200}


@dataclass(frozen=True, slots=True)
class EdgeSpot:
    """Second part of a line spread.

    Attributes
    ----------
    amplitude : (float, float)
        Part of all rays that come from the second spot, and its σ [1].
    offset : (float, float)
        Its shadow of the edge from the main one's, towards the bright side, and its σ [px].
    width : (float, float)
        σ of its Gaussian beside the pixel aperture, and the error of that [px].
    main_width : (float, float)
        Likewise of the main spot [px].
    gain : float
        By how much it lowers χ².
    """

    amplitude: tuple[float, float]
    offset: tuple[float, float]
    width: tuple[float, float]
    main_width: tuple[float, float]
    gain: float

    def drift(self, before: EdgeSpot) -> tuple[float, float]:
        """How far the second shadow has moved against the main one since another image, and its σ [px].

        Examples
        --------
        >>> spot = EdgeSpot((0.1, 0.01), (4.0, 0.3), (2.0, 0.1), (1.0, 0.1), 50.0)
        >>> spot.drift(EdgeSpot((0.1, 0.01), (3.0, 0.4), (2.0, 0.1), (1.0, 0.1), 50.0))
        (1.0, 0.5)
        """
        return self.offset[0] - before.offset[0], math.hypot(self.offset[1], before.offset[1])


def second_spot_of_edge(response: EdgeResponse) -> EdgeSpot | None:
    """Fit ``E = (1 - a) E₁(x) + a E₂(x - δ)``, two Gaussian steps with the pixel's aperture; None where one suffices.

    Its transfer function is ``(1 - a) M₁ + a M₂ exp(2πi f δ)``. E₂ is the weaker (a ≤ ½) and not the narrower one.

    Parameters
    ----------
    response : EdgeResponse

    Notes
    -----
    Tells the offset along the edge's normal alone; edges of two directions tell both. A halo of the detector (scatter
    in its scintillator, glare) is a second part, too, with offset 0: only what moves, or differs with the edge's
    magnification, is a spot. Wrong for a rounded or translucent edge, and where the bins end before the second part
    does.

    Examples
    --------
    >>> x = (np.arange(160) - 79.5) / 4
    >>> one, two = (step_profile(x - d, s, 1.0, 0.0)[0] for d, s in ((0.0, 0.8), (5.0, 2.0)))
    >>> seen = EdgeResponse(x, 0.1 * (two - one), np.full(160, 0.001), 0.64, (1.0, 0.0), 4, np.zeros((2, 2)))
    >>> found = second_spot_of_edge(seen)
    >>> [round(pair[0], 2) for pair in (found.amplitude, found.offset, found.width)]
    [0.1, 5.0, 2.0]
    """
    seen = np.isfinite(response.sigma)
    x, y, sigma = response.distance[seen], response.values[seen], response.sigma[seen]
    wide, narrow = response.aperture
    spread, reach = max(math.sqrt(response.variance), 0.2), response.reach

    def one(p: Array) -> Array:
        low, high, place, log_width = p
        return np.asarray(
            (low + (high - low) * step_profile(x - place, math.exp(log_width), wide, narrow)[0] - y) / sigma
        )

    def two(p: Array) -> Array:
        low, high, place, log_width, part, offset, log_ratio = p
        first = step_profile(x - place, math.exp(log_width), wide, narrow)[0]
        second = step_profile(x - place - offset, math.exp(log_width + log_ratio), wide, narrow)[0]
        return np.asarray((low + (high - low) * ((1.0 - part) * first + part * second) - y) / sigma)

    alone = least_squares(one, [0.0, 1.0, 0.0, math.log(spread)], **STOP)
    narrowest, widest = math.log(0.05), math.log(reach)
    bounds = (
        [-1.0, 0.0, -reach, narrowest, 0.0, -reach, 0.0],
        [1.0, 2.0, reach, widest, 0.5, reach, math.log(50.0)],
    )
    scale = [0.01, 0.01, 0.1, 0.1, 0.1, 1.0, 0.3]
    trials = []
    for offset in (-0.4 * reach, -1.5 * spread, 0.0, 1.5 * spread, 0.4 * reach):
        start = [0.0, 1.0, 0.0, math.log(0.8 * spread), 0.15, offset, math.log(2.0)]
        trials.append(least_squares(two, start, bounds=bounds, x_scale=scale, **STOP))
    best = min(trials, key=lambda trial: float(trial.cost))
    gain = 2.0 * float(alone.cost - best.cost)
    if gain < SURE_CHI2:
        return None
    cov = np.linalg.pinv(best.jac.T @ best.jac, hermitian=True)
    error = np.sqrt(np.diag(cov))
    width, main = math.exp(best.x[3] + best.x[6]), math.exp(best.x[3])
    both = math.sqrt(max(cov[3, 3] + 2.0 * cov[3, 6] + cov[6, 6], 0.0))
    return EdgeSpot(
        (float(best.x[4]), float(error[4])),
        (float(best.x[5]), float(error[5])),
        (width, width * both),
        (main, main * float(error[3])),
        gain,
    )
