"""Likelihood of records: against the joint Gaussian written out, its slope against differences, and what may be left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.engine import Steps
from models.estimate import ModelError
from models.focal import ornstein_uhlenbeck, random_walk
from models.likelihood import Posterior, independent_parts, innovations, minimise
from models.statespace import Observation, StateSpace

STEP_S = 60.0


def machine(walk=1e-2, tau=1800.0):
    """A walk and a wander that both channels see, and a state that none sees."""
    return StateSpace.assemble(
        [
            random_walk("walk", "px", walk, 3.0),
            ornstein_uhlenbeck("wander", "px", 0.5, tau),
            random_walk("hidden", "px", 1.0, 1.0),
        ],
        [Observation("a", (("walk", 1.0), ("wander", 2.0))), Observation("b", (("walk", -1.0),))],
        STEP_S,
    )


def steps_of(count, seed, gaps=True):
    rng = np.random.default_rng(seed)
    steps = Steps.empty(machine(), count)
    walk = np.cumsum(1e-2 * np.sqrt(STEP_S) * rng.normal(size=count))
    wander = np.zeros(count)
    for k in range(1, count):
        keep = np.exp(-STEP_S / 1800.0)
        wander[k] = keep * wander[k - 1] + 0.5 * np.sqrt(1 - keep**2) * rng.normal()
    steps.variances[:] = 0.04
    steps.readings[:, 0] = walk + 2 * wander + 0.2 * rng.normal(size=count)
    steps.readings[:, 1] = -walk + 0.2 * rng.normal(size=count)
    if gaps:
        steps.readings[rng.random((count, 2)) < 0.3] = np.nan
    return steps


def test_loglik_is_that_of_the_joint_gaussian():
    """Covariance functions written out: min(s, t) for the walk, exp(-|s-t|/tau) for the wander."""
    steps = steps_of(40, 1)
    found = innovations([(machine(), steps)])
    t = STEP_S * np.arange(1, 41)
    walk = 9.0 + 1e-4 * np.minimum.outer(t, t)
    wander = 0.25 * np.exp(-np.abs(np.subtract.outer(t, t)) / 1800.0)
    joint = np.block([[walk + 4 * wander, -walk], [-walk, walk]]) + 0.04 * np.eye(80)
    z = np.concatenate([steps.readings[:, 0], steps.readings[:, 1]])
    there = np.isfinite(z)
    z, joint = z[there], joint[np.ix_(there, there)]
    expected = -0.5 * (z @ np.linalg.solve(joint, z) + np.linalg.slogdet(2 * np.pi * joint)[1])
    assert found.loglik == pytest.approx(expected, abs=1e-8)


def test_states_that_no_reading_depends_on_are_left_out():
    model, steps = machine(), steps_of(50, 2)
    ((columns, part, own),) = independent_parts(model, steps)
    assert (columns, part.names) == ([0, 1], ("walk", "wander"))
    assert own.opened.shape == (50, 2)
    steps.readings[:, 0] = np.nan
    ((columns, part, _),) = independent_parts(model, steps)
    assert (columns, part.names, part.channels) == ([1], ("walk",), ("b",))


def test_parts_that_know_nothing_of_each_other_are_run_apart():
    """Two copies side by side, their channels mixed: the likelihood is the sum of theirs, in the order of the readings."""
    one, two = steps_of(60, 3), steps_of(60, 4)

    def renamed(block, tail):
        return replace(block, names=tuple(n + tail for n in block.names))

    blocks = [random_walk("walk", "px", 1e-2, 3.0), ornstein_uhlenbeck("wander", "px", 0.5, 1800.0)]
    sees = {"a": (("walk", 1.0), ("wander", 2.0)), "b": (("walk", -1.0),)}
    both = StateSpace.assemble(
        [renamed(block, tail) for tail in "12" for block in blocks],
        [Observation(c + t, tuple((s + t, w) for s, w in sees[c])) for c in "ab" for t in "12"],
        STEP_S,
    )
    steps = Steps.empty(both, 60)
    steps.variances[:] = 0.04
    for column, (record, j) in enumerate((record, j) for j in (0, 1) for record in (one, two)):
        steps.readings[:, column] = record.readings[:, j]
    assert [columns for columns, _, _ in independent_parts(both, steps)] == [[0, 2], [1, 3]]
    found = innovations([(both, steps)])
    apart = [innovations([(machine(), record)]) for record in (one, two)]
    assert found.loglik == pytest.approx(sum(part.loglik for part in apart), abs=1e-9)
    order = np.isfinite(steps.readings)
    table = np.full(order.shape, np.nan)
    table[order] = found.value
    for k, (record, part) in enumerate(zip((one, two), apart, strict=True)):
        assert np.array_equal(table[:, [k, k + 2]][np.isfinite(record.readings)], part.value)


def test_without_a_reading_there_is_no_likelihood():
    with pytest.raises(ModelError, match="no reading of any channel"):
        innovations([(machine(), Steps.empty(machine(), 5))])


def posterior(steps):
    def build(z):
        return [(machine(1e-2 * np.exp(z[0]), 1800.0 * np.exp(z[1])), steps)]

    return Posterior(build, 2)


def test_slope_is_that_of_the_value():
    found, z = posterior(steps_of(300, 3)), np.array([0.4, -0.6])
    value, slope, _ = found.local(z, np.ones(2, dtype=bool))
    assert value == pytest.approx(found.value(z), rel=1e-12)
    for i in range(2):
        e = 1e-4 * np.eye(2)[i]
        assert slope[i] == pytest.approx((found.value(z + e) - found.value(z - e)) / 2e-4, rel=1e-3)


def test_curvature_is_the_mean_of_second_derivatives():
    """Over records made at z, E[second derivative] = expected information + prior."""
    z, step, many = np.zeros(2), 0.05, 40
    found, expected = np.zeros((2, 2)), np.zeros((2, 2))
    for seed in range(many):
        here = posterior(steps_of(200, 100 + seed, gaps=False))
        expected += here.local(z, np.ones(2, dtype=bool))[2] / many
        slopes = [
            (here.local(z + step * e, np.ones(2, dtype=bool))[1] - here.local(z - step * e, np.ones(2, dtype=bool))[1])
            / (2 * step)
            for e in np.eye(2)
        ]
        found += np.array(slopes) / many
    scale = np.sqrt(np.diag(expected))
    assert np.abs((found - expected) / np.outer(scale, scale)).max() < 0.15


def test_the_minimum_is_one():
    found = posterior(steps_of(400, 4))
    z, value, _ = minimise(found, np.array([1.5, 1.0]), np.ones(2, dtype=bool))
    for step in (0.02, -0.02):
        for e in np.eye(2):
            assert found.value(z + step * e) > value - 1e-3
    assert found.value(np.array([1.5, 1.0])) > value + 10


def test_a_fixed_coordinate_stays():
    z, _, _ = minimise(posterior(steps_of(200, 5)), np.array([0.7, 0.0]), np.array([False, True]))
    assert z[0] == 0.7
    assert z[1] != 0.0


def test_where_no_model_can_be_built_the_value_is_infinite():
    def build(_):
        raise ModelError("no")

    assert Posterior(build, 1).value(np.zeros(1)) == np.inf
