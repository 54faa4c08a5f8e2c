"""A folder filled at 10 images/s, with half-written and out-of-order files, while ``kill -9`` hits whoever follows it."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sensors.channel import Channel
from sensors.csv_log import read_readings
from sensors.reading import Quality, Reading
from tests.endtoend import filling
from tests.endtoend.machine import ROOT, Program, await_, config_text, journal, progress, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KILLS, PERIOD_S, SEED = 4, 0.1, 41
CHANNELS = {"wire_n": ("marker_shift", "px"), "wire_blur": ("marker_blur", "px"), "wire_angle": ("angle", "deg"),
            "wire_contrast": ("ratio", "1")}  # fmt: skip


class Filling:
    """The writing program; :meth:`complete` ends it and tells how many projections there are."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        words = [sys.executable, filling.__file__, str(folder), str(PERIOD_S), str(SEED)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def complete(self) -> int:
        said, _ = self.process.communicate("", 60)
        assert self.process.returncode == 0
        return int(said)


@contextlib.contextmanager
def being_filled(folder: Path) -> Iterator[Filling]:
    writer = Filling(folder)
    try:
        yield writer
    finally:
        writer.process.kill()
        writer.process.communicate()


def number_of(time_s: float) -> int:
    """Projection by the time in its tag; the time is that second and the projection's number in microseconds."""
    seconds = time_s - filling.T0.astype(float)
    number = round(seconds / 10.0)
    assert seconds == pytest.approx(10.0 * number + 1e-6 * number, abs=1e-6)
    return number


def assert_each_once(rows: list[Reading], channels: set[str], count: int) -> None:
    counted = Counter((r.channel, number_of(r.time)) for r in rows if r.channel in channels)
    assert {key: n for key, n in counted.items() if n > 1} == {}, "doubled"
    assert {(c, k) for c in channels for k in range(count)} - set(counted) == set(), "lost"
    assert len(counted) == count * len(channels)


def assert_where_the_wire_was(rows: list[Reading]) -> None:
    """By the statement of every reading itself: the restarts have not spoilt it."""
    found = [(r.value - filling.place(number_of(r.time)), r.sigma) for r in rows if r.channel == "wire_n"]
    off, sigma = np.array(found).T
    assert {r.quality for r in rows if r.channel == "wire_n"} == {Quality.GOOD}
    assert np.abs(np.mean(off)) < 0.003
    assert np.sqrt(np.mean((off / sigma) ** 2)) < 1.25


def test_the_service(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    config = home / "machine.toml"
    looks = f'[[sensor.look]]\nname = "wire"\nmarker = "wire"\nwindow = "{filling.WINDOW}"\n'
    channels = (
        '[[sensor]]\nname = "camera"\nkind = "images"\npath = "../scan"\npoll_s = 0.2\nphotons_per_count = 1.0\n'
        + looks
    )
    for name in ("wire_n", "wire_blur"):
        quantity, unit = CHANNELS[name]
        channels += f'[[channel]]\nname = "seen_{name}"\nsensor = "camera"\naddress = "{name}"\n'
        channels += f'quantity = "{quantity}"\nunit = "{unit}"\nmarker = "wire"\naxis = "n"\n'
    (home / "log.csv").write_text("# ctwin readings 1\ntime,channel,value,sigma,quality\n")
    config.write_text(config_text('kind = "csv"\npath = "log.csv"\nfollow = true', more=channels))
    chance = random.Random(SEED)
    with running(config) as program:
        program.start_to_watch()
        with being_filled(tmp_path / "scan") as writer:
            for _ in range(KILLS):
                wanted = progress(program.state)[0] + chance.randint(1, 25)
                await_(lambda n=wanted: progress(program.state)[0] >= n, 60, 0.005)
                time.sleep(chance.uniform(0.0, 0.3))
                program.kill()
                program.start_to_watch()
            count = writer.complete()
        await_(lambda: len(journal(program.state)) >= 2 * count, 100, 0.3)
        assert program.stop() == 0, program.said()[-2000:]
    rows = [
        Reading(r.channel.removeprefix("seen_"), r.time, r.value, r.sigma, r.quality) for r in journal(program.state)
    ]
    assert_each_once(rows, {"wire_n", "wire_blur"}, count)
    assert_where_the_wire_was(rows)


class Tracking(Program):
    """``ctwin track --follow`` in a process of its own."""

    def __init__(self, folder: Path, out: Path) -> None:
        super().__init__(out)
        self.folder, self.out = folder, out
        self.log = out.with_suffix(".log")

    def start(self) -> None:
        words = ["track", self.folder, "--marker", "wire", "--window", filling.WINDOW, "--photons-per-count", 1]
        command = [sys.executable, "-m", "twin", *map(str, words), "--follow", "--out", str(self.out)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def taken(self) -> int:
        ledger = self.out.with_name(self.out.name + ".done")
        return ledger.read_bytes().count(b"\n") - 1 if ledger.exists() else 0


def test_the_command(tmp_path):
    out, chance = tmp_path / "out.csv", random.Random(SEED + 1)
    tracking = Tracking(tmp_path / "scan", out)
    with being_filled(tmp_path / "scan") as writer:
        tracking.start()
        try:
            for _ in range(KILLS):
                wanted = tracking.taken() + chance.randint(1, 30)
                await_(lambda n=wanted: tracking.taken() >= n or tracking.ended(), 60, 0.002)
                time.sleep(chance.uniform(0.0, 0.1))
                assert not tracking.ended(), tracking.said()[-2000:]
                tracking.kill()
                tracking.start()
            count = writer.complete()
            await_(lambda: tracking.taken() >= count or tracking.ended(), 100, 0.1)
            assert tracking.stop() == 0, tracking.said()[-2000:]
        finally:
            tracking.kill()
    channels = {name: Channel(name, *meaning) for name, meaning in CHANNELS.items()}
    rows = [r for batch in read_readings(out, channels) for r in batch]
    assert_each_once(rows, set(CHANNELS), count)
    assert_where_the_wire_was(rows)
    assert f"{count} projections" in tracking.said()
    assert out.with_suffix(".svg").exists()
