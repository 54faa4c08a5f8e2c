"""When the images of a Zeiss ``.txrm`` were taken.

``ImageInfo/Date`` is month/day/year of a wall clock in whole seconds without zone, 40 bytes per image. Which moment of the
exposure it marks isn't known.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from sensors.images.series import NAN
from sensors.timestamps import WallClock
from sensors.vendor.compound_file import CompoundFile

CLOCK = "ImageInfo/Date"
_DATE = re.compile(rb"(\d\d?)/(\d\d?)/(\d{4}|\d\d) +(\d\d?):(\d\d):(\d\d)(\.\d+)?")


def times_of(
    path: Path, file: CompoundFile, announced: int, count: int, timezone: str
) -> tuple[list[float], list[str]]:
    """Time of each image; stamps within one second are spread over it."""
    data = file.text(CLOCK)
    stride = len(data) // announced
    clock, times, bad, last, shared = WallClock(timezone), list[float](), 0, None, 0
    for k in range(count):
        stamp = _stamp(data[k * stride : (k + 1) * stride])
        shared = shared + 1 if stamp is not None and stamp == last and not stamp.microsecond else 0
        last = stamp
        bad += stamp is None
        times.append(NAN if stamp is None else clock.seconds(stamp) + shared / (shared + 1))
    return times, [f"{path}: {bad} of {count} images have no readable date"] if bad else []


def _stamp(record: bytes) -> datetime | None:
    found = _DATE.match(record)
    if found is None:
        return None
    month, day, year, hour, minute, second = (int(found[k]) for k in range(1, 7))
    try:
        stamp = datetime(year + 2000 * (year < 100), month, day, hour, minute, second)
    except ValueError:
        return None
    return stamp.replace(microsecond=int(float(found[7]) * 1e6)) if found[7] else stamp
