"""Fisher scoring of a sphere's eight quantities on the counts of a window, compiled.

Expected counts above dark of a pixel (x columns, y rows from the middle of the window, in window widths and heights):

    m = flat (b₀ + b₁ x + b₂ y) (1 - A(u, v; R, σ², ln κ)),   variance = per_count · m + read_variance

with A from a table made at a shape near by and carried on linearly in R, σ² and ln κ. The step is the solution of
``F step = g``, ``F = Σ ∇m ∇m'/variance``, ``g = Σ ∇m (n - m)/variance``: maximum likelihood for Poisson counts, and its usual
stand-in (quasi-likelihood) with read noise. Pixels so far from the sphere that no shadow reaches them depend on b alone,
linearly: their sums are taken once, the others at each step.

A pixel farther than ``GATE`` σ from its expectation is left out. While the sphere is still being approached ("loose") only
one that no sphere explains is.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.imaging.sphere_profile import (
    ATTENUATION,
    BY_OPACITY,
    BY_RADIUS,
    BY_VARIANCE,
    FOURFOLD,
    HALF_CURVATURE,
    PER_PX,
    SLOPE,
)

FAST = {"contract", "reassoc"}
U, V, RADIUS, VARIANCE, OPACITY, LIGHT = range(6)  # LIGHT and two more: b
SIZE = 8
BLOCK = 256  # pixels taken together, so that what is known of them stays in the processor's nearest cache
GATE = 8.0  # σ
FEW = 4.0  # variance beside that of the expected counts, in squares of one count's: few counts are no Gaussian
DARKEST = (
    2e-3  # transmission below which the variance stays: behind an opaque sphere nothing is counted, but that not surely
)
BEND = 0.2  # σ by which the tangent of the shape may be wrong
STILL = 0.03  # σ by which the last step may be wrong
WORSE, SLACK = 1.5, 6.0  # times the usual χ² per pixel, and σ of its scatter, from which on the sphere is elsewhere
COVERED = 0.02  # share of the near pixels beyond the gate from which on it is, too
MARGIN_PX = 1.0  # the sphere may walk so far before the far pixels are gathered anew
MOST_STEPS = 40
LEAST_VARIANCE = -0.05  # σ² [px²] is free to fall below 0 by noise, not below what the pixel adds to it, 1/12
DONE, BENT, GONE, ASTRAY, SINGULAR = range(5)
CHI2, PIXELS, GATED, SIGNAL, FAR_CHI2, FAR_PIXELS, FAR_GATED = range(7)  # of ``told``


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _far_row(counts, flat, x0, dx, base, slope, per_count, read_variance, slack, out):
    """Add a stretch of a row to: Σw f²(1, x, x²), Σw f r(1, x), Σw r², pixels, those left out."""
    s0 = s1 = s2 = r0 = r1 = chi = used = seen = 0.0
    for c in range(len(counts)):
        x, f = x0 + c * dx, flat[c]
        m = f * (base + slope * x)
        r = counts[c] - m
        variance = per_count * m + read_variance
        there = 1.0 if f > 0.0 else 0.0
        keep = there if r * r <= GATE * GATE * (variance + FEW * per_count * per_count) + slack else 0.0
        w = keep / (variance if f > 0.0 else 1.0)
        wf = w * f
        s0 += wf * f
        s1 += wf * f * x
        s2 += wf * f * x * x
        r0 += wf * r
        r1 += wf * r * x
        chi += w * r * r
        used += keep
        seen += there
    for k, value in enumerate((s0, s1, s2, r0, r1, chi, used, seen - used)):
        out[k] += value


@njit(cache=True, nogil=True, error_model="numpy")
def far(counts, flat, u, v, reach, light, per_count, read_variance, gated, F, g, told):
    """Sums over the pixels farther than ``reach`` from (u, v): F (3, 3), g (3,) at ``light``, and what is told."""
    rows, columns = counts.shape
    middle, centre = 0.5 * (columns - 1), 0.5 * (rows - 1)
    F[:], g[:] = 0.0, 0.0
    told[FAR_CHI2 : FAR_GATED + 1] = 0.0
    line = np.empty(8)
    for i in range(rows):
        y = (i - centre) / rows
        base, slope = light[0] + light[2] * y, light[1]
        line[:] = 0.0
        dv = i - v
        if dv * dv >= reach * reach:
            first, last = columns, columns
        else:
            half = np.sqrt(reach * reach - dv * dv)
            first = int(min(max(np.ceil(u - half), 0.0), columns))
            last = int(min(max(np.floor(u + half) + 1.0, first), columns))
        for a, b in ((0, first), (last, columns)):
            _far_row(
                counts[i, a:b],
                flat[i, a:b],
                (a - middle) / columns,
                1.0 / columns,
                base,
                slope,
                per_count,
                read_variance,
                0.0 if gated else np.inf,
                line,
            )
        F[0, 0] += line[0]
        F[0, 1] += line[1]
        F[1, 1] += line[2]
        F[0, 2] += line[0] * y
        F[1, 2] += line[1] * y
        F[2, 2] += line[0] * y * y
        g[0] += line[3]
        g[1] += line[4]
        g[2] += line[3] * y
        told[FAR_CHI2] += line[5]
        told[FAR_PIXELS] += line[6]
        told[FAR_GATED] += line[7]
    F[1, 0], F[2, 0], F[2, 1] = F[0, 1], F[0, 2], F[1, 2]


@njit(cache=True, nogil=True, error_model="numpy")
def _take(counts, flat, du, dv, pixel):
    """Put a stretch of a row into a block: counts, flat, and how far from the centre it is."""
    n, f, across, down = pixel[0], pixel[1], pixel[2], pixel[3]
    for c in range(len(counts)):
        n[c] = counts[c]
        f[c] = flat[c]
        across[c] = du + c
        down[c] = dv


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _shade(table, du, dv, dr, dt, dk, rho, shadow, D):
    """Attenuation of the pixels ``du``, ``dv`` away from the centre, and its derivatives by u, v, R, σ², ln κ into ``D``."""
    last, count = np.uint32(len(table) - 1), len(du)
    for c in range(count):
        rho[c] = np.sqrt(du[c] * du[c] + dv[c] * dv[c])
    for c in range(count):
        k = min(np.uint32(rho[c] * PER_PX + 0.5), last)  # at the last node it is 0
        node, beside = table[k], rho[c] - k * (1.0 / PER_PX)
        bend = beside * node[HALF_CURVATURE]
        shadow[c] = (
            node[ATTENUATION]
            + beside * (node[SLOPE] + bend)
            + dr * node[BY_RADIUS]
            + dt * node[BY_VARIANCE]
            + dk * node[BY_OPACITY]
        )
        D[0, c] = node[SLOPE] + 2.0 * bend
        D[1, c] = node[FOURFOLD]
        D[2, c] = node[BY_RADIUS]
        D[3, c] = node[BY_VARIANCE]
        D[4, c] = node[BY_OPACITY]
    for c in range(count):
        uu, vv = du[c] * du[c], dv[c] * dv[c]
        shadow[c] += D[1, c] * ((uu + vv) ** 2 - 8.0 * uu * vv)  # ρ⁴ cos 4φ
        steep = -D[0, c] / max(rho[c], 1e-9)
        D[0, c] = steep * du[c]
        D[1, c] = steep * dv[c]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _weigh(counts, flat, du, dv, at, light, slack, per_count, read_variance, shadow, weight, D, W, F, g, told):
    """Add pixels to F and g, their ∂m standing in ``D`` but for the light; and to Σw r², pixels, gated, signal²/noise²."""
    used = seen = signal = 0.0
    count = len(counts)
    for c in range(count):
        f, x, y = flat[c], at[0] + at[1] * du[c], at[2] + at[3] * dv[c]
        beam = f * (light[0] + light[1] * x + light[2] * y)
        passed = 1.0 - shadow[c]
        variance = per_count * beam * max(passed, DARKEST) + read_variance
        r = counts[c] - beam * passed
        there = 1.0 if f > 0.0 else 0.0
        limit = GATE * GATE * (variance + FEW * per_count * per_count) + slack * beam * beam
        keep = there if r * r <= limit else 0.0
        used += keep
        seen += there
        signal += keep * f * shadow[c] * shadow[c]
        weight[c] = keep / (variance if f > 0.0 else 1.0)
        shadow[c] = -beam
        D[5, c] = f * passed
        D[6, c] = f * passed * x
        D[7, c] = f * passed * y
        D[8, c] = r
    for a in range(SIZE + 1):
        one, other = D[a, :count], W[a, :count]
        if a < LIGHT:
            for c in range(count):
                one[c] *= shadow[c]
        for c in range(count):
            other[c] = one[c] * weight[c]
    for a in range(SIZE + 1):
        one = W[a, :count]
        for b in range(a, SIZE + 1):
            other = D[b, :count]
            total = 0.0
            for c in range(count):
                total += one[c] * other[c]
            if b < SIZE:
                F[a, b] += total
            elif a < SIZE:
                g[a] += total
            else:
                told[CHI2] += total
    told[PIXELS] += used
    told[GATED] += seen - used
    told[SIGNAL] += signal * light[0] ** 2 / (per_count * light[0] + read_variance)


@njit(cache=True, nogil=True, error_model="numpy")
def near(counts, flat, u, v, reach, table, shape, p, per_count, read_variance, loose, F, g, told):
    """Sums over the pixels within ``reach`` of (u, v), where the sphere is to be at ``p``: F (8, 8), g (8,).

    Rows are gathered into blocks, for long loops are what the processor is fast at.
    """
    rows, columns = counts.shape
    middle, centre = 0.5 * (columns - 1), 0.5 * (rows - 1)
    dr, dt, dk = p[RADIUS] - shape[0], p[VARIANCE] - shape[1], p[OPACITY] - shape[2]
    F[:], g[:] = 0.0, 0.0
    told[CHI2 : SIGNAL + 1] = 0.0
    most = max(BLOCK, columns)
    pixel, D, W = np.empty((7, most)), np.empty((SIZE + 1, most)), np.empty((SIZE + 1, most))
    at = np.array([(p[U] - middle) / columns, 1.0 / columns, (p[V] - centre) / rows, 1.0 / rows])
    filled = 0
    top, bottom = max(int(np.ceil(v - reach)), 0), min(int(np.floor(v + reach)), rows - 1)
    for i in range(top, bottom + 1):
        half = np.sqrt(max(reach * reach - (i - v) ** 2, 0.0))
        first, end = max(int(np.ceil(u - half)), 0), min(int(np.floor(u + half)), columns - 1) + 1
        if end > first:
            _take(counts[i, first:end], flat[i, first:end], first - p[U], i - p[V], pixel[:, filled:])
            filled += end - first
        if filled and (i == bottom or filled + columns > most):
            n, f, du, dv, rho, shadow, weight = pixel[:, :filled]
            _shade(table, du, dv, dr, dt, dk, rho, shadow, D)
            slack = 1.0 if loose else 0.0
            _weigh(n, f, du, dv, at, p[LIGHT:], slack, per_count, read_variance, shadow, weight, D, W, F, g, told)
            filled = 0
    for a in range(SIZE):
        for b in range(a):
            F[a, b] = F[b, a]


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(F, g, step):
    """Step with F step = g by Cholesky's decomposition of the scaled matrix; False where F is not positive."""
    n = len(g)
    L, scale = np.zeros((n, n)), np.empty(n)
    for a in range(n):
        if not F[a, a] > 0.0:
            return False
        scale[a] = 1.0 / np.sqrt(F[a, a])
    for a in range(n):
        for b in range(a + 1):
            total = F[a, b] * scale[a] * scale[b]
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
def _bounded(F, g, p, step):
    """The step, σ² not falling below LEAST_VARIANCE: there it stays, and the others make the best of it."""
    if not _solve(F, g, step):
        return False
    if p[VARIANCE] + step[VARIANCE] >= LEAST_VARIANCE:
        return True
    left, rest, held = F.copy(), g.copy(), LEAST_VARIANCE - p[VARIANCE]
    for a in range(SIZE):
        rest[a] -= F[a, VARIANCE] * held
        left[a, VARIANCE] = left[VARIANCE, a] = 0.0
    left[VARIANCE, VARIANCE] = 1.0
    rest[VARIANCE] = held
    return _solve(left, rest, step)


@njit(cache=True, nogil=True, error_model="numpy")
def _bend(off, F, width):
    """By how many σ at most the tangent is wrong that far ``off`` (u, v, R, σ², ln κ) the point where it touches.

    An error e of the expectation shifts no parameter by more than √(Σ e²/variance) of its σ (Cauchy and Schwarz). Its size,
    half the second derivative, is estimated from the first one: by the norms of a Gaussian's derivatives, for a blurred edge
    of width s, 1/(√2 s) times it for u, v and R, 1/s² times it for σ², about once for ln κ.
    """
    total = 0.0
    for k in range(LIGHT):
        ratio = 0.71 / width if k < VARIANCE else 1.0 / width**2 if k == VARIANCE else 1.0
        total += np.sqrt(0.5 * off[k] * off[k] * ratio * np.sqrt(F[k, k]))
    return total * total


@njit(cache=True, nogil=True, error_model="numpy")
def _join(F, g, far_F, far_g, light, p, prior):
    """Add far pixels, whose sums were taken at ``light``, and prior to the near ones."""
    for a in range(3):
        g[LIGHT + a] += far_g[a]
        for b in range(3):
            F[LIGHT + a, LIGHT + b] += far_F[a, b]
            g[LIGHT + a] -= far_F[a, b] * (p[LIGHT + b] - light[b])
        g[RADIUS + a] += (prior[a, 0] - p[RADIUS + a]) / prior[a, 1]
        F[RADIUS + a, RADIUS + a] += 1.0 / prior[a, 1]


@njit(cache=True, nogil=True, error_model="numpy")
def inform(counts, flat, table, shape, p, prior, per_count, read_variance, F):
    """Information F (8, 8), prior included, of a window in which the sphere is at ``p`` with the table's own shape."""
    g, far_F, far_g, told = np.empty(SIZE), np.empty((3, 3)), np.empty(3), np.empty(7)
    reach, light, at = (len(table) - 2) / PER_PX, p[LIGHT:].copy(), p.copy()
    at[RADIUS:LIGHT] = shape
    far(counts, flat, p[U], p[V], reach, light, per_count, read_variance, True, far_F, far_g, told)
    near(counts, flat, p[U], p[V], reach, table, shape, at, per_count, read_variance, False, F, g, told)
    _join(F, g, far_F, far_g, light, at, prior)


@njit(cache=True, nogil=True, error_model="numpy")
def score(counts, flat, table, shape, p, prior, per_count, read_variance, usual, loose, trust, F, told):
    """Take steps from ``p`` (8,), in place, until they stand still.

    prior: (3, 2) mean and variance of R, σ², ln κ. usual: χ² per near pixel of a sphere that is where it is expected, so that
    one that is not is recognised at the first step; infinite where it isn't known. loose: the start is only near. trust:
    share of a step that is taken, below 1 where steps have been seen to swing. F (8, 8) becomes the information, prior
    included; told (7,) the sums named above.

    Returns DONE; BENT: the shape has left what the table's tangent covers, come back with another table; GONE: left the
    window; ASTRAY: not where expected, or did not stand still; SINGULAR: the counts can't tell.
    """
    rows, columns = counts.shape
    g, step, away, off = np.empty(SIZE), np.empty(SIZE), np.empty(3), np.zeros(LIGHT)
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
            far(counts, flat, u, v, reach, light, per_count, read_variance, not loose, far_F, far_g, told)
        near(counts, flat, u, v, reach, table, shape, p, per_count, read_variance, loose, F, g, told)
        if np.isfinite(usual):
            seen = told[PIXELS] + told[GATED]
            if (
                told[GATED] > 3.0 + COVERED * seen
                or told[FAR_GATED] > 0.5 * (told[FAR_PIXELS] + told[FAR_GATED])
                or told[CHI2] > (WORSE * usual + SLACK * np.sqrt(3.0 / max(seen, 1.0))) * told[PIXELS]
            ):
                return ASTRAY
            usual = np.inf
        _join(F, g, far_F, far_g, light, p, prior)
        if not _bounded(F, g, p, step):
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
        still = whole and length < 100.0 and abs(step[LIGHT]) < 0.003 * p[LIGHT] and _bend(step, F, edge) < STILL
        for a in range(SIZE):
            p[a] += (1.0 if still else share * trust) * step[a]
        if not (-0.5 <= p[U] <= columns - 0.5 and -0.5 <= p[V] <= rows - 0.5):
            return GONE
        if not p[LIGHT] > 0.0:
            return ASTRAY
        off[RADIUS:] = p[RADIUS:LIGHT] - shape
        if _bend(off, F, edge) > BEND:
            return BENT
        if loose and (still or (whole and abs(step[U]) + abs(step[V]) + abs(step[RADIUS]) < 0.1 * edge)):
            loose, u = False, np.inf
        elif still and not loose:
            # residuals were those before the step; its share of them is known
            told[CHI2] -= length
            for a in range(3):
                away[a] = p[LIGHT + a] - light[a]
            for a in range(3):
                told[FAR_CHI2] -= 2.0 * far_g[a] * away[a]
                for b in range(3):
                    told[FAR_CHI2] += away[a] * far_F[a, b] * away[b]
            return DONE
    return ASTRAY
