"""Oracle: the same model and readings through statsmodels' Kalman filter and smoother (Fulton; Seabold & Perktold 2010)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother


@dataclass(frozen=True)
class Answer:
    """Means (T, n) and covariances (T, n, n), filtered and smoothed; log-likelihood."""

    filtered: np.ndarray
    filtered_cov: np.ndarray
    smoothed: np.ndarray
    smoothed_cov: np.ndarray
    loglik: float


def run(A, Q, m0, P0, rows, R, Z, driven, opened, univariate=False):
    """Answer of statsmodels for x_1 = A x_0 + driven_1 + w, x_0 ~ N(m0, P0).

    rows (T, m, n); R, Z (T, m), nan = missing; driven, opened (T, n). Its prior is that of the first observed state, ours
    the belief one step before, so the first prediction is done here. Steady-state shortcuts are off (tolerance 0).
    """
    T, m = Z.shape
    n = len(m0)
    ssm = KalmanSmoother(k_endog=m, k_states=n, k_posdef=n, tolerance=0.0)
    ssm.bind(np.ascontiguousarray(Z))
    ssm["transition"], ssm["selection"] = A, np.eye(n)
    ssm["design"] = np.ascontiguousarray(np.moveaxis(rows, 0, -1))
    obs_cov, state_cov = np.zeros((m, m, T)), np.zeros((n, n, T))
    intercept = np.zeros((n, T))
    for t in range(T):
        obs_cov[:, :, t] = np.diag(R[t])
        if t + 1 < T:
            state_cov[:, :, t] = Q + np.diag(opened[t + 1])
            intercept[:, t] = driven[t + 1]
    ssm["obs_cov"], ssm["state_cov"], ssm["state_intercept"] = obs_cov, state_cov, intercept
    ssm.initialize_known(A @ m0 + driven[0], A @ P0 @ A.T + Q + np.diag(opened[0]))
    if univariate:
        ssm.set_filter_method(0x10)
    found = ssm.smooth()
    return Answer(
        found.filtered_state.T,
        np.moveaxis(found.filtered_state_cov, -1, 0),
        found.smoothed_state.T,
        np.moveaxis(found.smoothed_state_cov, -1, 0),
        float(found.llf_obs.sum()),
    )
