"""The hours ahead: states, their spread, and the blur a scan will have gathered by then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaincinv

from models.blur import Budget, f10
from models.estimate import Array
from models.statespace import StateSpace, discretise


@dataclass(frozen=True, slots=True)
class Path:
    """Joint Gaussian of outputs at several instants ahead.

    Attributes
    ----------
    times : (K,) array
        Seconds from now, the first is 0.
    mean : (K, q) array
    cov : (K, q, K, q) array
    """

    times: Array
    mean: Array
    cov: Array

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

    Notes
    -----
    Exact discretisation (Van Loan) on ``count`` equal steps. With information the readings of one step are taken
    together at its end, which overstates the error in between by less than one step's drift.
    """
    step = horizon_s / (count - 1)
    transition, noise, driven = discretise(model.drift, model.diffusion, model.input_rates, step)
    n, q = len(mean), len(rows)
    x, p = (mean if information is None else np.zeros(n)).copy(), cov.copy()
    means, covs = np.empty((count, q)), np.zeros((count, q, count, q))
    carried: list[Array] = []  # Cov(past outputs, state now), one (q, n) per past instant
    for k in range(count):
        if k > 0:
            x = transition @ x + (driven @ inputs if information is None else 0.0)
            p = transition @ p @ transition.T + noise
            through = transition
            if information is not None:
                shrink = np.linalg.inv(np.eye(n) + p @ information * step)
                p = shrink @ p
                p = 0.5 * (p + p.T)
                through = shrink @ transition
            carried = [c @ through.T for c in carried]
        means[k] = rows @ x
        covs[k, :, k, :] = rows @ p @ rows.T
        for j, c in enumerate(carried):
            covs[j, :, k, :] = c @ rows.T
            covs[k, :, j, :] = covs[j, :, k, :].T
        carried.append(rows @ p)
    return Path(np.arange(count, dtype=float) * step, means, covs)


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
    """

    made_at: float
    times: Array
    mean: Array
    var: Array
    budget: Budget

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
        target, low, high = f10(self.budget) * (1.0 - loss), 0.0, 1e-18
        if loss <= 0:
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
    weight_past: float, mean_past: float, var_past: float, path: Path, output: int, scale_m: float, duration_s: float
) -> tuple[Array, Array]:
    """Mean and variance of the displacement variance over past and path, at each instant of the path.

    Parameters
    ----------
    weight_past : float
        Seconds of scan already done.
    mean_past, var_past : float
        Mean [m] and variance [m²] of the displacement over them.
    scale_m : float
        Metres in the object plane per unit of the output.
    duration_s : float
        Not used beyond this length of scan: the scan's window stops growing there.

    Notes
    -----
    With weights w over past and future samples, ``v = Σ w x² - (Σ w x)²`` = x'Πx; for x ~ N(μ, C):
    ``E v = μ'Πμ + tr(ΠC)``, ``Var v = 2 tr((ΠC)²) + 4 μ'ΠCΠμ``.
    """
    times = path.times
    mean_out, var_out = np.empty(len(times)), np.empty(len(times))
    step = times[1] - times[0]
    x_all = path.mean[:, output] * scale_m
    c_all = path.cov[:, output, :, output] * scale_m**2
    for k in range(len(times)):
        keep = np.arange(k + 1)
        weights = np.full(k + 1, step)
        weights[0] = weights[-1] = step / 2.0 if k else 1e-9
        left = max(duration_s - weight_past, 1e-6)
        weights = np.where(times[: k + 1] <= left, weights, 0.0)
        if weights.sum() <= 0:
            weights[0] = 1e-9
        total = weight_past + weights.sum()
        w = weights / total
        share = weight_past / total
        x = np.append(x_all[keep], mean_past)
        c = np.zeros((k + 2, k + 2))
        c[:-1, :-1] = c_all[np.ix_(keep, keep)]
        ww = np.append(w, share)
        form = np.diag(ww) - np.outer(ww, ww)
        fc = form @ c
        mean_out[k] = x @ form @ x + np.trace(fc) + share * var_past
        var_out[k] = 2.0 * np.trace(fc @ fc) + 4.0 * x @ form @ c @ form @ x
    return mean_out, np.maximum(var_out, 0.0)
