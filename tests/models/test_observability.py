"""What a model can know before any reading, against plain covariance analysis and drawn courses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.engine import Belief, Steps
from models.estimate import ModelError
from models.focal import ornstein_uhlenbeck, random_walk
from models.observability import change_cov, directions, prior_change_cov
from models.rehearsal import draw_states, rehearse
from models.smoother import smooth
from models.statespace import Observation, StateSpace
from tests.oracles.joint_gaussian import posterior

STEPS, REFERENCE = 30, 8


def linear_model() -> tuple[StateSpace, Steps, list[Observation]]:
    """Two motions seen as a difference, one of them also alone and seldom."""
    blocks = [random_walk("a", "m", 0.3, 1.0), ornstein_uhlenbeck("b", "m", 0.8, 12.0)]
    sees = [Observation("sum", (("a", 1.0), ("b", -0.7))), Observation("alone", (("b", 1.0),))]
    model = StateSpace.assemble(blocks, sees, 1.0)
    steps = Steps.empty(model, STEPS)
    steps.readings[:, 0] = 0.0
    steps.readings[::7, 1] = 0.0
    steps.variances[:] = [0.04, 0.01]
    return model, steps, [Observation("a", (("a", 1.0),)), Observation("b", (("b", 1.0),))]


def product_model() -> tuple[StateSpace, Steps, list[Observation]]:
    """A temperature that is read, a sensitivity that is not, and what they move."""
    blocks = [random_walk("t", "K", 0.2, 2.0), random_walk("e", "1", 0.0, 0.3)]
    model = StateSpace.assemble(blocks, [Observation("thermometer", (("t", 1.0),))], 1.0)
    steps = Steps.empty(model, STEPS)
    steps.readings[:] = 0.0
    steps.variances[:] = 1e-6
    return model, steps, [Observation("x", (("t", 1.0),), (("t", "e", 1.0),))]


def test_in_a_linear_model_a_rehearsal_is_the_plain_covariance_analysis():
    model, steps, outputs = linear_model()
    prior = Belief.prior(model)
    played = rehearse(model, prior, steps, outputs, REFERENCE, courses=3, seed=5)
    still = smooth(model, prior, steps, outputs, reference=REFERENCE)
    np.testing.assert_allclose(played.posterior, change_cov(still), rtol=1e-9, atol=1e-12)
    assert played.weight.tolist() == pytest.approx([1 / 3] * 3)


def test_a_rehearsals_covariance_is_that_of_the_joint_gaussian():
    model, steps, outputs = linear_model()
    played = rehearse(model, Belief.prior(model), steps, outputs, REFERENCE, courses=1, seed=5)
    seen = np.array([[1.0, -0.7], [0.0, 1.0]])
    _, joint = posterior(model.transition, model.noise, model.mean, model.cov, seen, steps.variances, steps.readings)
    k = REFERENCE
    for t in (k + 1, STEPS - 1):
        change = joint[t, :, t] + joint[k, :, k] - joint[t, :, k] - joint[k, :, t]
        np.testing.assert_allclose(played.posterior[t - k], change, rtol=1e-6, atol=1e-10)


def test_what_is_missed_is_as_large_as_the_covariance_says():
    model, steps, outputs = linear_model()
    played = rehearse(model, Belief.prior(model), steps, outputs, REFERENCE, courses=400, seed=2)
    found = (played.missed**2).mean(axis=0)
    stated = np.diagonal(played.posterior, axis1=1, axis2=2)
    np.testing.assert_allclose(np.sqrt(found[1:].mean(0)), np.sqrt(stated[1:].mean(0)), rtol=0.06)


def test_prior_change_is_that_of_drawn_courses_with_products():
    model, steps, outputs = product_model()
    prior = Belief(np.array([1.5, 0.0]), np.diag([4.0, 0.09]), np.zeros(1, dtype=np.int64))
    stated = prior_change_cov(model, prior.mean, prior.cov, outputs, steps, REFERENCE)
    states = draw_states(model, prior, steps.inputs, 20000, 3)
    x = states[..., 0] * (1.0 + states[..., 1])
    drawn = (x - x[:, REFERENCE : REFERENCE + 1]).var(axis=0)[REFERENCE:]
    np.testing.assert_allclose(stated[1:, 0, 0], drawn[1:], rtol=0.05)


def test_a_sensitivity_that_nothing_reads_leaves_its_part_of_the_swing():
    """With t known exactly the change of t e is left: σ² = 0.3² E(Δt²), however few courses are played."""
    model, steps, outputs = product_model()
    expected = 0.09 * 0.2**2 * np.arange(STEPS - REFERENCE)
    for seed in range(4):
        played = rehearse(model, Belief.prior(model), steps, outputs, REFERENCE, courses=12, seed=seed)
        swing = np.array([played.posterior[k, 0, 0] for k in range(STEPS - REFERENCE)])
        assert swing.mean() == pytest.approx(expected.mean(), rel=0.03)
    # the same at 20 °C, as a plain covariance analysis takes it, would say that nothing is left
    still = smooth(model, Belief.prior(model), steps, outputs, reference=REFERENCE)
    assert change_cov(still)[-1, 0, 0] < 0.05 * expected[-1]


def test_a_sensor_more_changes_no_course():
    model, steps, _ = linear_model()
    blocks = [random_walk("a", "m", 0.3, 1.0), ornstein_uhlenbeck("b", "m", 0.8, 12.0), random_walk("c", "m", 0.0, 1e4)]
    more = StateSpace.assemble(blocks, [*model.observations, Observation("new", (("a", 1.0), ("c", 1.0)))], 1.0)
    before = draw_states(model, Belief.prior(model), steps.inputs, 5, 1)
    after = draw_states(more, Belief.prior(more), steps.inputs, 5, 1)
    np.testing.assert_allclose(after[..., :2], before, rtol=1e-9)
    assert draw_states(model, Belief.prior(model), steps.inputs, 5, 2)[0, 0, 0] != before[0, 0, 0]


def test_directions_tell_what_a_sum_hides():
    prior = np.diag([1.0, 4.0, 0.0])
    row = np.array([1.0, -1.0, 0.0])
    posterior = prior - np.outer(prior @ row, prior @ row) / (row @ prior @ row + 1e-6)
    least, best = directions(["source.v", "object.v", "source.w"], prior, posterior)
    assert not least.seen
    assert least.prior == pytest.approx(least.posterior, rel=1e-3)
    # 4 source + object is what the sum's complement is a priori: independent of source - object
    assert dict(least.weights) == pytest.approx({"source.v": 1.0, "object.v": 0.25}, abs=1e-3)
    assert best.seen
    assert best.words() == "source.v - object.v"
    assert best.posterior < 2e-3


def test_directions_that_nobody_sees_are_told_one_by_one():
    prior = np.diag([1.0, 2.0, 3.0])
    found = directions(["a", "b", "c"], prior, prior)
    assert sorted(d.words() for d in found) == ["a", "b", "c"]
    assert [d.seen for d in found] == [False] * 3


def test_directions_need_matching_names():
    with pytest.raises(ModelError, match="one name per output"):
        directions(["a"], np.eye(2), np.eye(2))
    assert directions(["a"], np.zeros((1, 1)), np.zeros((1, 1))) == ()


def test_readings_asked_for_are_the_ones_read():
    model, steps, outputs = linear_model()
    none = replace(steps, readings=np.full_like(steps.readings, np.nan))
    played = rehearse(model, Belief.prior(model), none, outputs, REFERENCE, courses=1, seed=1)
    stated = prior_change_cov(model, model.mean, model.cov, outputs, steps, REFERENCE)
    np.testing.assert_allclose(played.posterior, stated, rtol=1e-9, atol=1e-12)
