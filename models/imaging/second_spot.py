"""A second, weaker and wider spot beside the main one: its hump in bright images, and how that changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.estimate import Array

SMALLEST_WAY2 = 1e-4
NAN = math.nan
SMALLEST_WAY2 = 1e-4  # (way/width)²: less is no way at all
NAMES = ("u", "v", "width", "growth", "dipole_u", "dipole_v", "amplitude", "drift_u", "drift_v")
Model = Callable[[Array, Array, Array], Array]


class Kind(StrEnum):
    """What the images tell of a second spot."""

    GROWN = "grown"  # a hump that is higher or lower than before
    MOVED = "moved"  # a hump that moved by less than its width: only height times way is known
    BOTH = "both"  # way and height apart


@dataclass(frozen=True, slots=True)
class SpotChange:
    """A hump ``a exp(-r²/2w²)`` of the reference image that is another one in the image.

    Attributes
    ----------
    kind : Kind
    p : (n,) array
        Parameters of the model of this kind.
    cov : (n, n) array
    gain : float
        By how much it lowers χ².
    """

    kind: Kind
    p: Array
    cov: Array
    gain: float

    def field(self, u: Array, v: Array) -> Array:
        """What it adds to the ratio at columns u and rows v, the mean over blocks of u's spacing: (rows, columns) array."""
        return MODELS[self.kind](self.p, u, v)

    def slopes(self, u: Array, v: Array) -> Array:
        """Derivatives of the field by the parameters, (parameters, rows, columns)."""
        out = []
        for k, sigma in enumerate(np.sqrt(np.diag(self.cov))):
            step = np.zeros(len(self.p))
            step[k] = 0.1 * sigma if sigma > 0 else 1e-6
            model = MODELS[self.kind]
            out.append((model(self.p + step, u, v) - model(self.p - step, u, v)) / (2.0 * step[k]))
        return np.stack(out)

    def values(self) -> tuple[dict[str, float], dict[str, float]]:
        """Values and their σ by names that begin with ``spot_``; ``nan`` for what the images don't tell.

        ``spot_u``, ``spot_v``: place in the window (of the hump in the reference), ``spot_width``: σ [px];
        ``spot_growth``: change of the amplitude; ``spot_dipole_u``, ``_v``: amplitude times drift [px];
        ``spot_amplitude``: of the reference, relative to the beam's brightness; ``spot_drift_u``, ``_v`` [px].
        """
        order = PARAMETERS[self.kind]
        values = dict.fromkeys(NAMES, NAN)
        sigma = dict.fromkeys(NAMES, NAN)
        for k, name in enumerate(order):
            if name in values:
                values[name], sigma[name] = float(self.p[k]), math.sqrt(float(self.cov[k, k]))
        values["width"] = math.exp(values["width"])
        sigma["width"] *= values["width"]
        if self.kind is Kind.BOTH:
            a = order.index("amplitude")
            for axis in "uv":
                d = order.index(f"drift_{axis}")
                slope = np.zeros(len(order))
                slope[[a, d]] = self.p[d], self.p[a]
                values[f"dipole_{axis}"] = float(self.p[a] * self.p[d])
                sigma[f"dipole_{axis}"] = float(np.sqrt(slope @ self.cov @ slope))
        return {f"spot_{k}": x for k, x in values.items()}, {f"spot_{k}": x for k, x in sigma.items()}

    def words(self) -> str:
        """One line for the fix.

        Examples
        --------
        >>> SpotChange(Kind.GROWN, np.array([0.02, 10.0, 5.0, 1.0]), np.eye(4) * 1e-6, 90.0).words()
        'a second spot has grown by 2.00 % at column 10, row 5'
        """
        values, _ = self.values()
        at = f"at column {values['spot_u']:.0f}, row {values['spot_v']:.0f}"
        if self.kind is Kind.GROWN:
            grown = values["spot_growth"]
            return f"a second spot has {'grown' if grown > 0 else 'shrunk'} by {100 * abs(grown):.2f} % {at}"
        if self.kind is Kind.MOVED:
            way = math.hypot(values["spot_dipole_u"], values["spot_dipole_v"])
            return f"a second spot has moved {at}: height times way {way:.2g} px"
        way = math.hypot(values["spot_drift_u"], values["spot_drift_v"])
        return f"a second spot of {100 * values['spot_amplitude']:.1f} % {at} has moved by {way:.0f} px"


PARAMETERS: dict[Kind, tuple[str, ...]] = {
    Kind.GROWN: ("growth", "u", "v", "width"),
    Kind.MOVED: ("dipole_u", "dipole_v", "u", "v", "way2", "width"),
    Kind.BOTH: ("amplitude", "growth", "drift_u", "drift_v", "u", "v", "width"),
}


def hump(u: Array, v: Array, at_u: float, at_v: float, log_width: float) -> Array:
    """A Gaussian of height 1 at columns u and rows v: its mean over blocks of u's spacing, (rows, columns)."""
    square = math.exp(2.0 * log_width)
    wider = square + (float(u[1] - u[0]) ** 2 - 1.0) / 12.0  # to second order: a block adds its own variance
    across, down = (np.exp(-0.5 * (x - at) ** 2 / wider) for x, at in ((u, at_u), (v, at_v)))
    return np.asarray(square / wider * down[:, None] * across)


def _grown(p: Array, u: Array, v: Array) -> Array:
    return np.asarray(p[0] * hump(u, v, p[1], p[2], p[3]))


def _moved(p: Array, u: Array, v: Array) -> Array:
    """Humps at ± half the way, their height such that height times way is the dipole; ``way2`` is (way/width)²."""
    size = max(math.hypot(p[0], p[1]), 1e-300)
    way = math.exp(p[5]) * math.sqrt(max(p[4], SMALLEST_WAY2))
    half_u, half_v = 0.5 * way * p[0] / size, 0.5 * way * p[1] / size
    after = hump(u, v, p[2] + half_u, p[3] + half_v, p[5])
    return np.asarray(size / way * (after - hump(u, v, p[2] - half_u, p[3] - half_v, p[5])))


def _both(p: Array, u: Array, v: Array) -> Array:
    before = p[0] * hump(u, v, p[4], p[5], p[6])
    after = (p[0] + p[1]) * hump(u, v, p[4] + p[2], p[5] + p[3], p[6])
    return np.asarray((1.0 + after) / (1.0 + before) - 1.0)


MODELS: dict[Kind, Model] = {Kind.GROWN: _grown, Kind.MOVED: _moved, Kind.BOTH: _both}
