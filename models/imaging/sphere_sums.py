"""Sums over the pixels of a window that a step of Fisher's scoring needs, for a sphere's eight quantities, compiled.

Expected counts above dark of a pixel (x columns, y rows from the middle of the window, in window widths and heights):

    m = flat (b₀ + b₁ x + b₂ y) (1 - A(u, v; R, σ², ln κ)),   variance = per_count · m + read_variance

with A from a table made at a shape near by and carried on linearly in R, σ² and ln κ. In the variance it stays the table's,
so that a step along a given table ends where it should. The sums are

    info = Σ ∇m ∇m'/variance,   g = Σ ∇m (n - m)/variance

Pixels so far from the sphere that no shadow reaches them depend on b alone, linearly: their sums are taken once, the others
at each step.

A pixel farther than ``GATE`` σ from its expectation is left out. While the sphere is still being approached ("loose") only
one that no sphere, and no gradient, explains is.
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
UNEVEN = (
    0.15  # share of the beam by which far pixels may differ, too, before its gradient is known: not what an object does
)
FEW = 4.0  # variance beside that of the expected counts, in squares of one count's: few counts are no Gaussian
DARKEST = (
    2e-3  # transmission below which the variance stays: nothing, but never surely nothing, comes through a dense sphere
)
STRIP, LAG = (
    8,
    6,
)  # rows taken together, and pixels apart, to see structure of the beam: there noise is correlated no more
CHI2, PIXELS, GATED, SIGNAL, FAR_CHI2, FAR_PIXELS, FAR_GATED, FAR_LAGGED, FAR_PAIRS = range(9)  # of ``told``
TOLD = 9


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _far_row(counts, flat, x0, dx, base, slope, per_count, read_variance, slack, strip, out):
    """Add a stretch of a row to: Σw f²(1, x, x²), Σw f r(1, x), Σw r², pixels, gated; and to the strip's r/σ and pixels."""
    s0 = s1 = s2 = r0 = r1 = chi = used = seen = 0.0
    rest, there = strip[0], strip[1]
    for c in range(len(counts)):
        x, f = x0 + c * dx, flat[c]
        m = f * (base + slope * x)
        r = counts[c] - m
        variance = per_count * m + read_variance
        good = 1.0 if f > 0.0 else 0.0
        limit = GATE * GATE * (variance + FEW * per_count * per_count) + slack * m * m
        keep = good if r * r <= limit else 0.0
        w = keep / (variance if f > 0.0 else 1.0)
        wf = w * f
        s0 += wf * f
        s1 += wf * f * x
        s2 += wf * f * x * x
        r0 += wf * r
        r1 += wf * r * x
        chi += w * r * r
        used += keep
        seen += good
        rest[c] += np.sqrt(w) * r
        there[c] += keep
    for k, value in enumerate((s0, s1, s2, r0, r1, chi, used, seen - used)):
        out[k] += value


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _lag(strip, told):
    """Products of a strip's sums LAG pixels apart, and those of their numbers of pixels; empties the strip."""
    rest, there = strip[0], strip[1]
    lagged = pairs = 0.0
    for c in range(len(rest) - LAG):
        lagged += rest[c] * rest[c + LAG]
        pairs += there[c] * there[c + LAG]
    told[FAR_LAGGED] += lagged
    told[FAR_PAIRS] += pairs
    strip[:] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def far(counts, flat, u, v, reach, light, per_count, read_variance, loose, info, g, told):
    """Sums over the pixels farther than ``reach`` from (u, v): info (3, 3), g (3,) at ``light``, and what is told."""
    rows, columns = counts.shape
    middle, centre = 0.5 * (columns - 1), 0.5 * (rows - 1)
    info[:], g[:] = 0.0, 0.0
    told[FAR_CHI2:] = 0.0
    strip, line = np.zeros((2, columns)), np.empty(8)
    slack = UNEVEN * UNEVEN if loose else 0.0
    for i in range(rows):
        y, dv = (i - centre) / rows, i - v
        base, slope = light[0] + light[2] * y, light[1]
        line[:] = 0.0
        first, last = columns, columns
        if dv * dv < reach * reach:
            half = np.sqrt(reach * reach - dv * dv)
            first = int(min(max(np.ceil(u - half), 0.0), columns))
            last = int(min(max(np.floor(u + half) + 1.0, first), columns))
        for a, b in ((0, first), (last, columns)):
            n, f, x0, part = counts[i, a:b], flat[i, a:b], (a - middle) / columns, strip[:, a:b]
            _far_row(n, f, x0, 1.0 / columns, base, slope, per_count, read_variance, slack, part, line)
        info[0, 0] += line[0]
        info[0, 1] += line[1]
        info[1, 1] += line[2]
        info[0, 2] += line[0] * y
        info[1, 2] += line[1] * y
        info[2, 2] += line[0] * y * y
        g[0] += line[3]
        g[1] += line[4]
        g[2] += line[3] * y
        told[FAR_CHI2] += line[5]
        told[FAR_PIXELS] += line[6]
        told[FAR_GATED] += line[7]
        if i % STRIP == STRIP - 1 or i == rows - 1:
            _lag(strip, told)
    info[1, 0], info[2, 0], info[2, 1] = info[0, 1], info[0, 2], info[1, 2]


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
def _shade(table, du, dv, dr, dt, dk, rho, firm, shadow, slopes):
    """Attenuation of the pixels ``du``, ``dv`` away from the centre: the table's own, ``firm``, and the one carried on from
    it, ``shadow``; its derivatives by u, v, R, σ², ln κ into ``slopes``."""
    last, count = np.uint32(len(table) - 1), len(du)
    for c in range(count):
        rho[c] = np.sqrt(du[c] * du[c] + dv[c] * dv[c])
    for c in range(count):
        k = min(np.uint32(rho[c] * PER_PX + 0.5), last)  # at the last node it is 0
        node, beside = table[k], rho[c] - k * (1.0 / PER_PX)
        bend = beside * node[HALF_CURVATURE]
        firm[c] = node[ATTENUATION] + beside * (node[SLOPE] + bend)
        shadow[c] = dr * node[BY_RADIUS] + dt * node[BY_VARIANCE] + dk * node[BY_OPACITY]
        slopes[0, c] = node[SLOPE] + 2.0 * bend
        slopes[1, c] = node[FOURFOLD]
        slopes[2, c] = node[BY_RADIUS]
        slopes[3, c] = node[BY_VARIANCE]
        slopes[4, c] = node[BY_OPACITY]
    for c in range(count):
        uu, vv = du[c] * du[c], dv[c] * dv[c]
        firm[c] += slopes[1, c] * ((uu + vv) ** 2 - 8.0 * uu * vv)  # ρ⁴ cos 4φ
        shadow[c] += firm[c]
        steep = -slopes[0, c] / max(rho[c], 1e-9)
        slopes[0, c] = steep * du[c]
        slopes[1, c] = steep * dv[c]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _weigh(
    counts,
    flat,
    du,
    dv,
    at,
    light,
    slack,
    per_count,
    read_variance,
    firm,
    shadow,
    weight,
    slopes,
    weighed,
    info,
    g,
    told,
):
    """Add pixels to info and g, ∂m standing in ``slopes`` but for the light; and to Σw r², pixels, gated, signal²/noise²."""
    used = seen = signal = 0.0
    count = len(counts)
    for c in range(count):
        f, x, y = flat[c], at[0] + at[1] * du[c], at[2] + at[3] * dv[c]
        beam = f * (light[0] + light[1] * x + light[2] * y)
        passed = 1.0 - shadow[c]
        variance = per_count * beam * max(1.0 - firm[c], DARKEST) + read_variance
        r = counts[c] - beam * passed
        there = 1.0 if f > 0.0 else 0.0
        limit = GATE * GATE * (variance + FEW * per_count * per_count) + slack * beam * beam
        keep = there if r * r <= limit else 0.0
        used += keep
        seen += there
        signal += keep * f * shadow[c] * shadow[c]
        weight[c] = keep / (variance if f > 0.0 else 1.0)
        shadow[c] = -beam
        slopes[5, c] = f * passed
        slopes[6, c] = f * passed * x
        slopes[7, c] = f * passed * y
        slopes[8, c] = r
    for a in range(SIZE + 1):
        one, other = slopes[a, :count], weighed[a, :count]
        if a < LIGHT:
            for c in range(count):
                one[c] *= shadow[c]
        for c in range(count):
            other[c] = one[c] * weight[c]
    for a in range(SIZE + 1):
        one = weighed[a, :count]
        for b in range(a, SIZE + 1):
            other = slopes[b, :count]
            total = 0.0
            for c in range(count):
                total += one[c] * other[c]
            if b < SIZE:
                info[a, b] += total
            elif a < SIZE:
                g[a] += total
            else:
                told[CHI2] += total
    told[PIXELS] += used
    told[GATED] += seen - used
    told[SIGNAL] += signal * light[0] ** 2 / (per_count * light[0] + read_variance)


@njit(cache=True, nogil=True, error_model="numpy")
def near(counts, flat, u, v, reach, table, shape, p, per_count, read_variance, loose, info, g, told):
    """Sums over the pixels within ``reach`` of (u, v), where the sphere is to be at ``p``: info (8, 8), g (8,).

    Rows are gathered into blocks, for long loops are what the processor is fast at.
    """
    rows, columns = counts.shape
    middle, centre = 0.5 * (columns - 1), 0.5 * (rows - 1)
    dr, dt, dk = p[RADIUS] - shape[0], p[VARIANCE] - shape[1], p[OPACITY] - shape[2]
    info[:], g[:] = 0.0, 0.0
    told[CHI2 : SIGNAL + 1] = 0.0
    most = max(BLOCK, columns)
    pixel, slopes, weighed = np.empty((8, most)), np.empty((SIZE + 1, most)), np.empty((SIZE + 1, most))
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
            n, f, du, dv, rho, firm, shadow, weight = pixel[:, :filled]
            _shade(table, du, dv, dr, dt, dk, rho, firm, shadow, slopes)
            slack = 1.0 if loose else 0.0
            _weigh(
                n,
                f,
                du,
                dv,
                at,
                p[LIGHT:],
                slack,
                per_count,
                read_variance,
                firm,
                shadow,
                weight,
                slopes,
                weighed,
                info,
                g,
                told,
            )
            filled = 0
    for a in range(SIZE):
        for b in range(a):
            info[a, b] = info[b, a]
