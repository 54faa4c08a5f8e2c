"""One row of the long table ``time,channel,value[,sigma][,quality]``: its columns, its faults, its Reading."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence

from sensors.channel import Channel
from sensors.reading import Quality, Reading, SensorError
from sensors.timestamps import checked_seconds, parse_time

REQUIRED = ("time", "channel", "value")
OPTIONAL = ("sigma", "quality")
COLUMNS = (*REQUIRED, *OPTIONAL)

_NO_VALUE = {"", "nan", "null", "none", "na", "n/a"}


class RowError(ValueError):
    """A row that can't become a Reading; ``cause`` is the word it is counted by."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def nearest(word: str, known: Iterable[str]) -> str:
    """End of an error message: the nearest known word, or all of them."""
    words = [str(one) for one in known]
    match = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(words) or 'none'}"


def columns_of(header: Sequence[str], place: str) -> dict[str, int]:
    """Position of each column; raises SensorError for a header that doesn't fit, and says how it should be."""
    names = [name.strip().lower() for name in header]
    if len(names) == 1 and any(mark in names[0] for mark in (";", "\t")):
        raise SensorError(f"{place}: columns are not separated by commas; export with commas and decimal points")
    if not set(names) & set(COLUMNS):
        raise SensorError(f"{place}: no header; the first line must be {','.join(REQUIRED)}[,sigma][,quality]")
    for index, name in enumerate(names):
        if name not in COLUMNS:
            raise SensorError(f"{place}, column {index + 1}: unknown column {name!r}; {nearest(name, COLUMNS)}")
        if name in names[:index]:
            raise SensorError(f"{place}, column {index + 1}: column {name!r} is given twice; remove one")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise SensorError(f"{place}: column {missing[0]!r} is missing; needed are {', '.join(REQUIRED)}")
    return {name: index for index, name in enumerate(names)}


def split(line: str) -> list[str]:
    """Fields of one comma-separated line; quotes as spreadsheets write them."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error:
        raise RowError("torn", "a quote is not closed; complete or delete the row") from None


class Rows:
    """Turns the rows of one table into Readings.

    Parameters
    ----------
    columns : mapping of str to int
        Position of each column, from :func:`columns_of`.
    channels : mapping of str to Channel
        By the word that the column ``channel`` holds.
    """

    def __init__(self, columns: Mapping[str, int], channels: Mapping[str, Channel]) -> None:
        self._channels = channels
        self._width = len(columns)
        self._time, self._channel, self._value = (columns[name] for name in REQUIRED)
        self._sigma, self._quality = columns.get("sigma"), columns.get("quality")

    def reading(self, fields: Sequence[str]) -> Reading:
        """Reading of one row; an empty or NaN value is an invalid reading, every other fault a :class:`RowError`."""
        if len(fields) != self._width:
            count = f"{len(fields)} fields instead of {self._width}"
            raise RowError("torn", f"{count}; the row is torn or has a stray comma: complete or delete it")
        channel = self.channel(fields[self._channel].strip())
        try:
            time = parse_time(fields[self._time])
        except ValueError as error:
            raise RowError("bad_time", f"column 'time': {error}") from None
        sigma = "" if self._sigma is None else fields[self._sigma]
        quality = "" if self._quality is None else fields[self._quality]
        return channel.admit(
            time, number("value", fields[self._value]), checked_sigma(number("sigma", sigma)), quality_of(quality)
        )

    def channel(self, name: str) -> Channel:
        """Channel by the word in the table."""
        try:
            return self._channels[name]
        except KeyError:
            raise RowError(
                "unknown_channel", f"column 'channel': {name!r} is no channel; {nearest(name, self._channels)}"
            ) from None


def number(column: str, text: str) -> float:
    """Number of a field; NaN where it says that there is none."""
    word = text.strip()
    if word.lower() in _NO_VALUE:
        return math.nan
    try:
        return float("_" if "_" in word else word)  # Python's digit grouping is no notation of a log
    except ValueError:
        message = f"column {column!r}: {word!r} is not a number; leave it empty if there is none"
        raise RowError(f"bad_{column}", message) from None


def checked_sigma(sigma: float) -> float:
    """σ that can be used: positive and finite, or NaN for none."""
    if math.isnan(sigma) or 0 < sigma < math.inf:
        return sigma
    raise RowError("bad_sigma", f"column 'sigma': {sigma:g} is not positive; leave it empty to take the channel's")


def quality_of(text: str) -> Quality:
    """Quality by its word; empty means good."""
    word = text.strip().lower()
    try:
        return Quality(word) if word else Quality.GOOD
    except ValueError:
        message = f"column 'quality': {word!r} is unknown; {nearest(word, list(Quality))}"
        raise RowError("bad_quality", message) from None


def seconds(value: object) -> float:
    """Time given as a number (POSIX seconds) or text (ISO 8601 with zone)."""
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf:
        return checked_seconds(value, value)
    raise ValueError(f"{value!r} is neither ISO 8601 with a zone nor POSIX seconds")
