"""Engines that carry a belief through steps of readings: the compiled kernel, and filterpy as the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from filterpy.kalman import KalmanFilter

from models.estimate import Array, ModelError
from models.kalman import filter_pass
from models.packing import IntArray, Packed
from models.statespace import StateSpace


@dataclass(frozen=True, slots=True)
class Steps:
    """What happens on consecutive grid steps.

    Attributes
    ----------
    readings, variances : (T, m) arrays
        Readings (nan = missing) and their variances, columns as ``StateSpace.channels``.
    covariates : (T, c) array
    inputs : (T, k) array
        Known inputs during the step that ends at the instant.
    opened : (T, n) array
        Variance added to states before the readings of a step.
    around : (T or 0, n) array
        Where rows with products are linearised; empty: at the filter's own mean, to second order.
    bent : (T or 0, m, 2) array
        What a tangent at ``around`` misses, added to the row's value and variance.
    """

    readings: Array
    variances: Array
    covariates: Array
    inputs: Array
    opened: Array
    around: Array = field(default_factory=lambda: np.zeros((0, 0)))
    bent: Array = field(default_factory=lambda: np.zeros((0, 0, 2)))

    def __len__(self) -> int:
        return len(self.readings)

    def part(self, first: int, last: int) -> Steps:
        """Steps first:last."""
        return Steps(
            self.readings[first:last],
            self.variances[first:last],
            self.covariates[first:last],
            self.inputs[first:last],
            self.opened[first:last],
            self.around[first:last],
            self.bent[first:last],
        )

    @staticmethod
    def empty(model: StateSpace, count: int) -> Steps:
        """``count`` steps without readings, inputs or events."""
        m, n = len(model.channels), len(model.names)
        return Steps(
            np.full((count, m), np.nan),
            np.ones((count, m)),
            np.zeros((count, len(model.covariates))),
            np.zeros((count, len(model.inputs))),
            np.zeros((count, n)),
        )

    @staticmethod
    def join(parts: list[Steps]) -> Steps:
        """Concatenate."""
        return Steps(
            *(
                np.concatenate([getattr(p, name) for p in parts])
                for name in ("readings", "variances", "covariates", "inputs", "opened")
            )
        )


@dataclass(slots=True)
class Belief:
    """State of a filter between steps; ``gated_run`` counts each channel's gate failures in succession."""

    mean: Array
    cov: Array
    gated_run: IntArray

    @classmethod
    def prior(cls, model: StateSpace) -> Belief:
        """Belief before any reading."""
        return cls(model.mean.copy(), model.cov.copy(), np.zeros(len(model.channels), dtype=np.int64))

    def copy(self) -> Belief:
        """Independent copy."""
        return Belief(self.mean.copy(), self.cov.copy(), self.gated_run.copy())


@dataclass(frozen=True, slots=True)
class Gate:
    """Outlier policy: beyond ``sigma`` a reading is left out; after its channel's patience it is a step.

    ``step_var`` (n,): variance by which a channel's step states are opened.
    """

    sigma: float = 5.0
    step_var: Array = field(default_factory=lambda: np.zeros(0))

    def for_model(self, model: StateSpace) -> Gate:
        """The same policy with ``step_var`` filled in (zero: no state can step)."""
        n = len(model.names)
        return self if len(self.step_var) == n else replace(self, step_var=np.zeros(n))


@dataclass(frozen=True, slots=True)
class Record:
    """What a pass over T steps of n states and m channels leaves behind.

    Attributes
    ----------
    innovation, spread : (T, m) arrays
        Reading minus prediction, and its variance: negative where the reading was gated, nan where there was none.
    loglik : float
    mean : (T, n) array
        Filtered mean; this and what follows is empty unless the pass was asked to keep it.
    wide_cov : (T, n, width) array
        Filtered covariance, rows padded as the kernel has them.
    row_values : (T, supports) array
        Jacobian of each channel on the states it sees, in the order of ``Terms.support``.
    wide_gain : (T, m, width) array
        Kalman gain of each reading used.
    packed : Packed
    """

    innovation: Array
    spread: Array
    loglik: float
    mean: Array
    wide_cov: Array
    row_values: Array
    wide_gain: Array
    packed: Packed

    @property
    def cov(self) -> Array:
        """Filtered covariance, (T, n, n)."""
        return self.wide_cov[:, :, : self.packed.n]

    @property
    def gain(self) -> Array:
        """Gain of each reading, (T, m, n); without meaning where the reading was not used."""
        return self.wide_gain[:, :, : self.packed.n]

    @property
    def row(self) -> Array:
        """Jacobian of each reading, (T, m, n)."""
        terms = self.packed.terms
        out = np.zeros((len(self.row_values), self.packed.m, self.packed.n))
        out[:, np.repeat(np.arange(self.packed.m), np.diff(terms.support_start)), terms.support] = self.row_values
        return out


Engine = Callable[[StateSpace, Packed, Belief, Steps, Gate, bool], Record]


def _known_inputs(model: StateSpace, steps: Steps) -> Array:
    # input by input: a matrix product may round differently for one step than for many, and a restart would show
    driven = np.zeros((len(steps), len(model.names)))
    for k in range(len(model.inputs)):
        driven += steps.inputs[:, k, None] * model.input_matrix[:, k]
    return driven


def compiled(model: StateSpace, packed: Packed, belief: Belief, steps: Steps, gate: Gate, keep: bool = False) -> Record:
    """Run the compiled kernel over ``steps``; ``belief`` is carried on in place."""
    count = len(steps)
    record = _blank(packed, count, keep)
    gate = gate.for_model(model)
    loglik = filter_pass(
        belief.mean,
        belief.cov,
        packed.forward,
        packed.terms,
        _known_inputs(model, steps),
        np.ascontiguousarray(steps.readings),
        np.ascontiguousarray(steps.variances),
        np.ascontiguousarray(steps.covariates),
        np.ascontiguousarray(steps.opened),
        np.ascontiguousarray(steps.around),
        np.ascontiguousarray(steps.bent),
        packed.floor_var,
        packed.step_start,
        packed.step_state,
        gate.sigma,
        packed.patience,
        gate.step_var,
        belief.gated_run,
        record.mean,
        record.wide_cov,
        record.innovation,
        record.spread,
        record.row_values,
        record.wide_gain,
        keep,
    )
    return replace(record, loglik=float(loglik))


def _blank(packed: Packed, count: int, keep: bool) -> Record:
    kept, n, m, width = count if keep else 0, packed.n, packed.m, packed.forward.noise.shape[1]
    return Record(
        np.full((count, m), np.nan),
        np.full((count, m), np.nan),
        0.0,
        np.empty((kept, n)),
        np.empty((kept, n, width)),
        np.empty((kept, len(packed.terms.support))),
        np.empty((kept, m, width)),
        packed,
    )


def filterpy(model: StateSpace, packed: Packed, belief: Belief, steps: Steps, gate: Gate, keep: bool = False) -> Record:
    """The same pass through ``filterpy.kalman.KalmanFilter``: the slow reference the kernel must agree with.

    filterpy lets one nan poison the state and knows neither gates nor products, so masking, gating and linearisation
    are done here and the arithmetic of prediction and update is left to filterpy.
    """
    count, (n, m) = len(steps), (packed.n, packed.m)
    gate = gate.for_model(model)
    kf = KalmanFilter(dim_x=n, dim_z=1)
    kf.x, kf.P = belief.mean.reshape(n, 1).copy(), belief.cov.copy()
    kf.F, kf.Q = model.transition, model.noise
    driven = _known_inputs(model, steps)
    record = _blank(packed, count, keep)
    v, s, terms = record.innovation, record.spread, packed.terms
    record.wide_cov[:], record.wide_gain[:] = 0.0, 0.0
    loglik = 0.0
    for t in range(count):
        kf.predict()
        kf.x = kf.x + driven[t].reshape(n, 1)
        kf.P = kf.P + np.diag(steps.opened[t])
        for j in range(m):
            z = steps.readings[t, j]
            if np.isnan(z):
                continue
            used, h, predicted, variance, spread = _try(packed, kf, steps, t, j, gate)
            if not used:
                belief.gated_run[j] += 1
                steppable = packed.step_state[packed.step_start[j] : packed.step_start[j + 1]]
                if belief.gated_run[j] >= packed.patience[j] and len(steppable):
                    kf.P = kf.P.copy()
                    for i in steppable:
                        kf.P[i, i] += gate.step_var[i]
                    belief.gated_run[j] = 0
                    used, h, predicted, variance, spread = _try(packed, kf, steps, t, j, gate)
            v[t, j] = z - predicted
            s[t, j] = spread if used else -spread
            if not used:
                continue
            belief.gated_run[j] = 0
            # filterpy's residual is z - H x; the products make prediction and H x differ
            kf.update(v[t, j] + (h @ kf.x).item(), R=np.array([[variance]]), H=h.reshape(1, n))
            loglik -= 0.5 * (np.log(2 * np.pi * spread) + v[t, j] ** 2 / spread)
            if keep:
                own = slice(terms.support_start[j], terms.support_start[j + 1])
                record.row_values[t, own], record.wide_gain[t, j, :n] = h[terms.support[own]], kf.K[:, 0]
        if keep:
            record.mean[t], record.wide_cov[t, :, :n] = kf.x[:, 0], kf.P
    belief.mean, belief.cov = kf.x[:, 0].copy(), kf.P.copy()
    return replace(record, loglik=loglik)


def _try(
    packed: Packed, kf: KalmanFilter, steps: Steps, t: int, j: int, gate: Gate
) -> tuple[bool, Array, float, float, float]:
    x, h, terms = kf.x[:, 0], np.zeros(packed.n), packed.terms
    placed = len(steps.around) > 0 and terms.paired[j]
    at = steps.around[t] if placed else x
    predicted = float(terms.constant[j])
    for a in range(terms.start[j], terms.start[j + 1]):
        i, other, covariate = terms.state[a], terms.other[a], terms.covariate[a]
        weight = terms.weight[a] * (steps.covariates[t, covariate] if covariate >= 0 else 1.0)
        if other >= 0:
            predicted += weight * at[i] * at[other]
            h[i] += weight * at[other]
            h[other] += weight * at[i]
        else:
            predicted += weight * at[i]
            h[i] += weight
    if placed:
        predicted += float(h @ (x - at)) + steps.bent[t, j, 0]
    variance = float(steps.variances[t, j] + packed.floor_var[j])
    form = np.zeros((packed.n, packed.n))  # of the products: the row is x' form x beside its linear part
    for a in range(terms.start[j], terms.start[j + 1]):
        if terms.bent[a]:
            weight = terms.weight[a] * (steps.covariates[t, terms.covariate[a]] if terms.covariate[a] >= 0 else 1.0)
            form[terms.state[a], terms.other[a]] += 0.5 * weight
            form[terms.other[a], terms.state[a]] += 0.5 * weight
    if placed:
        variance += float(steps.bent[t, j, 1])
    elif form.any():
        bent = form @ kf.P
        predicted += float(np.trace(bent))
        variance += 2.0 * float(np.trace(bent @ bent))
    spread = float(h @ kf.P @ h) + variance
    residual = steps.readings[t, j] - predicted
    return bool(residual**2 <= gate.sigma**2 * spread), h, predicted, variance, spread


ENGINES: dict[str, Engine] = {"compiled": compiled, "filterpy": filterpy}


def engine(name: str) -> Engine:
    """Engine by its name in the configuration."""
    try:
        return ENGINES[name]
    except KeyError:
        raise ModelError(f"no engine {name!r}; there are {', '.join(ENGINES)}") from None
