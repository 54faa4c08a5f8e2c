"""Charts of innovations: their run length against a Markov chain, what a few outliers may not do, and what state survives."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from models import charts
from models.charts import Chart, Way, threshold
from models.consistency import Consistency, Fit
from tests.oracles.chart_run_length import run_length

DAY_S = 86400.0


def follow(z: np.ndarray, **options: float) -> tuple[Consistency, np.ndarray]:
    """A consistency that has taken z (T, m), and its misfit after each step."""
    fit = Consistency([f"c{j}" for j in range(z.shape[1])], options.pop("step_s", 10.0), **options)
    course = np.empty(len(z))
    for k, row in enumerate(z):
        step(fit, 10.0 * k, row)
        course[k] = fit.misfit
    return fit, course


def step(fit: Consistency, time: float, row: np.ndarray) -> None:
    """Hand over one row; nan: no reading, inf: gated."""
    gated = np.isinf(row)
    fit.take(time, np.where(gated, 6.0, row), np.where(gated, -1.0, np.where(np.isnan(row), np.nan, 1.0)))


def bias_below(x):
    """Distribution of the gain of the chart ``high`` at the edge, N(0.1, 1) clipped at 3; written anew."""
    y = (x + 0.175) / 0.5
    return np.where(y >= 3.0, 1.0, np.where(y < -3.0, 0.0, norm.cdf(y - 0.1)))


def scatter_below(x):
    """The same of the chart ``scatter``, N(0, 1)."""
    square = (x + 0.5 * math.log(2.0)) / 0.25
    root = np.sqrt(np.maximum(square, 0.0))
    return np.where(square >= 9.0, 1.0, np.where(square < 0.0, 0.0, 2.0 * norm.cdf(root) - 1.0))


def shifted(y):
    """Gain of the chart ``high``, written anew."""
    return 0.6 * y - 0.18 - (0.1 * y - 0.005)


def scattered(y):
    """Gain of the chart ``scatter``: log density of variance 2 less that of variance 1."""
    return norm.logpdf(y, 0.0, math.sqrt(2.0)) - norm.logpdf(y)


@pytest.mark.parametrize(("below", "most"), [(bias_below, 30.0), (scatter_below, 1000.0)])
@pytest.mark.parametrize("limit", [4.0, 8.0, 12.0])
def test_run_length_at_the_edge_is_at_least_what_is_promised(below, most, limit):
    """By the Markov chain: at least exp(h) readings (Lorden), and not absurdly more (clipping costs the scatter's chart)."""
    found = run_length(below, limit)
    assert math.exp(limit) <= found <= most * math.exp(limit)


def test_the_oracle_knows_what_siegmund_knows():
    """Without clipping: (exp(c) - c - 1) / (d²/2), c = h + 1.166 d (Siegmund 1985, §2.6)."""
    found = run_length(lambda x: norm.cdf(x / 0.5 + 0.25), 8.0)
    c = 8.0 + 1.166 * 0.5
    assert found == pytest.approx((math.exp(c) - c - 1.0) / 0.125, rel=0.03)


@pytest.mark.parametrize(("way", "below", "mean"), [(Way.HIGH, bias_below, 0.1), (Way.SCATTER, scatter_below, 0.0)])
def test_charts_have_the_run_length_of_the_oracle(way, below, mean, monkeypatch):
    """The product's own charts, run on white noise at the edge, against the Markov chain, within three standard errors."""
    rng, limit, lengths = np.random.default_rng(5), 4.0, []
    monkeypatch.setattr(charts, "SATURATION", 1e3)
    noise = iter((1.1 * (mean + rng.normal(size=2_000_000))).tolist())
    number = list(Way).index(way)
    for _ in range(300):
        fit, count = Fit(), 0
        while fit.charts[number].score < limit:
            fit.take(0.0, next(noise), limit)
            count += 1
        lengths.append(count)
    assert np.mean(lengths) == pytest.approx(run_length(below, limit), rel=3.0 / math.sqrt(300))


def mean_exp(gain, mean: float = 0.0) -> float:
    """E[exp(gain(y))] with y = N(mean, 1) clipped at 3."""
    inside = quad(lambda y: math.exp(gain(y)) * norm.pdf(y - mean), -3.0, 3.0)[0]
    return float(inside + norm.sf(3.0 - mean) * math.exp(gain(3.0)) + norm.cdf(-3.0 - mean) * math.exp(gain(-3.0)))


def test_no_gain_exceeds_what_the_bound_needs_at_the_edge():
    """E[exp(l) | past] <= 1 is all that the threshold rests on; for the correlation given any reading before."""
    assert 0.97 < mean_exp(shifted, 0.1) <= 1.0
    assert 0.9 < mean_exp(scattered) <= 1.0
    for before in (0.0, 0.5, 1.0, 3.0):
        swings = lambda y, b=before: norm.logpdf(y, 0.4 * b) - norm.logpdf(y, 0.1 * b)  # noqa: E731
        assert 0.9 < mean_exp(swings, 0.1 * before) <= 1.0
    assert 0.01 * math.exp(charts.GATED_GAIN) + 0.99 * math.exp(charts.INSIDE_GAIN) == pytest.approx(1.0)


@given(st.floats(-8.0, 8.0), st.floats(-8.0, 8.0))
def test_gains_are_the_ratios_of_likelihoods_that_they_stand_for(before, z):
    fit = Fit(charts=tuple(Chart(score=50.0) for _ in Way))
    fit.take(0.0, before, 100.0)
    first = [chart.score for chart in fit.charts]
    fit.take(1.0, z, 100.0)
    gained = [chart.score - score for chart, score in zip(fit.charts, first, strict=True)]
    y, last = (float(np.clip(value / 1.1, -3.0, 3.0)) for value in (z, before))
    swings = norm.logpdf(y, 0.4 * last) - norm.logpdf(y, 0.1 * last)
    wanted = [shifted(y), shifted(-y), scattered(y), swings, math.log(0.9 / 0.99)]
    assert gained == pytest.approx(wanted, abs=1e-9)


def test_threshold_grows_with_channels_and_rate_only_by_logarithm():
    assert threshold(40, 10.0) == pytest.approx(threshold(4, 10.0) + math.log(10.0))
    assert threshold(4, 1.0) == pytest.approx(threshold(4, 10.0) + math.log(10.0))
    # the bound of all charts together, read back: false alarms per second
    assert 5 * 7 / 10.0 * math.exp(-threshold(7, 10.0)) == pytest.approx(1.0 / (60.0 * DAY_S))


@pytest.mark.parametrize(("channels", "steps"), [(1, 100_000), (12, 15_000)])
def test_false_alarms_at_the_edge_are_as_rare_as_asked_for_at_any_number_of_channels(channels, steps):
    """Asked for one per quarter of an hour at most (90 steps): noise at the edge of the bias keeps that, and makes some."""
    rng = np.random.default_rng(11)
    _, course = follow(1.1 * (0.1 + rng.normal(size=(steps, channels))), alarm_free_s=900.0)
    high, alarms = False, 0
    for score in course:
        alarms += not high and score >= 1.0
        high = score >= 0.5 if high else score >= 1.0
    assert 1 <= alarms <= steps * 10.0 / 900.0


@pytest.mark.parametrize(
    ("way", "most"), [(Way.HIGH, 90), (Way.LOW, 90), (Way.SCATTER, 60), (Way.SWINGS, 240), (Way.OUTLIERS, 90)]
)
def test_each_way_of_misfit_is_recognised_as_such(way, most):
    """Of three channels the second goes wrong after 1000 readings; delays in readings."""
    rng = np.random.default_rng(3)
    delays, named = [], 0
    for _ in range(20):
        z = rng.normal(size=(2000, 3))
        bad = z[1000:, 1]
        if way in (Way.HIGH, Way.LOW):
            bad += 0.9 if way is Way.HIGH else -0.9
        elif way is Way.SCATTER:
            bad *= 2.0
        elif way is Way.SWINGS:
            for k in range(1, len(bad)):
                bad[k] = 0.6 * bad[k - 1] + 0.8 * bad[k]
        else:
            bad[rng.random(len(bad)) < 0.2] = np.inf
        fit = Consistency(["a", "b", "c"], 10.0)
        for k, row in enumerate(z):
            step(fit, float(k), row)
            if fit.misfit >= 1.0:
                break
        found = fit.worst()
        assert found is not None
        assert found.channel == "b"
        named += found.way is way
        assert 800 <= found.since <= k
        delays.append(k - 1000)
    assert min(delays) >= 0, "before that nothing was wrong"
    assert np.median(delays) <= most
    assert named >= 16, "what swings slowly is sometimes caught while it is high or low"


def test_the_size_of_a_misfit_is_told():
    z = np.random.default_rng(9).normal(size=(400, 1))
    found = follow(np.vstack([z, z + 1.5]))[0].worst()
    assert found is not None
    assert found.way is Way.HIGH
    assert found.size == pytest.approx(1.5, abs=0.2)
    assert found.since == pytest.approx(4000.0, abs=100.0)


def test_a_few_outliers_are_no_misfit_and_many_are():
    z = np.random.default_rng(2).normal(size=(4000, 2))
    z[::100, 0] = 4.9  # inside the gate, one in a hundred
    z[50::100, 1] = np.inf  # gated, one in a hundred
    assert follow(z)[1].max() < 0.6
    z[::10, 1] = np.inf
    assert follow(z)[1].max() >= 1.0


@pytest.mark.parametrize(
    ("bias", "scale", "memory"), [(0.1, 1.0, 0.0), (0.0, 1.1, 0.0), (0.0, 1.0, 0.1), (0.05, 1.05, 0.05)]
)
def test_what_is_tolerated_never_adds_up(bias, scale, memory):
    """Six days at 10 s at an edge, and half-way to three at once."""
    rng = np.random.default_rng(7)
    z = rng.normal(size=50_000)
    for k in range(1, len(z)):
        z[k] = memory * z[k - 1] + math.sqrt(1.0 - memory**2) * z[k]
    assert follow((bias + scale * z)[:, None])[1].max() < 1.0


def test_a_model_that_fits_again_is_soon_seen_to():
    rng = np.random.default_rng(4)
    _, course = follow(np.vstack([rng.normal(3.0, 1.0, size=(5000, 1)), rng.normal(size=(400, 1))]))
    assert course[4999] == pytest.approx(1.5)
    assert np.flatnonzero(course[5000:] < 0.5)[0] < 300


def test_moments_are_those_of_the_last_readings():
    z = np.random.default_rng(6).normal(size=(200, 2))
    fit, _ = follow(z)
    assert fit.nis == pytest.approx(np.mean(z**2))
    assert fit.channels["c0"].moments.nis == pytest.approx(np.mean(z[:, 0] ** 2))
    assert fit.autocorrelation == pytest.approx(np.mean(z[1:] * z[:-1]) / np.mean(z**2))
    later, _ = follow(np.vstack([10.0 * z, np.tile(z, (30, 1))]))
    assert later.nis == pytest.approx(np.mean(z**2), rel=0.2), "what is long ago counts no more"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([math.nan, math.inf, 0.1, -2.0, 3.7, 1e3]), st.floats(-5, 5)), max_size=60),
    st.integers(0, 60),
)
def test_a_restart_anywhere_equals_none(rows, cut):
    z = np.array(rows, float).reshape(-1, 2)
    calm, _ = follow(z)
    stopped, _ = follow(z[:cut])
    again = Consistency(["c0", "c1"], 10.0)
    again.restore(json.loads(json.dumps(stopped.state())))
    for k in range(cut, len(z)):
        step(again, 10.0 * k, z[k])
    assert json.dumps(again.state(), allow_nan=False) == json.dumps(calm.state(), allow_nan=False)
    assert again.worst() == calm.worst()


def test_before_the_first_reading_nothing_is_known_and_nothing_wrong():
    fit = Consistency(["a"], 10.0)
    assert math.isnan(fit.nis)
    assert math.isnan(fit.autocorrelation)
    assert fit.misfit == 0.0
    assert fit.worst() is None
    assert Consistency([], 10.0).misfit == 0.0
