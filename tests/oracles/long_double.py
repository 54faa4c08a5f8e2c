"""Oracle: a dense Kalman filter in extended precision (64 bits of mantissa), for priors too wide for double precision."""

from __future__ import annotations

import numpy as np


def filtered(A, Q, m0, P0, rows, R, Z, driven, opened):
    """Means (T, n) and covariances (T, n, n); rows (T, m, n), R, Z (T, m), nan = missing, driven, opened (T, n)."""
    A, Q, x, P, rows, R, driven, opened = (
        np.asarray(a, dtype=np.longdouble) for a in (A, Q, m0, P0, rows, R, driven, opened)
    )
    mean, cov = np.empty((len(Z), len(x))), np.empty((len(Z), len(x), len(x)))
    one = np.eye(len(x), dtype=np.longdouble)
    for t in range(len(Z)):
        x = A @ x + driven[t]
        P = A @ P @ A.T + Q + np.diag(opened[t])
        for j in np.flatnonzero(~np.isnan(Z[t])):
            h = rows[t, j]
            gain = P @ h / (h @ P @ h + R[t, j])
            x = x + gain * (np.longdouble(Z[t, j]) - h @ x)
            left = one - np.outer(gain, h)
            P = left @ P @ left.T + np.outer(gain, gain) * R[t, j]
        mean[t], cov[t] = x, P
    return mean, cov
