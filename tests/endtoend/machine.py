"""A small machine for tests of the running program: its configuration, its readings, its process."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sensors.reading import Quality, Reading
from twin.history import open_to_read, read_batches, read_estimates

ROOT = Path(__file__).resolve().parents[2]
T0 = 1.7e9
CHANNELS = {
    "t_room": ("temperature", "degC", 'at = "ambient"\nsigma = 0.02'),
    "t_tube": ("temperature", "degC", 'at = "tube"\nlag_s = 30.0\nsigma = 0.05'),
    "wire_n": ("marker_shift", "px", 'marker = "wire"\naxis = "n"\nsigma = 0.2'),
    "ball_u": ("marker_shift", "px", 'marker = "ball"\naxis = "u"\nsigma = 0.2'),
    "ball_v": ("marker_shift", "px", 'marker = "ball"\naxis = "v"\nsigma = 0.2'),
    "i0": ("flux", "counts", 'covariates = ["voltage", "current"]\nsigma = 20.0'),
    "voltage": ("voltage", "kV", ""),
    "current": ("current", "uA", ""),
}


def config_text(sensor: str, *, more: str = "", stale_s: float = 60.0, grid_s: float = 5.0, late_s: float = 5.0) -> str:
    """A machine with every kind of channel; ``sensor`` is the body of its one ``[[sensor]]``."""
    channels = "".join(
        f'[[channel]]\nname = "{name}"\nsensor = "lab"\nquantity = "{quantity}"\nunit = "{unit}"\n'
        f'stale_after_s = {stale_s}\naddress = "ct/{name}"\n{rest}\n'
        for name, (quantity, unit, rest) in CHANNELS.items()
    )
    return f"""ctwin = 1
[system]
name = "small"
site = "lab-1"
[geometry]
source_object_mm = 10.0
source_detector_mm = 500.0
pixel_um = 50.0
columns = 1000
rows = 1000
[source]
spot_fwhm_um = [1.0, 1.0]
voltage_kv = 80.0
current_ua = 100.0
[scan]
projections = 60
exposure_s = 2.0
duration_h = 0.1
resolution_limit_um = 1.2
[estimator]
grid_s = {grid_s}
late_s = {late_s}
snapshot_every_s = 60.0
forecast_every_s = 60.0
[[node]]
name = "ambient"
[[node]]
name = "tube"
time_constant_min = 20.0
kelvin_per_watt = 0.5
[[element]]
body = "source"
node = "tube"
material = "aluminium"
length_mm = 50.0
direction = [0.5, 1.0, 0.2]
[drift.source]
model = "random_walk"
random_walk_um_per_sqrt_h = [0.5, 0.5, 0.2]
[flux]
warmup_percent = 2.0
[[marker]]
name = "wire"
kind = "wire"
source_marker_mm = 10.0
diameter_um = 20.0
angle_deg = 90.0
[[marker]]
name = "ball"
kind = "sphere"
source_marker_mm = 10.0
diameter_um = 100.0
[[sensor]]
name = "lab"
{sensor}
{channels}
[[alert]]
name = "tube-warm"
when = "t_tube > 24"
severity = "minor"
[[alert]]
name = "room-silent"
when = "stale(t_room)"
severity = "major"
[store]
folder = "state"
{more}
"""


def readings(seconds: int, seed: int, t0: float = T0, period_s: float = 1.0) -> list[Reading]:
    """What the machine's sensors would say, in order of arrival, in the units of the configuration (raw values)."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(0.0, 0.01, (seconds, 2)), axis=0)
    out = []
    for k in range(seconds):
        warm = 1.0 - np.exp(-k * period_s / 1200.0)
        values = {
            "t_room": 21.0 + rng.normal(0, 0.02),
            "t_tube": 21.0 + 4.0 * warm + rng.normal(0, 0.05),
            "wire_n": walk[k, 0] + rng.normal(0, 0.2),
            "ball_u": walk[k, 0] + rng.normal(0, 0.2),
            "ball_v": walk[k, 1] + 2.0 * warm + rng.normal(0, 0.2),
            "i0": 4000.0 * (1.0 - 0.02 * np.exp(-k * period_s / 1200.0)) + rng.normal(0, 20.0),
            "voltage": 80.0,
            "current": 100.0 + 0.1 * rng.normal(),
        }
        for j, (name, value) in enumerate(values.items()):
            # clocks of their own: some channels arrive up to 8 s after others and some too late to be used
            time_s = t0 + k * period_s + 0.01 * j - (8.0 if name == "wire_n" else 0.0)
            if rng.random() < 0.02:
                continue
            quality = Quality.INVALID if rng.random() < 0.01 else Quality.GOOD
            out.append(Reading(name, time_s, float(value), quality=quality))
    return out


def csv_text(rows: Sequence[Reading]) -> str:
    """The readings as a long table whose channels are the addresses."""
    lines = ["# ctwin readings 1", "time,channel,value,sigma,quality"]
    lines += [f"{r.time!r},ct/{r.channel},{r.value!r},,{r.quality.value}" for r in rows]
    return "\n".join(lines) + "\n"


def message(r: Reading) -> tuple[str, str]:
    """Topic and payload of a reading."""
    return f"ct/{r.channel}", json.dumps({"time": r.time, "value": r.value, "quality": r.quality.value})


class Program:
    """``ctwin run`` as its user runs it, in a process of its own."""

    def __init__(self, config: Path, *options: str) -> None:
        self.config, self.options = config, options
        self.state = config.parent / "state"
        self.log = config.parent / "ctwin.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "twin", "run", str(self.config), "--no-page", *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def start_to_watch(self) -> None:
        """Start, and wait until it says that it watches."""
        before = self.said().count("watching")
        self.start()
        await_(lambda: self.said().count("watching") > before or self.ended(), 60, 0.005)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(60)

    def ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def finish(self, deadline_s: float = 240.0) -> None:
        """Wait for its own end, which must be a good one."""
        assert self.process is not None
        assert self.process.wait(deadline_s) == 0, self.said()

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


@contextlib.contextmanager
def running(config: Path, *options: str) -> Iterator[Program]:
    """A program that is ended whatever happens."""
    program = Program(config, *options)
    try:
        yield program
    finally:
        if program.process is not None and program.process.poll() is None:
            program.kill()


def progress(state: Path) -> tuple[int, int]:
    """Batches and estimates in a store, (0, 0) while there is none; read beside the running program."""
    try:
        connection = open_to_read(state)
    except Exception:  # not there yet, or just being made
        return 0, 0
    try:
        batches = connection.execute("SELECT COUNT(*) FROM batch").fetchone()[0]
        return int(batches), int(connection.execute("SELECT COUNT(*) FROM estimate").fetchone()[0])
    except sqlite3.Error:
        return 0, 0
    finally:
        connection.close()


def journal(state: Path) -> list[Reading]:
    """All readings in the order in which they were journalled."""
    with contextlib.closing(open_to_read(state)) as connection:
        return [reading for batch in read_batches(connection) for reading in batch.readings]


def estimates(state: Path) -> Any:
    """Times, means, σ of the store."""
    with contextlib.closing(open_to_read(state)) as connection:
        return read_estimates(connection)


def await_(condition: Any, deadline_s: float = 60.0, every_s: float = 0.02) -> Any:
    """Poll until true; the value. An AssertionError after the deadline."""
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {deadline_s} s"
        time.sleep(every_s)
    return value
