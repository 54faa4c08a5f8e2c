"""Both servers are away for five minutes and ctwin is killed in the middle of it: every point of the run is there after.

One run takes its readings from a followed log and publishes to VictoriaMetrics (v2), the other takes the same readings
from a real Mosquitto and publishes to InfluxDB 1.6 (v1). Then every query of the dashboard is asked of that InfluxDB.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alerts.alert import Event
from sensors.reading import Reading
from tests.dashboards.test_dashboard_queries import all_queries, filled
from tests.endtoend.broker import Sender, mosquitto
from tests.endtoend.machine import (
    Program,
    await_,
    config_text,
    csv_text,
    estimates,
    journal,
    message,
    progress,
    readings,
    running,
)  # fmt: skip
from tests.servers import InfluxDB, VictoriaMetrics, influxdb, victoria_metrics
from twin.config import load
from twin.core import Twin
from twin.episodes import list_events
from twin.publish import Tags
from twin.publish.series import STATE_CODES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
BEFORE_S, OUTAGE_S, AFTER_S = 60, 300, 45
PROJECTIONS, EXPOSURE_S = 70, 2.5
DATABASE = "ct"


@dataclass
class Run:
    """What two runs left behind."""

    begin: float
    names: tuple[str, ...]
    sent: list[Reading]
    v1: Program
    v2: Program
    influx: InfluxDB
    victoria: VictoriaMetrics


class Feed(threading.Thread):
    """Readings in real time, to a growing file and to the broker; the room's sensor is unplugged for a while."""

    def __init__(self, log: Path, port: int, begin: float) -> None:
        super().__init__()
        self.log, self.begin, self.sender, self.over = log, begin, Sender(port), threading.Event()
        self.sent: list[Reading] = []

    def run(self) -> None:
        seconds = BEFORE_S + OUTAGE_S + AFTER_S + 60
        rows = [replace(r, time=round(r.time, 3)) for r in readings(seconds, seed=41, t0=self.begin)]
        at = 0
        with self.log.open("a") as file:
            while not self.over.wait(0.5) and at < len(rows):
                # wire_n is stamped 8 s early: given when its neighbours are
                due = at
                while due < len(rows) and rows[due].time + 8.0 * (rows[due].channel == "wire_n") <= time.time():
                    due += 1
                batch = [r for r in rows[at:due] if not (r.channel == "t_room" and 90 < r.time - self.begin < 150)]
                at = due
                file.write("".join(line + "\n" for line in csv_text(batch).splitlines()[2:]))
                file.flush()
                self.sender.send([message(r) for r in batch])
                self.sent += batch
        self.sender.close()


def written(folder: Path, sensor: str, influx: str, begin: float) -> Path:
    folder.mkdir()
    rows = "".join(f"{k},{begin + 30 + EXPOSURE_S * k!r},{360.0 * k / PROJECTIONS!r}\n" for k in range(PROJECTIONS))
    (folder / "ring.csv").write_text("projection,time,angle_deg\n" + rows)
    path = folder / "machine.toml"
    path.write_text(
        config_text(sensor, more=f"[publish.influx]\n{influx}\n", stale_s=20.0).replace("t_tube > 24", "t_tube > 22")
    )
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("outage")
    with contextlib.ExitStack() as stack:
        influx = stack.enter_context(influxdb(folder / "influxdb"))
        victoria = stack.enter_context(victoria_metrics(folder / "victoria"))
        port = stack.enter_context(mosquitto(folder / "broker"))
        influx.create_database(DATABASE)
        begin = float(round(time.time()))
        (folder / "log.csv").write_text(csv_text([]))
        v1 = written(
            folder / "v1", f'kind = "mqtt"\nurl = "mqtt://127.0.0.1:{port}"\nclient_id = "ct"\nstartup = "fail"',
            f'url = "{influx.url}"\napi = "v1"\nbucket = "{DATABASE}"', begin,
        )  # fmt: skip
        v2 = written(
            folder / "v2", 'kind = "csv"\npath = "../log.csv"\nfollow = true\npoll_s = 0.2',
            f'url = "{victoria.url}"\napi = "v2"\nbucket = "{DATABASE}"\norg = "lab"', begin,
        )  # fmt: skip
        one = stack.enter_context(running(v1, "--scan", str(v1.parent / "ring.csv")))
        two = stack.enter_context(running(v2, "--scan", str(v2.parent / "ring.csv")))
        for program in (one, two):
            program.start_to_watch()
        feed = Feed(folder / "log.csv", port, begin)
        feed.start()
        try:
            _story(one, two, influx, victoria, feed)
        finally:
            feed.over.set()
            feed.join()
        names = Twin(load(v1)).machine.model.names
        yield Run(begin, names, feed.sent, one, two, influx, victoria)


def _story(one: Program, two: Program, influx: InfluxDB, victoria: VictoriaMetrics, feed: Feed) -> None:
    await_(lambda: influx.count(DATABASE, "ctwin_state", "mean") > 0, 60)
    victoria.wait_for("ctwin_state_mean", 1, 60)
    time.sleep(max(0.0, feed.begin + BEFORE_S - time.time()))
    influx.kill()
    victoria.stop()  # killed it would lose its own last seconds
    away = time.monotonic()
    time.sleep(OUTAGE_S / 2)
    for program in (one, two):
        program.kill()
    time.sleep(5.0)
    for program in (one, two):
        program.start()
    time.sleep(max(0.0, away + OUTAGE_S - time.monotonic()))
    assert not one.ended(), one.said()
    assert not two.ended(), two.said()
    influx.start()
    victoria.start()
    time.sleep(AFTER_S)
    feed.over.set()
    feed.join()
    await_(lambda: len(journal(one.state)) == len(journal(two.state)) == len(feed.sent), 60, 0.5)
    await_(lambda: influx.count(DATABASE, "ctwin_state", "mean") >= _size(one.state), 90, 0.5)
    victoria.wait_for("ctwin_state_mean", _size(two.state), 90)
    for program in (one, two):
        assert program.stop() == 0, program.said()


def _size(state: Path) -> int:
    return progress(state)[1] * estimates(state)[1].shape[1]


def ms(time_s: float) -> int:
    return round(time_s * 1000)


def points(run: Run, measurement: str, field: str) -> dict[tuple[str, int], Any]:
    """(channel, ms) → value, from InfluxDB."""
    found = run.influx.query(DATABASE, f'SELECT "{field}" FROM "{measurement}" GROUP BY "channel"')
    return {
        (series["tags"]["channel"], round(row[0] / 1e6)): row[1]
        for series in found
        for row in series["values"]
        if row[1] is not None
    }


def instants(run: Run, metric: str) -> set[tuple[str, int]]:
    """(channel, ms), from VictoriaMetrics."""
    return {(one["metric"]["channel"], t) for one in run.victoria.query(metric) for t in one["timestamps"]}


def test_no_reading_is_lost(run):
    sent = {(r.channel, ms(r.time)) for r in run.sent}
    assert len(sent) == len(run.sent) > 8 * 350
    assert {(r.channel, ms(r.time)) for r in journal(run.v1.state)} == sent
    assert {(r.channel, ms(r.time)) for r in journal(run.v2.state)} == sent
    assert len(journal(run.v1.state)) == len(journal(run.v2.state)) == len(sent), "none twice"
    assert set(points(run, "ctwin_reading", "value")) == sent
    assert set(points(run, "ctwin_reading", "quality_code")) == sent
    run.victoria.wait_for("ctwin_reading_value", len(sent))
    assert instants(run, "ctwin_reading_value") == sent


def test_no_state_is_lost(run):
    times, means, stds = estimates(run.v1.state)
    assert len(times) > 70
    assert np.diff(times) == pytest.approx(5.0), "no gap"
    for field, stored in (("mean", means), ("std", stds)):
        wanted = {(n, ms(t)): stored[i, j] for i, t in enumerate(times) for j, n in enumerate(run.names)}
        assert points(run, "ctwin_state", field) == wanted
    wanted = {(name, ms(t)) for t in estimates(run.v2.state)[0] for name in run.names}
    assert instants(run, "ctwin_state_mean") == wanted
    assert instants(run, "ctwin_state_std") == wanted


def test_every_step_has_its_spot_and_its_resolution(run):
    for state, found in (
        (run.v1.state, lambda m, f: set(points(run, m, f))),
        (run.v2.state, lambda m, f: instants(run, f"{m}_{f}")),
    ):
        steps = {ms(t) for t in estimates(state)[0]}
        assert found("ctwin_spot", "mean_um") == {(axis, t) for axis in "uvw" for t in steps}
        assert found("ctwin_resolution", "half_pitch10_um") == {("scan", t) for t in steps}
        during = {t for t in steps if ms(run.begin + 30) <= t <= ms(run.begin + 30 + EXPOSURE_S * (PROJECTIONS - 1))}
        assert found("ctwin_scan", "projections_done") == {("ring", t) for t in during}
        assert found("ctwin_spot", "correction_um") == {(axis, t) for axis in "uvw" for t in during}


def test_the_scan_that_ended_in_the_outage_has_its_corrections(run):
    wanted = {("ring", ms(run.begin + 30 + EXPOSURE_S * k)) for k in range(PROJECTIONS)}
    assert set(points(run, "ctwin_correction", "shift_v_px")) == wanted
    assert instants(run, "ctwin_correction_shift_v_px") == wanted
    for program in (run.v1, run.v2):
        rows = (program.state / "scans" / "ring" / "corrections.csv").read_text().splitlines()
        assert sum(not row.startswith(("#", "projection")) for row in rows) == PROJECTIONS


def test_every_change_of_an_alert_is_told(run):
    for program in (run.v1, run.v2):
        events = list_events(program.state / "history.sqlite")
        assert {"room-silent", "tube-warm"} <= {e.rule for e in events if e.transition == "raised"}
        if program is run.v2:
            told = sorted(instants(run, "ctwin_alert_transition_code"))
        else:
            codes = points(run, "ctwin_alert", "transition_code")
            told = sorted(codes)
            wanted = [STATE_CODES[str(e.state).replace("-", "_")] for e in _by_rule(events)]
            assert [codes[key] for key in told] == wanted
        assert [rule for rule, _ in told] == [e.rule for e in _by_rule(events)]
        # the clock's microseconds are cut or rounded to a server's milliseconds
        assert [t for _, t in told] == pytest.approx([e.time * 1000 for e in _by_rule(events)], abs=1.0, rel=0)


def _by_rule(events: Sequence[Event]) -> list[Event]:
    return sorted(events, key=lambda e: (e.rule, e.time))


def test_ages_and_standing_alerts_went_on_every_minute(run):
    age = sorted(t for channel, t in points(run, "ctwin_age", "age_s") if channel == "i0")
    assert max(np.diff(age)) <= 75_000
    assert age[-1] - age[0] > 1000 * (BEFORE_S + OUTAGE_S - 90)


# this machine has no accelerometer and its spot doesn't step: tests/dashboards asks those queries of data that has both
@pytest.mark.parametrize(
    ("panel", "query"), [q for q in all_queries() if not any(w in str(q.id) for w in ("Vibration", "annotation:Steps"))]
)
def test_every_query_of_the_dashboard_returns_data_of_this_run(run, panel, query):
    found = run.influx.query(DATABASE, filled(query, run.begin + 200.0, Tags("lab-1", "small")))
    assert found, "no series"
    for series in found:
        for index, column in enumerate(series["columns"][1:], 1):
            assert any(row[index] is not None for row in series["values"]), f"column {column} is empty"
