"""The hours ahead: states, their spread, and the blur a scan will have gathered by then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincinv

from models.blur import Budget, f10
from models.estimate import Array
from models.statespace import StateSpace, discretise

Tangent = Callable[[Array], tuple[Array, Array]]


@dataclass(frozen=True, slots=True)
class Path:
    """Joint Gaussian of outputs at several instants ahead.

    Attributes
    ----------
    times : (K,) array
        Seconds from now, the first is 0.
    mean : (K, q) array
    cov : (K, q, K, q) array
    past : (A, K, q) array
        Covariance of A quantities of the past with the path.
    """

    times: Array
    mean: Array
    cov: Array
    past: Array

    def std(self) -> Array:
        """σ at each instant, (K, q)."""
        return np.asarray(np.sqrt(np.maximum(np.einsum("kqkq->kq", self.cov), 0.0)))


def propagate(
    model: StateSpace,
    mean: Array,
    cov: Array,
    rows: Array,
    inputs: Array,
    horizon_s: float,
    count: int,
    information: Array | None = None,
    past_cross: Array | None = None,
    tangent: Tangent | None = None,
) -> Path:
    """Carry a belief ahead without readings, or (``information``) with readings as they come now.

    Parameters
    ----------
    rows : (q, n) array
        Outputs, linearised at the current mean.
    inputs : (k,) array
        Known inputs, held.
    information : (n, n) array, optional
        Information per second that readings bring, ``Σ h h'/(r·period)``; the path is then that of the *error* that stays
        after them (its mean is zero).

    past_cross : (A, n) array, optional
        Covariance of quantities of the past with the present state.
    tangent : function, optional
        Outputs (q,) and their rows (q, n) at a state. A sensitivity matters as much as its temperature will differ from the
        reference, so outputs with products are linearised anew at every instant of the expected course.

    Notes
    -----
    Exact discretisation (Van Loan) on ``count`` equal steps. With information the readings of one step are taken
    together at its end, which overstates the error in between by less than one step's drift.
    """
    step = horizon_s / (count - 1)
    transition, noise, driven = discretise(model.drift, model.diffusion, model.input_rates, step)
    n, q = len(mean), len(rows)
    x, p = mean.copy(), cov.copy()
    means, covs = np.empty((count, q)), np.zeros((count, q, count, q))
    carried: list[Array] = []  # Cov(past outputs, state now), one (q, n) per past instant
    before = np.zeros((0, n)) if past_cross is None else past_cross
    past = np.empty((len(before), count, q))
    for k in range(count):
        if k > 0:
            x = transition @ x + driven @ inputs
            p = transition @ p @ transition.T + noise
            through = transition
            if information is not None:
                shrink = np.linalg.inv(np.eye(n) + p @ information * step)
                p = shrink @ p
                p = 0.5 * (p + p.T)
                through = shrink @ transition
            carried = [c @ through.T for c in carried]
            before = before @ through.T
        values, rows = (rows @ x, rows) if tangent is None else tangent(x)
        means[k] = values if information is None else 0.0
        past[:, k, :] = before @ rows.T
        covs[k, :, k, :] = rows @ p @ rows.T
        for j, c in enumerate(carried):
            covs[j, :, k, :] = c @ rows.T
            covs[k, :, j, :] = covs[j, :, k, :].T
        carried.append(rows @ p)
    return Path(np.arange(count, dtype=float) * step, means, covs, past)


@dataclass(frozen=True, slots=True)
class BlurForecast:
    """Blur variance that a scan will have gathered at instants ahead, and the loss of resolution it means.

    The variance of displacements over a scan is a quadratic form of Gaussians; it is described by a gamma distribution
    with the same mean and variance (Satterthwaite 1946), which is exact for one degree of freedom and good to a few per
    cent in the tails for more. ``loss = 1 - f10(blurred)/f10(static)``.

    Attributes
    ----------
    made_at : float
        [s since 1970]
    times : (K,) array
        [s since 1970]
    mean, var : (K,) arrays
        Of the blur variance [m²], [m⁴].
    budget : Budget
        What blurs besides.
    promised_f10 : float, optional
        f10 that the loss is relative to; that of ``budget`` where it isn't given.
    """

    made_at: float
    times: Array
    mean: Array
    var: Array
    budget: Budget
    promised_f10: float | None = None

    def _quantile(self, p: float) -> Array:
        shape = np.where(self.var > 0, self.mean**2 / np.maximum(self.var, 1e-300), np.inf)
        out = self.mean.copy()
        spread = np.isfinite(shape) & (shape < 1e8) & (self.mean > 0)
        out[spread] = gammaincinv(shape[spread], p) * self.mean[spread] / shape[spread]
        return out

    def exceedance(self, loss: float) -> Array:
        """Probability at each instant that the loss of resolution exceeds ``loss`` (0 … 1)."""
        limit = self._var_at(loss)
        shape = np.where(self.var > 0, self.mean**2 / np.maximum(self.var, 1e-300), np.inf)
        out = (self.mean > limit).astype(float)
        spread = np.isfinite(shape) & (shape < 1e8) & (self.mean > 0)
        out[spread] = 1.0 - gammainc(shape[spread], limit * shape[spread] / self.mean[spread])
        return out

    def _var_at(self, loss: float) -> float:
        if loss >= 1.0:
            return np.inf
        best = f10(self.budget)
        target, low, high = (self.promised_f10 or best) * (1.0 - loss), 0.0, 1e-18
        if target >= best:
            return 0.0
        while f10(self.budget, high) > target:
            high *= 4.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if f10(self.budget, middle) > target else (low, middle)
        return high

    def probability(self, limit: float, within_s: float = np.inf) -> float:
        """Largest probability within the horizon that the loss exceeds ``limit``."""
        inside = self.times <= self.made_at + within_s
        return float(self.exceedance(limit)[inside].max(initial=0.0))

    def time_to(self, limit: float, p: float = 0.5) -> float:
        """Seconds until P(loss > limit) reaches ``p``; inf if not within the horizon."""
        hits = np.flatnonzero(self.exceedance(limit) >= p)
        return float(self.times[hits[0]] - self.made_at) if hits.size else float("inf")

    def half_pitch_um(self) -> tuple[Array, Array, Array]:
        """Half-pitch at 10 % MTF [µm]: at the mean blur, and at the 2.5 and 97.5 % quantiles of it."""
        curves = (self.mean, self._quantile(0.025), self._quantile(0.975))
        mean, low, high = (np.array([0.5e6 / f10(self.budget, float(v)) for v in curve]) for curve in curves)
        return mean, low, high


def gathered_blur(
    past_s: Array,
    past_mean: Array,
    past_cov: Array,
    path_mean: Array,
    path_cov: Array,
    past_path: Array,
    times: Array,
    duration_s: float,
) -> tuple[Array, Array]:
    """Mean and variance of the displacement's variance over past and path, at each instant of the path.

    Parameters
    ----------
    past_s : (A,) array
        Seconds of scan that each instant of the past stands for.
    past_mean, past_cov : (A,), (A, A) arrays
        Displacement then [m], [m²].
    path_mean, path_cov, past_path, times : (K,), (K, K), (A, K), (K,) arrays
        Displacement ahead, its covariance with itself and the past, and seconds from now (equal steps).
    duration_s : float
        Length of the scan; its window does not grow beyond.

    Notes
    -----
    With weights w over past and future samples, ``v = Σ w x² - (Σ w x)²`` = x'Πx; for x ~ N(μ, C):
    ``E v = μ'Πμ + tr(ΠC)``, ``Var v = 2 tr((ΠC)²) + 4 μ'ΠCΠμ``.
    """
    a, step = len(past_s), times[1] - times[0]
    x = np.concatenate([past_mean, path_mean])
    c = np.block([[past_cov, past_path], [past_path.T, path_cov]])
    done = float(past_s.sum())
    mean_out, var_out = np.empty(len(times)), np.empty(len(times))
    for k in range(len(times)):
        ahead = np.zeros(len(times))
        if k:
            ahead[: k + 1] = step
            ahead[[0, k]] = step / 2.0
            ahead[times > max(duration_s - done, 0.0)] = 0.0
        weights = np.concatenate([past_s, ahead])
        if weights.sum() <= 0:
            weights[a] = 1.0
        used = np.flatnonzero(weights)
        w = weights[used] / weights.sum()
        form = np.diag(w) - np.outer(w, w)
        here, cov = x[used], c[np.ix_(used, used)]
        fc = form @ cov
        fx = form @ here
        mean_out[k] = here @ fx + np.trace(fc)
        var_out[k] = 2.0 * np.sum(fc * fc.T) + 4.0 * fx @ cov @ fx
    return np.maximum(mean_out, 0.0), np.maximum(var_out, 0.0)
