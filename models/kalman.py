"""The estimator's one compiled kernel: filter and fixed-interval smoother for sparse models with gaps.

Letters as in the literature: ``x`` mean, ``P`` covariance, ``A`` transition, ``Q`` process noise, ``h`` one observation
row, ``r`` (forward) its variance, ``s`` innovation variance, ``k`` gain; in the backward pass ``r``, ``N`` are the adjoint
mean and information of Durbin & Koopman, *Time Series Analysis by State Space Methods* (2012), §4.4 and §6.4 (univariate
treatment). Simultaneous scalars are taken one after another, each re-linearised, each in Joseph form
``(I - k h') P (I - k h')' + k r k'``. The adjoint pass needs no inverse of a covariance, so constants, exact inputs and
singular process noise are allowed.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _predict(x, P, work, indptr, indices, values, Q):
    """x ← A x, P ← A P A' + Q with A in compressed rows."""
    n = x.shape[0]
    new = np.zeros(n)
    for i in range(n):
        total = 0.0
        for a in range(indptr[i], indptr[i + 1]):
            total += values[a] * x[indices[a]]
        new[i] = total
        for j in range(n):
            work[i, j] = 0.0
        for a in range(indptr[i], indptr[i + 1]):
            w, c = values[a], indices[a]
            for j in range(n):
                work[i, j] += w * P[c, j]
    for i in range(n):
        x[i] = new[i]
        for j in range(i, n):
            total = 0.0
            for a in range(indptr[j], indptr[j + 1]):
                total += values[a] * work[i, indices[a]]
            total += Q[i, j]
            P[i, j] = total
            P[j, i] = total


@njit(cache=True, nogil=True)
def _observe(x, h, first, last, state, other, covariate, weight, cov):
    """Fill the row ``h`` (Jacobian at x) of the terms first:last; return the predicted reading without its constant."""
    predicted = 0.0
    for a in range(first, last):
        h[state[a]] = 0.0
        if other[a] >= 0:
            h[other[a]] = 0.0
    for a in range(first, last):
        w = weight[a]
        i = state[a]
        if covariate[a] >= 0:
            w *= cov[covariate[a]]
        if other[a] >= 0:
            j = other[a]
            predicted += w * x[i] * x[j]
            h[i] += w * x[j]
            h[j] += w * x[i]
        else:
            predicted += w * x[i]
            h[i] += w
    return predicted


@njit(cache=True, nogil=True)
def _update(x, P, work, h, support, v, s, r, gain):
    """Joseph update with one scalar whose row is ``h`` (zero outside ``support``); ``gain`` holds P h / s."""
    n = x.shape[0]
    for i in range(n):
        x[i] += gain[i] * v
    # work = (I - k h') P : row i is P_i - k_i (h'P), where h'P = s k
    for i in range(n):
        ki = gain[i] * s
        for j in range(n):
            work[i, j] = P[i, j] - ki * gain[j]
    for i in range(n):
        wh = 0.0
        for a in support:
            wh += work[i, a] * h[a]
        wh -= gain[i] * r
        for j in range(n):
            P[i, j] = work[i, j] - wh * gain[j]
    for i in range(n):
        for j in range(i + 1, n):
            mean = 0.5 * (P[i, j] + P[j, i])
            P[i, j] = mean
            P[j, i] = mean


@njit(cache=True, nogil=True)
def filter_pass(
    x,
    P,
    indptr,
    indices,
    values,
    Q,
    Bu,
    Z,
    R,
    C,
    open_var,
    term_start,
    term_state,
    term_other,
    term_covariate,
    term_weight,
    constant,
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
    store,
):
    """Filter ``T`` steps in place; x, P, gated_run are carried on.

    Z, R: (T, m) readings (nan = missing) and variances; C: (T, c) covariates; Bu: (T, n) known inputs; open_var:
    (T, n) variance added to states before a step's readings (re-armed warm-up, known steps). A reading beyond ``gate`` σ is
    left out; after ``patience[j]`` failures in succession its step states are opened by ``step_var`` and it is used.
    out_v is nan where a reading was missing; out_s is negative where it was gated.
    Returns the log-likelihood of the readings used (FKF's convention without missing points).
    """
    T, m = Z.shape
    n = x.shape[0]
    work = np.empty((n, n))
    h = np.zeros(n)
    gain = np.empty(n)
    loglik = 0.0
    for t in range(T):
        _predict(x, P, work, indptr, indices, values, Q)
        for i in range(n):
            x[i] += Bu[t, i]
            P[i, i] += open_var[t, i]
        for j in range(m):
            out_v[t, j] = np.nan
            out_s[t, j] = np.nan
            if store:
                for i in range(n):
                    out_h[t, j, i] = 0.0
                    out_k[t, j, i] = 0.0
            if np.isnan(Z[t, j]):
                continue
            first, last = term_start[j], term_start[j + 1]
            for attempt in range(2):
                for i in range(n):
                    h[i] = 0.0
                predicted = constant[j] + _observe(
                    x, h, first, last, term_state, term_other, term_covariate, term_weight, C[t]
                )
                support = np.flatnonzero(h)
                v = Z[t, j] - predicted
                r = R[t, j] + floor_var[j]
                s = r
                for i in range(n):
                    total = 0.0
                    for a in support:
                        total += P[i, a] * h[a]
                    gain[i] = total
                for a in support:
                    s += gain[a] * h[a]
                used = v * v <= gate * gate * s
                if used or attempt == 1:
                    break
                gated_run[j] += 1
                if gated_run[j] < patience[j] or step_start[j] == step_start[j + 1]:
                    break
                for a in range(step_start[j], step_start[j + 1]):
                    P[step_state[a], step_state[a]] += step_var[step_state[a]]
                gated_run[j] = 0
            out_v[t, j] = v
            if not used:
                out_s[t, j] = -s
                continue
            gated_run[j] = 0
            out_s[t, j] = s
            for i in range(n):
                gain[i] /= s
            _update(x, P, work, h, support, v, s, r, gain)
            loglik -= 0.5 * (np.log(2.0 * np.pi * s) + v * v / s)
            if store:
                for i in range(n):
                    out_h[t, j, i] = h[i]
                    out_k[t, j, i] = gain[i]
        if store:
            for i in range(n):
                out_x[t, i] = x[i]
                for j in range(n):
                    out_P[t, i, j] = P[i, j]
    return loglik


@njit(cache=True, nogil=True)
def smooth_pass(
    indptr,
    indices,
    values,
    in_x,
    in_P,
    in_v,
    in_s,
    in_h,
    in_k,
    r,
    N,
    C,
    start,
    state,
    other,
    covariate,
    weight,
    constant,
    cross,
    track_cross,
    out_mean,
    out_cov,
    out_cross,
    step_stat,
    step_size,
):
    """Backward adjoint pass over stored steps; r (n,), N (n, n) come from the step after and are carried on.

    The q term lists start … constant are the outputs, linearised at the filtered mean: out_mean (T, q), out_cov
    (T, q, q) are their smoothed mean and covariance. cross (T, q, n) is the covariance of the reference instant's
    outputs with the filtered state; out_cross (T, q, q) the smoothed one. C: (T, c) covariates.
    step_stat/step_size (T, n): score test for an additional shock to each state *before* the readings of a step,
    r_i²/N_ii and its size r_i/N_ii (de Jong & Penzer 1998, J. Am. Stat. Assoc. 93, 796).
    """
    T, n = in_x.shape
    m = in_v.shape[1]
    q = start.shape[0] - 1
    work = np.empty((n, n))
    tmp = np.empty(n)
    rows = np.empty((q, n))
    for t in range(T - 1, -1, -1):
        # r, N refer to "after the transition out of t"; x_s = x_f + P_f r, V = P_f - P_f N P_f
        P = in_P[t]
        shift = P @ r
        V = P - P @ (N @ P)
        for a in range(q):
            rows[a] = 0.0
            out_mean[t, a] = constant[a] + _observe(
                in_x[t], rows[a], start[a], start[a + 1], state, other, covariate, weight, C[t]
            )
            out_mean[t, a] += rows[a] @ shift
        out_cov[t] = rows @ V @ rows.T
        if track_cross:
            out_cross[t] = (cross[t] - cross[t] @ (N @ P)) @ rows.T
        for j in range(m - 1, -1, -1):
            s = in_s[t, j]
            if np.isnan(s) or s < 0.0:
                continue
            h = in_h[t, j]
            k = in_k[t, j]
            # r = h v/s + (I - h k') r
            kr = 0.0
            for i in range(n):
                kr += k[i] * r[i]
            f = in_v[t, j] / s - kr
            for i in range(n):
                r[i] += f * h[i]
            # N = h h'/s + (I - h k') N (I - k h')
            kNk = 0.0
            for i in range(n):
                total = 0.0
                for a in range(n):
                    total += N[i, a] * k[a]
                tmp[i] = total
            for i in range(n):
                kNk += k[i] * tmp[i]
            c = 1.0 / s + kNk
            for i in range(n):
                hi = h[i]
                ti = tmp[i]
                for a in range(n):
                    N[i, a] += c * hi * h[a] - hi * tmp[a] - ti * h[a]
        for i in range(n):
            d = N[i, i]
            step_stat[t, i] = r[i] * r[i] / d if d > 0.0 else 0.0
            step_size[t, i] = r[i] / d if d > 0.0 else 0.0
        # through the transition: r = A' r, N = A' N A
        for i in range(n):
            tmp[i] = 0.0
            for a in range(n):
                work[i, a] = 0.0
        for i in range(n):
            for a in range(indptr[i], indptr[i + 1]):
                w, c2 = values[a], indices[a]
                tmp[c2] += w * r[i]
                for b in range(n):
                    work[c2, b] += w * N[i, b]
        for i in range(n):
            r[i] = tmp[i]
            for b in range(n):
                N[i, b] = 0.0
        for i in range(n):
            for a in range(indptr[i], indptr[i + 1]):
                w, c2 = values[a], indices[a]
                for b in range(n):
                    N[b, c2] += work[b, i] * w


@njit(cache=True, nogil=True)
def cross_pass(indptr, indices, values, in_s, in_h, in_k, D, out):
    """Carry D (q, n), covariance of a past instant's outputs with the filter's error, through stored steps."""
    T, m = in_s.shape
    q, n = D.shape
    new = np.empty(n)
    for t in range(T):
        for b in range(q):
            for i in range(n):
                total = 0.0
                for a in range(indptr[i], indptr[i + 1]):
                    total += values[a] * D[b, indices[a]]
                new[i] = total
            for i in range(n):
                D[b, i] = new[i]
        for j in range(m):
            if np.isnan(in_s[t, j]) or in_s[t, j] < 0.0:
                continue
            for b in range(q):
                total = 0.0
                for i in range(n):
                    total += D[b, i] * in_h[t, j, i]
                for i in range(n):
                    D[b, i] -= total * in_k[t, j, i]
        for b in range(q):
            for i in range(n):
                out[t, b, i] = D[b, i]


@njit(cache=True, nogil=True)
def output_rows(x, C, start, state, other, covariate, weight, constant, rows):
    """Outputs (q,) at the state ``x``; fills their Jacobian ``rows`` (q, n)."""
    q = start.shape[0] - 1
    out = np.empty(q)
    for a in range(q):
        rows[a] = 0.0
        out[a] = constant[a] + _observe(x, rows[a], start[a], start[a + 1], state, other, covariate, weight, C)
    return out
