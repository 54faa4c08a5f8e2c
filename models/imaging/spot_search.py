"""Looking for a hump that grew or moved in the ratio of two bright images."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import least_squares

from models.estimate import Array
from models.imaging.second_spot import MODELS, PARAMETERS, SMALLEST_WAY2, Kind, SpotChange

GROWN_CHI2, MOVED_CHI2 = 26.0, 29.0  # gain in χ² by 1 and by 2 amplitudes; some 600 places and widths are tried
BOTH_CHI2 = 16.0  # further gain that growth and motion at once must bring
GROWN_CHI2, MOVED_CHI2 = 26.0, 29.0  # gain in χ² by 1 and by 2 amplitudes; some 600 places and widths are tried
BOTH_CHI2 = 16.0  # further gain that growth and motion at once must bring
RESOLVED = 6.0  # σ; so clear of 0 must (way/width)² be for height and way to be told apart, or chance picks steep ones
WIDTHS = 5
LEAST_BLOCKS = 6  # along either side; fewer show no hump beside the shading
WIDEST = 0.33  # of the window's shorter side: a wider hump is shading
NARROWEST = 1.5  # of a block: a finer one is noise
STOP = {"ftol": 1e-6, "xtol": 1e-5, "gtol": 1e-5, "max_nfev": 60}


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
    >>> seen = SpotChange(Kind.GROWN, np.array([0.02, 12.0, 20.0, math.log(4.0)]), np.eye(4), 0.0).field(u, v)
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
            lambda p: clean(MODELS[kind](p, u, v)) - data,
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
