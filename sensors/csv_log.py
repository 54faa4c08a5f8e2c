"""Readings in a long table: CSV, read whole or followed while it grows, and Parquet with the same columns."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from sensors.channel import UNITS, Channel
from sensors.growing import GrowingFile
from sensors.parquet_log import read_parquet, write_parquet
from sensors.reading import Reading, SensorError
from sensors.rows import COLUMNS, Rows, columns_of, split
from sensors.text_log import CHUNK, LogOptions, TextLogSensor, must_be_file, read_whole

VERSION_LINE = "# ctwin readings 1"


def read_readings(path: Path, channels: Mapping[str, Channel], chunk: int = CHUNK) -> Iterator[list[Reading]]:
    """Stream the readings of a CSV or Parquet (``.parquet``) file in the order of its rows.

    Memory doesn't depend on the length of the file. An empty or NaN value is an ``invalid`` reading. A last
    line that lacks its line end is read if it is a whole row; a number cut off within its digits can't be told.

    Parameters
    ----------
    channels : mapping of str to Channel
        By the word in the column ``channel``; values are raw, in the channel's unit.
    chunk : int
        Largest number of readings per list.

    Raises
    ------
    SensorError
        Naming file, line, column, what is wrong and the mend, at the first fault.
    """
    if path.suffix.lower() == ".parquet":
        must_be_file(path)
        return read_parquet(path, channels, chunk)
    return read_whole(GrowingFile(path), CsvLines(path, channels), chunk)


def write_readings(path: Path, readings: Iterable[Reading], channels: Mapping[str, Channel]) -> int:
    """Write readings to CSV or Parquet (``.parquet``), in the channels' units; returns their number.

    The file appears whole or not at all: it is written beside and then takes its name. Times are POSIX
    seconds with all digits, so that reading them back gives the same instants.

    Parameters
    ----------
    channels : mapping of str to Channel
        By the channel's name.
    """
    part = path.with_name(path.name + ".part")
    rows = (_raw(reading, channels[reading.channel]) for reading in readings)
    try:
        if path.suffix.lower() == ".parquet":
            count = write_parquet(part, rows)
        else:
            with part.open("w", encoding="utf-8", newline="\n") as file:
                count = _write_csv(file, rows)
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise SensorError(f"{path}: can't be written: {error.strerror or error}; nothing was replaced") from None
    finally:
        if part.exists():
            part.unlink()
    return count


def _raw(reading: Reading, channel: Channel) -> tuple[float, str, float, float, str]:
    scale, _ = UNITS[channel.quantity][channel.unit]
    return reading.time, reading.channel, channel.raw(reading.value), reading.sigma / scale, reading.quality.value


def _write_csv(file: TextIO, rows: Iterable[tuple[float, str, float, float, str]]) -> int:
    file.write(f"{VERSION_LINE}\n{','.join(COLUMNS)}\n")
    count = 0
    for time, name, value, sigma, quality in rows:
        numbers = ("" if math.isnan(x) else repr(float(x)) for x in (value, sigma))
        file.write(f"{float(time)!r},{name},{','.join(numbers)},{quality}\n")
        count += 1
    return count


class CsvLines:
    """Comments, header and rows of one CSV file of readings."""

    def __init__(self, path: Path, channels: Mapping[str, Channel]) -> None:
        self._path = path
        self._channels = channels
        self._header = ""
        self._rows: Rows | None = None

    def readings(self, number: int, line: str) -> Sequence[Reading]:
        """Reading of a row; nothing for the header, a comment or an empty line."""
        place = f"{self._path}, line {number}"
        if line.startswith("#"):
            if line.startswith("# ctwin ") and line.strip() != VERSION_LINE:
                raise SensorError(f"{place}: {line.strip('# ')!r} can't be read; this ctwin reads 'ctwin readings 1'")
            return ()
        # a logger that was started again writes its header once more
        if not line.strip() or line == self._header:
            return ()
        fields = split(line)
        if self._rows is None:
            self._rows, self._header = Rows(columns_of(fields, place), self._channels), line
            return ()
        return (self._rows.reading(fields),)

    def missing(self) -> str | None:
        """The header, in a file without one."""
        if self._rows is None:
            return f"empty; the first line must be {','.join(COLUMNS[:3])}[,sigma][,quality]"
        return None


class CsvSensor(TextLogSensor):
    """A CSV (whole or followed) or Parquet file (whole) of readings; kind ``csv``.

    The column ``channel`` holds the channel's address, or its name where it has none.
    """

    class Options(LogOptions):
        """Keys of the kind ``csv``."""

    def __init__(self, options: Options, channels: Sequence[Channel], base: Path) -> None:
        path = base / options.path
        self._words = {channel.address or channel.name: channel for channel in channels}
        super().__init__(path, options, channels, lambda: CsvLines(path, self._words), "utf-8")

    async def open(self) -> None:
        """Check the file; see :class:`sensors.text_log.TextLogSensor`."""
        if self._options.follow and self._path.suffix.lower() == ".parquet":
            raise SensorError(f"{self._path}: a Parquet file can't be followed; set follow = false or log CSV")
        await super().open()

    def _chunks(self, size: int) -> Iterator[list[Reading]]:
        return read_readings(self._path, self._words, size)
