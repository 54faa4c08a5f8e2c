"""The twin: a restart at any step equals no restart, bit for bit; another model's snapshot is refused with the reason."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensors.reading import Quality, Reading
from tests.endtoend.machine import T0, config_text
from tests.endtoend.small import admitted, batches, small
from twin.config import validate
from twin.core import SnapshotError, Twin

CONFIG = small()
ROWS = admitted(CONFIG, 600, seed=3)


def same(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        a.time == b.time and a.mean.tobytes() == b.mean.tobytes() and a.cov.tobytes() == b.cov.tobytes()
        and a.innovation == b.innovation
        for a, b in zip(one, other, strict=True)
    )  # fmt: skip


CALM = Twin(CONFIG)
WANTED = CALM.update(ROWS)


def test_there_is_something_to_compare():
    assert len(WANTED) > 100
    assert all(np.isfinite(e.mean).all() and np.isfinite(e.cov).all() for e in WANTED)
    assert any(e.innovation for e in WANTED)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, len(ROWS)), st.booleans())
def test_a_restart_anywhere_equals_none(cut, scanning):
    calm, stopped, again = Twin(CONFIG), Twin(CONFIG), Twin(CONFIG)
    if scanning:
        calm.begin_scan(T0 + 50.0)
        stopped.begin_scan(T0 + 50.0)
    wanted = calm.update(ROWS)
    got = stopped.update(ROWS[:cut])
    stored = json.dumps(stopped.snapshot())
    again.restore(json.loads(stored))
    got += again.update(ROWS[cut:])
    assert same(got, wanted)
    assert json.dumps(again.snapshot()) == json.dumps(calm.snapshot()), "and everything that decides what comes next"
    assert again.outputs().mean.tobytes() == calm.outputs().mean.tobytes()


def test_a_snapshot_is_a_copy():
    twin = Twin(CONFIG)
    twin.begin_scan(T0)
    twin.update(ROWS[:2000])
    stored = twin.snapshot()
    text = json.dumps(stored)
    twin.update(ROWS[2000:])
    assert json.dumps(stored) == text


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 400))
def test_where_batches_end_changes_nothing(size):
    twin = Twin(CONFIG)
    assert same([e for batch in batches(ROWS, size) for e in twin.update(batch)], WANTED)


def test_one_step_at_a_time_stands_at_each_step():
    twin = Twin(CONFIG)
    for estimate in twin.steps(ROWS):
        assert twin.time == estimate.time
        assert twin.belief.mean.tobytes() == estimate.mean.tobytes()
    assert twin.time == WANTED[-1].time


def test_a_scan_changes_no_estimate():
    twin = Twin(CONFIG)
    got = []
    for k, batch in enumerate(batches(ROWS, 97)):
        got += twin.update(batch)
        if k == 10:
            twin.begin_scan(twin.time)
        if k == 30:
            twin.end_scan()
    assert same(got, WANTED)


@pytest.mark.parametrize(("old", "new"), [("length_mm = 50.0", "length_mm = 51.0"), ("grid_s = 5.0", "grid_s = 10.0")])
def test_another_models_snapshot_is_refused_with_the_reason(old, new):
    text = config_text('kind = "csv"\npath = "log.csv"')
    assert old in text
    other = Twin(validate(tomllib.loads(text.replace(old, new)), "test"))
    stored = CALM.snapshot()
    with pytest.raises(SnapshotError) as told:
        other.restore(stored)
    assert CALM.model_id in str(told.value)
    assert other.model_id in str(told.value)
    assert "start with an empty store" in str(told.value)
    assert np.isnan(other.time), "and nothing of it was taken in"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.builds(
            Reading,
            st.sampled_from(["t_room", "t_tube", "wire_n", "ball_u", "i0", "voltage", "current", "unknown"]),
            st.integers(-30, 300).map(lambda k: T0 + k),
            st.sampled_from([0.0, -1.0, 1e-3, 294.15, 4000.0, 8e4, 1e6, float("nan")]),
            st.sampled_from([float("nan"), 0.0, 1e-6, 0.1]),
            st.sampled_from([Quality.GOOD, Quality.SIMULATED]),
        ),
        max_size=60,
    )
)
def test_no_reading_makes_the_state_infinite_or_the_covariance_wrong(rows):
    twin = Twin(CONFIG)
    for estimate in [*twin.update(rows), *twin.finish()]:
        assert np.isfinite(estimate.mean).all()
        assert np.linalg.eigvalsh(estimate.cov).min() >= -1e-9 * np.abs(estimate.cov).max()
