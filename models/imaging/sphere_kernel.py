"""Fisher scoring of a sphere's eight quantities on the counts of a window, compiled.

The step is the solution of ``info step = g`` (:mod:`models.imaging.sphere_sums`): maximum likelihood for Poisson counts, and
its usual stand-in (quasi-likelihood) with read noise.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.imaging.sphere_profile import PER_PX
from models.imaging.sphere_sums import (
    CHI2,
    FAR_CHI2,
    FAR_GATED,
    FAR_LAGGED,
    FAR_PAIRS,
    FAR_PIXELS,
    GATED,
    LIGHT,
    OPACITY,
    PIXELS,
    RADIUS,
    SIZE,
    VARIANCE,
    U,
    V,
    far,
    near,
)

BEND = 0.2  # σ by which the tangent of the shape may be wrong
STILL = (
    0.5  # the same for the last step of all; for symmetry it is blur that a step in u and v leaves wrong, by 0.1 σ then
)
WORSE, SLACK = 1.5, 6.0  # times the usual χ² per pixel, and σ of its scatter, from which on the sphere is elsewhere
COVERED = 0.02  # share of the near pixels beyond the gate from which on it is, too
MARGIN_PX = 1.0  # the sphere may walk so far before the far pixels are gathered anew
MOST_STEPS = 40
LEAST_VARIANCE = -0.05  # σ² [px²] is free to fall below 0 by noise, not below what the pixel adds to it, 1/12
DONE, BENT, GONE, ASTRAY, SINGULAR = range(5)


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(info, g, step):
    """Step with info step = g by Cholesky's decomposition of the scaled matrix; False where that is not positive."""
    n = len(g)
    L, scale = np.zeros((n, n)), np.empty(n)
    for a in range(n):
        if not info[a, a] > 0.0:
            return False
        scale[a] = 1.0 / np.sqrt(info[a, a])
    for a in range(n):
        for b in range(a + 1):
            total = info[a, b] * scale[a] * scale[b]
            for k in range(b):
                total -= L[a, k] * L[b, k]
            if a > b:
                L[a, b] = total / L[b, b]
            elif total > 1e-13:
                L[a, a] = np.sqrt(total)
            else:
                return False
    for a in range(n):
        total = g[a] * scale[a]
        for k in range(a):
            total -= L[a, k] * step[k]
        step[a] = total / L[a, a]
    for a in range(n - 1, -1, -1):
        total = step[a]
        for k in range(a + 1, n):
            total -= L[k, a] * step[k]
        step[a] = total / L[a, a]
    for a in range(n):
        step[a] *= scale[a]
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _bounded(info, g, p, step):
    """The step, σ² not falling below LEAST_VARIANCE: there it stays, and the others make the best of it."""
    if not _solve(info, g, step):
        return False
    if p[VARIANCE] + step[VARIANCE] >= LEAST_VARIANCE:
        return True
    left, rest, held = info.copy(), g.copy(), LEAST_VARIANCE - p[VARIANCE]
    for a in range(SIZE):
        rest[a] -= info[a, VARIANCE] * held
        left[a, VARIANCE] = left[VARIANCE, a] = 0.0
    left[VARIANCE, VARIANCE] = 1.0
    rest[VARIANCE] = held
    return _solve(left, rest, step)


@njit(cache=True, nogil=True, error_model="numpy")
def _bend(off, info, width):
    """By how many σ at most the tangent is wrong that far ``off`` (u, v, R, σ², ln κ) the point where it touches.

    An error e of the expectation shifts no parameter by more than √(Σ e²/variance) of its σ (Cauchy and Schwarz). Its size,
    half the second derivative, is estimated from the first one: by the norms of a Gaussian's derivatives, for a blurred edge
    of width s, 1/(√2 s) times it for u, v and R, 1/s² times it for σ², about once for ln κ.
    """
    total = 0.0
    for k in range(LIGHT):
        ratio = 0.71 / width if k < VARIANCE else 1.0 / width**2 if k == VARIANCE else 1.0
        total += np.sqrt(0.5 * off[k] * off[k] * ratio * np.sqrt(info[k, k]))
    return total * total


@njit(cache=True, nogil=True, error_model="numpy")
def _join(info, g, far_F, far_g, light, p, prior):
    """Add far pixels, whose sums were taken at ``light``, and prior to the near ones."""
    for a in range(3):
        g[LIGHT + a] += far_g[a]
        for b in range(3):
            info[LIGHT + a, LIGHT + b] += far_F[a, b]
            g[LIGHT + a] -= far_F[a, b] * (p[LIGHT + b] - light[b])
        g[RADIUS + a] += (prior[a, 0] - p[RADIUS + a]) / prior[a, 1]
        info[RADIUS + a, RADIUS + a] += 1.0 / prior[a, 1]


@njit(cache=True, nogil=True, error_model="numpy")
def score(counts, flat, table, shape, p, prior, per_count, read_variance, usual, loose, info, told):
    """Take steps from ``p`` (8,), in place, until they stand still.

    prior: (3, 2) mean and variance of R, σ², ln κ. usual: χ² per near pixel of a sphere that is where it is expected, so that
    one that is not is recognised at the first step; infinite where it isn't known. loose: the start is only near. info
    (8, 8) becomes the information, prior included; told (TOLD,) the sums named above.

    Returns DONE; BENT: the shape has left what the table's tangent covers, come back with another table; GONE: left the
    window; ASTRAY: not where expected, or did not stand still; SINGULAR: the counts can't tell.
    """
    rows, columns = counts.shape
    g, step = np.empty(SIZE), np.empty(SIZE)
    away, off = np.empty(3), np.zeros(LIGHT)
    far_F, far_g, light = np.empty((3, 3)), np.empty(3), np.zeros(3)
    edge = np.sqrt(max(shape[1], 0.0) + 0.1)
    reach = (len(table) - 2) / PER_PX
    u, v = np.inf, np.inf
    for _ in range(MOST_STEPS):
        level = abs(p[LIGHT] - light[0]) + 0.5 * (abs(p[LIGHT + 1] - light[1]) + abs(p[LIGHT + 2] - light[2]))
        # the far pixels anew when the sphere comes near them, or when their variance or the gate would no longer be theirs
        if not (
            abs(p[U] - u) + abs(p[V] - v) < MARGIN_PX
            and level < min(0.01 * light[0], 0.3 * np.sqrt(per_count * light[0] + read_variance))
        ):
            u, v = p[U], p[V]
            light[:] = p[LIGHT:]
            far(counts, flat, u, v, reach, light, per_count, read_variance, loose, far_F, far_g, told)
        near(counts, flat, u, v, reach, table, shape, p, per_count, read_variance, loose, info, g, told)
        if np.isfinite(usual):
            seen = told[PIXELS] + told[GATED]
            if (
                told[GATED] > 3.0 + COVERED * seen
                or told[FAR_GATED] > 0.5 * (told[FAR_PIXELS] + told[FAR_GATED])
                or told[CHI2] > (WORSE * usual + SLACK * np.sqrt(3.0 / max(seen, 1.0))) * told[PIXELS]
            ):
                return ASTRAY
            usual = np.inf
        _join(info, g, far_F, far_g, light, p, prior)
        if not _bounded(info, g, p, step):
            return SINGULAR
        length = 0.0
        for a in range(SIZE):
            length += step[a] * g[a]
        # an edge is seen from about its own width, so no step is much longer
        share = 1.0
        for a, most in (
            (U, 2.0 * edge + 0.2 * p[RADIUS]),
            (V, 2.0 * edge + 0.2 * p[RADIUS]),
            (RADIUS, 0.3 * p[RADIUS]),
            (VARIANCE, 0.5 * edge * edge),
            (OPACITY, 0.7),
            (LIGHT, 0.5 * p[LIGHT]),
        ):
            share = min(share, most / max(abs(step[a]), 1e-30))
        whole = share == 1.0
        still = whole and length < 100.0 and abs(step[LIGHT]) < 0.003 * p[LIGHT] and _bend(step, info, edge) < STILL
        for a in range(SIZE):
            p[a] += (1.0 if still else share) * step[a]
        if not (-0.5 <= p[U] <= columns - 0.5 and -0.5 <= p[V] <= rows - 0.5):
            return GONE
        if not p[LIGHT] > 0.0:
            return ASTRAY
        off[RADIUS:] = p[RADIUS:LIGHT] - shape
        if _bend(off, info, edge) > BEND:
            return BENT
        if loose and (still or (whole and abs(step[U]) + abs(step[V]) + abs(step[RADIUS]) < 0.1 * edge)):
            loose, u = False, np.inf
        elif still and not loose:
            # residuals were those before the step; its share of them is known
            told[CHI2] -= length
            gain = 0.0
            for a in range(3):
                away[a] = p[LIGHT + a] - light[a]
            for a in range(3):
                gain += 2.0 * far_g[a] * away[a]
                for b in range(3):
                    gain -= away[a] * far_F[a, b] * away[b]
            told[FAR_CHI2] -= gain
            told[FAR_LAGGED] -= gain * told[FAR_PAIRS] / max(told[FAR_PIXELS], 1.0)
            return DONE
    return ASTRAY
