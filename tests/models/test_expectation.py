"""Innovations as several hypotheses share them, against the belief itself carried on densely."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine import Belief, Gate, Steps, compiled
from models.expectation import shared_innovations
from models.packing import Packed
from models.statespace import Block, Observation, StateSpace


def machine(channels: int) -> StateSpace:
    """Three states that mix, seen by some channels."""
    drift = np.array([[-1e-2, 1e-2, 0.0], [5e-3, -2e-2, 0.0], [0.0, 1e-2, 0.0]])
    block = Block(
        ("a", "b", "c"), ("m",) * 3, drift, np.diag([1e-3, 2e-3, 5e-4]), np.zeros(3), np.diag([1.0, 2.0, 0.5])
    )
    rows = ((("a", 1.0), ("c", 0.5)), (("b", 2.0),), (("c", 1.0), ("b", -1.0)))
    return StateSpace.assemble([block], [Observation(f"z{j}", rows[j]) for j in range(channels)], 10.0, ())


def one_step(model: StateSpace, belief: Belief, values: list[float]):
    steps = Steps.empty(model, 1)
    steps.readings[0], steps.variances[0] = values, 0.3
    return compiled(model, Packed.of(model), belief, steps, Gate(sigma=50.0), True)


def test_one_channel_sees_exactly_what_the_other_belief_predicts():
    model, rng = machine(1), np.random.default_rng(1)
    root = rng.normal(size=(3, 3))
    one = Belief.prior(model)
    shared = Belief(rng.normal(size=3), one.cov + root @ root.T, one.gated_run)
    record = one_step(model, one.copy(), [1.3])
    v, s = shared_innovations(Packed.of(model), record, one, shared)
    h, A = np.array([1.0, 0.0, 0.5]), model.transition
    assert v[0] == pytest.approx(1.3 - h @ A @ shared.mean)
    assert s[0] == pytest.approx(h @ (A @ shared.cov @ A.T + model.noise) @ h + 0.3)


def test_a_mere_shift_is_followed_through_all_readings_of_a_step():
    """A belief that only lies elsewhere has the same gains: its own filter must give the same innovations."""
    model = machine(3)
    one = Belief.prior(model)
    shared = Belief(np.array([0.7, -0.4, 0.2]), one.cov.copy(), one.gated_run.copy())
    values = [0.5, -1.0, 2.0]
    v, s = shared_innovations(Packed.of(model), one_step(model, one.copy(), values), one, shared)
    own = one_step(model, shared.copy(), values)
    assert v == pytest.approx(own.innovation[0])
    assert s == pytest.approx(own.spread[0])


def test_without_a_doubt_nothing_changes_and_what_is_missing_stays_missing():
    model = machine(3)
    one = Belief.prior(model)
    record = one_step(model, one.copy(), [0.5, np.nan, 2.0])
    v, s = shared_innovations(Packed.of(model), record, one, one.copy())
    np.testing.assert_array_equal(v, record.innovation[0])
    np.testing.assert_array_equal(s, record.spread[0])
