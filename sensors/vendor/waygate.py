"""Per-projection log (``.pcp``) of Waygate phoenix datos|x acquisitions.

One line with the program's version, one with the names ``ImgNr RotPos U I MeanGV DevGV Dose Use CValue XDShift
Time``, then one row per image, separated by tabs. What the columns mean was taken from the files in the
demonstration data of xray-imaging/meta-cli; Waygate publishes no description. A log has one row more than the scan
has angular steps: the last image, at 360°, repeats the first.

``Time`` is a wall clock of whole seconds without a zone, so the zone is an option. Images within one second
share a stamp; the second of them is placed 1/2 s after the tick, the third 2/3 s, the n-th (n-1)/n s. That needs
no look ahead (a followed file gives the same times as a finished one), keeps their order and is never wrong
by more than the clock's own second. Which moment of the exposure the stamp marks is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensors.channel import Channel
from sensors.growing import GrowingFile
from sensors.reading import Quality, Reading, SensorError
from sensors.rows import RowError, nearest, number
from sensors.text_log import LogOptions, TextLogSensor, read_lines
from sensors.timestamps import WallClock
from sensors.vendor.scan_table import ScanTable

# column -> quantity and unit of its values
COLUMNS = {
    "U": ("voltage", "kV"),
    "I": ("current", "uA"),
    "MeanGV": ("flux", "counts"),
    "XDShift": ("detector_shift", "px"),
    "RotPos": ("angle", "deg"),
}
_NEEDED = ("ImgNr", "RotPos", "U", "I", "MeanGV", "Use", "XDShift", "Time")
_ENCODING = "latin-1"


@dataclass(frozen=True, slots=True)
class PcpLog:
    """The rows of a ``.pcp`` log.

    Attributes
    ----------
    name : str
        File name without its ending.
    projection : (N,) int array
        ``ImgNr``, from 1 as in the file.
    angle_deg : (N,) array
        ``RotPos`` [deg].
    time : (N,) array
        ``Time`` [s since 1970]; rows that share a second are spread within it.
    voltage_kv, current_ua : (N,) arrays
        ``U``, ``I``: tube voltage [kV] and current [µA].
    flux : (N,) array
        ``MeanGV``: mean grey value of a window beside the sample [counts].
    use : (N,) bool array
        ``Use``: whether the image is to be used.
    detector_shift_px : (N,) array
        ``XDShift``: horizontal position of the detector shuttle [px].
    """

    name: str
    projection: NDArray[np.int64]
    angle_deg: NDArray[np.float64]
    time: NDArray[np.float64]
    voltage_kv: NDArray[np.float64]
    current_ua: NDArray[np.float64]
    flux: NDArray[np.float64]
    use: NDArray[np.bool_]
    detector_shift_px: NDArray[np.float64]

    @property
    def scan(self) -> ScanTable:
        """Times and angles of all rows; the one at 360° is among them."""
        return ScanTable(self.name, self.projection - 1, self.time, self.angle_deg)


@dataclass(frozen=True, slots=True)
class PcpRow:
    """One row: values by column, and its instant."""

    time: float
    values: Mapping[str, float]


class PcpLines:
    """Header and rows of one ``.pcp`` file; as a parser for :class:`sensors.text_log.TextLogSensor`."""

    def __init__(self, path: Path, timezone: str, channels: Mapping[str, Channel]) -> None:
        self._path = path
        self._clock = WallClock(timezone)
        self._channels = channels
        self._columns: dict[str, int] = {}
        self._stamp: datetime | None = None
        self._shared = 0

    def row(self, number_: int, line: str) -> PcpRow | None:
        """Values of a row; None before and at the header and for an empty line."""
        if not line.strip():
            return None
        fields = line.split("\t")
        if not self._columns:
            if number_ > 1 or fields[0] == "ImgNr":  # the first line is the program's version
                self._columns = self._header(fields, f"{self._path}, line {number_}")
            return None
        if len(fields) != len(self._columns):
            count = f"{len(fields)} fields instead of {len(self._columns)}"
            raise RowError("torn", f"{count}; the row is torn: complete or delete it")
        values = {name: number(name, fields[self._columns[name]]) for name in _NEEDED if name != "Time"}
        if math.isnan(values["ImgNr"]):
            raise RowError("bad_ImgNr", "column 'ImgNr': no number; the row is torn: complete or delete it")
        return PcpRow(self._time(fields[self._columns["Time"]].strip()), values)

    def readings(self, number: int, line: str) -> Sequence[Reading]:
        """Readings of the channels in a row; ``suspect`` where ``Use`` is 0."""
        row = self.row(number, line)
        if row is None:
            return ()
        quality = Quality.GOOD if row.values["Use"] != 0 else Quality.SUSPECT
        return [c.admit(row.time, row.values[column], math.nan, quality) for column, c in self._channels.items()]

    def missing(self) -> str | None:
        """The header, in a file without one."""
        return None if self._columns else "no line of column names (ImgNr RotPos U I ...); is this a .pcp log?"

    def _header(self, names: Sequence[str], place: str) -> dict[str, int]:
        columns = {name.strip(): index for index, name in enumerate(names)}
        for name in _NEEDED:
            if name not in columns:
                raise SensorError(f"{place}: column {name} is missing among {' '.join(columns)}; is this a .pcp log?")
        return columns

    def _time(self, text: str) -> float:
        try:
            stamp = datetime.fromisoformat(text)
        except ValueError:
            raise RowError("bad_time", f"column 'Time': {text!r} is not YYYY-MM-DD hh:mm:ss") from None
        self._shared = self._shared + 1 if stamp == self._stamp and stamp.microsecond == 0 else 0
        self._stamp = stamp
        return self._clock.seconds(stamp) + self._shared / (self._shared + 1)


def read_pcp(path: Path, timezone: str = "UTC") -> PcpLog:
    """Read a finished ``.pcp`` log.

    Parameters
    ----------
    timezone : str
        Where the console's clock stood, as an IANA name such as ``Europe/Berlin``.

    Raises
    ------
    SensorError
        Naming file, line, what is wrong and the mend.
    """
    parser = PcpLines(path, timezone, {})
    rows = [row for row in read_lines(GrowingFile(path, _ENCODING), parser.row) if row is not None]
    if not rows:
        raise SensorError(f"{path}: {parser.missing() or 'no projections; the scan has not begun'}")
    column = {name: np.array([row.values[name] for row in rows]) for name in _NEEDED if name != "Time"}
    return PcpLog(
        path.stem,
        column["ImgNr"].astype(np.int64),
        column["RotPos"],
        np.array([row.time for row in rows]),
        column["U"],
        column["I"],
        column["MeanGV"],
        column["Use"] != 0,
        column["XDShift"],
    )


class WaygateSensor(TextLogSensor):
    """A ``.pcp`` log, whole or followed while the scan runs; kind ``waygate``.

    A channel's address is the column: ``U`` (voltage, kV), ``I`` (current, uA), ``MeanGV`` (flux, counts),
    ``XDShift`` (detector_shift, px), ``RotPos`` (angle, deg). Rows with ``Use`` 0 are ``suspect``.
    """

    class Options(LogOptions):
        """Keys of the kind ``waygate``."""

        timezone: str = "UTC"

    def __init__(self, options: Options, channels: Sequence[Channel], base: Path) -> None:
        path = base / options.path
        self._columns = {channel.address or channel.name: channel for channel in channels}
        super().__init__(
            path, options, channels, lambda: PcpLines(path, options.timezone, self._columns), encoding=_ENCODING
        )

    async def open(self) -> None:
        """Check that the channels fit the columns, and the file."""
        for column, channel in self._columns.items():
            if column not in COLUMNS:
                raise SensorError(
                    f"channel {channel.name}: address {column!r} is no column; {nearest(column, COLUMNS)}"
                )
            quantity, unit = COLUMNS[column]
            if (channel.quantity, channel.unit) != (quantity, unit):
                raise SensorError(
                    f"channel {channel.name}: column {column} holds {quantity} in {unit}; "
                    f"set quantity = {quantity!r} and unit = {unit!r}"
                )
        self._parser()  # tells an unknown timezone at once
        await super().open()
