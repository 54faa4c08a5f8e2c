"""A blurred round wire in an averaged profile: the model, and where to begin."""

from __future__ import annotations

import math

import numpy as np

from models.estimate import Array, ModelError
from models.imaging.mean_profile import Profile
from models.imaging.wire_profile import BY_BLUR, BY_DEPTH, BY_RADIUS, SLOPE, VALUE, Shape, shadow

PER_PIXEL = 4  # bins per pixel that are fitted
FAINT = 6.0  # σ; a shadow less deep is none


class Seen:
    """The bins of a profile that pixels met."""

    def __init__(self, profile: Profile) -> None:
        seen = np.isfinite(profile.sigma) & (profile.sigma > 0)
        self.x, self.y, self.sigma = profile.distance[seen], profile.value[seen], profile.sigma[seen]

    def model(self, p: Array) -> tuple[Array, Array]:
        """Values, and derivatives by place, level, slope, ln σ, ln κ, ln R."""
        return wire(p, self.x)

    def rest(self, p: Array) -> Array:
        """Residuals in σ."""
        return np.asarray((self.model(p)[0] - self.y) / self.sigma)


def wire(p: Array, x: Array) -> tuple[Array, Array]:
    """Counts of a wire with parameters (place, level, slope, ln σ, ln κ, ln R), and their derivatives by these."""
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


def start_of(profile: Profile) -> Array:
    """Place, level, slope, ln σ, ln κ, ln R to begin with."""
    seen = Seen(profile.thinned(PER_PIXEL // 2))
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
