"""Publishing to a real VictoriaMetrics (v2 API) and a real InfluxDB 1.6.7 (v1 API), through outages and kills."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_data import ROOT
from tests.servers import InfluxDB, Server, VictoriaMetrics, influxdb, victoria_metrics, wait_until
from twin.publish.dead_letter import count
from twin.publish.drain import Drain, State
from twin.publish.influx import Publisher, make_target
from twin.publish.line_protocol import Tags, line
from twin.publish.offline import spool_drain, spool_status
from twin.publish.spool import Spool
from twin.publish.spool_files import SpoolError
from twin.sections import Influx

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TAGS = Tags("lab 1", "ct")
BEGIN = 1_700_000_000.0


def points(first: int, number: int, measurement: str = "ctwin_reading") -> list[str]:
    out = [line(TAGS, measurement, f"c{i % 3}", BEGIN + i, {"value": float(i)}) for i in range(first, first + number)]
    return [text for text in out if text]


def config(server: Server, token_file: str | None = None) -> Influx:
    api = "v1" if isinstance(server, InfluxDB) else "v2"
    return Influx(url=server.url, api=api, bucket="ct", org="lab", token_file=token_file)  # type: ignore[arg-type]


@contextlib.contextmanager
def publishing(server: Server, folder: Path, base: Path) -> Iterator[tuple[Spool, Drain]]:
    """As Publisher, with pauses that suit a test."""
    with Spool(folder) as spool:
        drain = Drain(spool, make_target(config(server), base), retry_s=(0.05, 0.5), denied_retry_s=0.3)
        drain.start()
        try:
            yield spool, drain
        finally:
            drain.stop(20.0)


@pytest.fixture
def influx(tmp_path) -> Iterator[InfluxDB]:
    with influxdb(tmp_path / "influxdb") as server:
        server.create_database("ct")
        yield server


@pytest.fixture(params=["v1 InfluxDB", "v2 VictoriaMetrics"])
def server(request, tmp_path) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        if request.param.startswith("v1"):
            it = stack.enter_context(influxdb(tmp_path / "influxdb"))
            it.create_database("ct")
            yield it
        else:
            yield stack.enter_context(victoria_metrics(tmp_path / "victoria"))


def expect(server: Server, number: int, measurement: str = "ctwin_reading") -> None:
    """Exactly so many points, each value where it belongs."""
    if isinstance(server, VictoriaMetrics):
        server.wait_for(f"{measurement}_value", number)
        assert server.count(f"{measurement}_value") == number
        got = {
            (series["metric"]["channel"], ms // 1000): value
            for series in server.query(f"{measurement}_value")
            for ms, value in zip(series["timestamps"], series["values"], strict=True)
        }
        labels = {(s["metric"]["site"], s["metric"]["system"]) for s in server.query(f"{measurement}_value")}
        assert labels == {("lab 1", "ct")}
    else:
        assert isinstance(server, InfluxDB)
        assert server.count("ct", measurement) == number
        got = {
            (series["tags"]["channel"], ns // 10**9): value
            for series in server.query("ct", f'SELECT "value" FROM "{measurement}" GROUP BY "channel"')
            for ns, value in series["values"]
        }
    assert got == {(f"c{i % 3}", int(BEGIN) + i): float(i) for i in range(number)}


def test_a_publisher_delivers_everything(server, tmp_path):
    problems = []
    publisher = Publisher(config(server), TAGS, tmp_path / "spool", tmp_path, problems.append)
    publisher.start()
    for k in range(40):
        publisher.write(points(k * 50, 50))
        if k % 10 == 0:
            publisher.sync()
    publisher.stop(20.0)
    expect(server, 2000)
    assert problems == []
    assert publisher.status().spool.pending_lines == 0
    assert publisher.status().spool.delivered_lines == 2000


def test_every_point_arrives_in_spite_of_an_outage(server, tmp_path):
    """The server goes away in the middle and comes back with its data; nothing is missing, nothing is dropped."""
    with publishing(server, tmp_path / "spool", tmp_path) as (spool, drain):
        spool.append(points(0, 500))
        wait_until(lambda: drain.status().delivered_lines >= 500)
        # InfluxDB has a write-ahead log and is killed; VictoriaMetrics would lose its own last seconds
        server.kill() if isinstance(server, InfluxDB) else server.stop()
        for k in range(10):
            spool.append(points(500 + k * 100, 100))
        wait_until(lambda: drain.status().state is State.WAITING)
        assert "refused" in drain.status().words
        assert spool.stat().pending_lines >= 1000
        server.start()
        spool.append(points(1500, 100))
        wait_until(lambda: spool.stat().pending_lines == 0)
        assert drain.status().state.healthy
        assert spool.stat().dropped_lines == {}
    expect(server, 1600)


PUBLISHING = """
import sys, time
from pathlib import Path
from twin.publish import Publisher, Tags
from twin.publish.line_protocol import line
from twin.sections import Influx
url, api, folder, first, begin = sys.argv[1:]
tags, k = Tags("lab 1", "ct"), int(first)
publisher = Publisher(Influx(url=url, api=api, bucket="ct", org="lab"), tags, Path(folder), Path())
publisher._drain._retry_s = (0.05, 0.2)
publisher.start()
while True:
    some = range(k, k + 5)
    publisher.write([line(tags, "ctwin_reading", f"c{i % 3}", float(begin) + i, {"value": float(i)}) for i in some])
    k += 5
    print(k, flush=True)
    time.sleep(0.002)
"""


def test_kill_9_of_the_writer_at_random_while_the_server_comes_and_goes(server, tmp_path):
    """What the writing process had accepted before each kill is on the server in the end."""
    rng = random.Random(11)
    folder, accepted = tmp_path / "spool", 0
    arguments = [server.url, "v1" if isinstance(server, InfluxDB) else "v2", str(folder)]
    for run in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", PUBLISHING, *arguments, str(accepted), str(BEGIN)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert writer.stdout is not None
        assert writer.stderr is not None
        first = writer.stdout.readline()
        assert first, writer.stderr.read()
        accepted = int(first)
        end = time.monotonic() + rng.uniform(0.1, 0.8)
        if run == 2:
            server.stop()
        while time.monotonic() < end:
            accepted = int(writer.stdout.readline())
        if run == 3:
            server.start()
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split("\n")[:-1]
        accepted = int(rest[-1]) if rest else accepted
        writer.wait()
        writer.stdout.close()
        writer.stderr.close()
        # a record that was on the disk although its acceptance was not yet reported: the next run writes it again
    before = spool_status(folder)
    assert before.damaged_bytes >= 0
    after = spool_drain(config(server), folder, tmp_path, timeout_s=60.0)
    assert after.pending_lines == 0
    assert after.dropped_lines == {}
    with contextlib.suppress(AssertionError):
        expect(server, accepted)
        return
    expect(server, accepted + 5)


def test_poison_lines_are_put_aside_by_the_real_influxdb(influx, tmp_path):
    """Type conflict and unreadable line: the rest of their batch arrives, the server's words are kept."""
    # a field that another program has made an integer
    with publishing(influx, tmp_path / "spool", tmp_path) as (spool, drain):
        spool.append(["foreign,channel=x value=5i 1"])
        wait_until(lambda: spool.stat().pending_lines == 0)
        lines = points(0, 300)
        lines[100:100] = ["foreign,channel=x value=1.0 2"]
        lines[200:200] = ["not a line of any protocol"]
        spool.append(lines)
        wait_until(lambda: spool.stat().pending_lines == 0)
        assert drain.status().state.healthy
        assert spool.stat().dead_lines == 2
    expect(influx, 300)
    text = (tmp_path / "spool" / "dead-letter.lp").read_text()
    assert "field type conflict" in text
    assert "foreign,channel=x value=1.0 2" in text
    assert "unable to parse 'not a line of any protocol'" in text
    assert count(tmp_path / "spool" / "dead-letter.lp") == 2


def test_points_beyond_the_retention_policy_do_not_hold_up_the_others(influx, tmp_path):
    influx.query("ct", "SHOW DATABASES")
    influx._post('CREATE RETENTION POLICY "short" ON "ct" DURATION 1h REPLICATION 1 DEFAULT')
    fresh = line(TAGS, "fresh", "c", time.time(), {"value": 1.0})
    assert fresh
    with publishing(influx, tmp_path / "spool", tmp_path) as (spool, _):
        spool.append([*points(0, 20), fresh])
        wait_until(lambda: spool.stat().pending_lines == 0)
        assert spool.stat().dead_lines == 20
    assert influx.count("ct", "fresh") == 1
    assert "beyond retention policy" in (tmp_path / "spool" / "dead-letter.lp").read_text()


def test_a_server_with_a_small_limit_gets_smaller_requests(tmp_path):
    with influxdb(tmp_path / "influxdb", http_options="max-body-size = 2000") as server:
        server.create_database("ct")
        with publishing(server, tmp_path / "spool", tmp_path) as (spool, _):
            spool.append(points(0, 2000))
            wait_until(lambda: spool.stat().pending_lines == 0)
            assert spool.stat().dead_lines == 0
        expect(server, 2000)


def test_a_missing_database_denies_until_somebody_creates_it(influx, tmp_path):
    influx.drop_database("ct")
    with publishing(influx, tmp_path / "spool", tmp_path) as (spool, drain):
        spool.append(points(0, 50))
        wait_until(lambda: drain.status().state is State.DENIED)
        assert 'database not found: "ct"' in drain.status().words
        assert spool.stat().pending_lines == 50
        influx.create_database("ct")
        wait_until(lambda: spool.stat().pending_lines == 0)
    expect(influx, 50)


def test_a_wrong_password_denies_until_the_file_is_mended(tmp_path):
    with influxdb(tmp_path / "influxdb", auth=True) as server:
        server.create_database("ct")
        (tmp_path / "token").write_text("admin:wrong")
        with Spool(tmp_path / "spool") as spool:
            target = make_target(config(server, token_file="token"), tmp_path)
            drain = Drain(spool, target, denied_retry_s=0.2)
            drain.start()
            spool.append(points(0, 50))
            wait_until(lambda: drain.status().state is State.DENIED)
            assert drain.status().words.startswith("401 authorization failed")
            assert "wrong" not in drain.status().words.replace("is missing or wrong", "")
            (tmp_path / "token").write_text("admin:secret")
            wait_until(lambda: spool.stat().pending_lines == 0)
            drain.stop()
        expect(server, 50)


def test_the_wrong_interface_is_named(influx, tmp_path):
    """InfluxDB 1.6 has no /api/v2: nothing is lost, and the words say where to look."""
    wrong = Influx(url=influx.url, api="v2", bucket="ct")
    with Spool(tmp_path / "spool") as spool:
        spool.append(points(0, 5))
    with pytest.raises(SpoolError, match=r"404 page not found .*see bucket and api") as caught:
        spool_drain(wrong, tmp_path / "spool", tmp_path)
    assert "\n" not in str(caught.value)
    assert spool_status(tmp_path / "spool").pending_lines == 5


def test_names_come_back_from_influxdb_as_they_were_written(influx, tmp_path):
    names = ["a b", "a,b", "a=b", 'a"b', "µ°C", "-", "a'b", "#x", "日本"]
    lines = [
        line(Tags("l,a b", "s=1"), "ctwin_reading", name, BEGIN, {"value": 1.0, "odd field,=": 2.0}) for name in names
    ]
    with publishing(influx, tmp_path / "spool", tmp_path) as (spool, _):
        spool.append([text for text in lines if text])
        wait_until(lambda: spool.stat().pending_lines == 0)
        assert spool.stat().dead_lines == 0
    series = influx.query("ct", 'SELECT "value", "odd field,=" FROM "ctwin_reading" GROUP BY *')
    assert {s["tags"]["channel"] for s in series} == set(names)
    assert {(s["tags"]["site"], s["tags"]["system"]) for s in series} == {("l,a b", "s=1")}
    assert all(s["values"] == [[int(BEGIN) * 10**9, 1, 2]] for s in series)


def test_writing_twice_is_writing_once(influx, tmp_path):
    with publishing(influx, tmp_path / "spool", tmp_path) as (spool, _):
        spool.append(points(0, 30))
        spool.append(points(0, 30))
        wait_until(lambda: spool.stat().pending_lines == 0)
    expect(influx, 30)


def test_extreme_numbers_survive(influx, tmp_path):
    values = [5e-324, 1.7976931348623157e308, -0.1, 1e22, 1e-9, 123456789.123456789]
    lines = [line(TAGS, "ctwin_reading", "c", BEGIN + i, {"value": v}) for i, v in enumerate(values)]
    with publishing(influx, tmp_path / "spool", tmp_path) as (spool, _):
        spool.append([text for text in lines if text])
        wait_until(lambda: spool.stat().pending_lines == 0)
    (series,) = influx.query("ct", 'SELECT "value" FROM "ctwin_reading"')
    assert [value for _, value in series["values"]] == values
