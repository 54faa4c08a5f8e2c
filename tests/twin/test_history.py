"""The store: all of a batch or nothing, each reading once, what the newest snapshot needs is kept, one owner."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from models.estimate import Estimate
from sensors.reading import Quality, Reading
from tests.real_data import ROOT
from twin.history import (
    History,
    HistoryError,
    open_to_read,
    read_batches,
    read_estimates,
    read_scans,
    read_snapshot,
)

T0 = 1.7e9
DAY_S = 86400.0


@pytest.fixture
def history(tmp_path):
    one = History(tmp_path / "state")
    yield one
    one.close()


def rows(*seconds, channel="a"):
    return [Reading(channel, T0 + k, 20.0 + k, 0.1) for k in seconds]


def put(history, readings, ingest=None):
    with history.transaction():
        return history.append(readings, ingest)


def estimate(time):
    return Estimate(time, ("x", "y"), ("K", "m"), np.array([1.0, 2.0]), np.diag([4.0, 9.0]), {}, "m")


def everything(history):
    return {
        table: history.connection.execute(f"SELECT * FROM {table}").fetchall()
        for table in ("meta", "channel", "batch", "reading", "estimate", "snapshot", "scan")
    }


def test_readings_come_back_as_they_were_to_the_last_bit(history):
    odd = [
        Reading("a", T0 + 1 / 3, 0.1 + 0.2, math.nan),
        Reading("b", T0, math.nan, 1e-300, Quality.INVALID),
        Reading("a", T0 - 5, 5e-324, 0.5, Quality.SIMULATED),
    ]
    put(history, odd, T0 + 7.25)
    put(history, rows(9))
    one, two = history.batches()
    assert (one.seq, one.ingest, two.seq, two.ingest) == (1, T0 + 7.25, 2, None)
    assert repr(one.readings) == repr(odd)
    assert two.readings == rows(9)
    assert [b.seq for b in history.batches(after=1)] == [2]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, sqlite3.OperationalError])
def test_an_exception_in_the_middle_leaves_nothing(history, error):
    put(history, rows(1))
    before = everything(history)
    told = HistoryError if error is sqlite3.OperationalError else error
    with pytest.raises(told), history.transaction():  # noqa: PT012 (the middle is the point)
        history.append(rows(2, channel="new"), T0)
        history.add_estimates([(estimate(T0), {"time_s": T0})])
        history.set_meta("judged_until", "9")
        history.save_snapshot(T0, 2, {})
        history.add_scan("s", T0, "[]")
        raise error("in the middle")
    assert everything(history) == before
    assert put(history, rows(2, channel="new")) == 2, "and the next batch can be stored"
    assert [r.channel for b in history.batches() for r in b.readings] == ["a", "new"]


def test_a_reading_that_came_already_is_known(history):
    put(history, rows(1, 2, 3))
    again = [*rows(2, 3, 4), *rows(3, channel="b"), Reading("a", T0 + 2.5, 1.0)]
    assert history.fresh(again) == [*rows(4), *rows(3, channel="b"), Reading("a", T0 + 2.5, 1.0)]


def test_so_it_is_after_a_restart(tmp_path):
    first = History(tmp_path)
    put(first, rows(1, 2))
    first.close()
    second = History(tmp_path)
    assert second.fresh(rows(1, 2, 3)) == rows(3)
    second.close()


def test_estimates_and_snapshots_come_back(history):
    with history.transaction():
        history.add_estimates([(estimate(T0 + k), {"time_s": T0 + k, "spot_u_um": None}) for k in (10, 0)])
        history.save_snapshot(T0, 4, {"x": [0.1 + 0.2]})
        history.save_snapshot(T0 + 10, 5, {"x": 2})
    times, means, stds = read_estimates(history.connection)
    assert times.tolist() == [T0, T0 + 10]
    assert means.tolist() == [[1.0, 2.0]] * 2
    assert stds.tolist() == [[2.0, 3.0]] * 2
    assert history.latest_snapshot() == (5, {"x": 2})
    assert history.latest_snapshot(T0 + 9.9) == (4, {"x": [0.1 + 0.2]})
    assert read_snapshot(history.connection, T0 - 1) is None


def test_snapshots_stay_few_one_per_hour_and_the_newest(history):
    for k in range(400):
        with history.transaction():
            history.save_snapshot(T0 + 100.0 * k, k, {})
    kept = [t for (t,) in history.connection.execute("SELECT time FROM snapshot ORDER BY time")]
    assert kept[-12:] == [T0 + 100.0 * k for k in range(388, 400)]
    assert len(kept) <= 13 + 400 / 36 + 1
    assert max(np.diff(kept)) <= 3600.0


def test_prune_keeps_what_the_newest_snapshot_needs(history):
    """Old readings that no snapshot holds yet are needed after a restart, however old."""
    for k in range(10):
        put(history, [*rows(k * DAY_S), *rows(k * DAY_S, channel="b")])
    with history.transaction():
        assert history.prune(T0 + 100 * DAY_S) == 0, "without a snapshot nothing may go"
        history.save_snapshot(T0 + 3 * DAY_S, 4, {"n": 4})
        history.add_estimates([(estimate(T0 + k * DAY_S), {}) for k in range(10)])
        assert history.prune(T0 + 100 * DAY_S) == 8
    assert [b.seq for b in history.batches()] == [5, 6, 7, 8, 9, 10]
    assert [b.seq for b in history.batches(4)] == [5, 6, 7, 8, 9, 10]
    assert history.latest_snapshot() == (4, {"n": 4})
    assert history.rows() == 10


def test_prune_forgets_only_what_is_old(history):
    for k in range(10):
        put(history, rows(k * DAY_S))
    with history.transaction():
        for k in range(10):
            history.save_snapshot(T0 + k * DAY_S, k + 1, {})
        history.add_estimates([(estimate(T0 + k * DAY_S), {}) for k in range(10)])
        assert history.prune(T0 + 6 * DAY_S) == 6
    assert [r.time for b in history.batches() for r in b.readings] == [T0 + k * DAY_S for k in range(6, 10)]
    assert read_estimates(history.connection)[0].tolist() == [T0 + k * DAY_S for k in range(6, 10)]
    assert history.connection.execute("SELECT COUNT(*) FROM batch").fetchone() == (4,)
    assert history.connection.execute("SELECT COUNT(*) FROM snapshot").fetchone() == (4,)


def test_numbers_of_batches_are_never_used_again(tmp_path):
    first = History(tmp_path)
    put(first, rows(1))
    with first.transaction():
        first.save_snapshot(T0 + 1, 1, {})
        first.prune(T0 + DAY_S)
    assert everything(first)["batch"] == []
    assert first.rows() == 1
    first.close()
    second = History(tmp_path)
    assert second.rows() == 1
    assert put(second, rows(2)) == 2
    second.close()


def test_a_scan_is_corrected_once_unless_it_is_another_one(history):
    with history.transaction():
        assert not history.add_scan("s", T0, "[1]")
        assert not history.add_scan("s", T0, "[1]")
        history.end_scan("s", T0 + 9)
        assert history.add_scan("s", T0, "[1]")
        assert not history.add_scan("s", T0, "[2]")
    assert read_scans(history.connection) == {"s": "[2]"}


def test_a_second_opener_is_refused_with_the_number_of_the_first(history):
    folder = history.path.parent
    script = f"from pathlib import Path\nfrom twin.history import History\nHistory(Path({str(folder)!r})).close()"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    line = run.stderr.splitlines()[-1]
    assert f"process {os.getpid()} uses this store" in line
    assert "store.folder" in line
    history.close()
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_a_reader_sees_whole_batches_while_the_writer_is_at_work(history):
    put(history, rows(1))
    reader = open_to_read(history.path.parent)
    with history.transaction():
        history.append(rows(2), None)
        assert len(list(read_batches(reader))) == 1
    assert len(list(read_batches(reader))) == 2
    reader.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.write_bytes(b"no database at all" * 100), "damaged"),
        (lambda file: sqlite3.connect(file).executescript("CREATE TABLE meta (key, value); "
                                                          "INSERT INTO meta VALUES ('format', '99')").close(), "format 99"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused(tmp_path, spoil, words):
    spoil(tmp_path / "history.sqlite")
    for _ in range(2):  # the second time it must not be taken for locked
        with pytest.raises(HistoryError, match=words):
            History(tmp_path)


def test_what_keeps_the_journal_from_being_written_is_said(history, monkeypatch):
    assert history.obstacles() == []
    other = sqlite3.connect(history.path, isolation_level=None)
    history.connection.execute("PRAGMA busy_timeout = 1")
    other.execute("BEGIN IMMEDIATE")
    assert "locked" in history.obstacles()[0]
    other.execute("ROLLBACK")
    other.close()
    assert history.obstacles() == []
    monkeypatch.setattr("twin.history.LEAST_FREE_BYTES", 1 << 60)
    assert "disk" in history.obstacles()[0]
    history.connection.execute("PRAGMA query_only = 1")
    assert "permissions" in history.obstacles()[0]
    history.connection.execute("PRAGMA query_only = 0")
