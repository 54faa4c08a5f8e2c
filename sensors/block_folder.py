"""Files of waveforms as a source, kind ``blocks``: one file, all of a folder, or a folder that a recorder goes on filling."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sensors.block import Block, Reduce
from sensors.block_files import ENDINGS, TruncatedError, read_blocks
from sensors.channel import Channel
from sensors.reading import Reading, SensorError
from sensors.vibration import Reducer, is_accelerometer, plain_reductions

_LOG = logging.getLogger("ctwin.sensors.blocks")


class BlocksSensor:
    """Blocks from files.

    A file that is named is read, and a fault in it ends the source. Of a folder every file is read in the order of names; a
    bad one is told, counted and left out. Followed, the folder is polled, and a file is read once its size stands still; one
    that is still not whole after ``patience_s`` is left out.
    """

    class Options(BaseModel):
        """Keys of the kind ``blocks``."""

        model_config = ConfigDict(frozen=True, extra="forbid")
        path: str
        follow: bool = False
        poll_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
        block_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
        patience_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60.0

    def __init__(self, options: Options, channels: Sequence[Channel], base: Path) -> None:
        self._options = options
        self._path = base / options.path
        self._own = {c.address or c.name: c for c in channels if is_accelerometer(c)}
        self._reducer: Reduce = Reducer(plain_reductions(channels))
        self._channels = (*channels, *Reducer(plain_reductions(channels)).channels)
        self._after: dict[str, float] = {}
        self._done: dict[str, float] = {}
        self._drops: dict[str, int] = {}

    @property
    def channels(self) -> Sequence[Channel]:
        """Accelerometers, and what is derived from them."""
        return self._channels

    def reduce_with(self, reduce: Reduce, channels: Sequence[Channel]) -> None:
        """Turn blocks into readings of these channels by a machine's own modes."""
        self._reducer = reduce
        self._channels = (*self._own.values(), *channels)

    def resume_after(self, times: Mapping[str, float]) -> None:
        """Skip, per channel, every reading at or before the time given [s since 1970]."""
        self._after.update(times)

    def drops(self) -> Mapping[str, int]:
        """Files that could not be read, by cause."""
        return dict(self._drops)

    async def open(self) -> None:
        """Check that there is something to read."""
        self._drops.clear()
        if not self._own:
            raise SensorError(
                f"{self._path}: no channel of quantity 'acceleration' takes its blocks from here; add one"
            )
        if not self._path.exists():
            raise SensorError(f"{self._path}: no such file or folder; check the path", retry=self._options.follow)
        if self._options.follow and not self._path.is_dir():
            raise SensorError(f"{self._path}: is a file; follow = true needs the folder that the recorder fills")
        if self._path.is_file():
            await asyncio.to_thread(next, self._blocks(self._path), None)

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Readings of one block after the other."""
        if self._options.follow:
            async for batch in self._follow():
                yield batch
        elif self._path.is_file():
            async for batch in self._of(self._path):
                yield batch
        else:
            for path in await asyncio.to_thread(self._files):
                async for batch in self._forgiving(path):
                    yield batch

    async def close(self) -> None:
        """Nothing is held between batches; harmless at any time."""

    def _blocks(self, path: Path) -> Iterator[list[Block]]:
        return read_blocks(path, self._own, self._options.block_s)

    async def _of(self, path: Path) -> AsyncIterator[Sequence[Reading]]:
        blocks = self._blocks(path)
        while (group := await asyncio.to_thread(next, blocks, None)) is not None:
            found = await asyncio.to_thread(self._reduced, group)
            if found:
                yield found

    def _reduced(self, group: Sequence[Block]) -> list[Reading]:
        new = [b for b in group if b.middle > self._after.get(b.channel, -math.inf)]
        readings = [reading for block in new for reading in self._reducer(block)]
        return [r for r in readings if r.time > self._after.get(r.channel, -math.inf)]

    async def _forgiving(self, path: Path) -> AsyncIterator[Sequence[Reading]]:
        try:
            async for batch in self._of(path):
                yield batch
        except SensorError as error:
            self._drop("truncated" if isinstance(error, TruncatedError) else "unreadable", error)

    def _drop(self, cause: str, error: SensorError) -> None:
        self._drops[cause] = self._drops.get(cause, 0) + 1
        _LOG.warning("%s; left out", error)

    def _files(self) -> list[Path]:
        try:
            with os.scandir(self._path) as found:
                names = [e.name for e in found if Path(e.name).suffix.lower() in ENDINGS and e.is_file()]
        except OSError as error:
            raise SensorError(f"{self._path}: can't be read: {error.strerror}; check the share", retry=True) from None
        return [self._path / name for name in sorted(names)]

    async def _follow(self) -> AsyncIterator[Sequence[Reading]]:
        loop = asyncio.get_running_loop()
        seen: dict[str, tuple[int, float]] = {}  # size, and since when it stands still
        while True:
            files = await asyncio.to_thread(self._files)
            self._done = {path.name: self._done[path.name] for path in files if path.name in self._done}
            for path in files:
                if path.name in self._done:
                    continue
                with contextlib.suppress(OSError):  # gone again meanwhile
                    size, (before, since) = path.stat().st_size, seen.get(path.name, (-1, 0.0))
                    if size != before:
                        seen[path.name] = (size, loop.time())
                        continue
                    try:
                        async for batch in self._of(path):
                            yield batch
                    except TruncatedError as error:
                        if loop.time() - since < self._options.patience_s:
                            continue  # its writer may be pausing
                        self._drop("truncated", error)
                    except SensorError as error:
                        self._drop("unreadable", error)
                    self._done[path.name] = loop.time()
            await asyncio.sleep(self._options.poll_s)
