"""The seam through which readings come in, and its optional powers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from sensors.block import Reduce
from sensors.channel import Channel
from sensors.reading import Reading


class Sensor(Protocol):
    """A source of readings.

    Asking ``readings()`` for the next batch acknowledges the one before: a source that can forget
    (a broker) forgets only then, after the caller has committed the batch to its journal.
    ``open`` raises :class:`sensors.reading.SensorError` in one line when the source can't be had.
    ``readings`` ends when the source has no more to give (a file read whole); a live source never ends.
    """

    @property
    def channels(self) -> Sequence[Channel]:
        """What it delivers."""

    async def open(self) -> None:
        """Get ready, or say in one line why not."""

    def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Batches in order of arrival."""

    async def close(self) -> None:
        """Let go of everything; may be called at any time, and again."""


@runtime_checkable
class Resumable(Protocol):
    """A source that can begin after what the journal already holds (files; a broker keeps its own place)."""

    def resume_after(self, times: Mapping[str, float]) -> None:
        """Skip, per channel, every reading at or before the time given [s since 1970]."""


@runtime_checkable
class Counting(Protocol):
    """A source that counts what it had to drop, by cause."""

    def drops(self) -> Mapping[str, int]:
        """Dropped values since ``open``, by cause."""


@runtime_checkable
class TakesReducer(Protocol):
    """A source of waveforms, whose blocks become readings by the modes of a machine that only its owner knows."""

    def reduce_with(self, reduce: Reduce, channels: Sequence[Channel]) -> None:
        """Use this from now on, and deliver these derived channels; called before ``open``."""
