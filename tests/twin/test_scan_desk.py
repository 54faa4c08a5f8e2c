"""What is told of scans, and what an operator may say when."""

from __future__ import annotations

import numpy as np
import pytest

from tests.endtoend.machine import T0
from tests.endtoend.small import admitted, batches, small
from twin.history import History, read_scan_records
from twin.pipeline import Pipeline
from twin.scan import Scan
from twin.scan_desk import ScanDesk, scan_list
from twin.scan_record import scan_text

SCAN = Scan("ring", np.arange(10), T0 + 100.0 + 10.0 * np.arange(10), 36.0 * np.arange(10), ("projection",) * 10)


@pytest.fixture
def pipeline(tmp_path):
    history = History(tmp_path / "state")
    yield Pipeline(small(), history)
    history.close()


@pytest.mark.parametrize(
    ("reached", "ended", "state"),
    [
        (np.nan, None, "announced"),
        (T0 + 50.0, None, "announced"),
        (T0 + 150.0, None, "under way"),
        (T0 + 191.0, None, "to be corrected"),
        (T0 + 191.0, T0 + 190.0, "corrected"),
    ],
)
def test_the_state_of_a_scan(pipeline, reached, ended, state):
    history = pipeline.history
    with history.transaction():
        history.add_scan(SCAN.name, SCAN.time[0], scan_text(SCAN))
        if ended is not None:
            history.end_scan(SCAN.name, ended)
    (told,) = scan_list(read_scan_records(history.connection), history.path.parent, reached)
    assert (told["state"], told["projections"], told["corrections"]) == (state, 10, None)


def test_an_operator_begins_and_ends_one_scan_at_a_time(pipeline):
    now = [T0]
    desk = ScanDesk(pipeline, lambda: now[0])
    with pytest.raises(ValueError, match="no scan is under way"):
        desk.end()
    rows = admitted(small(), 120, seed=1)
    for k, batch in enumerate(batches(rows, 64)):
        pipeline.take(batch, None)
        now[0] = max(r.time for r in batch) + 0.5
        if k == 2:
            assert desk.begin("Probe 7")["name"] == "Probe 7"
            with pytest.raises(ValueError, match="'Probe 7' is under way"):
                desk.begin("Probe 8")
    assert [told["state"] for told in desk.listed()] == ["under way"]
    assert desk.end()["name"] == "Probe 7"
    now[0] += 1.0
    with pytest.raises(ValueError, match="there is a scan 'probe 7' already"):
        desk.begin("probe 7")
    assert desk.begin()["name"].startswith("small-2023-11-14T")


def test_an_announced_scan_is_not_ended_by_an_operator(tmp_path):
    history = History(tmp_path / "state")
    desk = ScanDesk(Pipeline(small(), history, scan=SCAN), lambda: T0 + 120.0)
    with pytest.raises(ValueError, match="was given with its projections"):
        desk.end()
    with pytest.raises(ValueError, match="'ring' is under way"):
        desk.begin()
    history.close()
