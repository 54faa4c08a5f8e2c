"""The estimator's compiled kernel, backward: the fixed-interval smoother.

``r``, ``N`` are the adjoint mean and information of Durbin & Koopman, *Time Series Analysis by State Space Methods* (2012),
§4.4 and §6.4 (univariate treatment): smoothed x = x + P r, cov = P - P N P. The pass needs no inverse of a covariance, so
constants, exact inputs and singular process noise are allowed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from models.kalman import FAST, carry, observe, sandwich


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _times(vector, M, out):
    """out ← vector M over the rows of M, four rows at a time."""
    n, width = M.shape
    for j in range(width):
        out[j] = 0.0
    whole = n - n % 4
    for i in range(0, whole, 4):
        a, b, c, d = vector[i], vector[i + 1], vector[i + 2], vector[i + 3]
        for j in range(width):
            out[j] += a * M[i, j] + b * M[i + 1, j] + c * M[i + 2, j] + d * M[i + 3, j]
    for i in range(whole, n):
        a = vector[i]
        for j in range(width):
            out[j] += a * M[i, j]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _dot(a, b):
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _absorb(r, N, tmp, v, s, gain, row, first, last, support):
    """Take one reading: r = h v/s + (I - h k') r, N = h h'/s + (I - h k') N (I - k h'); h is zero outside its support."""
    n, width = len(r), N.shape[1]
    _times(gain, N, tmp)
    inner = 1.0 / s + _dot(gain, tmp)
    f = v / s - _dot(gain, r)
    for a in range(first, last):
        r[support[a]] += f * row[a]
    # N += (inner h - tmp) h' - h tmp'
    for a in range(first, last):
        i, w = support[a], row[a]
        for j in range(width):
            N[i, j] -= w * tmp[j]
    for a in range(first, last):
        k, w = support[a], row[a]
        for i in range(n):
            N[i, k] -= tmp[i] * w
    for a in range(first, last):
        for b in range(first, last):
            N[support[a], support[b]] += inner * row[a] * row[b]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _outputs(x, P, r, N, C, terms, fixed, points, t, state, G, GN, GNG, rows, mean, cov):
    """Smoothed mean (q,) and covariance (q, q) of outputs; leaves G = rows P. Fixed rows are those already there.

    Linearised at row t of ``points``, or at the smoothed state when there are none.
    """
    q, width = G.shape
    _times(r[: len(x)], P, state)
    for i in range(len(x)):
        state[i] += x[i]
    for a in range(q):
        first, last = terms.support_start[a], terms.support_start[a + 1]
        if fixed:
            total = terms.constant[a]
            for b in range(first, last):
                total += rows[a, terms.support[b]] * state[terms.support[b]]
            mean[a] = total
        else:
            mean[a] = observe(points[t] if len(points) else state, rows[a], a, terms, C)
            if len(points):
                for b in range(first, last):
                    i = terms.support[b]
                    mean[a] += rows[a, i] * (state[i] - points[t, i])
        k = terms.support[first] if last > first else 0
        w = rows[a, k]
        for j in range(width):
            G[a, j] = w * P[k, j]
        for b in range(first + 1, last):
            k = terms.support[b]
            w = rows[a, k]
            for j in range(width):
                G[a, j] += w * P[k, j]
    np.dot(G, N, GN)
    np.dot(GN, G.T, GNG)
    for a in range(q):
        for b in range(a, q):
            total = -GNG[a, b]
            for c in range(terms.support_start[b], terms.support_start[b + 1]):
                total += G[a, terms.support[c]] * rows[b, terms.support[c]]
            cov[a, b] = total
            cov[b, a] = total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _crossed(cross, N, terms, G, rows, tmp, out):
    """Smoothed covariance (q, q) of the reference instant's outputs with this step's."""
    q = G.shape[0]
    for a in range(q):
        _times(cross[a], N, tmp)
        for b in range(q):
            total = -_dot(tmp, G[b])
            for c in range(terms.support_start[b], terms.support_start[b + 1]):
                total += cross[a, terms.support[c]] * rows[b, terms.support[c]]
            out[a, b] = total


@njit(cache=True, nogil=True, error_model="numpy")
def smooth_pass(
    back,
    seen,
    in_x,
    in_P,
    in_v,
    in_s,
    in_h,
    in_k,
    r,
    N,
    C,
    wanted,
    points,
    cross,
    out_mean,
    out_cov,
    out_cross,
    step_stat,
    step_size,
):
    """Backward pass over stored steps; r (width,), N (width, width) come from the step after and are carried on.

    ``back`` is the transposed motion, ``seen`` the terms of the readings, ``wanted`` those of the q outputs, linearised at
    ``points`` (T, n), or at the smoothed mean (0, n): out_mean (T, q), out_cov (T, q, q) are their smoothed mean and
    covariance. cross (T or 0, q, width) is the covariance of the reference instant's outputs with the filtered state;
    out_cross (T, q, q) the smoothed one.
    step_stat/step_size (T or 0, n): score test for an additional shock to each state *before* the readings of a step,
    r_i²/N_ii and its size r_i/N_ii (de Jong & Penzer 1998, J. Am. Stat. Assoc. 93, 796).
    """
    T, n = in_x.shape
    m = in_v.shape[1]
    width = N.shape[1]
    q = wanted.constant.shape[0]
    work, side, tmp = np.zeros((n, width)), np.zeros((n, width)), np.zeros(width)
    G, GN, rows = np.zeros((q, width)), np.zeros((q, width)), np.zeros((q, width))
    GNG, state = np.zeros((q, q)), np.zeros(width)
    fixed = np.all(wanted.other < 0) and np.all(wanted.covariate < 0)
    if fixed and T > 0:
        for a in range(q):
            observe(in_x[T - 1], rows[a], a, wanted, C[T - 1])
    for t in range(T - 1, -1, -1):
        _outputs(
            in_x[t], in_P[t], r, N, C[t], wanted, fixed, points, t, state, G, GN, GNG, rows, out_mean[t], out_cov[t]
        )
        if len(cross):
            _crossed(cross[t], N, wanted, G, rows, tmp, out_cross[t])
        for j in range(m - 1, -1, -1):
            s = in_s[t, j]
            if s > 0.0:
                first, last = seen.support_start[j], seen.support_start[j + 1]
                _absorb(r, N, tmp, in_v[t, j], s, in_k[t, j], in_h[t], first, last, seen.support)
        if len(step_stat):
            for i in range(n):
                d = N[i, i]
                step_stat[t, i] = r[i] * r[i] / d if d > 0.0 else 0.0
                step_size[t, i] = r[i] / d if d > 0.0 else 0.0
        carry(r, tmp, back)
        sandwich(N, work, side, back)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def cross_pass(forward, seen, in_s, in_h, in_k, D, out):
    """Carry D (q, width), covariance of a past instant's outputs with the filter's error, through stored steps."""
    T, m = in_s.shape
    q, width = D.shape
    new = np.empty(width)
    for t in range(T):
        for b in range(q):
            carry(D[b], new, forward)
        for j in range(m):
            if not in_s[t, j] > 0.0:
                continue
            for b in range(q):
                total = 0.0
                for a in range(seen.support_start[j], seen.support_start[j + 1]):
                    total += D[b, seen.support[a]] * in_h[t, a]
                for i in range(width):
                    D[b, i] -= total * in_k[t, j, i]
        for b in range(q):
            for i in range(width):
                out[t, b, i] = D[b, i]
