"""A second, weaker and wider spot beside the main one: its hump in bright images, seen when it grows or moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.optimize import least_squares

from models.estimate import Array

GROWN_CHI2, MOVED_CHI2 = 26.0, 29.0  # gain in χ² by 1 and by 2 amplitudes; some 600 places and widths are tried
BOTH_CHI2 = 16.0  # further gain that a motion of a size of its own must bring
WIDTHS = 5
WIDEST = 0.33  # of the window's shorter side: a wider hump is shading
NARROWEST = 0.8  # of a block
NAN = math.nan
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
        """What it adds to the ratio at columns u and rows v: (rows, columns) array."""
        return MODELS[self.kind](self.p, u[None, :], v[:, None])

    def values(self) -> tuple[dict[str, float], dict[str, float]]:
        """Values and their σ by names that begin with ``spot_``; ``nan`` for what the images don't tell.

        ``spot_u``, ``spot_v``: place in the window (of the hump in the reference), ``spot_width``: σ [px]; ``spot_growth``: change of the
        amplitude; ``spot_dipole_u``, ``_v``: amplitude times drift [px]; ``spot_amplitude``: of the reference, relative to the
        beam's brightness; ``spot_drift_u``, ``_v`` [px].
        """
        order = PARAMETERS[self.kind]
        values = dict.fromkeys(NAMES, NAN)
        sigma = dict.fromkeys(NAMES, NAN)
        for k, name in enumerate(order):
            values[name], sigma[name] = float(self.p[k]), math.sqrt(float(self.cov[k, k]))
        values["width"], sigma["width"] = math.exp(values["width"]), math.exp(values["width"]) * sigma["width"]
        if self.kind is Kind.BOTH:
            a, change = order.index("amplitude"), order.index("growth")
            for axis in "uv":
                d = order.index(f"drift_{axis}")
                slope = np.zeros(len(order))
                slope[[a, d]] = self.p[d], self.p[a]
                values[f"dipole_{axis}"] = float(self.p[a] * self.p[d])
                sigma[f"dipole_{axis}"] = float(np.sqrt(slope @ self.cov @ slope))
            values["growth"] = float(self.p[change])
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
    Kind.MOVED: ("dipole_u", "dipole_v", "u", "v", "width"),
    Kind.BOTH: ("amplitude", "growth", "drift_u", "drift_v", "u", "v", "width"),
}


def _hump(u: Array, v: Array, at_u: float, at_v: float, log_width: float) -> Array:
    half = 0.5 * math.exp(-2.0 * log_width)
    return np.asarray(np.exp(-half * (u - at_u) ** 2) * np.exp(-half * (v - at_v) ** 2))


def _grown(p: Array, u: Array, v: Array) -> Array:
    return np.asarray(p[0] * _hump(u, v, p[1], p[2], p[3]))


def _moved(p: Array, u: Array, v: Array) -> Array:
    along = (p[0] * (u - p[2]) + p[1] * (v - p[3])) * math.exp(-2.0 * p[4])
    return np.asarray(along * _hump(u, v, p[2], p[3], p[4]))


def _both(p: Array, u: Array, v: Array) -> Array:
    before = p[0] * _hump(u, v, p[4], p[5], p[6])
    after = (p[0] + p[1]) * _hump(u, v, p[4] + p[2], p[5] + p[3], p[6])
    return np.asarray((1.0 + after) / (1.0 + before) - 1.0)


MODELS: dict[Kind, Model] = {Kind.GROWN: _grown, Kind.MOVED: _moved, Kind.BOTH: _both}


def find_spot_change(rest: Array, sigma: Array, base: Array, places: tuple[Array, Array]) -> SpotChange | None:
    """Look for a hump that grew or moved between two bright images; None where nothing stands out of the noise.

    The second spot's own radiation reaches the detector through the tube's exit, which images it like a pinhole: it adds to the
    bright image a hump beside the middle of the beam, a mock sun, ``1 + a exp(-r²/2w²)``. In the ratio of two images
    its constant part cancels like the detector's gain; what is left is ``(1 + a' g')/(1 + a g) - 1``. If it only grew, that is
    (a' - a) g; if it moved by d, less than its width, ``a d·(x - c)/w² g``: then only the product a d is known. Templates of
    both are compared with the rest at some hundred places and widths, the shading's polynomials projected out (a matched
    filter), the best is refined by least squares, and a motion by d with a height of its own is told if χ² demands it.

    Parameters
    ----------
    rest, sigma : (rows, columns) arrays
        Ratio less its mean and shading, relative, per block; σ is ``inf`` where there is none.
    base : (k, rows·columns) array
        What was taken off and may take part again.
    places : two arrays
        Columns and rows of the blocks' middles [px].

    Notes
    -----
    The tube's physics: secondary radiation of transmission targets (backscattered electrons that hit the tube's inside) has been
    measured as such a halo. Assumes one hump, round and Gaussian, with unchanged width. Wrong when it is wider than a third
    of the window (it then is shading), when sharp edges of the exit's image move (then only height and place mean something), and
    when something else in the beam moved. A hump that grew and moved by little at once looks like one that grew at another place.

    Examples
    --------
    >>> u, v = np.arange(40.0), np.arange(30.0)
    >>> seen = _grown(np.array([0.02, 12.0, 20.0, math.log(4.0)]), u[None, :], v[:, None])
    >>> found = find_spot_change(seen, np.full(seen.shape, 0.001), np.ones((1, 1200)), (u, v))
    >>> found.kind.value, round(found.values()[0]["spot_growth"], 4)
    ('grown', 0.02)
    """
    u, v = places
    if min(len(u), len(v)) < 4:
        return None
    weight = np.where(np.isfinite(sigma), 1.0 / sigma, 0.0).ravel()
    frame = np.linalg.qr((base * weight).T)[0]

    def clean(field: Array) -> Array:
        white = field.ravel() * weight
        return np.asarray(white - frame @ (frame.T @ white))

    data = clean(rest)
    sides = (float(u[1] - u[0]), float(np.ptp(u)), float(np.ptp(v)))
    widths = np.geomspace(NARROWEST * sides[0], WIDEST * min(sides[1:]), WIDTHS)
    limits = (math.log(widths[0]), math.log(widths[-1] * 1.5))

    def refine(kind: Kind, start: Array) -> tuple[float, Array, Array]:
        low, high = np.full(len(start), -np.inf), np.full(len(start), np.inf)
        for name, span, axis in (("u", sides[1], u), ("v", sides[2], v)):
            k = PARAMETERS[kind].index(name)
            low[k], high[k] = axis[0] - 0.5 * span, axis[-1] + 0.5 * span
        low[-1], high[-1] = limits
        if kind is Kind.BOTH:
            low[0] = 0.0
        start = np.clip(start, low + 1e-9, high - 1e-9)
        scale = np.array([_scale(name, sides[0]) for name in PARAMETERS[kind]])
        found = least_squares(
            lambda p: clean(MODELS[kind](p, u[None, :], v[:, None])) - data, start, bounds=(low, high), x_scale=scale
        )
        return 2.0 * float(found.cost), np.asarray(found.x), np.asarray(found.jac.T @ found.jac)

    grown, moved, poles = _search(data, clean, widths, (u, v))
    if grown[0] < GROWN_CHI2 and moved[0] < MOVED_CHI2:
        return None
    before = float(data @ data)
    best = (Kind.GROWN, *refine(Kind.GROWN, grown[1]))
    other = (Kind.MOVED, *refine(Kind.MOVED, moved[1]))
    if other[1] < best[1] - 2.0:  # it has one parameter more
        best = other
    trials = [refine(Kind.BOTH, start) for start in _starts(grown[1], other[2], poles)]
    both = min(trials, key=lambda trial: trial[0])
    if both[0] < best[1] - BOTH_CHI2:
        best = (Kind.BOTH, *both)
    kind, chi2, p, information = best
    try:
        cov = np.linalg.inv(information)
    except np.linalg.LinAlgError:
        return None
    return SpotChange(kind, p, cov, before - chi2)


def _scale(name: str, side: float) -> float:
    if name in ("u", "v", "drift_u", "drift_v"):
        return side
    return 0.3 if name == "width" else 0.01 * (side if name.startswith("dipole") else 1.0)


def _search(
    data: Array, clean: Callable[[Array], Array], widths: Array, places: tuple[Array, Array]
) -> tuple[tuple[float, Array], tuple[float, Array], tuple[Array, Array]]:
    """Best growth and best motion of the templates, each with its gain in χ²; and the best positive and negative growth."""
    u, v = places
    grown = moved = (0.0, np.zeros(5))
    up = down = (0.0, np.zeros(4))
    for width in widths:
        log_width = math.log(width)
        step = max(0.8 * width, u[1] - u[0])
        for at_v in np.arange(v[0], v[-1] + step, step):
            for at_u in np.arange(u[0], u[-1] + step, step):
                hump = _hump(u[None, :], v[:, None], at_u, at_v, log_width)
                shape = clean(hump)
                norm = float(shape @ shape)
                if not norm > 0:
                    continue
                height = float(shape @ data) / norm
                gain = height * height * norm
                here = (gain, np.array([height, at_u, at_v, log_width]))
                if gain > grown[0]:
                    grown = here
                if height > 0 and gain > up[0]:
                    up = here
                if height < 0 and gain > down[0]:
                    down = here
                slopes = np.stack(
                    [clean((u[None, :] - at_u) / width**2 * hump), clean((v[:, None] - at_v) / width**2 * hump)]
                )
                right = slopes @ data
                gram = slopes @ slopes.T
                if np.linalg.det(gram) <= 1e-12 * gram[0, 0] * gram[1, 1]:
                    continue
                dipole = np.linalg.solve(gram, right)
                gain = float(right @ dipole)
                if gain > moved[0]:
                    moved = (gain, np.array([*dipole, at_u, at_v, log_width]))
    return grown, moved, (up[1], down[1])


def _starts(grown: Array, moved: Array, poles: tuple[Array, Array]) -> list[Array]:
    """Where to begin with both: humps apart at the two poles, a motion of some part of the width, a growth on the spot."""
    up, down = poles
    starts = []
    if up[0] > 0 and down[0] < 0:
        height = max(up[0], -down[0])
        way = up[1:3] - down[1:3]
        starts.append(np.array([height, up[0] + down[0], *way, *down[1:3], max(up[3], down[3])]))
    dipole, width = moved[:2], math.exp(moved[4])
    size = float(np.hypot(*dipole))
    if size > 0:
        for part in (0.5, 1.5):
            way = dipole / size * part * width
            starts.append(np.array([size / (part * width), 0.0, *way, *(moved[2:4] - 0.5 * way), moved[4]]))
    starts.append(np.array([abs(grown[0]), grown[0] if grown[0] > 0 else 0.5 * grown[0], 0.1, 0.1, *grown[1:4]]))
    return starts
