"""Compiled passes over a textured window: shifting the reference, weighing it, and reading an image against it.

``t`` is the relative texture of the reference (zero mean), ``tu``, ``tv`` its derivatives along columns and rows, ``h`` the
four templates (offset, gain, u, v) in whole numbers of eight bits: any template does, as long as the response to it is
computed from the very numbers that are stored.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FAST = {"contract", "reassoc"}  # sums may be reordered; nan keeps its meaning
TAPS = 16  # length of the interpolating filters
RIM = 2  # px that derivatives of texture need beyond the window
COLUMNS = 11  # 1, t, -tu, -tv, tuu/2, tuv, tvv/2, -tuuu/6, -tuuv/2, -tuvv/2, -tvvv/6
CLIP = 12.0  # a template's largest weight in units of its rms: one bright grain must not cost all others their digits
DIMMEST = 0.02  # expected counts are at least this part of the mean: no pixel is without noise


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _filter_row(row, weights, out):
    """Correlation of ``row`` with 16 weights, four at a time: out[c] = Σ_k weights[k] row[c + k]."""
    for c in range(len(out)):
        out[c] = 0.0
    for k in range(0, TAPS, 4):
        a, b, d, e = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for c in range(len(out)):
            out[c] += (a * row[c + k] + b * row[c + k + 1]) + (d * row[c + k + 2] + e * row[c + k + 3])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _filter_rows(rows, first, weights, out):
    """Correlation of columns with 16 weights: out = Σ_k weights[k] rows[first + k]."""
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

    canvas[row + r : row + r + 16, column + c : column + c + 16] are the samples around output pixel (r, c); kv, ku weigh
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
def weigh(flat, t, q, qu, qv, floor, h):
    """Templates before rounding: flat · (1, q, -qu, -qv) / variance; returns their greatest sizes and mean squares.

    The variance is relative, flat · (1 + t) + floor. t, q, qu, qv have a rim of ``RIM`` px more than flat and h.
    """
    rows, columns = flat.shape
    top, square = np.zeros(4), np.zeros(4)
    for r in range(rows):
        m0, m1, m2, m3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        tr, qr, ur, vr = t[r + RIM, RIM:], q[r + RIM, RIM:], qu[r + RIM, RIM:], qv[r + RIM, RIM:]
        f = flat[r]
        h0, h1, h2, h3 = h[0, r], h[1, r], h[2, r], h[3, r]
        for c in range(columns):
            w = f[c] / max(f[c] * max(np.float32(1) + tr[c], np.float32(DIMMEST)) + floor, np.float32(1e-30))
            a, b, d, e = w, w * qr[c], -w * ur[c], -w * vr[c]
            h0[c], h1[c], h2[c], h3[c] = a, b, d, e
            m0, m1, m2, m3 = max(m0, abs(a)), max(m1, abs(b)), max(m2, abs(d)), max(m3, abs(e))
            s0 += a * a
            s1 += b * b
            s2 += d * d
            s3 += e * e
        top[0], top[1], top[2], top[3] = max(top[0], m0), max(top[1], m1), max(top[2], m2), max(top[3], m3)
        square[0] += s0
        square[1] += s1
        square[2] += s2
        square[3] += s3
    return top, square / (rows * columns)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _round(h, scale, out):
    for c in range(len(h)):
        z = min(max(h[c] * scale, np.float32(-127)), np.float32(127))
        out[c] = np.int8(np.floor(z + np.float32(0.5)))


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _dot(a, b):
    s = np.float32(0)
    for c in range(len(a)):
        s += a[c] * b[c]
    return s


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _expand(f, t, u1, u2, u3, u4, u5, v1, v2, v3, v4, v5, out):
    """One row of the texture's Taylor terms times flat; u1…u5 and v1…v5 are rows r-2…r+2 of tu and tv."""
    twelfth, half, sixth, eight = np.float32(1 / 12), np.float32(0.5), np.float32(1 / 6), np.float32(8)
    sixteen, thirty, one = np.float32(16), np.float32(30), np.float32(1)
    o0, o1, o2, o3, o4, o5 = out[0], out[1], out[2], out[3], out[4], out[5]
    o6, o7, o8, o9, o10 = out[6], out[7], out[8], out[9], out[10]
    for c in range(len(f)):
        k = c + RIM
        a = f[c]
        o0[c] = a * one
        o1[c] = a * t[k]
        o2[c] = -a * u3[k]
        o3[c] = -a * v3[k]
        b = a * twelfth
        o4[c] = b * half * (eight * (u3[k + 1] - u3[k - 1]) - (u3[k + 2] - u3[k - 2]))
        o5[c] = b * (eight * (u4[k] - u2[k]) - (u5[k] - u1[k]))
        o6[c] = b * half * (eight * (v4[k] - v2[k]) - (v5[k] - v1[k]))
        o7[c] = -b * sixth * (sixteen * (u3[k + 1] + u3[k - 1]) - (u3[k + 2] + u3[k - 2]) - thirty * u3[k])
        o8[c] = -b * half * (sixteen * (v3[k + 1] + v3[k - 1]) - (v3[k + 2] + v3[k - 2]) - thirty * v3[k])
        o9[c] = -b * half * (sixteen * (u4[k] + u2[k]) - (u5[k] + u1[k]) - thirty * u3[k])
        o10[c] = -b * sixth * (sixteen * (v4[k] + v2[k]) - (v5[k] + v1[k]) - thirty * v3[k])


@njit(cache=True, nogil=True, error_model="numpy")
def respond(flat, dark, t, tu, tv, floor, h, scale, first, every, stored, sample, sample_var):
    """Round the templates and find what they answer to.

    Fills stored (4, rows, columns) int8, and of every ``every``-th row from ``first`` the Taylor terms up to the second
    order sample (7, n, columns) and the relative variance sample_var (n, columns). Returns the response (4, 11) to the
    Taylor terms, to the dark image (4,), and the covariances (4, 4) of the answers: of noise with the relative variance
    flat · (1 + t) + floor, and of noise of the texture with variance 1; these two from the sampled rows.
    """
    rows, columns = flat.shape
    answer, zero = np.zeros((4, COLUMNS)), np.zeros(4)
    own, lent = np.zeros((4, 4)), np.zeros((4, 4))
    terms, line = np.empty((COLUMNS, columns), np.float32), np.empty((4, columns), np.float32)
    n = 0
    for r in range(rows):
        k = r + RIM
        _expand(
            flat[r], t[k], tu[k - 2], tu[k - 1], tu[k], tu[k + 1], tu[k + 2],
            tv[k - 2], tv[k - 1], tv[k], tv[k + 1], tv[k + 2], terms,
        )  # fmt: skip
        for i in range(4):
            _round(h[i, r], scale[i], stored[i, r])
            for c in range(columns):
                line[i, c] = stored[i, r, c]
            for j in range(COLUMNS):
                answer[i, j] += _dot(line[i], terms[j])
            zero[i] += _dot(line[i], dark[r])
        if r % every == first and n < sample.shape[1]:
            for j in range(sample.shape[0]):
                sample[j, n] = terms[j]
            for c in range(columns):
                v = flat[r, c] * max(np.float32(1) + t[k, c + RIM], np.float32(DIMMEST)) + floor
                f = flat[r, c]
                sample_var[n, c] = v
                for i in range(4):
                    for j in range(i + 1):
                        both = line[i, c] * line[j, c]
                        own[i, j] += both * v
                        lent[i, j] += both * f * f
            n += 1
    for i in range(4):
        for j in range(i):
            own[j, i] = own[i, j]
            lent[j, i] = lent[i, j]
    return answer, zero, own, lent


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def read(window, top_row, left, stored):
    """Answers (4,) of the templates to the raw counts, and the largest count; one pass over the window."""
    rows, columns = stored.shape[1], stored.shape[2]
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    top = window[0, 0]
    for r in range(rows):
        a0, a1, a2, a3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        y = window[top_row + r, left : left + columns]
        h0, h1, h2, h3 = stored[0, r], stored[1, r], stored[2, r], stored[3, r]
        for c in range(columns):
            z = np.float32(y[c])
            a0 += z * np.float32(h0[c])
            a1 += z * np.float32(h1[c])
            a2 += z * np.float32(h2[c])
            a3 += z * np.float32(h3[c])
            top = max(top, y[c])
        s0 += a0
        s1 += a1
        s2 += a2
        s3 += a3
    return s0, s1, s2, s3, top


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def residuals(window, top_row, left, first, every, dark, sample, sample_var, coefficient, per_count, lent, high, wide, out):
    """Σ residual²/variance and number of pixels per block of ``high`` sampled rows × ``wide`` columns: fills out (2, …).

    The image is dark + Σ_j coefficient[j] sample[j]; the variance per_count · sample_var + lent · flat². Pixels without
    a flat are left out.
    """
    rows, columns = sample.shape[1], sample.shape[2]
    c0, c1, c2, c3 = coefficient[0], coefficient[1], coefficient[2], coefficient[3]
    c4, c5, c6 = coefficient[4], coefficient[5], coefficient[6]
    for n in range(rows):
        r = first + n * every
        y, d, v = window[top_row + r, left : left + columns], dark[r], sample_var[n]
        f, t, u, w = sample[0, n], sample[1, n], sample[2, n], sample[3, n]
        uu, uv, vv = sample[4, n], sample[5, n], sample[6, n]
        for b in range((columns + wide - 1) // wide):
            total, count = np.float32(0), np.float32(0)
            for c in range(b * wide, min(columns, (b + 1) * wide)):
                e = np.float32(y[c]) - d[c] - c0 * f[c] - c1 * t[c] - c2 * u[c] - c3 * w[c]
                e -= c4 * uu[c] + c5 * uv[c] + c6 * vv[c]
                used = np.float32(1) if f[c] > 0 else np.float32(0)
                total += used * e * e / (per_count * v[c] + lent * f[c] * f[c] + np.float32(1e-30))
                count += used
            out[0, n // high, b] += total
            out[1, n // high, b] += count
