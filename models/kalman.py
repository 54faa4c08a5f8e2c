"""The estimator's compiled kernel, forward: a filter for sparse models with gaps.

A row with products of states is linearised at the mean, and what the tangent misses is added: to the prediction its
expectation, to ``r`` its variance (second-order filter). Without that a filter that knows neither a sensitivity nor the
temperature that it multiplies takes one for the other and believes in both.

Letters as in the literature: ``x`` mean, ``P`` covariance, ``A`` transition, ``Q`` process noise, ``h`` one observation
row, ``r`` its variance, ``s`` innovation variance, ``g = P h``. Simultaneous scalars are taken one after another, each
re-linearised. With s/r moderate, P ← P - g g'/s is exact to s/r rounding errors and the cheapest form there is; beyond
``DOWNDATE`` (the first readings of a state with a wide prior) the Joseph form ``(I - k h') P (I - k h')' + k r k'`` is
used, which loses nothing. P is symmetric to the last bit in both.

Rows of matrices are padded with zeros to whole vector registers (:data:`models.packing.LANES`).
"""

from __future__ import annotations

import numpy as np
from numba import njit

DOWNDATE = 1e4  # largest s/r for the short form: its relative error is about 1e4 · 1e-16
FAST = {"contract", "reassoc"}  # sums may be reordered; nan keeps its meaning


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def sandwich(M, W, V, motion):
    """M ← B M B' + noise for symmetric M; W (n, width) and V (n, width) are work space."""
    width = M.shape[1]
    coupled, single, indptr, indices, values = (
        motion.coupled,
        motion.single,
        motion.indptr,
        motion.indices,
        motion.values,
    )
    count = len(coupled)
    for c in range(count):
        i = coupled[c]
        for j in range(width):
            W[c, j] = 0.0
        for a in range(indptr[i], indptr[i + 1]):
            w, k = values[a], indices[a]
            for j in range(width):
                W[c, j] += w * M[k, j]
    for i in single:
        for j in range(width):
            M[i, j] = M[i, j] * motion.outer[i, j] + motion.noise[i, j]
    for c in range(count):
        i = coupled[c]
        for j in range(width):
            M[i, j] = W[c, j] * motion.diagonal[j] + motion.noise[i, j]
        for j in single:
            M[j, i] = M[i, j]
    # what couples with what it couples: the same from the other side, W lying on its side so that its rows are contiguous
    for c in range(count):
        for k in motion.touched:
            V[k, c] = W[c, k]
    for b in range(count):
        j = coupled[b]
        for c in range(count):
            W[b, c] = 0.0
        for a in range(indptr[j], indptr[j + 1]):
            w, k = values[a], indices[a]
            for c in range(count):
                W[b, c] += w * V[k, c]
    for b in range(count):
        for c in range(b, count):
            i, j = coupled[b], coupled[c]
            total = W[c, b] + motion.noise[i, j]
            M[i, j] = total
            M[j, i] = total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def carry(x, new, motion):
    """x ← B x; ``new`` is work space."""
    for i in range(len(motion.indptr) - 1):
        total = 0.0
        for a in range(motion.indptr[i], motion.indptr[i + 1]):
            total += motion.values[a] * x[motion.indices[a]]
        new[i] = total
    for i in range(len(motion.indptr) - 1):
        x[i] = new[i]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def observe(x, h, j, terms, cov):
    """Fill the row ``h`` (Jacobian at x; zero outside the support of j); return the predicted value."""
    predicted = terms.constant[j]
    for a in range(terms.support_start[j], terms.support_start[j + 1]):
        h[terms.support[a]] = 0.0
    for a in range(terms.start[j], terms.start[j + 1]):
        w = terms.weight[a]
        i = terms.state[a]
        if terms.covariate[a] >= 0:
            w *= cov[terms.covariate[a]]
        if terms.other[a] >= 0:
            k = terms.other[a]
            predicted += w * x[i] * x[k]
            h[i] += w * x[k]
            h[k] += w * x[i]
        else:
            predicted += w * x[i]
            h[i] += w
    return predicted


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _project(P, waiting, pending, h, g, first, last, support):
    """g ← P h, where P lacks the ``pending`` downdates in ``waiting``; return h'P h."""
    width = P.shape[1]
    for i in range(width):
        g[i] = 0.0
    for a in range(first, last):
        k = support[a]
        w = h[k]
        for i in range(width):
            g[i] += w * P[k, i]
    for b in range(pending):
        w = 0.0
        for a in range(first, last):
            w += waiting[b, support[a]] * h[support[a]]
        for i in range(width):
            g[i] -= w * waiting[b, i]
    total = 0.0
    for a in range(first, last):
        total += g[support[a]] * h[support[a]]
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _entry(P, waiting, pending, i, k):
    total = P[i, k]
    for b in range(pending):
        total -= waiting[b, i] * waiting[b, k]
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def curvature(P, waiting, pending, j, terms, cov):
    """What the products of row j add beyond its tangent: to the mean Σ w P_ij, to the variance 2 tr((A P)²).

    A is the symmetric matrix of the row's quadratic form; exact for Gaussian states (Athans, Wishner & Bertolini 1968, IEEE
    Trans. Autom. Control 13, 504).
    """
    shift, variance = 0.0, 0.0
    for a in range(terms.start[j], terms.start[j + 1]):
        if terms.bent[a] == 0:
            continue
        i, k = terms.state[a], terms.other[a]
        w = terms.weight[a]
        if terms.covariate[a] >= 0:
            w *= cov[terms.covariate[a]]
        shift += w * _entry(P, waiting, pending, i, k)
        for b in range(terms.start[j], terms.start[j + 1]):
            if terms.bent[b] == 0:
                continue
            i2, k2 = terms.state[b], terms.other[b]
            w2 = terms.weight[b]
            if terms.covariate[b] >= 0:
                w2 *= cov[terms.covariate[b]]
            variance += (
                w
                * w2
                * (
                    _entry(P, waiting, pending, i, i2) * _entry(P, waiting, pending, k, k2)
                    + _entry(P, waiting, pending, i, k2) * _entry(P, waiting, pending, k, i2)
                )
            )
    return shift, variance


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _downdate(P, waiting, pending):
    """P ← P - Σ q q' over the pending rows q of ``waiting``: several at a time spare memory traffic."""
    n, width = P.shape
    if pending == 4:
        for i in range(n):
            a, b, c, d = waiting[0, i], waiting[1, i], waiting[2, i], waiting[3, i]
            for j in range(width):
                P[i, j] -= (a * waiting[0, j] + b * waiting[1, j]) + (c * waiting[2, j] + d * waiting[3, j])
        return
    for k in range(pending):
        for i in range(n):
            a = waiting[k, i]
            for j in range(width):
                P[i, j] -= a * waiting[k, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _joseph(P, W, g, s, r, h, first, last, support):
    """P ← (I - k h') P (I - k h')' + k r k' with k = g/s."""
    n = P.shape[0]
    for i in range(n):
        # row i of (I - k h') P is P_i - k_i g
        ki = g[i] / s
        for j in range(n):
            W[i, j] = P[i, j] - ki * g[j]
    for i in range(n):
        wh = 0.0
        for a in range(first, last):
            wh += W[i, support[a]] * h[support[a]]
        wh -= g[i] / s * r
        for j in range(n):
            P[i, j] = W[i, j] - wh * (g[j] / s)
    for i in range(n):
        for j in range(i + 1, n):
            mean = 0.5 * (P[i, j] + P[j, i])
            P[i, j] = mean
            P[j, i] = mean


@njit(cache=True, nogil=True, error_model="numpy")
def filter_pass(
    x,
    P,
    motion,
    terms,
    Bu,
    Z,
    R,
    C,
    open_var,
    around,
    bent,
    floor_var,
    step_start,
    step_state,
    gate,
    patience,
    step_var,
    gated_run,
    out_x,
    out_P,
    out_v,
    out_s,
    out_h,
    out_k,
    keep,
):
    """Filter ``T`` steps in place; x (n,), P (n, n), gated_run (m,) are carried on.

    Z, R: (T, m) readings (nan = missing) and variances; C: (T, c) covariates; Bu: (T, n) known inputs; open_var:
    (T, n) variance added to states before a step's readings (re-armed warm-up, known steps). around (T or 0, n): where rows
    with products are linearised instead of at the filter's mean, with bent (T, m, 2) added to their value and variance. A
    reading beyond ``gate`` σ is
    left out; after ``patience[j]`` failures in succession its step states are opened by ``step_var`` and it is used.
    out_v is nan where a reading was missing; out_s is negative where it was gated. With ``keep``: out_x (T, n),
    out_P (T, n, width), and per reading used its row on its support out_h (T, supports) and its gain out_k (T, m, width).
    Returns the log-likelihood of the readings used (FKF's convention without missing points).
    """
    T, m = Z.shape
    n = x.shape[0]
    width = motion.noise.shape[1]
    wide = np.zeros((n, width))
    wide[:, :n] = P
    work, side, waiting = np.zeros((n, width)), np.zeros((n, width)), np.zeros((4, width))
    h, g, new = np.zeros(n), np.zeros(width), np.zeros(n)
    loglik = 0.0
    for t in range(T):
        sandwich(wide, work, side, motion)
        carry(x, new, motion)
        for i in range(n):
            x[i] += Bu[t, i]
            wide[i, i] += open_var[t, i]
        pending = 0
        for j in range(m):
            out_v[t, j] = np.nan
            out_s[t, j] = np.nan
            if np.isnan(Z[t, j]):
                continue
            first, last = terms.support_start[j], terms.support_start[j + 1]
            v, s, r, used = 0.0, 0.0, 0.0, False
            for attempt in range(2):
                r = R[t, j] + floor_var[j]
                if terms.paired[j] and len(around) > 0:
                    # a tangent at what is known from elsewhere, carried to where the filter stands
                    v = Z[t, j] - observe(around[t], h, j, terms, C[t]) - bent[t, j, 0]
                    for a in range(first, last):
                        v -= h[terms.support[a]] * (x[terms.support[a]] - around[t, terms.support[a]])
                    r += bent[t, j, 1]
                else:
                    v = Z[t, j] - observe(x, h, j, terms, C[t])
                if terms.curved[j] and len(around) == 0:
                    shift, variance = curvature(wide, waiting, pending, j, terms, C[t])
                    v -= shift
                    r += variance
                s = r + _project(wide, waiting, pending, h, g, first, last, terms.support)
                used = v * v <= gate * gate * s
                if used or attempt == 1:
                    break
                gated_run[j] += 1
                if gated_run[j] < patience[j] or step_start[j] == step_start[j + 1]:
                    break
                for a in range(step_start[j], step_start[j + 1]):
                    wide[step_state[a], step_state[a]] += step_var[step_state[a]]
                gated_run[j] = 0
            out_v[t, j] = v
            if not used:
                out_s[t, j] = -s
                continue
            gated_run[j] = 0
            out_s[t, j] = s
            scale = v / s
            for i in range(n):
                x[i] += g[i] * scale
            if s <= DOWNDATE * r:
                root = 1.0 / np.sqrt(s)
                for i in range(width):
                    waiting[pending, i] = g[i] * root
                pending += 1
                if pending == 4:
                    _downdate(wide, waiting, pending)
                    pending = 0
            else:
                _downdate(wide, waiting, pending)
                pending = 0
                _joseph(wide, work, g, s, r, h, first, last, terms.support)
            loglik -= 0.5 * (np.log(2.0 * np.pi * s) + v * v / s)
            if keep:
                for a in range(first, last):
                    out_h[t, a] = h[terms.support[a]]
                scale = 1.0 / s
                for i in range(width):
                    out_k[t, j, i] = g[i] * scale
        _downdate(wide, waiting, pending)
        if keep:
            for i in range(n):
                out_x[t, i] = x[i]
                for j in range(width):
                    out_P[t, i, j] = wide[i, j]
    P[:, :] = wide[:, :n]
    return loglik


@njit(cache=True, nogil=True, error_model="numpy")
def output_curvature(P, C, terms):
    """What products add to the mean and the variance of outputs beyond their tangent, two (q,) arrays."""
    q = terms.constant.shape[0]
    shift, variance, waiting = np.zeros(q), np.zeros(q), np.zeros((0, P.shape[1]))
    for a in range(q):
        if terms.curved[a]:
            shift[a], variance[a] = curvature(P, waiting, 0, a, terms, C)
    return shift, variance


@njit(cache=True, nogil=True, error_model="numpy")
def output_rows(x, C, terms, rows):
    """Outputs (q,) at the state ``x``; fills their Jacobian ``rows`` (q, ≥ n), zero outside their support."""
    q = terms.constant.shape[0]
    out = np.empty(q)
    for a in range(q):
        rows[a] = 0.0
        out[a] = observe(x, rows[a], a, terms, C)
    return out
