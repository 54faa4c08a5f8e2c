"""Checks that every kind of sensor must pass; for authors of kinds, here and outside.

With pytest::

    from sensors import conformance

    def make():                       # a fresh sensor that has the same readings to give every time
        return MySensor(MySensor.Options(...), channels, folder)

    @pytest.mark.parametrize("check", conformance.checks(make), ids=str)
    def test_conformance(check):
        check()                       # raises conformance.NotConformingError, which says what is expected
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sensors.reading import Quality, Reading
from sensors.sensor import Counting, Resumable, Sensor

DEADLINE_S = 10.0


class NotConformingError(Exception):
    """A sensor breaks what :class:`sensors.sensor.Sensor` promises; the message says what is expected."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, checked by calling it."""

    name: str
    make: Callable[[], Sensor]
    body: Callable[[Callable[[], Sensor]], Awaitable[None]]

    def __call__(self) -> None:
        """Run the check in an event loop of its own."""
        asyncio.run(self._within_deadline())

    async def _within_deadline(self) -> None:
        try:
            await asyncio.wait_for(self._body(), DEADLINE_S)
        except TimeoutError:
            raise NotConformingError(f"{self.name}: not done within {DEADLINE_S:g} s") from None

    async def _body(self) -> None:
        await self.body(self.make)

    def __str__(self) -> str:
        return self.name


def checks(make_sensor: Callable[[], Sensor]) -> list[Check]:
    """All checks for a kind.

    Parameters
    ----------
    make_sensor : callable
        Makes a fresh sensor that has at least one reading to give, the same ones each time it is called (for
        a broker: publishes them first). A sensor that never ends may give them in any number of batches.
    """
    bodies = (_closing, _declared, _well_formed, _acknowledging, _resuming, _cancelling, _counting)
    return [Check(body.__name__.strip("_"), make_sensor, body) for body in bodies]


def _must(condition: bool, words: str) -> None:
    if not condition:
        raise NotConformingError(words)


async def _first_batch(sensor: Sensor) -> Sequence[Reading]:
    """Open, take one batch without acknowledging it, close."""
    await sensor.open()
    batches = sensor.readings()
    try:
        async for batch in batches:
            return batch
        return ()
    finally:
        await _end(batches)
        await sensor.close()


async def _all(sensor: Sensor, quiet_s: float = 0.25) -> list[Reading]:
    """Open, take batches until the source ends or is quiet, close."""
    await sensor.open()
    batches = sensor.readings()
    got: list[Reading] = []
    try:
        while True:
            got += await asyncio.wait_for(anext(batches), quiet_s if got else DEADLINE_S)
    except (StopAsyncIteration, TimeoutError):
        return got
    finally:
        await _end(batches)
        await sensor.close()


async def _end(batches: object) -> None:
    close = getattr(batches, "aclose", None)
    if close is not None:
        await close()


async def _closing(make: Callable[[], Sensor]) -> None:
    sensor = make()
    try:
        await sensor.close()
        await sensor.open()
        await sensor.close()
        await sensor.close()
    except Exception as error:
        raise NotConformingError(f"close must be harmless before open and when repeated, but: {error!r}") from error


async def _declared(make: Callable[[], Sensor]) -> None:
    sensor = make()
    declared = {channel.name for channel in sensor.channels}
    got = {reading.channel for reading in await _all(sensor)}
    _must(bool(got), "make_sensor must give a sensor that has at least one reading")
    _must(got <= declared, f"readings must be of declared channels; undeclared: {sorted(got - declared)}")


async def _well_formed(make: Callable[[], Sensor]) -> None:
    for reading in await _all(make()):
        _must(math.isfinite(reading.time), f"times must be finite: {reading}")
        _must(isinstance(reading.quality, Quality), f"quality must be a Quality: {reading}")
        _must(math.isnan(reading.sigma) or reading.sigma > 0, f"sigma must be positive, or NaN for none: {reading}")
        _must(math.isfinite(reading.value) or not reading.quality.usable, f"a value of none must be invalid: {reading}")


async def _acknowledging(make: Callable[[], Sensor]) -> None:
    first = await _first_batch(make())
    _must(bool(first), "batches must hold at least one reading")
    again = await _all(make())
    lost = [r for r in first if not any((r.channel, r.time) == (s.channel, s.time) for s in again)]
    _must(not lost, f"a batch that was not acknowledged by asking on must come again; lost: {lost[:1]}")


async def _resuming(make: Callable[[], Sensor]) -> None:
    sensor = make()
    if not isinstance(sensor, Resumable):
        return
    whole = await _all(sensor)
    middle = {r.channel: r.time for r in whole[: (len(whole) + 1) // 2]}
    resumed = make()
    if middle and isinstance(resumed, Resumable):
        resumed.resume_after(middle)
    for reading in await _all_or_nothing(resumed):
        after = middle.get(reading.channel, -math.inf)
        _must(reading.time > after, f"resume_after must skip readings at or before {after}: {reading}")


async def _all_or_nothing(sensor: Sensor) -> list[Reading]:
    """As ``_all``, for a sensor that may have nothing left to give."""
    gathering = asyncio.ensure_future(_all(sensor))
    done, _ = await asyncio.wait([gathering], timeout=DEADLINE_S / 2)
    if done:
        return gathering.result()
    gathering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await gathering
    return []


async def _cancelling(make: Callable[[], Sensor]) -> None:
    sensor = make()
    await sensor.open()

    async def forever() -> None:
        async for _ in sensor.readings():
            pass

    task = asyncio.ensure_future(forever())
    await asyncio.sleep(0.05)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=DEADLINE_S / 2)
    await sensor.close()
    _must(bool(done), "waiting for readings must be cancellable")


async def _counting(make: Callable[[], Sensor]) -> None:
    sensor = make()
    if not isinstance(sensor, Counting):
        return
    await _all(sensor)
    for cause, count in sensor.drops().items():
        _must(cause.isidentifier() and count >= 0, f"drops are counted by a cause in one word: {cause!r}: {count}")
