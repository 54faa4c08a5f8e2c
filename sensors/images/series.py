"""A series of projections, whatever program wrote it: frames with their times and angles, images one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

KINDS = ("projection", "flat", "dark", "reference")
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a series.

    Attributes
    ----------
    index : int
        Number within its kind, from 0.
    kind : str
        projection, flat, dark or reference.
    time : float
        Mid-exposure [s since 1970-01-01 UTC]; ``nan`` where the files tell none.
    angle_deg : float
        Position of the rotation stage as logged [deg]; ``nan`` where the files tell none.
    place : str
        File, and frame in it, for messages.
    """

    index: int
    kind: str = "projection"
    time: float = NAN
    angle_deg: float = NAN
    place: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """What a vendor's file tells of every projection beside its image: temperature, voltage, shifts of its own.

    Attributes
    ----------
    name : str
        The vendor's own word; the address of a channel.
    quantity, unit : str
        As in :data:`sensors.channel.UNITS`.
    values : sequence of float
        One per projection, in their order [unit]; a sentinel of the vendor's ("no sensor") is ``nan``.
    """

    name: str
    quantity: str
    unit: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a series, told without reading an image.

    Attributes
    ----------
    name : str
    frames : sequence of Frame
        In the order of acquisition.
    shape : (int, int)
        Rows and columns of every image.
    streams : sequence of Stream
    notes : sequence of str
        What is odd about the files and was dealt with, one sentence each, naming the file ("111 angles for 91
        projections; the first 91 are used").
    clock : str
        Where times come from, in words, for the summary ("NXdetector/time", "TIFF tag DateTime", "modification time");
        empty when there are none.
    """

    name: str
    frames: Sequence[Frame]
    shape: tuple[int, int]
    streams: Sequence[Stream] = ()
    notes: Sequence[str] = field(default=())
    clock: str = ""


class Series(Protocol):
    """An open series. Memory does not grow with its length: an image is read when it is asked for."""

    @property
    def contents(self) -> Contents:
        """Frames, shape, streams, notes."""

    def image(self, position: int, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[Any]:
        """Raw counts of a part of the frame at this position of ``contents.frames``, in the file's own type.

        Raises
        ------
        SensorError
            This image can't be read (truncated, corrupt, another size); one line with file, place and mend. Others may be
            read all the same.
        """

    def close(self) -> None:
        """Let go of the files; harmless when repeated."""
