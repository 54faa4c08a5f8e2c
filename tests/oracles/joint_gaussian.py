"""Oracle: condition the joint Gaussian of all states and readings directly (dense; no recursion, no product code)."""

from __future__ import annotations

import numpy as np


def posterior(A, Q, m0, P0, rows, R, Z, driven=None, opened=None):
    """Mean (T, n) and covariance (T, n, T, n) of all states given the readings that are not nan.

    x_1 = A x_0 + …, x_0 ~ N(m0, P0); rows (m, n), R, Z (T, m).
    """
    T, n = len(Z), len(m0)
    mean, cov = np.zeros((T, n)), np.zeros((T, n, T, n))
    m, P = np.asarray(m0, float), np.asarray(P0, float)
    for t in range(T):
        m = A @ m + (0 if driven is None else driven[t])
        P = A @ P @ A.T + Q + (0 if opened is None else np.diag(opened[t]))
        mean[t], cov[t, :, t, :] = m, P
        C = P
        for u in range(t + 1, T):
            C = A @ C
            cov[u, :, t, :], cov[t, :, u, :] = C, C.T
    seen = [(t, j) for t in range(T) for j in range(Z.shape[1]) if not np.isnan(Z[t, j])]
    H = np.zeros((len(seen), T * n))
    for k, (t, j) in enumerate(seen):
        H[k, t * n : (t + 1) * n] = rows[j]
    prior_mean, prior_cov = mean.reshape(-1), cov.reshape(T * n, T * n)
    noise = np.diag([R[t, j] for t, j in seen])
    z = np.array([Z[t, j] for t, j in seen])
    S = H @ prior_cov @ H.T + noise
    K = np.linalg.solve(S, H @ prior_cov).T
    return (prior_mean + K @ (z - H @ prior_mean)).reshape(T, n), (prior_cov - K @ H @ prior_cov).reshape(T, n, T, n)
