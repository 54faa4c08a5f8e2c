"""Alignment: only the order of readings and their two times decide; nothing is lost without being counted."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.reading import Quality, Reading
from twin.align import Aligner, Vector

T0 = 1.7e9
GRID_S, LATE_S = 5.0, 10.0

offsets = st.integers(-40, 400).map(lambda k: T0 + 0.5 * k)
reading = st.builds(
    Reading,
    st.sampled_from(["a", "b", "c"]),
    st.one_of(offsets, offsets, offsets, st.sampled_from([0.0, T0 + 1e5, math.nan, math.inf])),
    st.floats(-5, 5),
    st.sampled_from([math.nan, 0.1, 0.3]),
    st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.SIMULATED, Quality.SUSPECT, Quality.INVALID]),
)
# arrival never before the batch above; a reading may come long after its own time
arrivals = st.lists(st.tuples(reading, st.integers(0, 10)), max_size=60).map(
    lambda rows: [(r, T0 + 100.0 + sum(d for _, d in rows[: k + 1])) for k, (r, _) in enumerate(rows)]
)


def fresh() -> Aligner:
    return Aligner(GRID_S, LATE_S)


def each(aligner: Aligner, rows: list[tuple[Reading, float]]) -> list[Vector]:
    return [vector for r, ingest in rows for vector in aligner.add([r], ingest)]


def used(vectors: list[Vector]) -> int:
    return sum(cell.count for vector in vectors for cell in vector.cells.values())


def plain(vectors: list[Vector]) -> str:
    """Comparable to the last bit, NaN included."""
    return repr([(v.time, sorted(v.cells.items())) for v in vectors])


@given(arrivals)
def test_every_reading_is_used_or_counted(rows):
    aligner = fresh()
    out = each(aligner, rows) + aligner.flush()
    assert used(out) + aligner.drops.total() == len(rows)


@given(arrivals)
def test_steps_come_in_order_without_a_gap(rows):
    aligner = fresh()
    out = each(aligner, rows) + aligner.flush()
    assert all(b.time - a.time == GRID_S for a, b in pairwise(out))
    assert all(v.time % GRID_S == 0 for v in out)


@given(st.lists(reading, max_size=60).filter(lambda rows: all(not r.time > T0 + 1e4 for r in rows)), st.data())
def test_where_batches_end_changes_nothing(rows, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=5)))
    whole, parts = fresh(), fresh()
    one = whole.add(rows)
    other = [v for a, b in pairwise([0, *cuts, len(rows)]) for v in parts.add(rows[a:b])]
    assert plain(one) == plain(other)
    assert whole.state() == parts.state() or json.dumps(whole.state()) == json.dumps(parts.state())


@given(st.lists(st.tuples(st.integers(0, 300), st.permutations(["a", "b", "c"])), min_size=1, max_size=30))
def test_order_of_simultaneous_readings_changes_nothing(instants):
    instants = sorted(instants, key=lambda row: row[0])
    given_, sorted_ = fresh(), fresh()
    one = [v for k, order in instants for v in given_.add([Reading(c, T0 + k, float(k)) for c in order])]
    other = [v for k, order in instants for v in sorted_.add([Reading(c, T0 + k, float(k)) for c in sorted(order)])]
    assert repr(one + given_.flush()) == repr(other + sorted_.flush()), "not even the order of the cells"


@given(arrivals, st.data())
def test_state_and_restore_anywhere_change_nothing(rows, data):
    cut = data.draw(st.integers(0, len(rows)))
    calm, stopped = fresh(), fresh()
    wanted = each(calm, rows) + calm.flush()
    got = each(stopped, rows[:cut])
    stored = stopped.state()
    text = json.dumps(stored)
    each(stopped, rows[cut:])
    assert json.dumps(stored) == text, "a state is a copy, not a view"
    again = fresh()
    again.restore(json.loads(text))
    got += each(again, rows[cut:]) + again.flush()
    assert plain(got) == plain(wanted)
    assert again.drops == calm.drops


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ([(0, "good"), (40, "good"), (1, "good")], "backwards"),
        ([(0, "good"), (0, "good")], "identical"),
        ([(0, "suspect")], "suspect"),
        ([(0, "invalid")], "invalid"),
        ([(-1.6e9, "good")], "before_1991"),
        ([(math.inf, "good")], "ahead"),
    ],
)
def test_each_cause_has_its_name(rows, cause):
    aligner = fresh()
    aligner.add([Reading("a", T0 + dt, 1.0, quality=Quality(q)) for dt, q in rows])
    assert dict(aligner.drops) == {("a", cause): 1}


def test_late_is_what_comes_after_its_step_was_closed():
    aligner = fresh()
    aligner.add([Reading("a", T0, 1.0), Reading("a", T0 + 40, 1.0)])
    aligner.add([Reading("b", T0 + 1, 1.0), Reading("b", T0 + 39, 1.0)])
    assert dict(aligner.drops) == {("b", "late"): 1}


def test_a_stamp_in_the_future_closes_nobody_elses_steps():
    aligner = fresh()
    closed = aligner.add([Reading("a", T0, 1.0), Reading("bad", T0 + 1500, 1.0)], T0 + 1)
    closed += aligner.add([Reading("a", T0 + 2, 1.0)], T0 + 3)
    assert closed == []
    assert not aligner.drops
    (first, *_) = aligner.add([Reading("a", T0 + 15, 1.0)], T0 + 15)
    assert (first.time, first.cells["a"].count) == (T0, 2)


def test_mean_is_weighted_where_every_sigma_is_known():
    aligner = fresh()
    aligner.add(
        [Reading("a", T0, 1.0, 1.0), Reading("a", T0 + 1, 4.0, 0.5), Reading("b", T0, 1.0), Reading("b", T0 + 1, 4.0)]
    )
    (vector,) = [v for v in aligner.flush() if v.cells]
    assert (vector.cells["a"].value, vector.cells["a"].sigma) == pytest.approx((17 / 5, 5**-0.5))
    assert vector.cells["b"].value == 2.5
    assert math.isnan(vector.cells["b"].sigma)


def test_a_stamp_decades_ahead_in_a_record_is_counted_and_closes_nothing():
    aligner = Aligner(10.0, 0.0)
    aligner.add([Reading("a", 1.7e9, 1.0)])
    assert aligner.add([Reading("a", 4.0e9, 1.0)]) == []
    assert aligner.drops["a", "ahead"] == 1
    assert [v.time for v in aligner.add([Reading("a", 1.7e9 + 10.0, 1.0), Reading("a", 1.7e9 + 30.0, 1.0)])] == [
        1.7e9, 1.7e9 + 10.0, 1.7e9 + 20.0,
    ]  # fmt: skip
