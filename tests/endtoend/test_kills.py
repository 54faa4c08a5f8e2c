"""``kill -9`` at random instants: the run that was killed ends with the estimates of the one that wasn't, bit for bit."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sensors.reading import Reading
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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KILLS = 20


def written(folder: Path, sensor: str) -> Path:
    folder.mkdir()
    path = folder / "machine.toml"
    path.write_text(config_text(sensor))
    return path


def key(reading: Reading) -> tuple[str, float]:
    return reading.channel, reading.time


def assert_nothing_lost_or_doubled(state: Path, sent: list[Reading]) -> None:
    got, wanted = Counter(map(key, journal(state))), Counter(map(key, sent))
    assert got - wanted == Counter(), "doubled"
    assert wanted - got == Counter(), "lost"


def assert_same_estimates(one: Path, other: Path, at_least: int) -> None:
    for a, b in zip(estimates(one), estimates(other), strict=True):
        assert len(a) >= at_least
        assert a.tobytes() == b.tobytes()
    assert np.isfinite(estimates(one)[1]).all()


def killed_again_and_again(program: Program, seed: int, most: int) -> list[tuple[int, int]]:
    """Start and kill; the store's progress at each death.

    Every fourth life ends before its work or as it begins, the others some time after at most ``most`` batches more. How
    far they come is not left to the speed of the machine.
    """
    chance, at = random.Random(seed), []
    for life in range(KILLS):
        if life % 4 == 0:
            program.start()
            time.sleep(chance.uniform(0.2, 2.5))
        else:
            wanted = progress(program.state)[0] + chance.randint(0, most)
            program.start_to_watch()
            await_(lambda n=wanted: progress(program.state)[0] >= n or program.ended(), 90, 0.005)
            time.sleep(chance.uniform(0.0, 0.15))
        if program.ended():
            break
        program.kill()
        at.append(progress(program.state))
    return at


def test_a_log_that_is_read_whole(tmp_path):
    rows = readings(36_000, seed=11)
    (tmp_path / "log.csv").write_text(csv_text(rows))
    sensor = 'kind = "csv"\npath = "../log.csv"'
    with running(written(tmp_path / "calm", sensor), "--once") as calm:
        calm.start()
        calm.finish()
    with running(written(tmp_path / "killed", sensor), "--once") as killed:
        deaths = killed_again_and_again(killed, 12, 2)
        killed.start()
        killed.finish()
    assert len(deaths) == KILLS, f"it was done after {len(deaths)} lives: {deaths}"
    assert len({batches for batches, _ in deaths}) >= 8, "killed at different places"
    assert_nothing_lost_or_doubled(killed.state, rows)
    assert_same_estimates(calm.state, killed.state, 7000)


def test_a_log_that_is_followed(tmp_path):
    rows = readings(9_000, seed=21)
    text = csv_text(rows)
    sensor = 'kind = "csv"\npath = "../log.csv"\nfollow = true\npoll_s = 0.02'
    log = tmp_path / "log.csv"
    log.write_text("")
    enough = threading.Event()

    def write() -> None:
        """Some bytes at a time without regard to lines, so that some are left until all kills are done; then the rest."""
        chance = random.Random(22)
        at = 0
        with log.open("a") as file:
            while at < len(text):
                size = 1 + int(chance.expovariate(1 / (0.0005 * (len(text) - at))))
                end = len(text) if enough.wait(0.03) else at + size
                file.write(text[at:end])
                file.flush()
                at = end

    writer = threading.Thread(target=write)
    with running(written(tmp_path / "killed", sensor)) as killed:
        writer.start()
        try:
            deaths = killed_again_and_again(killed, 23, 20)
        finally:
            enough.set()
            writer.join()
        assert len(deaths) == KILLS
        killed.start_to_watch()
        await_(lambda: len(journal(killed.state)) >= len(rows), 60, 0.3)
        assert killed.stop() == 0, killed.said()[-2000:]
    with running(written(tmp_path / "calm", sensor)) as calm:
        calm.start_to_watch()
        await_(lambda: progress(calm.state)[0] > 0 and len(journal(calm.state)) >= len(rows), 60, 0.3)
        assert calm.stop() == 0, calm.said()[-2000:]
    assert len({batches for batches, _ in deaths}) >= 8, "killed at different places"
    assert_nothing_lost_or_doubled(killed.state, rows)
    assert_same_estimates(calm.state, killed.state, 1700)


def test_a_broker(tmp_path):
    rows = readings(3_000, seed=31)
    enough = threading.Event()
    with mosquitto(tmp_path / "broker") as port:

        def sensor(name: str) -> str:
            return f'kind = "mqtt"\nurl = "mqtt://127.0.0.1:{port}"\nclient_id = "{name}"\nstartup = "fail"'

        def write() -> None:
            sender = Sender(port)
            at = 0
            while at < len(rows):
                size = len(rows) if enough.wait(0.05) else 1 + (len(rows) - at) // 1000
                sender.send([message(r) for r in rows[at : at + size]])
                at += size
            sender.close()

        writer = threading.Thread(target=write)
        with (
            running(written(tmp_path / "calm", sensor("calm"))) as calm,
            running(written(tmp_path / "killed", sensor("killed"))) as killed,
        ):
            for program in (calm, killed):
                program.start_to_watch()
            writer.start()
            time.sleep(1.0)
            killed.kill()
            try:
                deaths = killed_again_and_again(killed, 32, 20)
            finally:
                enough.set()
                writer.join()
            killed.start_to_watch()
            for program in (calm, killed):
                await_(lambda p=program: len(journal(p.state)) >= len(rows), 60, 0.3)
                assert program.stop() == 0, program.said()[-2000:]
    assert len(deaths) == KILLS
    assert len({batches for batches, _ in deaths}) >= 8, "killed at different places"
    assert_nothing_lost_or_doubled(calm.state, rows)
    assert_nothing_lost_or_doubled(killed.state, rows)
    assert [key(r) for r in journal(killed.state)] == [key(r) for r in rows], "in the order in which they were sent"
    assert_same_estimates(calm.state, killed.state, 500)
