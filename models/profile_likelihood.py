"""Interval of one parameter from the profile of the posterior, where its curvature alone can't be trusted."""

from __future__ import annotations

import numpy as np

from models.estimate import Array
from models.likelihood import Posterior, minimise

DROP = 0.5 * 1.959964**2  # of the log posterior at the ends of a 95 % interval
DOUBT = (0.65, 1.5)  # where the drop along the regression line lies within this of DROP, the curvature holds
ROUNDS = 2  # scoring steps that the other coordinates get at each point of a profile
POINTS = 6  # of a search for one end
CLOSE = 0.15  # relative to DROP


def doubtful(posterior: Posterior, z: Array, value: float, cov: Array, i: int) -> bool:
    """Whether 1.96 σ along the regression line of coordinate ``i`` costs another posterior than a Gaussian's.

    The others move as their covariance with ``i`` says, ``z + C_:i/C_ii · δ``; that is the profile as far as the
    posterior is Gaussian.
    """
    reach = 1.959964 * np.sqrt(cov[i, i]) * cov[:, i] / cov[i, i]
    drops = np.array([posterior.value(z + sign * reach) - value for sign in (1.0, -1.0)])
    return bool(np.any(drops < DOUBT[0] * DROP) or np.any(drops > DOUBT[1] * DROP))


def profile_interval(
    posterior: Posterior, z: Array, value: float, cov: Array, i: int, free: Array, limit: float
) -> tuple[float, float]:
    """Ends of the 95 % interval of coordinate ``i``: where the profile has fallen by 1.92 (Wilks 1938).

    Parameters
    ----------
    z, value, cov : (P,) array, float, (P, P) array
        Most probable point, minus log posterior and covariance there.
    free : (P,) bool array
        Coordinates that are fitted anew at each point.
    limit : float
        The search ends there [σ of the prior]; such an end is open.
    """
    others = free.copy()
    others[i] = False
    sigma = float(np.sqrt(cov[i, i]))
    line = cov[:, i] / cov[i, i]
    ends = []
    for sign in (-1.0, 1.0):
        near, low = 0.0, 0.0
        far, high = np.inf, np.inf
        reach = 1.959964 * sigma
        for _ in range(POINTS):
            reach = min(reach, limit - sign * z[i]) if limit > sign * z[i] else reach
            start = z + sign * reach * np.where(free, line, 0.0)
            start[i] = z[i] + sign * reach
            drop = minimise(posterior, start, others, ROUNDS)[1] - value
            if abs(drop / DROP - 1.0) < CLOSE:
                break
            if drop < DROP:
                if sign * z[i] + reach >= limit:
                    break
                near, low = reach, max(drop, 0.0)
            else:
                far, high = reach, drop
            # the root of the drop is nearly straight in the distance
            if np.isfinite(far):
                a, b = np.sqrt(low), np.sqrt(high)
                part = float(np.clip((np.sqrt(DROP) - a) / (b - a), 0.1, 0.9))
                reach = near + part * (far - near)
            else:
                reach = near * float(np.clip(np.sqrt(DROP / max(low, 1e-3)), 1.2, 3.0))
        ends.append(float(z[i] + sign * reach))
    return ends[0], ends[1]
