"""Real stores for tests: VictoriaMetrics (v2 write API) and InfluxDB 1.x (v1 API, InfluxQL) on free loopback ports.

    with influxdb(tmp_path) as server:
        server.create_database("ct")
        ...
        server.kill(); server.start()      # same port, same data

Traps of VictoriaMetrics 1.79, each seen: a name that is queried before its first write stays unknown for some 10 s, and
a new series becomes visible only after some 2.5 s: write first, then poll (:meth:`VictoriaMetrics.wait_for`). A SIGKILL
loses what it took in its last seconds (it has no write-ahead log): to test *our* durability end it with :meth:`stop`.
Points of the same series and instant are all kept: counts here are of distinct instants.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], deadline_s: float = 20.0, every_s: float = 0.05) -> Any:
    """Poll until the condition is true and return its value; fail with the last value after the deadline."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"not within {deadline_s} s; last value {value!r}")
        time.sleep(every_s)
    return value


class Server:
    """A process with an HTTP interface that can be ended and started again on the same port and data."""

    program = ""
    ready_path = "/ping"

    def __init__(self, folder: Path, port: int | None = None) -> None:
        if shutil.which(self.program) is None:
            pytest.skip(f"{self.program} is not installed (Debian package)")
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start (again) and wait until it answers."""
        assert self.process is None, "already running"
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"{self.program} ended: {(self.folder / 'server.log').read_text(errors='replace')[-2000:]}")
        try:
            return requests.get(self.url + self.ready_path, timeout=2).status_code < 400
        except requests.RequestException:
            return False

    def stop(self) -> None:
        """End in good order (SIGTERM)."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """End at once (SIGKILL)."""
        self._end(subprocess.Popen.kill)

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self.process is not None:
            how(self.process)
            self.process.wait(30)
            self.process = None


class VictoriaMetrics(Server):
    """Metric = ``<measurement>_<field>``, labels = tags; times in ms."""

    program = "victoria-metrics"
    ready_path = "/health"

    def command(self) -> list[str]:
        return [
            self.program, f"-storageDataPath={self.folder / 'data'}", f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y", "-search.latencyOffset=0s", "-memory.allowedBytes=64MB",
        ]  # fmt: skip

    def query(self, match: str) -> list[dict[str, Any]]:
        """All points of matching series: ``{"metric": …, "values": […], "timestamps": [ms…]}`` each."""
        answer = requests.get(f"{self.url}/api/v1/export", params={"match[]": match, "start": "0"}, timeout=20)
        answer.raise_for_status()
        return [json.loads(row) for row in answer.text.splitlines()]

    def count(self, match: str) -> int:
        """Distinct (series, instant) pairs; ``match`` like ``ctwin_reading_value`` or ``{__name__=~"ctwin.*"}``."""
        points: dict[str, set[int]] = {}
        for series in self.query(match):
            points.setdefault(json.dumps(series["metric"], sort_keys=True), set()).update(series["timestamps"])
        return sum(len(instants) for instants in points.values())

    def wait_for(self, match: str, count: int, deadline_s: float = 30.0) -> None:
        """Until at least so many points are visible. Only after something was written."""
        wait_until(lambda: self.count(match) >= count, deadline_s, 0.3)


class InfluxDB(Server):
    """InfluxDB 1.x with its defaults but for the folders, the ports and (if asked) authentication."""

    program = "influxd"

    def __init__(self, folder: Path, port: int | None = None, auth: bool = False, http_options: str = "") -> None:
        super().__init__(folder, port)
        self.login: tuple[str, str] | None = ("admin", "secret") if auth else None
        (folder / "influxdb.conf").write_text(
            f"""reporting-disabled = true
bind-address = "127.0.0.1:{free_port()}"
[meta]
dir = {json.dumps(str(folder / "meta"))}
[data]
dir = {json.dumps(str(folder / "data"))}
wal-dir = {json.dumps(str(folder / "wal"))}
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{self.port}"
auth-enabled = {str(auth).lower()}
log-enabled = false
{http_options}
"""
        )

    def command(self) -> list[str]:
        return [self.program, "-config", str(self.folder / "influxdb.conf")]

    def create_database(self, name: str) -> None:
        """CREATE DATABASE (and, with authentication, first the administrator)."""
        if self.login is not None:
            self._post(f"CREATE USER {self.login[0]} WITH PASSWORD '{self.login[1]}' WITH ALL PRIVILEGES", login=False)
        self._post(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        """DROP DATABASE."""
        self._post(f'DROP DATABASE "{name}"')

    def _post(self, text: str, login: bool = True) -> None:
        answer = requests.post(f"{self.url}/query", params={"q": text}, auth=self.login if login else None, timeout=20)
        answer.raise_for_status()
        assert "error" not in answer.text, answer.text

    def query(self, database: str, influxql: str) -> list[dict[str, Any]]:
        """Series of all statements: ``{"name": …, "tags": …, "columns": […], "values": [[ns, …]…]}`` each."""
        params = {"db": database, "q": influxql, "epoch": "ns"}
        answer = requests.get(f"{self.url}/query", params=params, auth=self.login, timeout=20)
        assert answer.status_code == 200, f"{influxql}: {answer.text}"
        results = answer.json()["results"]
        for result in results:
            assert "error" not in result, f"{influxql}: {result['error']}"
        return [series for result in results for series in result.get("series", [])]

    def count(self, database: str, measurement: str, field: str = "value") -> int:
        """Number of points of a measurement that have the field, over all tags."""
        series = self.query(database, f'SELECT count("{field}") FROM "{measurement}"')
        return int(series[0]["values"][0][1]) if series else 0


@contextlib.contextmanager
def victoria_metrics(folder: Path, port: int | None = None) -> Iterator[VictoriaMetrics]:
    """A running VictoriaMetrics with its data in ``folder``; skips the test where it isn't installed."""
    server = VictoriaMetrics(folder, port)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def influxdb(folder: Path, port: int | None = None, auth: bool = False, http_options: str = "") -> Iterator[InfluxDB]:
    """A running InfluxDB 1.x with its data in ``folder``; skips the test where it isn't installed."""
    server = InfluxDB(folder, port, auth, http_options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
