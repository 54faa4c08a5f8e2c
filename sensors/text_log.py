"""A text log as a source: read whole, or followed while another program writes it. Formats bring their line parser."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from sensors.channel import Channel
from sensors.growing import GrowingFile
from sensors.reading import Reading, SensorError
from sensors.rows import RowError

_LOG = logging.getLogger("ctwin.sensors.log")
CHUNK = 4096
T = TypeVar("T")


class LineParser(Protocol):
    """Knows one file's columns once it has seen its header; a new one is made when the file starts again."""

    def readings(self, number: int, line: str) -> Sequence[Reading]:
        """Readings of a line; RowError for a line that is bad, SensorError for a file that is."""

    def missing(self) -> str | None:
        """What a finished file still lacks (a header), in words, or None."""


class LogOptions(BaseModel):
    """Keys that all text logs have."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    follow: bool = False
    poll_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


def must_be_file(path: Path) -> None:
    """Raise SensorError unless there is a file."""
    if path.is_dir():
        raise SensorError(f"{path}: is a folder; name the file in it")
    if not path.exists():
        raise SensorError(f"{path}: no such file; check the path")


def read_lines(file: GrowingFile, parse: Callable[[int, str], T]) -> Iterator[T]:
    """What ``parse`` makes of each line of a finished file; the first bad line ends it with a SensorError."""
    must_be_file(file.path)
    try:
        for number, line in _all_lines(file):
            try:
                parsed = parse(number, line)
            except RowError as fault:
                raise SensorError(f"{file.path}, line {number}, {fault}") from None
            yield parsed
    finally:
        file.close()


def read_whole(file: GrowingFile, parser: LineParser, chunk: int = CHUNK) -> Iterator[list[Reading]]:
    """Stream the readings of a finished file; the first bad line ends it with a SensorError that names it."""
    batch: list[Reading] = []
    for readings in read_lines(file, parser.readings):
        batch.extend(readings)
        if len(batch) >= chunk:
            yield batch
            batch = []
    missing = parser.missing()
    if missing is not None:
        raise SensorError(f"{file.path}: {missing}")
    if batch:
        yield batch


def _all_lines(file: GrowingFile) -> Iterator[tuple[int, str]]:
    while lines := file.lines():
        yield from lines
        if file.restarts:
            raise SensorError(f"{file.path}: was replaced or cut while it was read; read it when it is finished")
    yield from file.rest()


class TextLogSensor:
    """What the kinds ``csv`` and ``waygate`` have in common.

    Read whole, the source ends with the file, and a bad row ends it with a :class:`SensorError`. Followed, it
    never ends; a bad row is counted by its cause and the next one is read, a last line is kept until its line
    end has come, and after truncation or rotation what was acknowledged already is skipped by its time.
    """

    def __init__(
        self,
        path: Path,
        options: LogOptions,
        channels: Sequence[Channel],
        parser: Callable[[], LineParser],
        encoding: str,
    ) -> None:
        self._path = path
        self._options = options
        self._channels = tuple(channels)
        self._parser = parser
        self._encoding = encoding
        self._after: dict[str, float] = {}
        self._acknowledged: dict[str, float] = {}
        self._drops: dict[str, int] = {}

    @property
    def channels(self) -> Sequence[Channel]:
        """Channels the log may hold."""
        return self._channels

    def resume_after(self, times: Mapping[str, float]) -> None:
        """Skip, per channel, every reading at or before the time given [s since 1970]."""
        self._after.update(times)

    def drops(self) -> Mapping[str, int]:
        """Rows that could not be read while following, by cause."""
        return dict(self._drops)

    async def open(self) -> None:
        """Check that the file is there and, unless it still grows, that its first rows can be read."""
        self._drops.clear()
        try:
            must_be_file(self._path)
        except SensorError as error:
            raise SensorError(str(error), retry=self._options.follow) from None
        if not self._options.follow:
            await asyncio.to_thread(next, self._chunks(1), None)

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Give the readings in the order of the file."""
        if self._options.follow:
            async for batch in self._follow():
                yield batch
            return
        chunks = self._chunks(CHUNK)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            if new := self._new(chunk):
                yield new

    def _chunks(self, size: int) -> Iterator[list[Reading]]:
        return read_whole(GrowingFile(self._path, self._encoding), self._parser(), size)

    async def _follow(self) -> AsyncIterator[Sequence[Reading]]:
        file, parser = GrowingFile(self._path, self._encoding), self._parser()
        self._after.update(self._acknowledged)
        try:
            while True:
                restarts = file.restarts
                lines = await asyncio.to_thread(file.lines)
                if file.restarts > restarts:
                    parser = self._parser()
                    self._after.update(self._acknowledged)
                batch = self._new([r for number, line in lines for r in self._forgiving(parser, number, line)])
                if batch:
                    yield batch
                    # only now is the batch acknowledged, so only now may it be skipped
                    for r in batch:
                        self._acknowledged[r.channel] = max(r.time, self._acknowledged.get(r.channel, -math.inf))
                elif not lines:
                    await asyncio.sleep(self._options.poll_s)
        finally:
            file.close()

    def _forgiving(self, parser: LineParser, number: int, line: str) -> Sequence[Reading]:
        try:
            return parser.readings(number, line)
        except RowError as fault:
            if fault.cause not in self._drops:
                _LOG.warning("%s, line %d, %s; dropped, further ones are counted", self._path, number, fault)
            self._drops[fault.cause] = self._drops.get(fault.cause, 0) + 1
            return ()

    def _new(self, readings: list[Reading]) -> list[Reading]:
        if not self._after:
            return readings
        return [r for r in readings if r.time > self._after.get(r.channel, -math.inf)]

    async def close(self) -> None:
        """Nothing is held between batches; harmless at any time."""
