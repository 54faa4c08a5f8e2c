"""When TIFF images were written: by their tag DateTime, or by the file system."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from sensors.images.series import NAN
from sensors.images.tiff_file import first_page
from sensors.reading import SensorError
from sensors.timestamps import WallClock

TAG, MODIFIED = "TIFF tag DateTime", "modification time"
_AT_ONCE = 50  # so many images in one second are faster than detectors of CT


def modified(paths: Sequence[Path]) -> list[float]:
    """Modification times [s since 1970]; ``nan`` for a file that is gone."""
    times = []
    for path in paths:
        try:
            times.append(path.stat().st_mtime_ns / 1e9)
        except OSError:
            times.append(NAN)
    return times


def stamps_of(paths: Sequence[Path], timezone: str) -> tuple[list[float], str, list[str]]:
    """Time of each file, the clock in words, and what is odd.

    The tag is used when every readable file has it, otherwise the modification time. Both tell when the image was
    written, so the end of its exposure at the earliest.

    Parameters
    ----------
    paths : sequence of Path
        In the order of acquisition.
    timezone : str
        Where the clock of the tag stood, as an IANA name.
    """
    tags: list[str | None] = []
    for path in paths:
        try:
            tags.append(first_page(path).taken)
        except SensorError:
            tags.append(None)
        if tags[-1] == "":
            break
    if not paths:
        return [], "", []
    if "" in tags or not any(tags):
        times = modified(paths)
        back = sum(b < a for a, b in pairwise(times))
        odd = f"{paths[0].parent}: {back} modification times go back from one image to the next (copied files?)"
        return times, MODIFIED, [odd] if back else []
    return tag_times(tags, timezone, str(paths[0].parent))


def tag_times(tags: Sequence[str | None], timezone: str, place: str) -> tuple[list[float], str, list[str]]:
    """Instants of tags DateTime (``2016:03:07 15:37:41``), which have whole seconds and no zone.

    Images of one second are spread over it: the n-th gets (n-1)/n s. When all of 50 images or more have the same stamp they
    were converted then, and there is no time.
    """
    stamps = [_parsed(tag) for tag in tags]
    told = [stamp for stamp in stamps if stamp is not None]
    if len(told) >= _AT_ONCE and len(set(told)) == 1:
        said = f"{place}: all {len(told)} images have the tag DateTime {told[0]}: when they were converted, not taken"
        return [NAN] * len(tags), "", [f"{said}, so no times"]
    clock, times, last, shared = WallClock(timezone), list[float](), None, 0
    for stamp in stamps:
        shared = shared + 1 if stamp is not None and stamp == last else 0
        last = stamp
        times.append(NAN if stamp is None else clock.seconds(stamp) + shared / (shared + 1))
    missing = len(tags) - len(told)
    notes = [f"{place}: {missing} of {len(tags)} images have no readable tag DateTime, so no time"] if missing else []
    return times, TAG if told else "", notes


def _parsed(tag: str | None) -> datetime | None:
    for form in ("%Y:%m:%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"):
        try:
            return datetime.strptime(tag or "", form)
        except ValueError:
            continue
    return None
