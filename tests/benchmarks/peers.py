"""The same job by other libraries, each in its own fastest way that is right for these data."""

from __future__ import annotations

import numpy as np
from filterpy.kalman import KalmanFilter
from statsmodels.tsa.statespace.kalman_filter import FILTER_CONVENTIONAL, FILTER_UNIVARIATE
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from models.engine import Steps
from models.statespace import StateSpace


def _design(model: StateSpace) -> tuple[np.ndarray, np.ndarray]:
    rows = np.array([model.row(dict(o.linear)) for o in model.observations])
    return rows, np.array([o.constant for o in model.observations])


class Filterpy:
    """``KalmanFilter``: one vector update per step, with the rows of what is there where something is missing."""

    name = "filterpy"

    def __init__(self, model: StateSpace, steps: Steps) -> None:
        self._model, self._steps = model, steps
        self._rows, constant = _design(model)
        self._values = steps.readings - constant
        self._noise = np.diag(steps.variances[0])  # σ of a channel is the same at every step here

    def filter(self) -> tuple[np.ndarray, np.ndarray]:
        """Filtered mean (T, n) and covariance (T, n, n)."""
        n, m = len(self._model.names), len(self._model.channels)
        kf = KalmanFilter(dim_x=n, dim_z=m)
        kf.x, kf.P = self._model.mean.reshape(n, 1).copy(), self._model.cov.copy()
        kf.F, kf.Q, kf.H, kf.R = self._model.transition, self._model.noise, self._rows, self._noise
        count = len(self._values)
        mean, cov = np.empty((count, n)), np.empty((count, n, n))
        there = ~np.isnan(self._values)
        for t in range(count):
            kf.predict()
            if there[t].all():
                kf.update(self._values[t].reshape(m, 1))
            elif there[t].any():
                k = there[t]
                kf.update(self._values[t, k].reshape(-1, 1), R=self._noise[np.ix_(k, k)], H=self._rows[k])
            mean[t], cov[t] = kf.x[:, 0], kf.P
        return mean, cov

    def smooth(self) -> tuple[np.ndarray, np.ndarray]:
        """Filter and Rauch–Tung–Striebel smoother: mean (T, n) and covariance (T, n, n)."""
        mean, cov = self.filter()
        n = len(self._model.names)
        kf = KalmanFilter(dim_x=n, dim_z=1)
        kf.F, kf.Q = self._model.transition, self._model.noise
        smoothed, smoothed_cov, _, _ = kf.rts_smoother(mean[:, :, None], cov)
        return smoothed[:, :, 0], smoothed_cov


class Statsmodels:
    """``KalmanSmoother`` with tolerance 0 (its filter may otherwise stop updating the covariance)."""

    name = "statsmodels"

    def __init__(self, model: StateSpace, steps: Steps, univariate: bool) -> None:
        n, m = len(model.names), len(model.channels)
        rows, constant = _design(model)
        method = FILTER_UNIVARIATE if univariate else FILTER_CONVENTIONAL
        peer = KalmanSmoother(m, n, filter_method=method, tolerance=0.0)
        peer.bind(np.ascontiguousarray(steps.readings - constant))
        peer["design"], peer["transition"], peer["selection"], peer["state_cov"] = (
            rows, model.transition, np.eye(n), model.noise,
        )  # fmt: skip
        peer["obs_cov"] = np.diag(steps.variances[0])
        # its first step has no prediction before it; ours has one
        peer.initialize_known(
            model.transition @ model.mean, model.transition @ model.cov @ model.transition.T + model.noise
        )
        self._peer = peer

    def filter(self) -> tuple[np.ndarray, np.ndarray]:
        """Filtered mean (T, n) and covariance (T, n, n)."""
        out = self._peer.filter()
        return out.filtered_state.T, np.moveaxis(out.filtered_state_cov, 2, 0)

    def smooth(self) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed mean (T, n) and covariance (T, n, n)."""
        out = self._peer.smooth()
        return out.smoothed_state.T, np.moveaxis(out.smoothed_state_cov, 2, 0)
