"""The simulated source: plays what it is given, at the speed asked for, and nothing twice after a restart."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from sensors.channel import Channel
from sensors.reading import Reading, SensorError
from sensors.registry import make, options_of
from sensors.sensor import Resumable
from sensors.simulated import SimulatedSensor

CHANNELS = (Channel("a", "temperature", "K"), Channel("b", "temperature", "K"))


def sensor(**options: object) -> SimulatedSensor:
    made = make("simulated", options_of("simulated")(scenario="s", **options), CHANNELS, Path())
    assert isinstance(made, SimulatedSensor)
    return made


def batches(count: int, step_s: float = 10.0) -> list[list[Reading]]:
    return [[Reading(name, k * step_s, float(k)) for name in ("a", "b", "other")] for k in range(count)]


def played(source: SimulatedSensor) -> list[list[Reading]]:
    async def run() -> list[list[Reading]]:
        await source.open()
        found = [list(batch) async for batch in source.readings()]
        await source.close()
        return found

    return asyncio.run(run())


def test_it_gives_its_own_channels_readings_in_order_and_ends() -> None:
    source = sensor()
    source.play(iter(batches(5)))
    found = played(source)
    assert [[r.channel for r in batch] for batch in found] == [["a", "b"]] * 5
    assert [batch[0].time for batch in found] == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert source.channels == CHANNELS


def test_it_resumes_after_what_the_journal_holds_per_channel() -> None:
    source = sensor()
    assert isinstance(source, Resumable)
    source.play(batches(5))
    source.resume_after({"a": 30.0, "b": 10.0})
    assert [(r.channel, r.time) for batch in played(source) for r in batch] == [
        ("b", 20.0), ("b", 30.0), ("a", 40.0), ("b", 40.0),
    ]  # fmt: skip


def test_speed_paces_simulated_time() -> None:
    source = sensor(speed=200.0)
    source.play(batches(5))
    began = time.monotonic()
    played(source)
    assert 0.19 <= time.monotonic() - began < 5.0


def test_without_a_feed_it_says_what_to_do() -> None:
    with pytest.raises(SensorError, match=r"scenario 's' has nothing to play.*'ctwin run'") as caught:
        played(sensor())
    assert not caught.value.retry


def test_options_are_checked() -> None:
    for wrong in ({"speed": -1.0}, {"seed": -1}, {"speeed": 1.0}, {"batch_s": 0.0}):
        with pytest.raises(ValidationError):
            sensor(**wrong)
