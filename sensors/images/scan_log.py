"""What the log of a CT's console tells of the TIFF images beside it, row by row; each vendor's reader makes one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sensors.images.series import NAN, Stream


@dataclass(frozen=True, slots=True)
class ScanLog:
    """Rows of a console's log, one per projection.

    Attributes
    ----------
    path : Path
        The log.
    prefix : str
        What the names of its images begin with; a number follows.
    number : sequence of int
        Number of each row's image.
    time : sequence of float
        [s since 1970]; ``nan`` when unknown.
    angle_deg : sequence of float
        As logged [deg].
    streams : sequence of Stream
        With a value per row.
    clock : str
        Where times come from; empty when there are none.
    notes : sequence of str
    kinds : mapping of str to str
        Kinds of images by their file names in lower case, where the log names them.
    offset_s : sequence of float
        Where only differences of time are known: seconds of each row since some moment; else empty.
    references : ScanLog, optional
        Log of the images taken again after the scan.
    """

    path: Path
    prefix: str
    number: Sequence[int]
    time: Sequence[float]
    angle_deg: Sequence[float]
    streams: Sequence[Stream] = ()
    clock: str = ""
    notes: Sequence[str] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    offset_s: Sequence[float] = ()
    references: ScanLog | None = None

    def index_in(self, stem: str) -> int | None:
        """Number in the name of one of its images (without ending); None for another file.

        Examples
        --------
        >>> log = ScanLog(Path("a.log"), "head~00", [], [], [])
        >>> log.index_in("head~0000000012"), log.index_in("head~00_12"), log.index_in("head~0100000012")
        (12, 12, None)
        """
        if not stem.casefold().startswith(self.prefix.casefold()):
            return None
        rest = stem[len(self.prefix) :].lstrip("_- ")
        return int(rest) if rest.isdecimal() else None

    def rows_of(self, numbers: Sequence[int]) -> tuple[list[int | None], list[str]]:
        """Row of each image by its number, and what is odd about it.

        Some programs count images from 0 and rows from 1, or the other way round: the images' numbers are shifted by one
        where more of them then have a row.
        """
        row = {number: k for k, number in enumerate(self.number)}
        if not numbers or not row:
            return [None] * len(numbers), []
        shift = max(
            (0, min(row) - min(numbers)), key=lambda s: (abs(s) <= 1, sum(n + s in row for n in numbers), s == 0)
        )
        rows = [row.get(number + shift) for number in numbers]
        notes = []
        if shift:
            notes.append(
                f"{self.path.name}: images count from {min(numbers)}, rows from {min(row)}; taken in this order"
            )
        lost = [number for number, k in zip(numbers, rows, strict=True) if k is None]
        if lost:
            notes.append(
                f"{self.path.name}: has no row for {len(lost)} of {len(numbers)} images (first: number {lost[0]})"
            )
        unseen = len(row) - len({k for k in rows if k is not None})
        if unseen:
            notes.append(f"{self.path.name}: {unseen} of {len(row)} rows have no image")
        return rows, notes

    def streams_of(self, rows: Sequence[int | None]) -> list[Stream]:
        """The streams with one value per image; ``nan`` for an image without row."""
        return [
            Stream(s.name, s.quantity, s.unit, tuple(NAN if k is None else s.values[k] for k in rows))
            for s in self.streams
        ]

    def times_of(self, rows: Sequence[int | None], modified: Sequence[float]) -> tuple[list[float], str, list[str]]:
        """Time of each image, the clock, and what is odd.

        Where the log has differences only, its beginning is found from the images' modification times: if they are those
        of their writing, all of them less their ``offset_s`` are the same instant within seconds. Copies that have lost
        them show by their scatter.

        Parameters
        ----------
        modified : sequence of float
            Modification time of each image [s].
        """
        if not self.offset_s:
            times = [NAN if k is None else self.time[k] for k in rows]
            return times, self.clock if any(map(math.isfinite, times)) else "", []
        starts = [m - self.offset_s[k] for k, m in zip(rows, modified, strict=True) if k is not None]
        name = self.path.name
        if not starts:
            return [NAN] * len(rows), "", []
        if max(starts) - min(starts) > 5.0 + 0.01 * (max(self.offset_s) - min(self.offset_s)):
            said = (
                f"{name}: tells seconds only, and the images' modification times don't fit them (copies?), so no times"
            )
            return [NAN] * len(rows), "", [said]
        begin = min(starts)
        times = [NAN if k is None else begin + self.offset_s[k] for k in rows]
        said = f"{name}: tells seconds only; their beginning is taken from the images' modification times"
        return times, f"{name}, from the images' modification times", [said]
