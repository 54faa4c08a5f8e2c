"""The pipeline: what it stores, shows and publishes doesn't depend on where batches end or on restarts."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.reading import Reading
from tests.endtoend.machine import T0
from tests.endtoend.small import admitted, batches, small
from twin.history import History, read_estimates, read_scan_records
from twin.pipeline import Pipeline
from twin.scan import Scan
from twin.scan_record import scan_of_text

CONFIG = small()
ROWS = admitted(CONFIG, 420, seed=5)
SCAN = Scan("ring", np.arange(60), T0 + 60.0 + 3.0 * np.arange(60), 6.0 * np.arange(60), ("projection",) * 60)


class Kept:
    """Stands for the publisher: keeps what it is given."""

    def __init__(self):
        self.lines, self.synced = [], 0

    def write(self, lines):
        self.lines += lines
        return len(self.lines)

    def sync(self):
        self.synced = len(self.lines)

    def status(self):
        return SimpleNamespace(spool=SimpleNamespace(bytes=0, oldest_age_s=None))

    def points(self, *without):
        """Measurement, tags and time of each line, less those of some measurements."""
        found = set()
        for line in self.lines:
            head, _, time = line.split(" ")
            if head.split(",")[0] not in without:
                found.add((head, time))
        return found


@pytest.fixture
def open_pipeline(tmp_path):
    histories = []

    def make(name="state", publisher=None, scan=SCAN):
        history = History(tmp_path / name)
        histories.append(history)
        return Pipeline(CONFIG, history, publisher=publisher, scan=scan)

    yield make
    for history in histories:
        history.connection.close()
        history.close()


def stored(pipeline):
    samples = pipeline.history.connection.execute("SELECT time, sample FROM estimate ORDER BY time").fetchall()
    return [part.tobytes() for part in read_estimates(pipeline.history.connection)], samples


def test_neither_estimates_nor_samples_depend_on_where_batches_end(open_pipeline):
    found, lines = [], []
    for size in (1, 37, 4096):
        kept = Kept()
        pipeline = open_pipeline(f"by-{size}", kept)
        for batch in batches(ROWS, size):
            pipeline.take(batch, None)
        found.append(stored(pipeline))
        lines.append(kept.points("ctwin_age", "ctwin_alert"))
    assert found[0] == found[1] == found[2]
    assert lines[0] == lines[1] == lines[2]
    names = {head.split(",")[0] for head, _ in lines[0]}
    assert names >= {"ctwin_reading", "ctwin_state", "ctwin_spot", "ctwin_resolution", "ctwin_forecast", "ctwin_scan"}


def test_corrections_given_out_start_at_the_first_projection(open_pipeline):
    pipeline = open_pipeline()
    pipeline.take(ROWS, None)  # the scan begins and ends within one batch
    _, samples = stored(pipeline)
    given_out = [(time, json.loads(text)["correction_v_um"]) for time, text in samples]
    during = [time for time, value in given_out if value is not None]
    assert min(during) == pytest.approx(T0 + 60.0, abs=5.0)
    assert max(during) == pytest.approx(T0 + 237.0, abs=5.0)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=3), st.booleans())
def test_restarts_change_nothing(tmp_path_factory, cuts, snapshots):
    """A restart without a last snapshot is a kill; batches behind the newest one are taken in again from the journal."""
    folder = tmp_path_factory.mktemp("restarts")
    parts = list(batches(ROWS, 160))

    def run(name, stops):
        kept, at = Kept(), 0
        for stop in [*stops, len(parts)]:
            history = History(folder / name)
            pipeline = Pipeline(CONFIG, history, publisher=kept, scan=SCAN)
            pipeline.restore()
            for part in parts[max(at - 1, 0) : stop]:  # the last one comes again: it wasn't acknowledged
                pipeline.take(part, None)
            at = max(at, stop)
            result = stored(pipeline)[0]
            if snapshots:
                pipeline.save(history.rows())
            history.connection.close()
            history.close()
        return result, kept.points("ctwin_age", "ctwin_alert", "ctwin_forecast")

    assert run("stopped", sorted(cuts)) == run("calm", [])


def test_what_was_not_told_when_it_died_is_told_after(open_pipeline):
    kept = Kept()
    pipeline = open_pipeline("state", kept)
    pipeline.take([r for r in ROWS if r.time < T0 + 100], None)
    pipeline.save(pipeline.history.rows())
    silent = pipeline.judge(T0 + 500)
    assert {e.rule for e in silent} >= {"room-silent"}
    told = [line for line in kept.lines if "transition_code" in line]
    assert any("room-silent" in line for line in told), "silence is told although nothing comes"
    pipeline.history.connection.close()
    pipeline.history.close()
    again = Kept()
    second = open_pipeline("state", again)
    second.restore()
    second.judge(T0 + 501)
    assert {line for line in again.lines if "transition_code" in line} >= set(told)


def test_rules_judge_silence_before_anything_has_ever_come(open_pipeline):
    pipeline = open_pipeline(scan=None)
    assert not any(e.rule == "room-silent" for e in pipeline.judge(T0)), "it had no time to speak yet"
    events = [*pipeline.judge(T0 + 30), *pipeline.judge(T0 + 61)]
    assert any(e.rule == "room-silent" and str(e.state).startswith("active") for e in events)
    assert math.isnan(pipeline.twin.time)


def test_what_comes_twice_is_stored_once_and_counted(open_pipeline):
    kept = Kept()
    pipeline = open_pipeline("state", kept)
    pipeline.take(ROWS[:80], None)
    pipeline.take(ROWS[40:120], None)
    assert repr([r for b in pipeline.history.batches() for r in b.readings]) == repr(ROWS[:120])
    again = {k: n for k, n in pipeline.twin.aligner.drops.items() if k[1] == "again"}
    assert sum(again.values()) == 40
    pipeline.take(ROWS[40:120], None)
    assert pipeline.history.rows() == 2, "nothing new is no batch"


def test_a_batch_that_fails_leaves_nothing_in_the_store(open_pipeline, monkeypatch):
    pipeline = open_pipeline()
    pipeline.take(ROWS[:800], None)
    before = stored(pipeline)

    def fail(*_):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(pipeline.book, "step", fail)
    with pytest.raises(RuntimeError):
        pipeline.take(ROWS[800:1600], None)
    assert stored(pipeline) == before
    assert pipeline.history.rows() == 1


def test_the_end_of_a_record_is_published_too(open_pipeline):
    kept = Kept()
    pipeline = open_pipeline("state", kept)
    pipeline.take(ROWS, None)
    last = pipeline.finish()
    assert last
    for estimate in last:
        assert any(head.startswith("ctwin_state") and int(time) == round(estimate.time * 1e9)
                   for head, time in kept.points())  # fmt: skip


def test_one_absurd_stamp_blinds_no_channel_after_a_restart(open_pipeline):
    pipeline = open_pipeline()
    pipeline.take([*ROWS[:400], Reading("t_room", T0 + 1e9, 290.0)], T0 + 100)
    pipeline.history.connection.close()
    pipeline.history.close()
    second = open_pipeline()
    second.restore()
    assert second.twin.aligner.policy.last["t_room"] < T0 + 100


COUNTED = """[[channel]]
name = "image"
sensor = "lab"
quantity = "projection"
unit = "number"
[[channel]]
name = "stage"
sensor = "lab"
quantity = "angle"
unit = "deg"
"""


def with_images(rows, first_s, count):
    """Readings with those of a scan among them: number and angle of a projection every 3 s."""
    told = []
    for k in range(count):
        at = T0 + first_s + 3.0 * k
        told += [Reading("stage", at - 1.0, math.radians(6.0 * k)), Reading("image", at, float(k))]
    return sorted([*rows, *told], key=lambda r: r.time)


@pytest.mark.parametrize("size", [1, 37, 4096])
def test_a_scan_that_channels_tell_of_is_recorded_with_its_projections(tmp_path, size):
    config = small(more=COUNTED)
    config = config.model_copy(update={"scan": config.scan.model_copy(update={"ends_after_min": 1.0})})
    history = History(tmp_path / "state")
    pipeline = Pipeline(config, history)
    rows, restarts = with_images(ROWS, 60.0, 60), 0
    for number, batch in enumerate(batches(rows, size)):
        pipeline.take(batch, None)
        if pipeline.twin.time > T0 + 150.0 and pipeline.watch.running and number % max(148 // size, 1) == 0:
            pipeline.save(history.rows())
            history.connection.close()
            history.close()
            history = History(tmp_path / "state")  # a restart in its middle, and some more
            pipeline = Pipeline(config, history)
            pipeline.restore()
            assert pipeline.reference is not None
            assert pipeline.reference.done == pipeline.watch.taken > 20
            restarts += 1
    assert restarts > 0 or size == 4096  # which is the whole record
    (record,) = read_scan_records(history.connection)
    scan = scan_of_text(record.data)
    history.connection.close()
    history.close()
    assert scan.name == "small-2023-11-14T221420Z"
    assert scan.projection.tolist() == list(range(60))
    assert scan.time.tolist() == [T0 + 60.0 + 3.0 * k for k in range(60)]
    assert scan.angle_deg == pytest.approx(6.0 * np.arange(60))
    assert record.ended is None
