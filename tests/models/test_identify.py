"""Parameters from records of small models: found with their intervals, undetermined, entangled, with outliers."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine import Steps
from models.estimate import ModelError
from models.focal import random_walk
from models.identify import Parameter, identify
from models.statespace import Observation, StateSpace

WALK, NOISE = 0.05, 0.3


def level(walk=WALK):
    return StateSpace.assemble([random_walk("level", "px", walk, 10.0)], [Observation("a", (("level", 1.0),))], 1.0)


def record(seed, count=400, walk=WALK, noise=NOISE):
    rng = np.random.default_rng(seed)
    steps = Steps.empty(level(), count)
    steps.readings[:, 0] = np.cumsum(walk * rng.normal(size=count)) + noise * rng.normal(size=count)
    return steps


def build_of(steps):
    def build(values):
        own = Steps(
            steps.readings, np.full_like(steps.variances, values["noise"] ** 2), steps.covariates, steps.inputs,
            steps.opened,
        )  # fmt: skip
        return [(level(values["walk"]), own)]

    return build


PARAMETERS = [Parameter("walk", 0.1, np.log(5.0)), Parameter("noise", 0.1, np.log(5.0))]


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = np.zeros(2)
    for seed in range(60):
        found = identify(PARAMETERS, build_of(record(seed))).found
        assert all(f.determined for f in found)
        inside += [f.low <= true <= f.high for f, true in zip(found, (WALK, NOISE), strict=True)]
    assert inside.min() >= 52


def test_a_walk_that_is_too_small_to_be_seen_is_not_determined():
    walk, noise = identify(PARAMETERS, build_of(record(1, count=60, walk=1e-5))).found
    assert not walk.determined
    assert walk.low < 1e-3
    assert noise.determined
    assert noise.value == pytest.approx(NOISE, rel=0.3)


def test_more_readings_narrow_the_interval():
    short, long = (identify(PARAMETERS, build_of(record(3, count))).found[1] for count in (100, 1600))
    assert long.narrowed == pytest.approx(short.narrowed / 4.0, rel=0.3)


def test_a_product_is_known_only_together():
    """The reading shows gain × size alone: neither is determined, each is named as the other's partner."""
    rng = np.random.default_rng(2)

    def build(values):
        model = StateSpace.assemble([random_walk("base", "px", 0.0, 10.0)], [Observation("a", (("base", 1.0),))], 1.0)
        steps = Steps.empty(model, 200)
        steps.readings[:, 0] = 5.0 + course - values["gain"] * values["size"] * np.arange(200) / 200.0
        steps.variances[:] = 0.01
        return [(model, steps)]

    course = 6.0 * np.arange(200) / 200.0 + 0.1 * rng.normal(size=200)
    gain, size = identify([Parameter("gain", 2.0, np.log(3.0)), Parameter("size", 2.0, np.log(3.0))], build).found
    assert (gain.determined, size.determined) == (False, False)
    assert (gain.partners, size.partners) == (("size",), ("gain",))
    assert gain.use
    assert size.use
    assert gain.value * size.value == pytest.approx(6.0, rel=0.02)


def test_what_no_reading_depends_on_keeps_its_value():
    found = identify([*PARAMETERS, Parameter("absent", 7.0, 1.0)], build_of(record(4)))
    absent = found.found[2]
    assert (absent.seen, absent.determined, absent.use) == (False, False, False)
    assert found.values()["absent"] == 7.0
    assert found.values()["walk"] == found.found[0].value


def test_outliers_are_left_out():
    steps, clean = record(5), identify(PARAMETERS, build_of(record(5)))
    steps.readings[[50, 120, 300], 0] += [30.0, -20.0, 10.0]
    found = identify(PARAMETERS, build_of(steps))
    assert found.outliers == 3
    assert not found.used[0][[50, 120, 300], 0].any()
    for ours, other in zip(found.found, clean.found, strict=True):
        assert ours.value == pytest.approx(other.value, rel=0.05)


def test_an_undetermined_parameter_keeps_its_value_and_the_others_fit_to_it():
    """A prior so narrow that the record adds nothing: the value stays what it was, not where noise pushed it."""
    narrow = Parameter("walk", 0.06, 0.05)
    found = identify([narrow, PARAMETERS[1]], build_of(record(6)))
    assert not found.found[0].use
    assert found.values()["walk"] == narrow.start
    alone = identify([PARAMETERS[1]], lambda v: build_of(record(6))({**v, "walk": narrow.start}))
    assert found.values()["noise"] == pytest.approx(alone.values()["noise"], rel=1e-3)


def test_where_the_record_says_only_how_large_it_is_at_most():
    """The walk before is far above what the readings allow: not determined, but no longer believed."""
    walk = identify([Parameter("walk", 3.0, np.log(5.0)), PARAMETERS[1]], build_of(record(8, walk=1e-4))).found[0]
    assert walk.determined or walk.moved
    assert walk.use
    assert walk.high < 0.1


def test_residuals_fit_better_afterwards():
    found = identify(PARAMETERS, build_of(record(7)))
    assert found.after.loglik > found.before.loglik + 20
    ratio = found.after.value / np.sqrt(found.after.variance)
    assert np.mean(ratio**2) == pytest.approx(1.0, abs=0.15)


def test_nothing_free_is_said():
    with pytest.raises(ModelError, match="no parameter is free"):
        identify([], build_of(record(1)))
