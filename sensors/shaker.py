"""Kind ``shaker``: a simulated accelerometer, to try alarms and dashboards with; its readings say that they are simulated."""

from __future__ import annotations

import asyncio
import math
import time as wall
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sensors.block import Block, Reduce, admit_block
from sensors.channel import UNITS, Channel
from sensors.reading import Quality, Reading, SensorError
from sensors.vibration import Reducer, is_accelerometer, plain_reductions

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ShakerSensor:
    """White acceleration and tones, the same for the same seed, on every accelerometer of the source.

    Without ``start`` the blocks are those of the present and come as time passes; with it they begin there and come as fast
    as they are asked for, ``blocks`` of them.
    """

    class Options(BaseModel):
        """Keys of the kind ``shaker``; tones are pairs of frequency [Hz] and amplitude [m/s²]."""

        model_config = ConfigDict(frozen=True, extra="forbid")
        rate_hz: Positive = 1000.0
        block_s: Positive = 10.0
        noise_um_per_s2_per_sqrt_hz: NonNegative = 10.0
        tones: tuple[tuple[Positive, NonNegative], ...] = ()
        seed: Annotated[int, Field(ge=0)] = 1
        start: float | None = None
        blocks: Annotated[int, Field(gt=0)] = 60

    def __init__(
        self, options: Options, channels: Sequence[Channel], base: Path, clock: Callable[[], float] = wall.time
    ) -> None:
        del base  # reads no file
        self._options, self._clock = options, clock
        self._own = [c for c in channels if is_accelerometer(c)]
        self._reducer: Reduce = Reducer(plain_reductions(channels))
        self._channels: Sequence[Channel] = (*channels, *Reducer(plain_reductions(channels)).channels)
        self._after: dict[str, float] = {}

    @property
    def channels(self) -> Sequence[Channel]:
        """Accelerometers, and what is derived from them."""
        return self._channels

    def reduce_with(self, reduce: Reduce, channels: Sequence[Channel]) -> None:
        """Turn blocks into readings of these channels by a machine's own modes."""
        self._reducer, self._channels = reduce, (*self._own, *channels)

    def resume_after(self, times: Mapping[str, float]) -> None:
        """Skip, per channel, every reading at or before the time given [s since 1970]."""
        self._after.update(times)

    async def open(self) -> None:
        """Check that something is shaken."""
        if not self._own:
            raise SensorError("shaker: no channel of quantity 'acceleration' belongs to it; add one")

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """One batch per block of time."""
        given, length = self._options, self._options.block_s
        first = math.floor((self._clock() if given.start is None else given.start) / length)
        k = first
        while given.start is None or k < first + given.blocks:
            end = (k + 1) * length
            await asyncio.sleep(max(end - self._clock(), 0.0) if given.start is None else 0.0)
            found = [r for number, c in enumerate(self._own) for r in self._reducer(self._shaken(c, number, k))]
            new = [r for r in found if r.time > self._after.get(r.channel, -math.inf)]
            if new:
                yield new
            k += 1

    def _shaken(self, channel: Channel, number: int, k: int) -> Block:
        given = self._options
        count = round(given.block_s * given.rate_hz)
        rng = np.random.default_rng([given.seed, number, k % 2**32])
        t = k * given.block_s + np.arange(count) / given.rate_hz
        wave = given.noise_um_per_s2_per_sqrt_hz * 1e-6 * math.sqrt(given.rate_hz / 2.0) * rng.standard_normal(count)
        for frequency, amplitude in given.tones:
            wave = wave + amplitude * np.sin(2.0 * np.pi * np.mod(frequency * t, 1.0))
        scale, offset = UNITS[channel.quantity][channel.unit]
        return admit_block(channel, k * given.block_s, given.rate_hz, (wave - offset) / scale, Quality.SIMULATED)

    async def close(self) -> None:
        """Nothing is held."""
