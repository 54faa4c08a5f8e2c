"""What a record says about the time constants of its warm-ups, as a sharper prior for the smoother.

A bank of exponentials with independent amplitudes (:func:`models.focal.warmup_bank`) allows any relaxation, and pays for it:
six amplitudes are sought where most warm-ups have one amplitude and one time constant. Here the hypotheses "one
exponential of this time constant" are weighed against the bank itself by the likelihood of the whole record. In the space
of a bank's amplitudes every hypothesis is a Gaussian, so that one forward pass of the filter serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.engine import Belief, Gate, Steps, compiled
from models.estimate import Array
from models.packing import Packed
from models.statespace import Observation, StateSpace

APART = (0.02, 0.1, 0.3, 1.0)  # beside the one exponential: a bank of this part of the amplitude; 1: the bank alone
CHANCE = (0.5, 0.15, 0.15, 0.2)  # their prior probabilities
NODES = 31  # time constants tried at a time
ZOOMS = 4  # onto the likely ones
NARROW = 0.3  # σ of ln τ below which a warm-up is linear in it
WIDER = 3.0  # prior of ln τ in σ of what the record says, so that the record is not counted twice
SWEEPS = 2  # over all banks, each given what has become of the others


@dataclass(frozen=True)
class Bank:
    """States of one warm-up: indices, time constants [s], prior σ of one amplitude."""

    states: tuple[int, ...]
    tau: Array
    sigma: float


def banks_of(model: StateSpace) -> list[Bank]:
    """Warm-up banks of a model, found by their states' names ``….warmup.K``."""
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(model.names):
        head, _, tail = name.rpartition(".")
        if head.endswith(".warmup") and tail.isdigit():
            groups.setdefault(head, []).append(i)
    return [
        Bank(tuple(states), -1.0 / np.diag(model.drift)[states], float(np.sqrt(model.cov[states[0], states[0]])))
        for states in groups.values()
        if len(states) > 1 and model.cov[states[0], states[0]] > 0
    ]


def with_evidence(model: StateSpace, prior: Belief, steps: Steps, gate: Gate) -> Belief:
    """The prior with each bank's amplitudes distributed as the record's evidence about its time constants suggests.

    With the likelihood of all amplitudes ``exp(b'a - a'M a/2)`` (M, b from the last belief of a filter whose banks are
    constants), a hypothesis with prior ``N(0, V)`` has the log evidence ``b'P b/2 - ln det(I + V M)/2``, P = (I + V M)⁻¹ V.
    One exponential of time constant τ has ``V = σ² w(τ) w(τ)'``, w its amplitudes in the bank. Where the record determines
    τ, the prior becomes ``σ² (w w' + (3δ)² w_τ w_τ')``, the exponential linearised about its likeliest ln τ, δ being the
    σ of that; where it doesn't, the mean of V over what is likely. Beside it stays a smaller
    bank: of 2, 10 or 30 % of the amplitude, or all of it, their geometric mean by what is likely.

    Parameters
    ----------
    prior : Belief
        Before the first step.
    steps : Steps
        The whole record.

    Notes
    -----
    The prior returned has seen the record: it is for smoothing *this* record, once. A bank is left as it is where its
    belief is no longer the model's prior (a snapshot) or where it is re-armed within the record. Wrong where a warm-up
    consists of few exponentials that the record can just not tell from one: σ is then somewhat too small.
    """
    armed = np.any(steps.opened > 0.0, axis=0)
    banks = [bank for bank in banks_of(model) if not armed[list(bank.states)].any() and _untouched(model, prior, bank)]
    if not banks or not np.isfinite(steps.readings).any():
        return prior
    index = np.concatenate([bank.states for bank in banks]).astype(int)
    unit = np.concatenate([np.full(len(bank.tau), bank.sigma) for bank in banks])
    information, pull = _likelihood(model, prior, steps, gate, banks, index, unit)
    covs = np.eye(len(index))
    starts = np.cumsum([0, *(len(bank.tau) for bank in banks)])
    for _ in range(SWEEPS):
        for k, bank in enumerate(banks):
            own = slice(int(starts[k]), int(starts[k + 1]))
            covs[own, own] = _Evidence(information, pull, covs, own, Shapes(bank.tau)).prior()
    belief = prior.copy()
    belief.cov[np.ix_(index, index)] = covs * np.outer(unit, unit)
    return belief


class Shapes:
    """A single exponential in the amplitudes of a bank.

    Examples
    --------
    >>> shapes = Shapes(np.geomspace(300.0, 10800.0, 6))
    >>> [float(abs(w).round(3)) for w in shapes.of(np.log(300.0))]
    [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, tau: Array) -> None:
        self.low, self.high = float(np.log(tau.min())), float(np.log(tau.max()))
        self._time = np.concatenate([[0.0], np.geomspace(0.01 * tau.min(), 8.0 * tau.max(), 200)])
        self._fit = np.linalg.pinv(np.exp(-self._time[:, None] / tau), rcond=1e-6)

    def of(self, log_tau: float) -> Array:
        """Amplitudes by which the bank comes closest to ``exp(-t/τ)``, evenly over the logarithm of time."""
        return np.asarray(self._fit @ np.exp(-self._time / np.exp(log_tau)))

    def slope(self, log_tau: float) -> Array:
        """Their derivative by ln τ."""
        return (self.of(log_tau + 0.02) - self.of(log_tau - 0.02)) / 0.04


@dataclass(frozen=True)
class _Evidence:
    """Hypotheses about one bank (at ``own``), the others having the prior covariances ``covs``."""

    information: Array
    pull: Array
    covs: Array
    own: slice
    shapes: Shapes

    def of(self, cov: Array) -> float:
        """Log evidence of a prior covariance of the bank."""
        covs = self.covs.copy()
        covs[self.own, self.own] = cov
        system = np.eye(len(covs)) + covs @ self.information
        quadratic = self.pull @ np.linalg.solve(system, covs @ self.pull)
        return float(0.5 * quadratic - 0.5 * np.linalg.slogdet(system)[1])

    def _single(self, log_tau: float) -> Array:
        shape = self.shapes.of(log_tau)
        return np.asarray(len(shape) * np.outer(shape, shape))

    def _over_tau(self, beside: Array) -> tuple[Array, Array, float]:
        """Values of ln τ, their weights, and the log evidence of one exponential (flat prior) with ``beside`` beside it."""
        low, high = self.shapes.low, self.shapes.high
        first, last = low, high
        for _ in range(ZOOMS):
            nodes = np.linspace(first, last, NODES)
            spacing = nodes[1] - nodes[0]
            evidence = np.array([self.of(self._single(x) + beside) for x in nodes])
            weight = np.exp(evidence - evidence.max())
            total = evidence.max() + np.log(weight.sum() * spacing / (high - low))
            weight /= weight.sum()
            centre, delta = _moments(nodes, weight)
            if delta > 1.5 * spacing:
                break
            reach = 5.0 * max(delta, spacing)
            first, last = max(low, centre - reach), min(high, centre + reach)
        return nodes, weight, float(total)

    def prior(self) -> Array:
        """The bank's prior covariance in the light of the evidence, in units of one amplitude's variance."""
        one = np.eye(self.own.stop - self.own.start)
        tried = [self._over_tau(part**2 * one) for part in APART[:-1]]
        evidence = np.array([total for _, _, total in tried] + [self.of(one)])
        chance = np.array(CHANCE) * np.exp(evidence - evidence.max())
        chance /= chance.sum()
        beside = np.exp(2.0 * chance @ np.log(APART)) * one
        nodes, weight, _ = tried[int(chance[:-1].argmax())]
        centre, delta = _moments(nodes, weight)
        if delta < NARROW:
            slope = self.shapes.slope(centre)
            return np.asarray(
                self._single(centre) + len(slope) * (WIDER * delta) ** 2 * np.outer(slope, slope) + beside
            )
        spread = sum(w * self._single(x) for w, x in zip(weight, nodes, strict=True))
        return np.asarray(spread + beside)


def _moments(nodes: Array, weight: Array) -> tuple[float, float]:
    centre = float(weight @ nodes)
    return centre, float(np.sqrt(weight @ (nodes - centre) ** 2))


def _untouched(model: StateSpace, prior: Belief, bank: Bank) -> bool:
    rows = list(bank.states)
    return bool(np.array_equal(prior.cov[rows], model.cov[rows]) and np.array_equal(prior.mean[rows], model.mean[rows]))


def _likelihood(
    model: StateSpace, prior: Belief, steps: Steps, gate: Gate, banks: list[Bank], index: Array, unit: Array
) -> tuple[Array, Array]:
    """M and b of all banks' amplitudes before the first step, everything else integrated out.

    The banks become constants, and their decay known covariates: so the last belief tells of amplitudes at the start, which
    carried backwards in time it could not.
    """
    rates = sorted({float(tau) for bank in banks for tau in bank.tau})
    label = {tau: f"decay.{k}" for k, tau in enumerate(rates)}
    decay = {model.names[i]: label[float(tau)] for bank in banks for i, tau in zip(bank.states, bank.tau, strict=True)}
    transition = model.transition.copy()
    transition[index, index] = 1.0
    still = replace(
        model,
        transition=transition,
        covariates=(*model.covariates, *label.values()),
        observations=tuple(_on_constants(observation, decay) for observation in model.observations),
    )
    elapsed = model.step_s * np.arange(1, len(steps) + 1)
    given = replace(steps, covariates=np.hstack([steps.covariates, np.exp(-elapsed[:, None] / np.array(rates))]))
    belief = prior.copy()
    compiled(still, Packed.of(still), belief, given, gate)
    cov = belief.cov[np.ix_(index, index)] / np.outer(unit, unit)
    precision = np.linalg.inv(0.5 * (cov + cov.T))
    values, vectors = np.linalg.eigh(0.5 * (precision + precision.T) - np.eye(len(index)))
    return (vectors * np.maximum(values, 0.0)) @ vectors.T, precision @ (belief.mean[index] / unit)


def _on_constants(observation: Observation, decay: dict[str, str]) -> Observation:
    moved = tuple((state, decay[state], weight) for state, weight in observation.linear if state in decay)
    left = tuple((state, weight) for state, weight in observation.linear if state not in decay)
    return replace(observation, linear=left, covariates=(*observation.covariates, *moved))
