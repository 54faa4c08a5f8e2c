"""What must hold for every model and every sequence of readings (hypothesis, derandomised: the same examples each time)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from models.engine import Belief, Gate, Steps, compiled
from models.packing import Packed
from models.smoother import smooth
from models.statespace import Block, Observation, StateSpace
from tests.models.drawn import BLOCKS, happenings, models

WIDE = Gate(sigma=1e9)
fixed = settings(derandomize=True, deadline=None, max_examples=80)


def filtered(model, steps, gate=WIDE, belief=None):
    return compiled(model, Packed.of(model), belief or Belief.prior(model), steps, gate, True)


def scales(cov):
    """σ of each state (1 where it has none), for comparisons free of units."""
    variance = np.diagonal(cov, axis1=-2, axis2=-1)
    return np.sqrt(np.where(variance > 0, variance, 1.0))


def assert_same(a, b, tolerance=1e-9):
    """Means within ``tolerance`` σ (or of the value itself, where a state is known outright), covariances likewise."""
    sd = scales(b.cov)
    assert np.all(np.abs(a.mean - b.mean) <= tolerance * np.maximum(sd, np.abs(b.mean)))
    assert np.all(np.abs(a.cov - b.cov) <= tolerance * sd[..., :, None] * sd[..., None, :])


@fixed
@given(st.data(), st.sampled_from([WIDE, Gate(3.0), Gate(0.5)]))
def test_covariance_stays_positive_whatever_happens(data, gate):
    model = data.draw(models(products=True))
    steps = data.draw(happenings(model))
    record = filtered(model, steps, replace(gate, step_var=np.full(len(model.names), 4.0)))
    assert np.isfinite(record.mean).all()
    assert np.array_equal(record.cov, record.cov.transpose(0, 2, 1))
    assert np.all(np.diagonal(record.cov, axis1=1, axis2=2) >= 0.0)
    # round-off is relative to what the step began with, the readings' covariance being what is subtracted
    before = record.cov.max(axis=(1, 2)) + model.cov.max() + steps.opened.max()
    assert np.all(np.linalg.eigvalsh(record.cov).min(axis=1) >= -1e-13 * before)


@fixed
@given(st.sampled_from(sorted(BLOCKS)), st.data(), st.sampled_from([0.5, 30.0, 900.0]))
def test_two_steps_are_one_of_twice_the_length(kind, data, dt):
    block = data.draw(BLOCKS[kind])
    short, long = (StateSpace.assemble([block], [], step) for step in (dt, 2.0 * dt))
    push = np.random.default_rng(1).normal(size=len(short.inputs))
    beliefs = []
    for model, count in ((short, 2), (long, 1)):
        steps = Steps.empty(model, count)
        steps.inputs[:] = push
        belief = Belief.prior(model)
        belief.mean[:] = np.arange(1.0, len(belief.mean) + 1.0)
        filtered(model, steps, belief=belief)
        beliefs.append(belief)
    assert_same(*beliefs)


@fixed
@given(st.data())
def test_order_of_simultaneous_readings_changes_nothing(data):
    model = data.draw(models())
    steps = data.draw(happenings(model))
    order = data.draw(st.permutations(range(len(model.channels))))
    shuffled = replace(model, observations=tuple(model.observations[j] for j in order))
    readings = replace(steps, readings=steps.readings[:, order], variances=steps.variances[:, order])
    a, b = filtered(model, steps), filtered(shuffled, readings)
    # a reading of σ 0.1 on a state of σ 1e4 costs digits, in either order
    assert_same(b, a, 1e-7)
    assert b.loglik == pytest.approx(a.loglik, rel=1e-7, abs=1e-6)


@fixed
@given(st.data())
def test_smoothing_never_loses(data):
    model = data.draw(models())
    steps = data.draw(happenings(model, least=2))
    record = filtered(model, steps)
    states = [Observation(name, ((name, 1.0),)) for name in model.names]
    found = smooth(model, Belief.prior(model), steps, states, gate=WIDE)
    gain = record.cov - found.cov
    before = record.cov.max(axis=(1, 2)) + model.cov.max() + steps.opened.max()
    assert np.all(np.linalg.eigvalsh(0.5 * (gain + gain.transpose(0, 2, 1))).min(axis=1) >= -1e-11 * before)
    last = record.mean[-1]
    assert np.allclose(found.mean[-1], last, rtol=1e-9, atol=1e-9 * scales(record.cov[-1]).max())


@fixed
@given(st.data())
def test_without_readings_it_is_pure_propagation(data):
    """Against sums of powers of the transition, written out."""
    model = data.draw(models())
    steps = data.draw(happenings(model, most=12))
    steps.readings[:] = np.nan
    record = filtered(model, steps)
    for t in range(len(steps)):
        powers = [np.linalg.matrix_power(model.transition, t - u) for u in range(t + 1)]
        mean = powers[0] @ model.transition @ model.mean
        cov = powers[0] @ model.transition @ model.cov @ (powers[0] @ model.transition).T
        for u, power in enumerate(powers):
            mean = mean + power @ model.input_matrix @ steps.inputs[u]
            cov = cov + power @ (model.noise + np.diag(steps.opened[u])) @ power.T
        sd = scales(cov)
        assert np.allclose(record.mean[t], mean, rtol=1e-9, atol=1e-9 * np.abs(mean).max())
        assert np.all(np.abs(record.cov[t] - cov) <= 1e-9 * np.outer(sd, sd))
    assert record.loglik == 0.0
    states = [Observation(name, ((name, 1.0),)) for name in model.names]
    found = smooth(model, Belief.prior(model), steps, states, gate=WIDE)
    assert np.array_equal(found.mean, record.mean), "nothing to learn from: smoothing leaves the filter's belief"
    assert np.allclose(found.cov, record.cov, rtol=1e-14, atol=0.0)


@fixed
@given(st.data(), st.sampled_from([1e-6, 1e-3, 60.0]), st.sampled_from([1e-3, 1e3]))
def test_other_units_scale_the_results(data, length, reading):
    """States in units of ``length``, readings in units of ``reading``: the same belief in other words."""
    model = data.draw(models())
    steps = data.draw(happenings(model))
    scaled = replace(
        model,
        noise=model.noise / length**2,
        mean=model.mean / length,
        cov=model.cov / length**2,
        input_matrix=model.input_matrix / length,
        observations=tuple(
            replace(
                o,
                linear=tuple((s, w * length / reading) for s, w in o.linear),
                covariates=tuple((s, c, w * length / reading) for s, c, w in o.covariates),
                constant=o.constant / reading,
                floor_sigma=o.floor_sigma / reading,
            )
            for o in model.observations
        ),
    )
    other = replace(
        steps,
        readings=steps.readings / reading,
        variances=steps.variances / reading**2,
        opened=steps.opened / length**2,
    )
    a, b = filtered(model, steps), filtered(scaled, other)
    assert_same(replace(b, mean=b.mean * length, wide_cov=b.wide_cov * length**2), a, 1e-7)
    assert b.loglik - np.isfinite(steps.readings).sum() * np.log(reading) == pytest.approx(a.loglik, rel=1e-7, abs=1e-5)


@fixed
@given(st.data())
def test_a_cut_anywhere_changes_nothing(data):
    """What a restart relies on: the belief carries everything, its gate's memory included."""
    model = data.draw(models(products=True))
    steps = data.draw(happenings(model, least=2))
    cut = data.draw(st.integers(0, len(steps)))
    gate = Gate(2.0, np.full(len(model.names), 4.0))
    whole, parts = Belief.prior(model), Belief.prior(model)
    packed = Packed.of(model)
    total = compiled(model, packed, whole, steps, gate).loglik
    first = compiled(model, packed, parts, steps.part(0, cut), gate).loglik
    again = Belief(parts.mean.copy(), parts.cov.copy(), parts.gated_run.copy())
    rest = compiled(model, packed, again, steps.part(cut, len(steps)), gate).loglik
    for name in ("mean", "cov", "gated_run"):
        assert np.array_equal(getattr(whole, name), getattr(again, name))
    assert first + rest == pytest.approx(total, rel=1e-12, abs=1e-12)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.data())
def test_a_filter_fed_its_own_model_is_whitened(data):
    """Σ v²/s over N used readings is χ² with N degrees of freedom, and neighbours are uncorrelated.

    Each example would fail by chance with probability 2e-6 (two tails of χ² of 5e-7 each, and as much for the
    correlation, whose σ is 1/√N); 25 examples with 5e-5. They are always the same ones.
    """
    model = data.draw(models())
    rng = np.random.default_rng(data.draw(st.integers(0, 9999)))
    steps = own_readings(model, rng, 300)
    record = filtered(model, steps)
    score = (record.innovation / np.sqrt(record.spread))[np.isfinite(record.innovation)]
    low, high = chi2.ppf([5e-7, 1.0 - 5e-7], len(score))
    assert low <= score @ score <= high
    # 4.892 σ: 1e-6 in two tails; N innovations are independent, so is the product of neighbours
    assert abs(score[1:] @ score[:-1]) <= 4.892 * np.sqrt(len(score))


def test_a_wrong_model_is_not_white():
    """The same test must be able to fail: half the true measurement noise, and a walk that is not modelled."""
    block = Block(("x",), ("1",), np.zeros((1, 1)), np.array([[0.5]]), np.zeros(1), np.eye(1))
    truth = StateSpace.assemble([block], [Observation("z", (("x", 1.0),))], 1.0)
    steps = own_readings(truth, np.random.default_rng(4), 300)
    quiet = replace(steps, variances=steps.variances / 2.0)
    stiff = replace(truth, noise=truth.noise * 1e-4)
    for model, readings in ((truth, quiet), (stiff, steps)):
        record = filtered(model, readings)
        score = (record.innovation / np.sqrt(record.spread))[np.isfinite(record.innovation)]
        assert score @ score > chi2.ppf(1.0 - 5e-7, len(score))


def own_readings(model, rng, count):
    """Readings drawn from the model itself, a third missing."""
    steps = Steps.empty(model, count)
    steps.inputs[:] = rng.normal(size=steps.inputs.shape)
    steps.covariates[:] = rng.normal(size=steps.covariates.shape)
    steps.variances[:] = rng.uniform(0.1, 2.0, steps.variances.shape)
    values, vectors = np.linalg.eigh(model.noise)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    x = rng.multivariate_normal(model.mean, model.cov, method="eigh")
    for t in range(count):
        x = model.transition @ x + model.input_matrix @ steps.inputs[t] + root @ rng.normal(size=len(x))
        for j, o in enumerate(model.observations):
            clean = o.constant + sum(w * x[model.index(s)] for s, w in o.linear)
            clean += sum(w * x[model.index(s)] * steps.covariates[t, 0] for s, _, w in o.covariates)
            steps.readings[t, j] = clean + np.sqrt(steps.variances[t, j] + o.floor_sigma**2) * rng.normal()
    steps.readings[rng.random(steps.readings.shape) < 0.33] = np.nan
    return steps
