"""A scan put together from what the journal holds: when its projections were taken, and at which angles."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

import numpy as np

from models.estimate import Array
from sensors.reading import Quality
from twin.config import Config
from twin.scan import Scan, checked
from twin.scan_watch import planned_times
from twin.turning import stage_angles

AROUND_S = 3600.0  # an angle told so long before the scan may still hold


def journalled_scan(connection: sqlite3.Connection, config: Config, name: str, started: float, until: float) -> Scan:
    """The projections that were taken from ``started`` to ``until`` [s since 1970], both included.

    Their times and numbers are the readings of the channel of quantity ``projection``; of a number that came again (an image
    retaken) the last one counts. Without such a channel the projections are the planned ones. The angle is the last reading
    of the channel of quantity ``angle`` up to the middle of the exposure: right for a stage that stands still meanwhile or
    tells its angle often. Without such a channel a full turn in even steps is assumed, from 0.

    Raises
    ------
    ScanError
        No projection was taken, or their numbers don't rise with time.
    """
    counters = [c.name for c in config.channels if c.quantity == "projection"]
    if counters:
        time, number = _readings(connection, counters, started, until)
        index = np.rint(number).astype(np.int64)
        _, again = np.unique(index[::-1], return_index=True)
        keep = np.sort(len(index) - 1 - again)
        time, index = time[keep], index[keep]
    else:
        time = planned_times(config.scan, started)
        time = time[time <= until]
        index = np.arange(len(time), dtype=np.int64)
    angle = _angles(connection, config, time, index)
    count = len(time)
    return checked(Scan(name, index, time, angle, ("projection",) * count), [f"scan {name}"] * count)


def _angles(connection: sqlite3.Connection, config: Config, time: Array, index: np.ndarray[Any, Any]) -> Array:
    """Angles of projections [deg]."""
    even = 360.0 / config.scan.projections * (index - index[0] if len(index) else index)
    channels = [c.name for c in stage_angles(config)]
    if not channels or not len(time):
        return np.asarray(even, float)
    at, value = _readings(connection, channels, float(time[0]) - AROUND_S, float(time[-1]))
    if not len(at):
        return np.asarray(even, float)
    return np.rad2deg(value[np.maximum(np.searchsorted(at, time, side="right") - 1, 0)])


def _readings(connection: sqlite3.Connection, channels: Iterable[str], begin: float, end: float) -> tuple[Array, Array]:
    """Times and values of usable readings of some channels, in the order of their times."""
    names = tuple(channels)
    usable = tuple(str(quality) for quality in Quality if quality.usable)
    rows = connection.execute(
        "SELECT time, value FROM reading WHERE channel IN (SELECT id FROM channel WHERE name IN "  # noqa: S608 (marks only)
        f"({', '.join('?' * len(names))})) AND time BETWEEN ? AND ? AND quality IN ({', '.join('?' * len(usable))}) "
        "AND value IS NOT NULL ORDER BY time, rowid",
        (*names, begin, end, *usable),
    ).fetchall()
    table = np.array(rows, float).reshape(-1, 2)
    return table[:, 0], table[:, 1]
