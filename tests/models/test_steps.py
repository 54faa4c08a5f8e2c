"""Recognition of steps: exact where it can be, and what it does with outliers, large steps and breakdowns."""

from __future__ import annotations

import json

import numpy as np
import pytest

from models.anchors import Anchors
from models.engine import Belief, Gate, Steps, compiled
from models.packing import Packed
from models.recognition import Recognition
from models.smoother import smooth
from models.statespace import Block, Observation, StateSpace
from models.steps import CAUTION, FEWEST, MOST, Stepping
from tests.oracles.step_mixture import exact_mixture

WIDE = 1e9


def dense_model(seed: int) -> StateSpace:
    """Four coupled states, of which a and b may step, seen by three channels."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(4, 4)) * 0.1
    drift = np.diag([0.0, 0.0, -0.05, -0.2])
    drift[2, 0], drift[3, 2], drift[2, 3] = 0.04, 0.1, -0.07
    block = Block(
        ("a", "b", "c", "d"), ("1",) * 4, drift, root @ root.T, rng.normal(size=4), np.diag(rng.uniform(0.5, 2, 4))
    )
    rows = rng.normal(size=(3, 4))
    rows[2, :2] = 0.0  # this channel sees no step at once
    observations = [
        Observation(f"z{j}", tuple((s, float(w)) for s, w in zip("abcd", row, strict=True) if w))
        for j, row in enumerate(rows)
    ]
    return StateSpace.assemble([block], observations, 0.7)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("states", [("a",), ("b", "a")])
def test_bank_is_the_exact_mixture(seed, states):
    """Against dense Gaussians, one per possible instant, while nothing is decided or merged."""
    model, rng = dense_model(seed), np.random.default_rng(100 + seed)
    count, rate = FEWEST + 4, 0.01
    sigma = tuple(float(s) for s in rng.uniform(1.0, 2.0, len(states)))
    steps = Steps.empty(model, count)
    steps.variances[:] = rng.uniform(0.5, 1.5, steps.variances.shape)
    steps.readings[:] = rng.normal(size=steps.readings.shape)
    steps.readings[6:, 0] += 1.2
    steps.readings[rng.random(steps.readings.shape) < 0.3] = np.nan
    steps.readings[-1, 0] = 1.0
    tracker = Recognition(model, Packed.of(model), Gate(WIDE), compiled, [Stepping("x", states, sigma, rate)])
    start = 0
    shocks = []
    for t in range(count):
        _, events = tracker.advance(0.7 * (t + 1), steps.part(t, t + 1))
        assert not events
        if np.isfinite(steps.readings[t, :2]).any():
            expected = rate * 0.7 * (t + 1 - start)
            shock = np.zeros((4, 4))
            for name, s in zip(states, sigma, strict=True):
                # so long without a reading that more than one step is possible: one, of the same second moment
                shock[model.index(name), model.index(name)] = s**2 * expected / (1.0 - np.exp(-expected))
            shocks.append((CAUTION * (np.exp(expected) - 1.0), t, shock))
            start = t + 1
    mean, cov, share = exact_mixture(
        model.transition, model.noise, model.mean, model.cov,
        np.array([model.row(dict(o.linear)) for o in model.observations]), steps.variances, steps.readings, shocks,
    )  # fmt: skip
    assert 0.02 < 1.0 - share[0] < 0.95, "neither certain: the mixture is put to the test"
    got, sd = tracker.belief(), np.sqrt(np.diag(cov))
    assert np.all(np.abs(got.mean - mean) <= 1e-9 * sd)
    assert np.all(np.abs(got.cov - cov) <= 1e-9 * np.outer(sd, sd))
    assert np.allclose(tracker.banks[0].posterior.probability, share[1:], rtol=1e-9, atol=1e-12)


def level(q: float, patience: int = 3) -> StateSpace:
    """A walk seen with noise; and a second one that never steps, seen by a channel of its own."""
    block = Block(("x", "y"), ("1", "1"), np.zeros((2, 2)), np.diag([q, q]), np.zeros(2), np.diag([100.0, 100.0]))
    observations = [
        Observation("z", (("x", 1.0),), step_states=("x",), patience=patience),
        Observation("other", (("y", 1.0),)),
    ]
    return StateSpace.assemble([block], observations, 60.0)


GATE = Gate(5.0, np.array([400.0, 0.0]))
RATE = 1.0 / 86400.0


def run(model, z, steppings=None, cut=None, anchored=False):
    """Means, σ and events of a record of the first channel (variance 1), with a restart at ``cut``."""
    steps = Steps.empty(model, len(z))
    steps.readings[:, 0] = z
    steps.readings[:, 1] = 0.0

    def new():
        stepping = [Stepping("x", ("x",), (4.0,), RATE)] if steppings is None else steppings
        return Recognition(model, Packed.of(model), GATE, compiled, stepping)

    tracker, events, mean, std = new(), [], [], []
    rows = np.array([[1.0, 0.0]])
    if anchored:
        tracker.watch_past(Anchors(1, 2, 300.0))
    for t in range(len(z)):
        if t == cut:
            stored = json.loads(json.dumps(tracker.state()))
            tracker = new()
            tracker.restore(stored, Anchors(1, 2, 0.0) if anchored else None)
        events += tracker.advance(60.0 * t, steps.part(t, t + 1))[1]
        if anchored:
            tracker.drop_anchor(60.0 * t, rows @ tracker.plain.mean, rows)
        given = tracker.belief()
        mean.append(given.mean[0])
        std.append(np.sqrt(given.cov[0, 0]))
    return tracker, np.array(mean), np.array(std), events


def record(size: float, at: int = 150, count: int = 300, seed: int = 1) -> np.ndarray:
    z = np.random.default_rng(seed).normal(size=count)
    z[at:] += size
    return z


@pytest.mark.parametrize("size", [3.0, -4.0])
def test_a_step_below_the_gate_is_an_event_with_its_size(size):
    tracker, mean, std, events = run(level(1e-4 / 60.0), record(size))
    (event,) = events
    assert event.kind == "step"
    assert event.name == "x"
    assert event.since < 60.0 * 150 + 60.0 * 2
    assert abs(event.time / 60.0 - 150) <= 2
    assert abs(event.size[0] - size) < 2.0 * event.sigma[0]
    assert event.told <= 60.0 * 160
    assert abs(mean[165] - size) < 2.0 * std[165]
    assert tracker.fork is None
    model, steps = level(1e-4 / 60.0), Steps.empty(level(1e-4 / 60.0), 300)
    steps.readings[:, 0] = record(size)
    smeared = compiled(model, Packed.of(model), Belief.prior(model), steps, Gate(WIDE), True)
    assert abs(smeared.mean[165, 0] - size) > 10.0 * np.sqrt(smeared.cov[165, 0, 0]), "what it is without recognition"


@pytest.mark.parametrize("size", [9.0, -40.0])
def test_a_step_beyond_the_gate_is_recognised_after_the_patience(size):
    _, mean, std, events = run(level(1e-4 / 60.0), record(size))
    (event,) = events
    assert event.time == 60.0 * 150
    assert event.since == 60.0 * 149
    assert event.told == 60.0 * 152, "the third reading"
    assert abs(event.size[0] - size) < 3.0 * event.sigma[0]
    assert np.all(np.abs(mean[150:] - size) < 4.0 * std[150:]), "and nowhere in between is the belief overconfident"


@pytest.mark.parametrize("size", [6.0, 9.0, 40.0, 1e6])
def test_one_outlier_is_no_step(size):
    z = record(0.0)
    z[150] += size
    tracker, mean, std, events = run(level(1e-4 / 60.0), z)
    assert events == []
    assert tracker.fork is None
    assert np.all(np.abs(mean[151:]) < 4.0 * std[151:])
    _, calm, _, _ = run(level(1e-4 / 60.0), record(0.0))
    assert np.abs(mean[160:] - calm[160:]).max() < 0.1, "and leaves no trace"


def test_a_step_may_come_while_an_outlier_is_pending():
    z = record(12.0)
    z[149] -= 30.0
    _, mean, std, events = run(level(1e-4 / 60.0), z)
    assert [e.kind for e in events] == ["step"]
    assert abs(mean[160] - 12.0) < 3.0 * std[160]


def test_what_must_be_followed_is_followed_and_forgotten():
    """Patience 1 (flux): a breakdown of one reading is given out as read, and afterwards it is as if it had not been."""
    z = record(0.0)
    z[150] -= 15.0
    _, mean, std, events = run(level(1e-4 / 60.0, patience=1), z)
    assert [(e.kind, e.time, e.told) for e in events] == [("breakdown", 9000.0, 9060.0)]
    assert abs(events[0].size[0] + 15.0) < 3.0
    assert abs(mean[150] - z[150]) < 0.5
    assert std[150] == pytest.approx(1.0, rel=0.1)
    assert abs(mean[151]) < 0.5, "the level before is still known"
    _, mean, std, events = run(level(1e-4 / 60.0, patience=1), record(-15.0))
    assert [(e.kind, e.time, e.told) for e in events] == [("step", 9000.0, 9060.0)]
    assert np.all(np.abs(mean[150:] + 15.0) < 4.0 * std[150:])


@pytest.mark.parametrize("cut", [151, 152, 155, 170])
@pytest.mark.parametrize("size", [3.0, 12.0])
def test_a_restart_in_the_middle_of_a_suspicion_equals_none(cut, size):
    z = record(size)
    calm, again = run(level(1e-4 / 60.0), z, anchored=True), run(level(1e-4 / 60.0), z, cut=cut, anchored=True)
    assert json.dumps(calm[0].state()) == json.dumps(again[0].state())
    assert calm[1].tobytes() == again[1].tobytes()
    assert calm[2].tobytes() == again[2].tobytes()
    assert calm[0].past().mean.tobytes() == again[0].past().mean.tobytes()


def test_hypotheses_stay_few_and_young():
    tracker, *_ = run(level(1e-4 / 60.0), record(0.0, count=400))
    assert len(tracker.banks[0]) <= MOST
    assert tracker.banks[0].time[0] >= 60.0 * 399 - 3600.0
    assert np.all(np.diff(tracker.banks[0].time) > 0)


def test_the_past_is_that_of_a_filter_told_of_the_step():
    """After a decided step the anchors are what fixed-interval smoothing gives when the variance is opened there."""
    model, z = level(1e-4 / 60.0), record(6.0, at=100, count=140, seed=4)
    # the filter that is told reckons with no further step, so this one with few
    tracker, _, _, events = run(model, z, [Stepping("x", ("x",), (4.0,), RATE / CAUTION)], anchored=True)
    assert [e.time for e in events] == [6000.0]
    steps = Steps.empty(model, len(z))
    steps.readings[:, 0], steps.readings[:, 1] = z, 0.0
    steps.opened[100, 0] = 16.0
    told = smooth(model, Belief.prior(model), steps, [Observation("x", (("x", 1.0),))], gate=Gate(WIDE))
    past = tracker.past()
    assert past is not None
    for k, time in enumerate(past.times):
        t = round(time / 60.0)
        if abs(t - 100) > 5:
            assert past.mean[k, 0] == pytest.approx(told.mean[t, 0], abs=0.1)
            assert past.cov[k, 0, k, 0] == pytest.approx(told.cov[t, 0, 0], rel=0.1)
