"""Forecasts and anchors against Monte Carlo and against the smoother."""

from __future__ import annotations

import numpy as np
import pytest

from models.anchors import Anchors
from models.blur import Budget, f10
from models.engine import Belief, Gate, Steps, compiled
from models.focal import integrated_walk, ornstein_uhlenbeck, random_walk, warmup_bank
from models.forecast import BlurForecast, gathered_blur, propagate
from models.packing import Packed
from models.smoother import smooth
from models.statespace import Observation, StateSpace

WIDE = Gate(1e9)


def machine(dt=10.0):
    blocks = [
        random_walk("walk", "m", 0.02),
        warmup_bank("warm", "m", 2.0, (300.0, 10800.0)),
        random_walk("offset", "px", 0.0, 5.0),
    ]
    terms = (("walk", 1.0), *((f"warm.{k}", 1.0) for k in range(1, 7)))
    return StateSpace.assemble(blocks, [Observation("z", (*terms, ("offset", 1.0)))], dt), Observation("shift", terms)


def simulated(model, count, seed, every=3):
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal(model.mean, model.cov)
    root = np.linalg.cholesky(model.noise + 1e-30 * np.eye(len(x)))
    row = model.row(dict(model.observations[0].linear))
    steps, truth = Steps.empty(model, count), []
    for t in range(count):
        x = model.transition @ x + root @ rng.normal(size=len(x))
        truth.append(x)
        if t % every == 0:
            steps.readings[t, 0] = row @ x + rng.normal()
    return steps, np.array(truth)


def test_path_is_the_filter_without_readings():
    model, output = machine()
    steps, _ = simulated(model, 200, 1)
    belief = Belief.prior(model)
    compiled(model, Packed.of(model), belief, steps, WIDE)
    row = model.row(dict(output.linear))
    path = propagate(model, belief.mean, belief.cov, row[None], np.zeros(0), 3600.0, 13)
    later = compiled(model, Packed.of(model), belief.copy(), Steps.empty(model, 360), WIDE, True)
    for k in range(1, 13):
        i = 30 * k - 1
        assert path.mean[k, 0] == pytest.approx(row @ later.mean[i], rel=1e-9)
        assert path.std()[k, 0] == pytest.approx(np.sqrt(row @ later.cov[i] @ row), rel=1e-9)


def test_forecast_holds_95_percent_of_what_comes():
    model, output = machine()
    row, inside = model.row(dict(output.linear)), []
    for seed in range(150):
        steps, truth = simulated(model, 500, seed)
        belief = Belief.prior(model)
        compiled(model, Packed.of(model), belief, steps.part(0, 300), WIDE)
        path = propagate(model, belief.mean, belief.cov, row[None], np.zeros(0), 2000.0, 5)
        error = np.array([row @ truth[299 + 50 * k] for k in range(1, 5)]) - path.mean[1:, 0]
        inside.append(np.abs(error) <= 1.96 * path.std()[1:, 0])
    assert 0.92 <= np.mean(inside) <= 0.98


def test_readings_ahead_shrink_the_error_as_the_filter_does():
    model, output = machine()
    steps, _ = simulated(model, 400, 2, every=1)
    belief = Belief.prior(model)
    compiled(model, Packed.of(model), belief, steps, WIDE)
    row = model.row(dict(output.linear))
    seen = model.row(dict(model.observations[0].linear))
    information = np.outer(seen, seen) / 10.0  # σ 1, one reading per 10 s
    path = propagate(model, belief.mean, belief.cov, row[None], np.zeros(0), 3600.0, 73, information)
    more = Steps.empty(model, 360)
    more.readings[:] = 0.0
    later = compiled(model, Packed.of(model), belief.copy(), more, WIDE, True)
    for k in (12, 36, 72):
        assert path.std()[k, 0] == pytest.approx(np.sqrt(row @ later.cov[5 * k - 1] @ row), rel=0.05)


def test_anchors_are_the_smoother():
    """Fixed points carried along must equal fixed-interval smoothing of the same readings."""
    model, output = machine()
    steps, _ = simulated(model, 240, 3)
    packed, belief = Packed.of(model), Belief.prior(model)
    row = model.row(dict(output.linear))[None]
    anchors = Anchors(1, len(model.names), 200.0)
    for t in range(240):
        record = compiled(model, packed, belief, steps.part(t, t + 1), WIDE, True)
        anchors.follow(model.transition, record)
        anchors.drop(10.0 * t, row @ belief.mean, row, belief.cov)
    assert anchors.times == [200.0 * k for k in range(12)]
    whole = smooth(model, Belief.prior(model), steps, [output], gate=WIDE)
    for k, time in enumerate(anchors.times):
        t = int(time / 10.0)
        assert anchors.mean[k, 0] == pytest.approx(whole.mean[t, 0], abs=1e-6)
        assert anchors.cov[k, 0, k, 0] == pytest.approx(whole.cov[t, 0, 0], rel=1e-6)
    again = smooth(model, Belief.prior(model), steps, [output], gate=WIDE, reference=60)
    assert anchors.cov[3, 0, 7, 0] == pytest.approx(again.cross[140, 0, 0], rel=1e-5)


def test_anchors_thin_out_but_never_lose_the_first():
    anchors = Anchors(1, 2, 10.0)
    for t in range(1000):
        anchors.drop(10.0 * t, np.zeros(1), np.array([[1.0, 0.0]]), np.eye(2))
    assert len(anchors.times) <= 32
    assert anchors.times[0] == 0.0
    assert anchors.weights_s(9990.0).sum() == pytest.approx(9990.0)


def test_gathered_blur_equals_monte_carlo():
    rng = np.random.default_rng(4)
    times = np.linspace(0.0, 3600.0, 13)
    past_s, mean_past = np.array([600.0, 600.0, 600.0]), np.array([0.0, 0.3, 0.5])
    mean_path = 0.5 + 0.4 * times / 3600.0
    root = rng.normal(size=(16, 16)) * 0.1
    cov = root @ root.T
    mean, var = gathered_blur(
        past_s, mean_past, cov[:3, :3], mean_path, cov[3:, 3:], cov[:3, 3:], times, duration_s=1e6
    )
    draws = rng.multivariate_normal(np.concatenate([mean_past, mean_path]), cov, size=200_000)
    w = np.concatenate([past_s, np.full(13, 300.0)])
    w[[3, -1]] = 150.0
    w /= w.sum()
    v = draws**2 @ w - (draws @ w) ** 2
    assert mean[-1] == pytest.approx(v.mean(), rel=0.01)
    assert var[-1] == pytest.approx(v.var(), rel=0.03)


def test_probability_of_loss_equals_monte_carlo():
    rng = np.random.default_rng(5)
    budget = Budget(60e-9, 0.0, 0.0, 0.0, 94e-9)
    shape, mean = 3.0, (30e-9) ** 2
    forecast = BlurForecast(0.0, np.array([0.0, 60.0]), np.array([0.0, mean]), np.array([0.0, mean**2 / shape]), budget)
    draws = rng.gamma(shape, mean / shape, 20_000)
    table = np.linspace(0.0, draws.max(), 400)
    loss = 1.0 - np.interp(draws, table, [f10(budget, v) for v in table]) / f10(budget)
    for limit in (0.02, 0.06, 0.15):
        assert forecast.probability(limit) == pytest.approx(np.mean(loss > limit), abs=0.01)
    assert forecast.probability(0.02, within_s=0.0) == 0.0
    assert forecast.time_to(0.02, 0.5) == 60.0


def test_walks_have_the_variance_they_promise():
    for block, t, want in (
        (random_walk("x", "m", 0.3), 100.0, 0.09 * 100.0),
        (ornstein_uhlenbeck("x", "m", 2.0, 50.0), 1e4, 4.0),
        (integrated_walk("x", "m", 0.0, 0.1, 0.0), 10.0, 0.01 * 10.0**3 / 3.0),
    ):
        model = StateSpace.assemble([block], [], t)
        belief = Belief.prior(model)
        compiled(model, Packed.of(model), belief, Steps.empty(model, 1), WIDE)
        assert belief.cov[0, 0] == pytest.approx(want, rel=1e-9)
