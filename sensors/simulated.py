"""A simulated machine as a source: plays batches of readings that somebody else computes, at a chosen speed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sensors.channel import Channel
from sensors.reading import Reading, SensorError


class SimulatedSensor:
    """Plays batches of readings; it computes nothing itself.

    Whoever owns the simulator calls :meth:`play` before ``open``. Batches come in order of delivery; with ``speed`` > 0
    a batch is given when its last reading's time, counted from the first batch, has passed at that many simulated
    seconds per second, else as soon as it is asked for. Readings of other sensors' channels are left out.

    Parameters
    ----------
    options : Options
    channels : sequence of Channel
        Channels that this source delivers.
    base : Path
        Folder from which a relative ``scenario`` file starts.
    """

    class Options(BaseModel):
        """Keys of a ``[[sensor]]`` of kind "simulated"."""

        model_config = ConfigDict(frozen=True, extra="forbid")

        scenario: str
        seed: Annotated[int, Field(ge=0)] = 1
        speed: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
        batch_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0

    def __init__(self, options: SimulatedSensor.Options, channels: Sequence[Channel], base: Path) -> None:
        self.options = options
        self._channels = tuple(channels)
        self.base = base
        self._feed: Iterable[Sequence[Reading]] | None = None
        self._after: dict[str, float] = {}

    @property
    def channels(self) -> Sequence[Channel]:
        """Channels that this source delivers."""
        return self._channels

    def play(self, batches: Iterable[Sequence[Reading]]) -> None:
        """Take the batches that ``readings`` will give."""
        self._feed = batches

    def resume_after(self, times: Mapping[str, float]) -> None:
        """Skip, per channel, every reading at or before the time given [s since 1970]."""
        self._after = dict(times)

    async def open(self) -> None:
        """Check that there is something to play; raises SensorError when not."""
        if self._feed is None:
            raise SensorError(
                f"simulated source of scenario {self.options.scenario!r} has nothing to play, so it gives no readings; "
                "start it through 'ctwin run' or 'ctwin demo', or call play(batches) first"
            )

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Batches until the feed ends."""
        names = {channel.name for channel in self._channels}
        clock = asyncio.get_running_loop().time
        started: tuple[float, float] | None = None
        for batch in self._feed or ():
            kept = [r for r in batch if r.channel in names and r.time > self._after.get(r.channel, float("-inf"))]
            if not kept:
                continue
            if self.options.speed > 0:
                now = max(reading.time for reading in kept)
                started = started or (now, clock())
                await asyncio.sleep(max(0.0, (now - started[0]) / self.options.speed - (clock() - started[1])))
            else:
                await asyncio.sleep(0)  # the page and the other sources get their turn between two batches
            yield kept

    async def close(self) -> None:
        """Let go of the feed."""
        self._feed = None
