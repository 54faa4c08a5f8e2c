"""Instants: text to seconds, wall clocks without a zone, and which stamps can't be believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sensors.reading import SensorError

Cause = Literal["before_1991", "ahead", "backwards", "identical"]
CAUSES: tuple[Cause, ...] = ("before_1991", "ahead", "backwards", "identical")

BEFORE_1991 = 662688000.0  # 1991-01-01T00:00:00Z [s]
AHEAD_S = 1800.0
_LATEST = 253402300800.0  # the year 10000 [s]; POSIX milliseconds of our days lie beyond


def parse_time(text: str) -> float:
    """Turn ISO 8601 with a zone, or POSIX seconds, into seconds since 1970-01-01 UTC.

    Raises
    ------
    ValueError
        In words that continue "time …": no zone, milliseconds, or no time at all.

    Examples
    --------
    >>> parse_time("2018-02-22T21:18:41+01:00")
    1519330721.0
    >>> parse_time("1519330721")
    1519330721.0
    >>> parse_time("2018-02-22T21:18:41")
    Traceback (most recent call last):
    ValueError: '2018-02-22T21:18:41' has no zone; append Z for UTC or an offset such as +01:00
    """
    word = text.strip()
    try:
        seconds = float(word) if "_" not in word else math.nan
    except ValueError:
        seconds = math.nan
    if math.isfinite(seconds):
        return checked_seconds(seconds, word)
    try:
        instant = datetime.fromisoformat(word)
    except ValueError:
        raise ValueError(f"{word!r} is neither ISO 8601 with a zone nor POSIX seconds") from None
    if instant.tzinfo is None:
        raise ValueError(f"{word!r} has no zone; append Z for UTC or an offset such as +01:00")
    return instant.timestamp()


def checked_seconds(seconds: float, word: object) -> float:
    """Refuse numbers that can't be POSIX seconds (milliseconds, nanoseconds, not finite)."""
    if not abs(seconds) < _LATEST:
        raise ValueError(f"{word!r} is beyond the year 9999; give seconds, not milli- or nanoseconds")
    return float(seconds)


class WallClock:
    """Local wall-clock stamps of a log, in their order, to seconds since 1970.

    Assumes that the log is written in order: the hour that occurs twice when summer time ends is taken
    as the second one as soon as the stamps would otherwise run backwards. A scan that lies wholly within
    that hour is taken as the first one.
    """

    def __init__(self, timezone: str) -> None:
        try:
            self._zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise SensorError(
                f"timezone {timezone!r} is unknown; give a name such as Europe/Zurich (on Windows: install tzdata)"
            ) from None
        self._last = -math.inf

    def seconds(self, local: datetime) -> float:
        """Seconds since 1970 of a stamp without zone."""
        first = local.replace(tzinfo=self._zone, fold=0).timestamp()
        second = local.replace(tzinfo=self._zone, fold=1).timestamp()
        # outside the repeated hour both are equal; in the skipped hour of spring the second is the earlier one
        self._last = second if first < self._last <= second else first
        return self._last


class TimestampPolicy:
    """Judges event times per channel and counts what it refuses; knows no clock.

    The causes are those of the EPICS archiver: a stamp before 1991, one more than 30 min ahead of its
    arrival, one earlier than the channel's last accepted one, one identical to it. A refused stamp leaves
    the channel's last time as it was, so one absurd stamp doesn't blind the channel. A clock that is set
    back costs the readings until it has caught up, at most 30 min where arrival times are given.

    Examples
    --------
    >>> policy = TimestampPolicy()
    >>> [policy.judge("t_tube", t) for t in (1.6e9, 1.6e9, 1.6e9 - 1, 0.0)]
    [None, 'identical', 'backwards', 'before_1991']
    >>> policy.judge("t_tube", 1.7e9, ingest_time=1.6e9 + 2)
    'ahead'
    >>> dict(policy.counts["t_tube"])
    {'identical': 1, 'backwards': 1, 'before_1991': 1, 'ahead': 1}
    """

    def __init__(self, last: Mapping[str, float] | None = None, *, ahead_s: float = AHEAD_S) -> None:
        self._last = dict(last or {})
        self._ahead_s = ahead_s
        self._counts: dict[str, dict[Cause, int]] = {}

    def judge(self, channel: str, time: float, ingest_time: float | None = None) -> Cause | None:
        """Cause for which a reading must be dropped, or None when its time is accepted.

        Parameters
        ----------
        time : float
            Event time [s since 1970]; NaN counts as ``before_1991``, infinity as ``ahead``.
        ingest_time : float, optional
            Arrival [s since 1970]; without it (a replay) only infinity is ``ahead``.
        """
        cause = self._cause(self._last.get(channel, -math.inf), time, ingest_time)
        if cause is None:
            self._last[channel] = time
        else:
            of_channel = self._counts.setdefault(channel, {})
            of_channel[cause] = of_channel.get(cause, 0) + 1
        return cause

    def _cause(self, last: float, time: float, ingest_time: float | None) -> Cause | None:
        if not time >= BEFORE_1991:
            return "before_1991"
        if time == math.inf or (ingest_time is not None and time > ingest_time + self._ahead_s):
            return "ahead"
        if time < last:
            return "backwards"
        return "identical" if time == last else None

    @property
    def counts(self) -> Mapping[str, Mapping[Cause, int]]:
        """Refused readings by channel and cause."""
        return MappingProxyType({channel: MappingProxyType(dict(by)) for channel, by in self._counts.items()})

    @property
    def last(self) -> Mapping[str, float]:
        """Last accepted time per channel [s since 1970]; a policy built from it continues where this one stands."""
        return MappingProxyType(dict(self._last))


def iso(time: float) -> str:
    """Readable UTC form of an instant, for messages.

    Examples
    --------
    >>> iso(1519330721.25)
    '2018-02-22T20:18:41.250Z'
    """
    instant = datetime.fromisoformat("1970-01-01T00:00:00+00:00") + timedelta(seconds=time)
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
