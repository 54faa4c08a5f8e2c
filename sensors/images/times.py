"""When each projection was taken: by a table, by a cadence, or by what its file says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sensors.images.series import NAN, Frame
from sensors.reading import SensorError
from sensors.rows import RowError, number, split
from sensors.timestamps import WallClock, parse_time

# clocks of a series that tell the end of the exposure, by how their words begin; others tell its middle
AT_THE_END = ("modification time", "TIFF tag")
_COLUMNS = ("projection", "time", "angle_deg", "kind")


class NoTimeError(SensorError):
    """Nobody says when a projection was taken; in a scan under way its line may still come."""


class TimesTable:
    """A table with a row per projection: ``time`` [, ``projection``] [, ``angle_deg``] [, ``kind``].

    Without the column ``projection`` rows count from 0; flats, darks and references are passed over. A scan file is such a
    table. ``growing``: somebody still writes it, so a last line without its end is not read yet.
    """

    def __init__(self, path: Path, *, growing: bool = False) -> None:
        self.path = path
        self._growing = growing
        self._signature = (-1, -1)
        self._rows: Mapping[int, tuple[float, float]] = {}
        self.refresh()

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, projection: int) -> tuple[float, float]:
        """Time and angle of a projection; NoTimeError when it has no row."""
        if projection not in self._rows and self._growing:
            self.refresh()
        try:
            return self._rows[projection]
        except KeyError:
            raise NoTimeError(
                f"{self.path}: no row for projection {projection}; it needs one per projection", retry=self._growing
            ) from None

    def refresh(self) -> None:
        """Read it again if it has changed."""
        try:
            status = self.path.stat()
            signature = (status.st_size, status.st_mtime_ns)
            if signature == self._signature:
                return
            text = self.path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise SensorError(
                f"{self.path}: the table of times can't be read: {error.strerror}; check the path", retry=self._growing
            ) from None
        except UnicodeDecodeError:
            raise SensorError(f"{self.path}: no text in UTF-8; give a CSV table with a column 'time'") from None
        lines = text.split("\n")
        if self._growing:
            lines[-1] = ""
        self._rows, self._signature = self._read(lines), signature

    def _read(self, lines: list[str]) -> dict[int, tuple[float, float]]:
        place: dict[str, int] = {}
        rows: dict[int, tuple[float, float]] = {}
        for at, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            try:
                cells = split(line.rstrip("\r"))
                if not place:
                    place = self._header(cells, at)
                    continue
                row = self._row(cells, place, len(rows))
            except RowError as fault:
                raise SensorError(f"{self.path}, line {at}, {fault}") from None
            if row is None:
                continue
            if row[0] in rows:
                raise SensorError(f"{self.path}, line {at}: projection {row[0]} a second time; remove one of the rows")
            rows[row[0]] = row[1:]
        if not place and not self._growing:
            raise SensorError(f"{self.path}: empty; give a table with a column 'time' and a row per projection")
        return rows

    def _header(self, cells: list[str], at: int) -> dict[str, int]:
        names = [cell.strip().lower() for cell in cells]
        if "time" not in names:
            raise SensorError(
                f"{self.path}, line {at}: no column 'time'; the header must have it, and may have projection, angle_deg, kind"
            )
        return {name: names.index(name) for name in _COLUMNS if name in names}

    def _row(self, cells: list[str], place: Mapping[str, int], count: int) -> tuple[int, float, float] | None:
        if len(cells) <= max(place.values()):
            raise RowError("torn", f"{len(cells)} fields; the row is torn: complete or delete it")
        if "kind" in place and cells[place["kind"]].strip().lower() not in ("", "projection"):
            return None
        try:
            time = parse_time(cells[place["time"]])
        except ValueError as error:
            raise RowError("bad_time", f"column 'time': {error}") from None
        index = float(count)
        if "projection" in place:
            index = number("projection", cells[place["projection"]])
            if not (index >= 0 and index == int(index)):
                raise RowError("bad_projection", "column 'projection': must be a whole number from 0")
        angle = number("angle_deg", cells[place["angle_deg"]]) if "angle_deg" in place else NAN
        return int(index), time, angle


@dataclass(frozen=True, slots=True)
class Timing:
    """Rule by which a projection gets its time.

    A table comes first, then a cadence, then what the file says. Times are mid-exposure: a cadence counts from the
    beginning of the first exposure, and the stamps in :data:`AT_THE_END` are those of its end, so ``exposure_s``/2 is added
    or taken off.

    Attributes
    ----------
    table : TimesTable, optional
    cadence_s, start : float
        Of the beginnings of the exposures, and that of projection 0 [s]; ``nan``: none.
    exposure_s : float
        Length of an exposure [s].

    Examples
    --------
    >>> Timing(cadence_s=10.0, start=1.7e9, exposure_s=4.0).of(3, Frame(3))
    (1700000032.0, nan)
    >>> Timing(exposure_s=4.0).of(3, Frame(3, time=1.7e9, angle_deg=0.5), "modification time")
    (1699999998.0, 0.5)
    """

    table: TimesTable | None = field(default=None)
    cadence_s: float = NAN
    start: float = NAN
    exposure_s: float = 0.0

    @property
    def told(self) -> bool:
        """Whether times come from elsewhere than from the files."""
        return self.table is not None or self.cadence_s == self.cadence_s

    def of(self, projection: int, frame: Frame, clock: str = "") -> tuple[float, float]:
        """Mid-exposure [s since 1970] and angle [deg; ``nan`` unknown] of a projection.

        Parameters
        ----------
        projection : int
            Its number, from 0.
        frame : Frame
        clock : str
            Where the frame's time comes from, as the series says.

        Raises
        ------
        NoTimeError
        """
        if self.table is not None:
            time, angle = self.table.of(projection)
            return time, frame.angle_deg if math.isnan(angle) else angle
        if self.told:
            return self.start + projection * self.cadence_s + self.exposure_s / 2.0, frame.angle_deg
        if math.isnan(frame.time):
            raise NoTimeError(f"{frame.place}: says no time; give a table of times, or a cadence with its start")
        return frame.time - (self.exposure_s / 2.0 if clock.startswith(AT_THE_END) else 0.0), frame.angle_deg

    def angle(self, projection: int) -> float:
        """Angle of a projection by the table [deg]; ``nan`` where it tells none."""
        try:
            return NAN if self.table is None else self.table.of(projection)[1]
        except NoTimeError:
            return NAN

    def words(self, clock: str) -> str:
        """Where times come from, for people."""
        if self.table is not None:
            return str(self.table.path)
        if self.told:
            return f"cadence of {self.cadence_s:g} s"
        return clock or "none"


def start_of(text: str, timezone: str) -> float:
    """Instant of its words: ISO 8601, in this zone where it names none, or POSIX seconds; ValueError in words.

    Examples
    --------
    >>> start_of("2026-03-01T10:00:00", "Europe/Berlin"), start_of("2026-03-01T10:00:00Z", "Europe/Berlin")
    (1772355600.0, 1772359200.0)
    """
    try:
        return parse_time(text)
    except ValueError:
        try:
            local = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(f"{text!r} is no time; write 2026-03-01T10:00:00Z, or POSIX seconds") from None
        if local.tzinfo is not None:
            raise
        return WallClock(timezone).seconds(local)
