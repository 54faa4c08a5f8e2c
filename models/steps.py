"""Steps recognised while they happen: hypotheses "it stepped at τ" beside the filter that knows of no step.

Willsky & Jones 1976, IEEE Trans. Autom. Control 21, 108 (generalised likelihood ratio), with a prior on the size instead of
a maximum over it. A step of size θ·σ at τ moves the error of the no-step filter's mean by θ·f, a *signature* that follows
from the filter's own gains; so each hypothesis costs O(n) per scalar reading and needs no filter of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.engine import Record
from models.estimate import Array
from models.packing import IntArray, Packed
from models.step_kernel import follow_pass, moments, posterior_pass

WINDOW_S = 3600.0  # a step older than this is no longer "recent": its hypotheses are merged into the filter
FEWEST, MOST = 8, 32  # hypotheses kept whatever their age; above, neighbours in time become one
_CARRIED = ("time", "since", "prior", "scale", "signature", "past", "score", "information")
CAUTION = 4.0  # the belief given out reckons with that many times the stated rate; events are judged by the stated one
LIGHT = 0.02  # a hypothesis that leaves with more takes all older ones along


@dataclass(frozen=True, slots=True)
class Stepping:
    """What may step together, and how often.

    Attributes
    ----------
    name : str
        The body (source, object) or ``flux``.
    states : tuple of str, length p
        They jump at the same instant by independent amounts.
    sigma : (p,) tuple
        Usual size of a step, in the states' units; above 0.
    rate : float
        Expected steps per second.
    """

    name: str
    states: tuple[str, ...]
    sigma: tuple[float, ...]
    rate: float


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step that was recognised: when it most likely happened, what stepped, by how much.

    ``time`` is the instant of the first reading after it [s since 1970], ``since`` that of the last reading before;
    ``size``, ``sigma`` (p,) in the states' units; ``told`` is the instant it was recognised. A ``breakdown`` (``kind``) was
    gone with the next reading.
    """

    told: float
    time: float
    since: float
    name: str
    states: tuple[str, ...]
    size: tuple[float, ...]
    sigma: tuple[float, ...]
    probability: float
    kind: str = "step"

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> StepEvent:
        """From what ``dataclasses.asdict`` made of it, also after JSON."""
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in stored.items()}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Posterior:
    """Probability (K,) of each hypothesis with caution, mean (K, p) and E θθ' (K, p, p) of its size in prior σ."""

    probability: Array
    size: Array
    second: Array

    @property
    def any(self) -> float:
        """Probability that there was a recent step."""
        return float(self.probability.sum())


class Bank:
    """Hypotheses about the most recent step of one body, and the posterior over them.

    With θ ~ N(0, I) in units of σ, score d and information Λ, the size is N(M d, M), M = (I + Λ)⁻¹, and the odds against no
    step are ``ρ Δt |I + Λ|^(-1/2) exp(½ d' M d)``. Exact for a linear model with at most one recent step. A time Δt so long
    that several steps are likely counts as one step of the same second moment.

    Notes
    -----
    A mixture by the stated rate ρ holds 95 % of the truth over all times together, but less in the hour after a step, while
    the readings have not told yet. The belief given out reckons with 4 ρ, which widens σ between steps (decision 17).

    Hypotheses older than an hour (if more than 8 are younger) are merged into the filter by moment matching, which ends the
    assumption of one step at most: the filter forgets that they were alternatives to the younger ones. Above 32 the two
    neighbours that cost least become one.
    """

    def __init__(self, stepping: Stepping, packed: Packed, states: Sequence[int]) -> None:
        self.stepping = stepping
        self._packed = packed
        self.states = tuple(int(i) for i in states)
        self._states: IntArray = np.asarray(states, dtype=np.int64)
        self._sigma = np.asarray(stepping.sigma, float)
        self.past: Array = np.zeros((0, len(states), 0))
        self.pending_s = 0.0  # since the last reading that could see a step
        self.clear()

    def clear(self, anchored: int | None = None) -> None:
        """No step is suspected; from now on ``anchored`` quantities of the past are carried along (None: as before)."""
        p, n = len(self._states), self._packed.n
        anchored = self.past.shape[2] if anchored is None else anchored
        self.time, self.since = np.zeros(0), np.zeros(0)
        self.prior = np.zeros(0)  # log odds against no step
        self.scale = np.zeros(0)
        self.signature, self.past = np.zeros((0, p, n)), np.zeros((0, p, anchored))
        self.score, self.information = np.zeros((0, p)), np.zeros((0, p, p))
        self._posterior: Posterior | None = None

    def __len__(self) -> int:
        return len(self.time)

    @property
    def whole(self) -> IntArray:
        """Indices of all hypotheses."""
        return np.arange(len(self), dtype=np.int64)

    def follow(self, time: float, step_s: float, record: Record, anchored: Array | None = None) -> None:
        """Take one recorded step in (a pass of length 1 that kept its rows and gains).

        ``anchored`` (m, A): by how much each scalar's innovation moved the quantities of the past that are carried along.
        """
        self.pending_s += step_s
        used = np.flatnonzero(record.spread[0] > 0)
        carried = len(self)
        if used.size and np.any(record.row[0][np.ix_(used, self._states)] != 0.0):
            self._open(time)
        if len(self):
            motion = self._packed.forward
            none = np.zeros((record.spread.shape[1], 0))
            follow_pass(
                motion.indptr, motion.indices, motion.values, carried, self.signature, self.past, self.score,
                self.information, record.innovation[0], record.spread[0], record.row[0],
                np.ascontiguousarray(record.gain[0]), none if anchored is None else anchored,
            )  # fmt: skip
        if used.size:
            self._posterior = None

    def _open(self, time: float) -> None:
        """A hypothesis: it stepped since the last reading that could have seen it."""
        p, n = len(self._states), self._packed.n
        expected = self.stepping.rate * self.pending_s
        scale = float(np.sqrt(expected / -np.expm1(-expected)))
        signature = np.zeros((1, p, n))
        signature[0, np.arange(p), self._states] = self._sigma * scale
        self.since = np.append(self.since, time - self.pending_s)
        self.time = np.append(self.time, time)
        self.prior = np.append(self.prior, np.log(CAUTION * np.expm1(expected)))
        self.scale = np.append(self.scale, scale)
        self.signature = np.concatenate([self.signature, signature])
        self.past = np.concatenate([self.past, np.zeros((1, p, self.past.shape[2]))])
        self.score = np.concatenate([self.score, np.zeros((1, p))])
        self.information = np.concatenate([self.information, np.zeros((1, p, p))])
        self.pending_s = 0.0

    @property
    def posterior(self) -> Posterior:
        """What the readings so far say."""
        if self._posterior is None:
            count, p = self.score.shape
            at = Posterior(np.empty(count), np.empty((count, p)), np.empty((count, p, p)))
            posterior_pass(self.prior, self.score, self.information, at.probability, at.size, at.second)
            self._posterior = at
        return self._posterior

    @property
    def chance(self) -> float:
        """Probability that there was a recent step at the stated rate, without caution."""
        doubted = self.posterior.any
        return doubted / (doubted + CAUTION * (1.0 - doubted))

    def add(self, mean: Array, cov: Array) -> None:
        """Turn the no-step belief (n,), (n, n) into the mixture's, in place, a step since the last reading included."""
        if len(self):
            at = self.posterior
            moments(self.signature, at.probability, at.size, at.second, mean, cov)
        cov[self._states, self._states] += CAUTION * self.stepping.rate * self.pending_s * self._sigma**2

    def joint(self) -> Array:
        """Signatures of the past and of the state together, (K, p, anchored + n)."""
        return np.concatenate([self.past, self.signature], axis=2)

    def sizes(self) -> tuple[Array, Array]:
        """Mean size and σ given that there was a step, in the states' units: two (p,) arrays."""
        at = self.posterior
        share = at.probability / at.any
        unit = self.scale[:, None] * self._sigma
        mean = share @ (at.size * unit)
        second = share @ (np.einsum("kcc->kc", at.second) * unit**2)
        return mean, np.sqrt(np.maximum(second - mean**2, 0.0))

    def event(self, told: float) -> StepEvent:
        """The step as it is believed now."""
        at = self.posterior
        k = int(at.probability.argmax())
        size, sigma = self.sizes()
        return StepEvent(
            told, float(self.time[k]), float(self.since[k]), self.stepping.name, self.stepping.states,
            tuple(size.tolist()), tuple(sigma.tolist()), self.chance,
        )  # fmt: skip

    def leaving(self, now: float) -> IntArray:
        """Hypotheses that have become too old, (L,) indices; with a weighty one all of the older half go."""
        old = int(np.sum(self.time < now - WINDOW_S))
        count = max(min(old, len(self) - FEWEST), 0)
        if count and self.posterior.probability[:count].max() > LIGHT:
            count = max(count, int(np.sum(self.time < now - 0.5 * WINDOW_S)))
        return np.arange(count, dtype=np.int64)

    def share(self, which: IntArray) -> Posterior:
        """The hypotheses ``which`` against none alone: what is merged into the filter when they leave."""
        at = self.posterior
        probability = at.probability[which]
        rest = 1.0 - at.any
        return Posterior(probability / (probability.sum() + rest), at.size[which], at.second[which])

    def forget(self, which: IntArray) -> None:
        """Drop hypotheses; "none" takes their weight."""
        at = self.posterior
        rest = 1.0 - at.any
        keep = np.setdiff1d(self.whole, which)
        self.prior = self.prior - np.log1p(at.probability[which].sum() / rest)
        self._keep(keep)

    def thin(self) -> None:
        """Above the most that are kept, the two neighbours become one whose merging costs least."""
        while len(self) > MOST:
            weight = self.posterior.probability
            gap = np.diff(self.time) / (self.time[-1] - self.time[:-1])
            k = int(np.argmin(np.minimum(weight[:-1], weight[1:]) * gap))
            survivor, other = (k, k + 1) if weight[k] >= weight[k + 1] else (k + 1, k)
            self.prior[survivor] = np.logaddexp(self.prior[survivor], self.prior[other])
            self.since[survivor] = self.since[k]
            self._keep(np.delete(self.whole, other))

    def _keep(self, keep: IntArray) -> None:
        for name in _CARRIED:
            setattr(self, name, np.ascontiguousarray(getattr(self, name)[keep]))
        self._posterior = None

    def state(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {"pending_s": self.pending_s, "anchored": self.past.shape[2]} | {
            name: getattr(self, name).tolist() for name in _CARRIED
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state` was taken."""
        self.clear(int(state["anchored"]))
        self.pending_s = float(state["pending_s"])
        if state["time"]:
            for name in _CARRIED:
                setattr(self, name, np.array(state[name], float))
