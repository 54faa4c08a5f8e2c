"""The live filter with its doubts: the belief that nothing stepped lately, and what speaks for it that something did.

Small steps are hypotheses of a :class:`models.steps.Bank`. A reading beyond the gate is either wrong or the first after a
large step: it forks the filter (:class:`models.fork.Fork`), and both go on with the odds that the readings give them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from models.anchors import Anchors
from models.engine import Belief, Engine, Gate, Record, Steps
from models.estimate import Array
from models.fork import UNEXPECTED, Fork, log_evidence
from models.packing import IntArray, Packed
from models.statespace import StateSpace
from models.step_kernel import moments
from models.steps import WINDOW_S, Bank, Posterior, StepEvent, Stepping

DECISIVE = 0.95  # probability that makes an event of a suspicion
NEVER = np.iinfo(np.int64).max


class Recognition:
    """A filter that recognises steps; :meth:`belief` is the moment-matched mixture of all it holds possible.

    Parameters
    ----------
    steppings : sequence of Stepping
        What is expected to step by amounts that may stay below the gate.

    Notes
    -----
    Bodies step independently: each has its bank, and what the banks say adds up. When a bank's probability of a step
    passes 0.95, the mixture becomes the filter's belief (which moves nothing that was given out) and there is an event. A
    fork above 0.95 becomes the filter as soon as its channel's patience is reached (at least one further reading); below
    0.05 the reading was an outlier, or, where the patience is 1, a breakdown of one projection. After an hour the likelier
    one stays.
    A reading that neither branch can use opens the fork once more.
    """

    def __init__(
        self, model: StateSpace, packed: Packed, gate: Gate, run: Engine, steppings: Sequence[Stepping]
    ) -> None:
        self._model, self._gate, self._run = model, gate.for_model(model), run
        # what stepped is decided here, not by the kernel's patience
        self._packed = replace(packed, patience=np.full_like(packed.patience, NEVER))
        self._patience = packed.patience
        self.plain = Belief.prior(model)
        self.banks = [Bank(s, packed, [model.index(name) for name in s.states]) for s in steppings]
        self.fork: Fork | None = None
        self.anchors: Anchors | None = None
        self._seen = np.full(packed.m, np.nan)  # when each channel's last reading was used

    # --- one step ------------------------------------------------------------------------------------------------------

    def advance(self, time: float, steps: Steps) -> tuple[Record, list[StepEvent]]:
        """Take one step of readings; what the plain branch made of it, and what was recognised."""
        before = self.plain.copy(), None if self.anchors is None else self.anchors.copy()
        record = self._follow(self.plain, steps)
        gain = None if self.anchors is None else self.anchors.follow(self._model.transition, record)
        for bank in self.banks:
            bank.follow(time, self._model.step_s, record, gain)
        events = self._advance_fork(time, steps, record, *before)
        for bank in self.banks:
            if len(bank) and bank.chance > DECISIVE:
                events.append(bank.event(time))
                self._merge(bank, bank.posterior, bank.whole)
                bank.clear()
            leaving = bank.leaving(time)
            if leaving.size:
                self._merge(bank, bank.share(leaving), leaving)
                bank.forget(leaving)
            bank.thin()
        self._seen[record.spread[0] > 0] = time
        return record, events

    def _follow(self, belief: Belief, steps: Steps) -> Record:
        return self._run(self._model, self._packed, belief, steps, self._gate, True)

    def _merge(self, bank: Bank, share: Posterior, which: IntArray) -> None:
        """Hypotheses become part of the plain branch, by moments."""
        mean, cov = _joint_moments(bank, share, which)
        a = len(mean) - self._packed.n
        self.plain.mean += mean[a:]
        self.plain.cov += cov[a:, a:]
        if self.anchors is not None:
            self.anchors.shift(mean, cov)

    # --- forks ---------------------------------------------------------------------------------------------------------

    def _advance_fork(
        self, time: float, steps: Steps, record: Record, before: Belief, anchors: Anchors | None
    ) -> list[StepEvent]:
        gated = [int(j) for j in np.flatnonzero(record.spread[0] < 0) if self._states_of([int(j)])]
        if self.fork is None:
            if gated:
                self._open(time, steps, gated, before, anchors, record, 0.0)
            return []
        fork = self.fork
        former = fork.belief.copy(), None if fork.anchors is None else fork.anchors.copy()
        other = self._follow(fork.belief, steps)
        if fork.anchors is not None:
            fork.anchors.follow(self._model.transition, other)
        # a reading that neither takes is a second step where it is the fork's own, or must be followed at once
        lost = [j for j in gated if other.spread[0, j] < 0 and (j in fork.channels or self._patience[j] == 1)]
        if lost:
            self._open(time, steps, lost, *former, record, fork.log_odds)
            self.fork = _continued(self.fork, fork)
            return []
        fork.log_odds += log_evidence(other, self._gate.sigma) - log_evidence(record, self._gate.sigma)
        own = [j for j in fork.channels if not np.isnan(record.spread[0, j])]
        fork.confirmed += bool(own)
        if own:
            fork.ahead = any(self._patience[j] == 1 and record.spread[0, j] < 0 for j in own)
        return self._settle(fork, time)

    def _open(
        self,
        time: float,
        steps: Steps,
        gated: list[int],
        belief: Belief,
        anchors: Anchors | None,
        record: Record,
        log_odds: float,
    ) -> None:
        """Fork from the belief before this step: the states of the gated channels may have stepped."""
        states = self._states_of(gated)
        opened = steps.opened.copy()
        opened[0, states] += self._gate.step_var[states]
        other = self._follow(belief, replace(steps, opened=opened))
        if anchors is not None:
            anchors.follow(self._model.transition, other)
        since = float(np.nanmin(np.append(self._seen[gated], time - self._model.step_s)))
        rate = max([b.stepping.rate for b in self._concerned(states)], default=UNEXPECTED)
        log_odds += float(np.log(-np.expm1(-rate * (time - since))))
        log_odds += log_evidence(other, self._gate.sigma) - log_evidence(record, self._gate.sigma)
        rows = other.row[0][other.spread[0] > 0]
        fork = Fork(belief, anchors, log_odds, since, time, tuple(gated), tuple(states), rows)
        fork.first = fork.sizes(self.plain)
        fork.ahead = any(self._patience[j] == 1 for j in gated)
        self.fork = fork

    def _states_of(self, channels: Sequence[int]) -> list[int]:
        """States that a step seen by these channels may have moved: their own, and what jumps together with those."""
        p = self._packed
        own = {int(i) for j in channels for i in p.step_state[p.step_start[j] : p.step_start[j + 1]]}
        for bank in self.banks:
            if own & set(bank.states):
                own |= set(bank.states)
        return sorted(i for i in own if self._gate.step_var[i] > 0)

    def _concerned(self, states: Sequence[int]) -> list[Bank]:
        return [bank for bank in self.banks if set(states) & set(bank.states)]

    def _chance(self, fork: Fork) -> float:
        return fork.chance(float(np.prod([1.0 - b.chance for b in self._concerned(fork.states)])))

    def _settle(self, fork: Fork, time: float) -> list[StepEvent]:
        """Decide between the branches, if they can be told apart."""
        chance, old = self._chance(fork), time - fork.time > WINDOW_S
        enough = fork.confirmed >= max(min(int(self._patience[j]) for j in fork.channels) - 1, 1)
        if enough and (chance > DECISIVE or (old and chance > 0.5)):
            events = self._events(fork, time, chance, "step", fork.sizes(self.plain))
            self.plain, self.anchors = fork.belief, fork.anchors
            for bank in self._concerned(fork.states):
                bank.clear()
        elif (fork.confirmed and chance < 1.0 - DECISIVE) or old:
            follows = any(self._patience[j] == 1 for j in fork.channels)
            events = self._events(fork, time, 1.0 - chance, "breakdown", fork.first) if follows else []
        else:
            return []
        self.fork = None
        return events

    def _events(
        self, fork: Fork, told: float, probability: float, kind: str, sizes: Sequence[tuple[float, float]]
    ) -> list[StepEvent]:
        """One event per body that was opened."""
        bodies: dict[str, list[int]] = {}
        for k, i in enumerate(fork.states):
            bodies.setdefault(body_of(self._model.names[i]), []).append(k)
        return [
            StepEvent(
                told, fork.time, fork.since, body, tuple(self._model.names[fork.states[k]] for k in which),
                tuple(sizes[k][0] for k in which), tuple(sizes[k][1] for k in which), probability, kind,
            )
            for body, which in bodies.items()
        ]  # fmt: skip

    # --- what is given out ---------------------------------------------------------------------------------------------

    def belief(self) -> Belief:
        """Moment-matched belief over all branches and hypotheses."""
        given = self._with_banks(self.plain, self.banks)
        if self.fork is None:
            return given
        concerned = self._concerned(self.fork.states)
        other = self._with_banks(self.fork.belief, [b for b in self.banks if b not in concerned])
        p = 1.0 if self.fork.ahead else self._chance(self.fork)
        apart = other.mean - given.mean
        mean = given.mean + p * apart
        cov = (1.0 - p) * given.cov + p * other.cov + p * (1.0 - p) * np.outer(apart, apart)
        return Belief(mean, cov, given.gated_run)

    @staticmethod
    def _with_banks(belief: Belief, banks: Sequence[Bank]) -> Belief:
        given = belief.copy()
        for bank in banks:
            bank.add(given.mean, given.cov)
        return given

    # --- instants of the past ------------------------------------------------------------------------------------------

    def watch_past(self, anchors: Anchors | None) -> None:
        """Remember instants from here on (``anchors``, empty), or no more."""
        self.anchors = anchors
        for bank in self.banks:
            bank.past = bank.past[:, :, :0]
        if self.fork is not None:
            self.fork.anchors = None if anchors is None else anchors.copy()

    def drop_anchor(self, time: float, mean: Array, rows: Array) -> None:
        """Remember outputs of the present, linearised at the plain branch's mean."""
        if self.anchors is None:
            return
        count, q = len(self.anchors.times), self.anchors.q
        self.anchors.drop(time, mean, rows, self.plain.cov)
        if self.anchors.times[-1] != time:
            return
        thinned = len(self.anchors.times) <= count
        for bank in self.banks:
            k, p, _ = bank.past.shape
            past = bank.past.reshape(k, p, count, q)[:, :, :: 2 if thinned else 1]
            here = bank.signature @ rows.T
            bank.past = np.concatenate([past.reshape(k, p, past.shape[2] * q), here], axis=2)
        fork = self.fork
        if fork is not None and fork.anchors is not None:
            there = mean + rows @ (fork.belief.mean - self.plain.mean)
            fork.anchors.drop(time, there, rows, fork.belief.cov)

    def past(self) -> Anchors | None:
        """The instants of the past as they are known by all branches and hypotheses together."""
        if self.anchors is None:
            return None
        given = self._past_with_banks(self.anchors, self.banks)
        fork = self.fork
        if fork is None or fork.anchors is None:
            return given
        concerned = self._concerned(fork.states)
        other = self._past_with_banks(fork.anchors, [b for b in self.banks if b not in concerned])
        p = 1.0 if fork.ahead else self._chance(fork)
        apart = other.mean - given.mean
        beyond = self._with_banks(fork.belief, [b for b in self.banks if b not in concerned]).mean
        beyond = beyond - self._with_banks(self.plain, self.banks).mean
        w = p * (1.0 - p)
        given.cov = (1.0 - p) * given.cov + p * other.cov + w * np.einsum("ab,cd->abcd", apart, apart)
        given.cross = (1.0 - p) * given.cross + p * other.cross + w * np.einsum("ab,n->abn", apart, beyond)
        given.mean = given.mean + p * apart
        return given

    @staticmethod
    def _past_with_banks(anchors: Anchors, banks: Sequence[Bank]) -> Anchors:
        given = anchors.copy()
        for bank in banks:
            if len(bank):
                given.shift(*_joint_moments(bank, bank.posterior, bank.whole))
        return given

    # --- restart -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All that decides what comes next, as JSON-able data; floats survive exactly."""
        return {
            "mean": self.plain.mean.tolist(), "cov": self.plain.cov.tolist(),
            "gated_run": self.plain.gated_run.tolist(), "banks": [bank.state() for bank in self.banks],
            "fork": None if self.fork is None else self.fork.state(),
            "anchors": None if self.anchors is None else self.anchors.state(),
            "seen": [None if np.isnan(t) else float(t) for t in self._seen],
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any], anchors: Anchors | None) -> None:
        """Continue where :meth:`state` was taken; ``anchors`` are empty ones if instants were remembered, else None."""
        self.plain = Belief(
            np.array(state["mean"], float), np.array(state["cov"], float), np.array(state["gated_run"], np.int64)
        )
        if anchors is not None and state["anchors"] is not None:
            anchors.restore(state["anchors"])
        self.anchors = anchors
        for bank, stored in zip(self.banks, state["banks"], strict=True):
            bank.restore(stored)
        self.fork = None
        if state["fork"] is not None:
            kept = state["fork"]["anchors"]
            self.fork = Fork.restored(
                state["fork"], None if anchors is None or kept is None else Anchors(anchors.q, anchors.n, 0.0)
            )
        self._seen = np.array([np.nan if t is None else t for t in state["seen"]])


def body_of(state: str) -> str:
    """What a state belongs to, as events name it: ``source``, ``object``, ``flux``, ``temperature``."""
    return state.split(".")[0]


def _joint_moments(bank: Bank, share: Posterior, which: IntArray) -> tuple[Array, Array]:
    signature = np.ascontiguousarray(bank.joint()[which])
    size = signature.shape[2]
    mean, cov = np.zeros(size), np.zeros((size, size))
    moments(signature, share.probability, share.size, share.second, mean, cov)
    return mean, cov


def _continued(fork: Fork | None, former: Fork) -> Fork | None:
    """A fork that was opened once more keeps when and where it began."""
    if fork is not None:
        fork.since, fork.time, fork.first, fork.confirmed = former.since, former.time, former.first, former.confirmed
        fork.channels = tuple(sorted({*fork.channels, *former.channels}))
        fork.states = tuple(sorted({*fork.states, *former.states}))
    return fork
