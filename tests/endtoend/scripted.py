"""A sensor whose behaviour a test writes down: batches to give, faults to raise, in order; kind ``scripted`` in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from sensors.channel import Channel
from sensors.reading import Reading


class ScriptedSensor:
    """Plays ``SCRIPTS[script]``: lists of readings, exceptions to raise, or "hang". ``"open"`` may raise, too."""

    SCRIPTS: ClassVar[dict[str, list[Any]]] = {}
    OPENS: ClassVar[dict[str, list[Any]]] = {}
    TAKEN: ClassVar[dict[str, int]] = {}
    DROPS: ClassVar[dict[str, dict[str, int]]] = {}

    class Options(BaseModel):
        model_config = ConfigDict(frozen=True, extra="forbid")
        script: str

    def __init__(self, options: Options, channels: Sequence[Channel], base: Path) -> None:
        self.script, self.channels = options.script, tuple(channels)
        self.TAKEN[self.script] = 0

    def drops(self) -> Mapping[str, int]:
        return self.DROPS.get(self.script, {})

    async def open(self) -> None:
        steps = self.OPENS.get(self.script)
        if steps and isinstance(fault := steps.pop(0), Exception):
            raise fault

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        steps = self.SCRIPTS[self.script]
        while steps:
            step = steps.pop(0)
            if step == "hang":
                await asyncio.Event().wait()
            if isinstance(step, Exception):
                raise step
            yield step
            self.TAKEN[self.script] += 1  # asked on: the batch counts as acknowledged

    async def close(self) -> None:
        return
