"""Compiled passes over a textured window: shifting the reference, weighing it, and reading an image against it.

``t`` is the relative texture of the reference (zero mean), ``tu``, ``tv`` its derivatives along columns and rows, ``h`` the
four templates (offset, gain, u, v) in whole numbers of eight bits: any template does, as long as the answer to it is
computed from the very numbers that are stored. Windows are read where they lie: ``top``, ``left`` is the overlap's corner.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FAST = {"contract", "reassoc"}  # sums may be reordered; nan keeps its meaning
TAPS = 20  # length of the interpolating filters
RIM = 2  # px that derivatives of texture need beyond the window
COLUMNS = 11  # 1, t, -tu, -tv, tuu/2, tuv, tvv/2, -tuuu/6, -tuuv/2, -tuvv/2, -tvvv/6
SECOND = 7  # of them up to the second order
BLOCK = 96  # rows that are shifted at a time
DIMMEST = 0.02  # expected counts are at least this part of the mean: no pixel is without noise


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _filter_row(row, weights, out):
    """Correlation of ``row`` with the weights, four at a time: out[c] = Σ_k weights[k] row[c + k]."""
    for c in range(len(out)):
        out[c] = 0.0
    for k in range(0, TAPS, 4):
        a, b, d, e = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for c in range(len(out)):
            out[c] += (a * row[c + k] + b * row[c + k + 1]) + (d * row[c + k + 2] + e * row[c + k + 3])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _filter_rows(rows, first, weights, out):
    """Correlation of columns with the weights: out = Σ_k weights[k] rows[first + k]."""
    for c in range(len(out)):
        out[c] = 0.0
    for k in range(0, TAPS, 4):
        a, b, d, e = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        ra, rb, rd, re = rows[first + k], rows[first + k + 1], rows[first + k + 2], rows[first + k + 3]
        for c in range(len(out)):
            out[c] += (a * ra[c] + b * rb[c]) + (d * rd[c] + e * re[c])


@njit(cache=True, nogil=True, error_model="numpy")
def shifted(canvas, row, column, kv, dv, ku, du, value, along_u, along_v):
    """Texture between its pixels, and its derivatives: fills three (rows, columns) arrays.

    canvas[row + r : row + r + TAPS, column + c : column + c + TAPS] are the samples around output pixel (r, c); kv, ku weigh
    them for the value, dv, du for the derivative.
    """
    rows, columns = value.shape
    plain, slope = np.empty((rows + TAPS, columns), np.float32), np.empty((rows + TAPS, columns), np.float32)
    for r in range(rows + TAPS - 1):
        line = canvas[row + r, column:]
        _filter_row(line, ku, plain[r])
        _filter_row(line, du, slope[r])
    for r in range(rows):
        _filter_rows(plain, r, kv, value[r])
        _filter_rows(slope, r, kv, along_u[r])
        _filter_rows(plain, r, dv, along_v[r])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _weigh(f, t, q, qu, qv, floor, h):
    """One row of the templates before rounding: flat · (1, q, -qu, -qv) / variance, the latter flat · (1 + t) + floor."""
    h0, h1, h2, h3 = h[0], h[1], h[2], h[3]
    for c in range(len(f)):
        k = c + RIM
        w = f[c] / max(f[c] * max(np.float32(1) + t[k], np.float32(DIMMEST)) + floor, np.float32(1e-30))
        h0[c], h1[c], h2[c], h3[c] = w, w * q[k], -w * qu[k], -w * qv[k]


@njit(cache=True, nogil=True, error_model="numpy")
def sizes(flat, model, template, margin, floor, every):
    """Greatest size and mean square of the templates (4,) at an unmoved patch, from every ``every``-th row."""
    rows, columns = flat.shape
    h, greatest, square, count = np.empty((4, columns), np.float32), np.zeros(4), np.zeros(4), 0
    qu, qv = np.empty(columns + 2 * RIM, np.float32), np.empty(columns + 2 * RIM, np.float32)
    for r in range(every // 2, rows, every):
        k, before = r + margin, margin - RIM
        q, above, below = template[k, before:], template[k - 1, before:], template[k + 1, before:]
        for c in range(RIM, columns + RIM):
            qu[c], qv[c] = np.float32(0.5) * (q[c + 1] - q[c - 1]), np.float32(0.5) * (below[c] - above[c])
        _weigh(flat[r], model[k, before:], q, qu, qv, floor, h)
        for i in range(4):
            for c in range(columns):
                greatest[i] = max(greatest[i], abs(h[i, c]))
                square[i] += h[i, c] * h[i, c]
        count += columns
    return greatest, square / count


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _round(h, scale, out, back):
    for c in range(len(h)):
        z = np.floor(min(max(h[c] * scale, np.float32(-127)), np.float32(127)) + np.float32(0.5))
        back[c] = z
        out[c] = np.int8(z)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _four(a, b, out):
    """out[i] += a[i] · b for four rows at once."""
    s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    for c in range(len(b)):
        s0 += a0[c] * b[c]
        s1 += a1[c] * b[c]
        s2 += a2[c] * b[c]
        s3 += a3[c] * b[c]
    out[0] += s0
    out[1] += s1
    out[2] += s2
    out[3] += s3


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _first_order(f, t, u, v, out):
    o0, o1, o2, o3 = out[0], out[1], out[2], out[3]
    for c in range(len(f)):
        k = c + RIM
        o0[c], o1[c], o2[c], o3[c] = f[c], f[c] * t[k], -f[c] * u[k], -f[c] * v[k]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _higher_orders(f, u1, u2, u3, u4, u5, v1, v2, v3, v4, v5, out):
    """One row of the Taylor terms of second and third order, times flat; u1…u5, v1…v5 are rows r-2…r+2 of tu and tv."""
    twelfth, half, sixth, eight = np.float32(1 / 12), np.float32(0.5), np.float32(1 / 6), np.float32(8)
    sixteen, thirty = np.float32(16), np.float32(30)
    o4, o5, o6, o7, o8, o9, o10 = out[4], out[5], out[6], out[7], out[8], out[9], out[10]
    for c in range(len(f)):
        k = c + RIM
        b = f[c] * twelfth
        o4[c] = b * half * (eight * (u3[k + 1] - u3[k - 1]) - (u3[k + 2] - u3[k - 2]))
        o5[c] = b * (eight * (u4[k] - u2[k]) - (u5[k] - u1[k]))
        o6[c] = b * half * (eight * (v4[k] - v2[k]) - (v5[k] - v1[k]))
        o7[c] = -b * sixth * (sixteen * (u3[k + 1] + u3[k - 1]) - (u3[k + 2] + u3[k - 2]) - thirty * u3[k])
        o8[c] = -b * half * (sixteen * (v3[k + 1] + v3[k - 1]) - (v3[k + 2] + v3[k - 2]) - thirty * v3[k])
        o9[c] = -b * half * (sixteen * (u4[k] + u2[k]) - (u5[k] + u1[k]) - thirty * u3[k])
        o10[c] = -b * sixth * (sixteen * (v4[k] + v2[k]) - (v5[k] + v1[k]) - thirty * v3[k])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _variance(f, t, floor, error, v, ff, weight):
    """One row of relative variances, squares of flat, and weights of residuals; all 0 where there is no flat."""
    for c in range(len(f)):
        alive = np.float32(1) if f[c] > 0 else np.float32(0)
        ff[c] = f[c] * f[c]
        v[c] = alive * (f[c] * max(np.float32(1) + t[c + RIM], np.float32(DIMMEST)) + floor)
        weight[c] = alive / max(v[c] + error * ff[c], np.float32(1e-30))


@njit(cache=True, nogil=True, error_model="numpy")
def _copy(a, out):
    for c in range(len(out)):
        out[c] = a[c]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _times(a, b, out):
    for c in range(len(out)):
        out[c] = a[c] * b[c]


@njit(cache=True, nogil=True, error_model="numpy")
def respond(
    flat, dark, top, left, model, template, row, column, kv, dv, ku, du, floor, scale, thin, every, error,
    same, stored, sample, weight,
):  # fmt: skip
    """Make the templates, round them, and find what they answer to.

    model and template (``same`` if they are one) are shifted as in :func:`shifted`, a block of rows at a time, so that
    nothing leaves the cache. Fills stored (4, rows, columns) int8, and of every ``every``-th row the Taylor terms up to the
    second order sample (7, n, columns) and the inverse of the relative variance, flat · (1 + t) + floor + error · flat²,
    weight (n, columns). Returns the answers to the Taylor terms (4, 11), those beyond the first order from every
    ``thin``-th row; to the dark image (4,); and the covariances (4, 4) of the answers from the sampled rows: of noise with
    the variance
    flat · (1 + t) + floor, and of an error of the texture with variance 1.
    """
    rows, columns = stored.shape[1], stored.shape[2]
    answer, higher, zero = np.zeros((COLUMNS, 4)), np.zeros((COLUMNS, 4)), np.zeros(4)
    own, lent = np.zeros((4, 4)), np.zeros((4, 4))
    terms, raw = np.empty((COLUMNS, columns), np.float32), np.empty((4, columns), np.float32)
    line, spare = np.empty((4, columns), np.float32), np.empty((3, columns), np.float32)
    block = np.empty((6, BLOCK + 2 * RIM, columns + 2 * RIM), np.float32)
    n, thinned = 0, 0
    for begin in range(0, rows, BLOCK):
        height = min(BLOCK, rows - begin) + 2 * RIM
        t, tu, tv = block[0, :height], block[1, :height], block[2, :height]
        shifted(model, row + begin, column, kv, dv, ku, du, t, tu, tv)
        q, qu, qv = t, tu, tv
        if not same:
            q, qu, qv = block[3, :height], block[4, :height], block[5, :height]
            shifted(template, row + begin, column, kv, dv, ku, du, q, qu, qv)
        for r in range(begin, begin + height - 2 * RIM):
            k = r - begin + RIM
            f = flat[top + r, left : left + columns]
            _weigh(f, t[k], q[k], qu[k], qv[k], floor, raw)
            for i in range(4):
                _round(raw[i], scale[i], stored[i, r], line[i])
            _first_order(f, t[k], tu[k], tv[k], terms)
            for j in range(4):
                _four(line, terms[j], answer[j])
            _four(line, dark[top + r, left : left + columns], zero)
            sampled = r % every == every // 2 and n < sample.shape[1]
            if sampled or r % thin == 0:
                _higher_orders(
                    f, tu[k - 2], tu[k - 1], tu[k], tu[k + 1], tu[k + 2],
                    tv[k - 2], tv[k - 1], tv[k], tv[k + 1], tv[k + 2], terms,
                )  # fmt: skip
            if r % thin == 0:
                for j in range(4, COLUMNS):
                    _four(line, terms[j], higher[j])
                thinned += 1
            if sampled:
                for j in range(SECOND):
                    _copy(terms[j], sample[j, n])
                _variance(f, t[k], floor, error, spare[0], spare[1], weight[n])
                for i in range(4):
                    _times(line[i], spare[0], spare[2])
                    _four(line, spare[2], own[i])
                    _times(line[i], spare[1], spare[2])
                    _four(line, spare[2], lent[i])
                n += 1
    answer += higher * (rows / max(thinned, 1))
    return answer.T.copy(), zero, own * (rows / max(n, 1)), lent * (rows / max(n, 1))


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def answers(window, top, left, stored):
    """Answers (4,) of the templates to the raw counts, and the largest count; one pass over the window."""
    rows, columns = stored.shape[1], stored.shape[2]
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    largest = window[0, 0]
    for r in range(rows):
        a0, a1, a2, a3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        y = window[top + r, left : left + columns]
        h0, h1, h2, h3 = stored[0, r], stored[1, r], stored[2, r], stored[3, r]
        for c in range(columns):
            z = np.float32(y[c])
            a0 += z * np.float32(h0[c])
            a1 += z * np.float32(h1[c])
            a2 += z * np.float32(h2[c])
            a3 += z * np.float32(h3[c])
            largest = max(largest, y[c])
        s0 += a0
        s1 += a1
        s2 += a2
        s3 += a3
    return np.array([s0, s1, s2, s3]), largest


@njit(cache=True, nogil=True, error_model="numpy")
def _powers(du, dv, out):
    out[0], out[1], out[2] = 1.0, du, dv
    out[3], out[4], out[5] = du * du, du * dv, dv * dv
    out[6], out[7], out[8], out[9] = du * du * du, du * du * dv, du * dv * dv, dv * dv * dv


@njit(cache=True, nogil=True, error_model="numpy")
def solve(s, table, inverse, jacobian):
    """Level, amount, du, dv that give the answers s; fills their Jacobian (4, 4). At most 1 px from the place."""
    power, bent = np.empty(COLUMNS - 1), np.empty(4)
    z = inverse @ s
    du, dv = 0.0, 0.0
    for _ in range(12):
        if z[1] == 0.0:
            break
        last_u, last_v = du, dv
        du, dv = min(max(z[2] / z[1], -1.0), 1.0), min(max(z[3] / z[1], -1.0), 1.0)
        if abs(du - last_u) + abs(dv - last_v) < 1e-9:
            break
        _powers(du, dv, power)
        for i in range(4):
            bent[i] = s[i]
            for j in range(4, COLUMNS):
                bent[i] -= z[1] * table[i, j] * power[j - 1]
        z = inverse @ bent
    _powers(du, dv, power)
    b = z[1]
    for i in range(4):
        a = table[i]
        jacobian[i, 0], jacobian[i, 1] = a[0], 0.0
        for j in range(COLUMNS - 1):
            jacobian[i, 1] += a[1 + j] * power[j]
        jacobian[i, 2] = b * (
            a[2] + 2 * a[4] * du + a[5] * dv + 3 * a[7] * du * du + 2 * a[8] * du * dv + a[9] * dv * dv
        )
        jacobian[i, 3] = b * (
            a[3] + a[5] * du + 2 * a[6] * dv + a[8] * du * du + 2 * a[9] * du * dv + 3 * a[10] * dv * dv
        )
    return z[0], b, du, dv


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _squares(y, dark, o0, o1, o2, o3, o4, o5, o6, a, weight, out):
    """One row of squared residuals over their relative variance."""
    a0, a1, a2, a3, a4, a5, a6 = a[0], a[1], a[2], a[3], a[4], a[5], a[6]
    for c in range(len(out)):
        e = np.float32(y[c]) - dark[c] - (a0 * o0[c] + a1 * o1[c]) - (a2 * o2[c] + a3 * o3[c])
        e -= a4 * o4[c] + a5 * o5[c] + a6 * o6[c]
        out[c] = weight[c] * e * e


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _sum(a, first, last):
    s = np.float32(0)
    for c in range(first, last):
        s += a[c]
    return s


@njit(cache=True, nogil=True, error_model="numpy")
def residuals(window, dark, top, left, every, sample, weight, level, amount, du, dv, high, wide, out):
    """Σ residual²/relative variance per block of ``high`` sampled rows × ``wide`` columns: fills out."""
    power, line = np.empty(COLUMNS - 1), np.empty(sample.shape[2], np.float32)
    _powers(du, dv, power)
    a = np.empty(SECOND, np.float32)
    a[0] = level
    for j in range(SECOND - 1):
        a[1 + j] = amount * power[j]
    rows, columns = sample.shape[1], sample.shape[2]
    out[:] = 0.0
    for n in range(rows):
        r = top + every // 2 + n * every
        _squares(
            window[r, left : left + columns], dark[r, left : left + columns], sample[0, n], sample[1, n], sample[2, n],
            sample[3, n], sample[4, n], sample[5, n], sample[6, n], a, weight[n], line,
        )  # fmt: skip
        for b in range(out.shape[1]):
            out[n // high, b] += _sum(line, b * wide, min(columns, (b + 1) * wide))


@njit(cache=True, nogil=True, error_model="numpy")
def measure(
    window, dark, top, left, stored, zero, table, inverse, own, lent, per_count, every, sample, weight, high, wide,
    blocks, cov,
):  # fmt: skip
    """An image read at a place: level, amount, du, dv, largest count; fills the residuals of the blocks and cov (4, 4).

    ``per_count`` is the variance per count, own and lent the covariances of the answers: per count and level, per level².
    """
    s, largest = answers(window, top, left, stored)
    jacobian = np.empty((4, 4))
    level, amount, du, dv = solve(s - zero, table, inverse, jacobian)
    if np.abs(np.linalg.det(jacobian)) > 0.0:
        back = np.linalg.inv(jacobian)
        cov[:] = back @ (per_count * level * own + level * level * lent) @ back.T
    else:
        cov[:] = np.inf
    residuals(window, dark, top, left, every, sample, weight, level, amount, du, dv, high, wide, blocks)
    return level, amount, du, dv, largest


@njit(cache=True, nogil=True, error_model="numpy")
def binned(window, flat, dark, step, counts, weight):
    """Sums over step × step pixels of counts above dark and of flat, pixels without a flat left out: fills both."""
    for r in range(counts.shape[0]):
        for c in range(counts.shape[1]):
            total, seen = np.float32(0), np.float32(0)
            for i in range(r * step, (r + 1) * step):
                for j in range(c * step, (c + 1) * step):
                    if flat[i, j] > 0:
                        total += np.float32(window[i, j]) - dark[i, j]
                        seen += flat[i, j]
            counts[r, c], weight[r, c] = total, seen
