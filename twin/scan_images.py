"""A series of projections as a scan: times and angles by what its files say, by a cadence, or by a full turn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from sensors.images.formats import open_series
from sensors.images.recorded import numbers_of
from sensors.images.series import Contents
from sensors.images.times import NoTimeError, Timing
from sensors.reading import SensorError
from twin.scan import Scan, ScanError, checked


def read_images(path: Path, zone: str | None = None, timing: Timing | None = None) -> Scan:
    """The projections of a folder, or of a file of any kind that ``ctwin track`` reads.

    Numbers are those in the files' names, from 0. Where no file says an angle a full turn in even steps is assumed, from 0.

    Parameters
    ----------
    zone : str, optional
        IANA name of the zone of the clock that stamped the files; UTC by default.
    timing : Timing, optional
        A cadence instead of the files' times.

    Raises
    ------
    ScanError
        No projections, nobody says their times, or some have an angle and others none; one line.
    """
    try:
        series = open_series(path, timezone=zone or "UTC")
        try:
            contents = series.contents
        finally:
            series.close()
        return _scan(path, contents, timing or Timing())
    except NoTimeError as error:
        raise ScanError(f"{error}; or a scan file (projection,time,angle_deg)") from None
    except SensorError as error:
        raise ScanError(str(error)) from None


def _scan(path: Path, contents: Contents, timing: Timing) -> Scan:
    frames = [frame for frame in contents.frames if frame.kind == "projection"]
    places = [frame.place or str(path) for frame in frames]
    numbers = numbers_of(places)
    told = [timing.of(n, frame, contents.clock) for n, frame in zip(numbers, frames, strict=True)]
    angle = np.array([angle for _, angle in told])
    lost = np.flatnonzero(~np.isfinite(angle))
    if len(lost) == len(angle) and len(angle):
        angle = 360.0 * np.array(numbers, float) / (numbers[-1] + 1)
    elif len(lost):
        raise ScanError(f"{places[int(lost[0])]}: says no angle where others do; give a scan file instead")
    time = np.array([time if math.isfinite(time) else np.nan for time, _ in told])
    scan = Scan(contents.name, np.array(numbers, np.int64), time, angle, ("projection",) * len(frames))
    return checked(scan, places)
