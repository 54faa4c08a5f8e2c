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
BOTH_CHI2 = 16.0  # further gain that growth and motion at once must bring
RESOLVED = (
    6.0  # σ; (way/width)² must be so clear of 0 for height and way to be told apart, or chance picks the steep ones
)
SMALLEST_WAY2 = 1e-4
WIDTHS = 5
LEAST_BLOCKS = 6  # along either side; fewer show no hump beside the shading
WIDEST = 0.33  # of the window's shorter side: a wider hump is shading
NARROWEST = 1.5  # of a block: a finer one is noise
NAN = math.nan
STOP = {"ftol": 1e-6, "xtol": 1e-5, "gtol": 1e-5, "max_nfev": 60}
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


def _hump(u: Array, v: Array, at_u: float, at_v: float, log_width: float) -> Array:
    half = 0.5 * math.exp(-2.0 * log_width)
    return np.asarray(np.exp(-half * (u - at_u) ** 2) * np.exp(-half * (v - at_v) ** 2))


def _grown(p: Array, u: Array, v: Array) -> Array:
    return np.asarray(p[0] * _hump(u, v, p[1], p[2], p[3]))


def _moved(p: Array, u: Array, v: Array) -> Array:
    """Humps at ± half the way, their height such that height times way is the dipole; ``way2`` is (way/width)²."""
    size = max(math.hypot(p[0], p[1]), 1e-300)
    way = math.exp(p[5]) * math.sqrt(max(p[4], SMALLEST_WAY2))
    half_u, half_v = 0.5 * way * p[0] / size, 0.5 * way * p[1] / size
    after = _hump(u, v, p[2] + half_u, p[3] + half_v, p[5])
    return np.asarray(size / way * (after - _hump(u, v, p[2] - half_u, p[3] - half_v, p[5])))


def _both(p: Array, u: Array, v: Array) -> Array:
    before = p[0] * _hump(u, v, p[4], p[5], p[6])
    after = (p[0] + p[1]) * _hump(u, v, p[4] + p[2], p[5] + p[3], p[6])
    return np.asarray((1.0 + after) / (1.0 + before) - 1.0)


MODELS: dict[Kind, Model] = {Kind.GROWN: _grown, Kind.MOVED: _moved, Kind.BOTH: _both}


def find_spot_change(rest: Array, sigma: Array, base: Array, places: tuple[Array, Array]) -> SpotChange | None:
    """Look for a hump that grew or moved between two bright images; None where nothing stands out of the noise.

    The second spot's own radiation reaches the detector through the tube's exit, which images it like a pinhole: it
    adds to the bright image a hump beside the middle of the beam, a mock sun, ``1 + a exp(-r²/2w²)``. In the ratio of
    two images its constant part cancels like the detector's gain; what is left is ``(1 + a' g')/(1 + a g) - 1``. If
    it only grew, that is (a' - a) g; if it moved by d, less than its width, ``a d·(x - c)/w² g``: then only the
    product a d is known. Templates of both are compared with the rest at some hundred places and widths, the
    shading's polynomials projected out (a matched filter), the best is refined by least squares, and a motion by d
    with a height of its own is told if χ² demands it.

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
    The tube's physics: secondary radiation of transmission targets (backscattered electrons that hit the tube's
    inside) has been measured as such a halo. Assumes one hump, round and Gaussian, with unchanged width. Wrong when
    it is wider than a third of the window (it then is shading), when sharp edges of the exit's image move (then only
    height and place mean something), and when something else in the beam moved. A hump that grew and moved by little
    at once looks like one that grew at another place.

    Examples
    --------
    >>> u, v = np.arange(40.0), np.arange(30.0)
    >>> seen = _grown(np.array([0.02, 12.0, 20.0, math.log(4.0)]), u[None, :], v[:, None])
    >>> found = find_spot_change(seen, np.full(seen.shape, 0.001), np.ones((1, 1200)), (u, v))
    >>> found.kind.value, round(found.values()[0]["spot_growth"], 4)
    ('grown', 0.02)
    """
    u, v = places
    if min(len(u), len(v)) < LEAST_BLOCKS:
        return None
    weight = np.where(np.isfinite(sigma), 1.0 / sigma, 0.0).ravel()
    frame = np.linalg.qr((base * weight).T)[0]

    def clean(field: Array) -> Array:
        """A field in σ, without what the base can take part in."""
        white = field.ravel() * weight
        return np.asarray(white - frame @ (white @ frame))

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
        if kind is Kind.MOVED:
            low[4], high[4] = SMALLEST_WAY2, 9.0
        if kind is Kind.BOTH:
            low[0] = 0.0
        start = np.clip(start, low + 1e-9, high - 1e-9)
        scale = np.array([_scale(name, sides[0]) for name in PARAMETERS[kind]])
        found = least_squares(
            lambda p: clean(MODELS[kind](p, u[None, :], v[:, None])) - data,
            start,
            bounds=(low, high),
            x_scale=scale,
            **STOP,
        )
        return 2.0 * float(found.cost), np.asarray(found.x), np.asarray(found.jac.T @ found.jac)

    grown, moved, poles = _search(data, weight, frame, widths, (u, v))
    if grown[0] < GROWN_CHI2 and moved[0] < MOVED_CHI2:
        return None
    before = float(data @ data)
    first = Kind.GROWN, *refine(Kind.GROWN, grown[1])
    dipole = moved[1]
    starts = [np.array([*dipole[:4], part, dipole[4]]) for part in (0.1, 1.0)]
    second = Kind.MOVED, *min((refine(Kind.MOVED, start) for start in starts), key=lambda trial: trial[0])
    best = second if second[1] < first[1] - 4.0 else first  # it has two parameters more
    p, way2_sigma = second[2], _sigmas(second[3])[4]
    apart = best is second and p[4] > RESOLVED * way2_sigma
    both = min((refine(Kind.BOTH, start) for start in _starts(p, poles)), key=lambda trial: trial[0])
    sure = both[1][0] > 3.0 * _sigmas(both[2])[0]
    if sure and both[0] < best[1] - (-1.0 if apart else BOTH_CHI2):
        best = Kind.BOTH, *both
    kind, chi2, p, information = best
    return SpotChange(kind, p, np.asarray(np.linalg.pinv(information, hermitian=True), dtype=float), before - chi2)


def _sigmas(information: Array) -> Array:
    return np.sqrt(np.diag(np.linalg.pinv(information, hermitian=True)))


def _scale(name: str, side: float) -> float:
    if name in ("u", "v", "drift_u", "drift_v"):
        return side
    return 0.3 if name in ("width", "way2") else 0.01 * (side if name.startswith("dipole") else 1.0)


def _search(
    data: Array, weight: Array, frame: Array, widths: Array, places: tuple[Array, Array]
) -> tuple[tuple[float, Array], tuple[float, Array], tuple[Array, Array]]:
    """Best growth and best motion of the templates, each with its gain in χ²; and the best positive and negative growth.

    Templates are products of a function of u and one of v, so every inner product is two small matrix products.
    """
    u, v = places
    shape = (len(v), len(u))
    square, seen = (weight**2).reshape(shape), (weight * data).reshape(shape)
    nuisance = (frame * weight[:, None]).T.reshape(-1, *shape)
    moved = (0.0, np.zeros(5))
    up = down = (0.0, np.zeros(4))
    for width in widths:
        step = max(0.8 * width, u[1] - u[0])
        at_u, at_v = (axis[0] + step * np.arange(int(np.ptp(axis) / step) + 2) for axis in (u, v))
        far_u, far_v = (u - at_u[:, None]) / width, (v - at_v[:, None]) / width
        near_u, near_v = np.exp(-0.5 * far_u**2), np.exp(-0.5 * far_v**2)
        # hump, its slope along u, along v
        down_part, across_part = (near_v, near_v, far_v * near_v / width), (near_u, far_u * near_u / width, near_u)
        pairs = list(zip(down_part, across_part, strict=True))
        taken = [d @ nuisance @ a.T for d, a in pairs]
        right = [d @ seen @ a.T for d, a in pairs]

        def inner(x: int, y: int, pairs: list[tuple[Array, Array]] = pairs, taken: list[Array] = taken) -> Array:
            whole = (pairs[x][0] * pairs[y][0]) @ square @ (pairs[x][1] * pairs[y][1]).T
            return np.asarray(whole - (taken[x] * taken[y]).sum(axis=0))

        norm = np.maximum(inner(0, 0), 1e-9 * float(square.max()))
        height = right[0] / norm
        gain = height * right[0]
        for sign in (1.0, -1.0):
            j, i = np.unravel_index(int(np.argmax(np.where(sign * height > 0, gain, 0.0))), gain.shape)
            here = (float(gain[j, i]), np.array([height[j, i], at_u[i], at_v[j], math.log(width)]))
            if height[j, i] > 0 and here[0] > up[0]:
                up = here
            if height[j, i] < 0 and here[0] > down[0]:
                down = here
        aa, ab, bb = inner(1, 1), inner(1, 2), inner(2, 2)
        det = aa * bb - ab**2
        fair = det > 1e-9 * aa.max() * bb.max()
        det = np.where(fair, det, 1.0)
        by_u, by_v = (bb * right[1] - ab * right[2]) / det, (aa * right[2] - ab * right[1]) / det
        gain = np.where(fair, by_u * right[1] + by_v * right[2], 0.0)
        j, i = np.unravel_index(int(np.argmax(gain)), gain.shape)
        if gain[j, i] > moved[0]:
            moved = (float(gain[j, i]), np.array([by_u[j, i], by_v[j, i], at_u[i], at_v[j], math.log(width)]))
    return max(up, down, key=lambda found: found[0]), moved, (up[1], down[1])


def _starts(moved: Array, poles: tuple[Array, Array]) -> list[Array]:
    """Where to begin with both: as moved; and humps apart at the places of the highest and the lowest ratio."""
    size, way = float(np.hypot(*moved[:2])), math.exp(moved[5]) * math.sqrt(max(moved[4], 0.01))
    step = moved[:2] / max(size, 1e-300) * way
    starts = [np.array([size / way, 0.0, *step, *(moved[2:4] - 0.5 * step), moved[5]])]
    up, down = poles
    if up[0] > 0 and down[0] < 0:
        height = max(up[0], -down[0])
        starts.append(np.array([height, up[0] + down[0], *(up[1:3] - down[1:3]), *down[1:3], max(up[3], down[3])]))
    return starts
