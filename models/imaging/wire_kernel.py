"""Compiled parts of the wire's fit: sums along the wire, and Fisher scoring on them.

A window is read once. Every row is added, shifted by whole columns so that the wire stands still, to one of a few
sums: by its stretch of the wire and by the sub-pixel phase of the wire in it. These sums hold nearly all that the
window knows of the wire (measured in docs/explanation/markers.md), and they are a thousand numbers instead of a
quarter of a million.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.imaging.wire_profile import BY_BLUR, BY_DEPTH, BY_RADIUS, MARGIN, PHASES, SLOPE, VALUE

PLACE, TILT, LEVEL, ACROSS, ALONG, DEPTH, BLUR, RADIUS = range(8)  # the free parameters
ROWS_OF_WORK = 15
CORRELATED = 3  # columns over which neighbouring pixels may share noise


@njit(cache=True)
def gather(image, first, group, half, out):
    """Add rows into ``out[group[r], k]``, column ``first[r] + k``; the largest value met.

    ``first[r]`` is the image's column at frame column 0; rows with ``group`` < 0 are left out, columns beside the image
    give nothing.
    """
    rows, columns = image.shape
    width = 2 * half + 1
    top = image[0, 0]
    for r in range(rows):
        g = group[r]
        if g < 0:
            continue
        begin = first[r]
        low = max(0, -begin)
        high = min(width, columns - begin)
        row = image[r, begin + low : begin + high]
        total = out[g, low:high]
        highest = row[0] if high > low else top
        for k in range(len(row)):
            total[k] += row[k]
            highest = max(highest, row[k])
        top = max(top, highest)
    return top


@njit(cache=True, fastmath=True)
def _row(half, offset, tables, delta, out):
    """Shadow and its derivatives at ``k - half - offset``; ``delta`` is the change of shape since the table was made."""
    whole = min(max(math.floor(offset), -MARGIN), MARGIN - 1)  # never beside the table
    part = (offset - whole) * PHASES
    p = min(max(int(part), 0), PHASES - 1)
    u = part - p
    start = MARGIN - int(whole)
    h = -1.0 / PHASES
    a0, a1 = (1.0 + 2.0 * u) * (1.0 - u) ** 2, u * u * (3.0 - 2.0 * u)
    b0, b1 = u * (1.0 - u) ** 2 * h, u * u * (u - 1.0) * h
    n = 2 * half + 1
    v0, v1 = tables[VALUE, p, start : start + n], tables[VALUE, p + 1, start : start + n]
    s0, s1 = tables[SLOPE, p, start : start + n], tables[SLOPE, p + 1, start : start + n]
    value, slope = out[VALUE], out[SLOPE]
    for k in range(n):
        value[k] = a0 * v0[k] + a1 * v1[k] + b0 * s0[k] + b1 * s1[k]
        slope[k] = (1.0 - u) * s0[k] + u * s1[k]
    for q in range(BY_DEPTH, BY_RADIUS + 1):
        d0, d1 = tables[q, p, start : start + n], tables[q, p + 1, start : start + n]
        d = delta[q - BY_DEPTH]
        change = out[q]
        for k in range(n):
            change[k] = (1.0 - u) * d0[k] + u * d1[k]
            value[k] += d * change[k]


@njit(cache=True, fastmath=True)
def _dot(one, other, lag):
    """Σ of one[k] other[k + lag]."""
    total = 0.0
    for k in range(len(one) - lag):
        total += one[k] * other[k + lag]
    return total


@njit(cache=True, fastmath=True)
def _scaled(one, other, factor, out):
    """``out`` = factor · one · other."""
    for k in range(len(one)):
        out[k] = factor * one[k] * other[k]


@njit(cache=True, fastmath=True)
def _whitened(sums, light, pixels, offset, y, tables, theta, noise, work):
    """Residuals of one sum's columns and their derivatives, in units of their σ, into ``work``; χ² and count."""
    n = len(sums)
    half = (n - 1) // 2
    _row(half, offset + theta[PLACE] + theta[TILT] * y, tables, theta[DEPTH : RADIUS + 1], work)
    level = math.exp(theta[LEVEL])
    value, lit, j_level, white = work[VALUE], work[14], work[5 + LEVEL], work[13]
    # several short loops, each over few arrays: only such ones does the compiler turn into vector instructions
    for k in range(n):
        bright = light[k] * level * (1.0 + theta[ACROSS] * (k - half) + theta[ALONG] * y)
        mean = bright * value[k]
        # a floor for opaque wires, whose middle counts nothing; no light, no weight
        variance = noise[0] * max(mean, 1e-3 * bright) + noise[1] * pixels[k]
        root = 1.0 / math.sqrt(max(variance, 1e-300))
        root = root if light[k] > 0.0 else 0.0
        j_level[k] = mean * root
        lit[k] = bright * root
        white[k] = (sums[k] - mean) * root
    _scaled(work[SLOPE], lit, -1.0, work[5 + PLACE])
    _scaled(work[SLOPE], lit, -y, work[5 + TILT])
    _scaled(work[BY_DEPTH], lit, 1.0, work[5 + DEPTH])
    _scaled(work[BY_BLUR], lit, 1.0, work[5 + BLUR])
    _scaled(work[BY_RADIUS], lit, 1.0, work[5 + RADIUS])
    j_across, j_along = work[5 + ACROSS], work[5 + ALONG]
    for k in range(n):
        j_across[k] = j_level[k] * (k - half)
        j_along[k] = j_level[k] * y
    seen = 0
    for k in range(n):
        seen += 1 if light[k] > 0.0 else 0
    chi2 = _dot(white, white, 0)
    return chi2, seen


@njit(cache=True, fastmath=True)
def score(data, tables, theta, noise, free, used, work, out):
    """Information, gradient and χ² of the sums at ``theta``; returns χ² and the number of sums that count.

    ``data`` is (sums, light, pixels, offset, along, stretch): counts of each sum, their light, their number of
    pixels, the wire's mean sub-pixel place in them, their mean place along the wire (-1 … 1), their stretch. Counts
    are ``light · B (1 + g_u x + g_v y) · T`` with B = exp(theta[LEVEL]); their variance is ``noise[0] counts +
    noise[1] pixels``. ``out`` is (information, gradient, misfit, lags): ``misfit[s]`` becomes χ² and count of each
    stretch, ``lags`` the sums of products of neighbouring residuals.
    """
    sums, light, pixels, offset, along, stretch = data
    information, gradient, misfit, lags = out
    rows = len(stretch)
    information[:], gradient[:], misfit[:], lags[:] = 0.0, 0.0, 0.0, 0.0
    white = work[13]
    chi2, count = 0.0, 0
    for i in range(rows):
        s = stretch[i]
        if not used[s]:
            continue
        own, seen = _whitened(sums[i], light[i], pixels[i], offset[i], along[i], tables, theta, noise, work)
        for a in range(free):
            one = work[5 + a]
            gradient[a] += _dot(one, white, 0)
            for b in range(a, free):
                information[a, b] += _dot(one, work[5 + b], 0)
        for lag in range(1, CORRELATED + 1):
            lags[lag] += _dot(white, white, lag)
        chi2 += own
        count += seen
        misfit[s, 0] += own
        misfit[s, 1] += seen
    for a in range(free):
        for b in range(a):
            information[a, b] = information[b, a]
    return chi2, count


@njit(cache=True)
def invert(matrix, out):
    """Inverse of the leading part of a symmetric positive matrix by Cholesky's factors; whether there is one."""
    n = len(out)
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            rest = matrix[i, j]
            for k in range(j):
                rest -= lower[i, k] * lower[j, k]
            if i == j:
                if not (rest > 1e-14 * matrix[i, i] and math.isfinite(rest)):
                    return False
                lower[i, i] = math.sqrt(rest)
            else:
                lower[i, j] = rest / lower[j, j]
    for c in range(n):
        for i in range(c, n):
            rest = 1.0 if i == c else 0.0
            for k in range(c, i):
                rest -= lower[i, k] * out[k, c]
            out[i, c] = rest / lower[i, i]
        for i in range(n - 1, c - 1, -1):
            rest = out[i, c]
            for k in range(i + 1, n):
                rest -= lower[k, i] * out[k, c]
            out[i, c] = rest / lower[i, i]
    for c in range(n):
        for i in range(c):
            out[i, c] = out[c, i]
    return True


@njit(cache=True)
def fit(data, tables, theta, prior, noise, limits, free, rounds, used, work, out):
    """Fisher scoring from ``theta``; χ², count, rounds taken (0: no convergence), and the inverse of the information.

    ``prior[0]`` are means and ``prior[1]`` weights (1/σ²) of a Gaussian prior per parameter; ``limits[0]`` the
    largest step, and for the shape the largest change that the tables follow; ``limits[1]`` steps whose square
    doesn't matter any more.
    """
    information, gradient = out[0], out[1]
    inverse = np.zeros((free, free))
    for turn in range(1, rounds + 1):
        chi2, count = score(data, tables, theta, noise, free, used, work, out)
        for a in range(free):
            information[a, a] += prior[1, a]
            gradient[a] += prior[1, a] * (prior[0, a] - theta[a])
        if not invert(information, inverse):
            return np.nan, count, 0, inverse
        step = inverse @ gradient[:free]
        small, beyond, most = True, False, 0.0
        for a in range(free):
            # the place doesn't depend on the shape to first order, so the shape may be a third of its σ off
            most = max(most, step[a] ** 2 / inverse[a, a] * (1.0 if a < DEPTH else 0.02))
            small &= abs(step[a]) < limits[1, a]
            theta[a] += min(max(step[a], -limits[0, a]), limits[0, a])
            if a >= DEPTH and abs(theta[a]) > limits[0, a]:
                theta[a] = math.copysign(limits[0, a], theta[a])
                beyond = True
        if beyond or abs(theta[PLACE]) > MARGIN - 2 or abs(theta[TILT]) > 2.0:
            return chi2, count, 0, inverse  # frame and tables can't follow: they must be made anew first
        if small or most < 2e-3:
            return chi2 - step @ gradient[:free], count, turn, inverse
    return chi2, count, 0, inverse


@njit(cache=True)
def uncover(misfit, used, usual, factor, share):
    """Take stretches out of ``used`` that show something else than the wire; how many.

    Of these the ones above ``share`` of the worst. One whose χ² per sum is ``factor`` times the usual one, and more
    than 6 σ above it, is covered. ``usual`` is that of earlier images, or of the better half of the stretches.
    """
    stretches = len(used)
    each = np.empty(stretches)
    kept = 0
    for s in range(stretches):
        each[s] = misfit[s, 0] / max(misfit[s, 1], 1.0)
        if used[s] and misfit[s, 1] > 0:
            kept += 1
    inside = np.sort(each[used & (misfit[:, 1] > 0)])
    if kept == 0:
        return 0
    level = min(usual, inside[kept // 2])
    worst = 0.0
    for s in range(stretches):
        if used[s]:
            worst = max(worst, each[s])
    found = 0
    for s in range(stretches):
        limit = level * max(factor, 1.0 + 6.0 * math.sqrt(2.0 / max(misfit[s, 1], 1.0)))
        if used[s] and each[s] > limit and each[s] > share * worst:
            used[s] = False
            found += 1
    return found


@njit(cache=True, fastmath=True)
def spread(data, tables, theta, noise, free, used, work, correlation):
    """Σ of z z' over neighbours, weighted by the correlation of their noise: the middle of a sandwich, (free, free)."""
    sums, light, pixels, offset, along, stretch = data
    rows = len(stretch)
    out = np.zeros((free, free))
    for i in range(rows):
        if not used[stretch[i]]:
            continue
        _whitened(sums[i], light[i], pixels[i], offset[i], along[i], tables, theta, noise, work)
        for lag in range(1, len(correlation)):
            for a in range(free):
                one = work[5 + a]
                for b in range(a, free):
                    other = work[5 + b]
                    out[a, b] += correlation[lag] * (_dot(one, other, lag) + _dot(other, one, lag))
    for a in range(free):
        for b in range(a):
            out[a, b] = out[b, a]
    return out
