"""Tracking in a folder that is being filled, until told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sensors.channel import Channel
from sensors.csv_log import read_readings
from sensors.images.follower import Follower
from sensors.images.illumination import Illumination
from sensors.images.live import LiveFolder
from sensors.images.looking import Look, Looker
from sensors.images.region import Region
from sensors.images.times import Timing
from sensors.images.trackers import QUANTITIES
from sensors.reading import SensorError
from twin.track import Track, rows_of
from twin.track_file import TrackFile

_log = logging.getLogger("ctwin.track")
POLL_S, PATIENCE_S = 0.5, 60.0


def follow(
    folder: Path,
    looks: Sequence[Look],
    illumination: Illumination,
    timing: Timing,
    out: Path,
    what: Mapping[str, Any],
    *,
    timezone: str = "UTC",
    begun: Callable[[], None] = lambda: None,
    progress: Callable[[int, int], None],
) -> tuple[Track, LiveFolder]:
    """Append a track to ``out`` projection by projection until SIGINT or SIGTERM; goes on where an earlier run was ended.

    Parameters
    ----------
    folder : Path
        Must be there; when it can't be read for a while that is told once, and waited for.
    looks : sequence of Look
        The first is a marker, whose window may be left to be found.
    what : mapping
        What is tracked, as :class:`twin.track_file.TrackFile` compares it; its ``window`` is filled in when it is found.
    begun : callable
        Called when everything is well and the first look into the folder begins.
    progress : callable
        Called with (projections taken, projections that wait).

    Raises
    ------
    SensorError, OutputError
        One line each.
    """
    if not folder.is_dir():
        raise SensorError(f"{folder}: no such folder; check the path")
    for path in (illumination.flat, illumination.dark, looks[0].reference):
        if path is not None:
            illumination.open(path).close()  # told now and not at the first projection
    file = TrackFile(out, what)
    try:
        window = file.what.get("window")
        marker = replace(looks[0], window=Region.parse(window) if window else None)
        looks = (marker, *looks[1:])
        track, looker = Track(looks), Looker(looks, illumination)
        if file.done:
            channels = {name: Channel(name, *QUANTITIES[curve.suffix]) for name, curve in track.curves.items()}
            for batch in read_readings(out, channels):
                track.recall(batch)
        without = frozenset(path for path in (illumination.flat, illumination.dark) if path is not None)
        follower = Follower(folder, "", PATIENCE_S, POLL_S, without)
        follower.skip(file.done)
        live = LiveFolder(follower, looks, looker, timing, timezone)
        begun()
        with _told_to_stop() as stop:
            _go_on(live, file, track, marker, stop, progress)
    finally:
        file.close()
    return track, live


def _go_on(
    live: LiveFolder,
    file: TrackFile,
    track: Track,
    marker: Look,
    stop: threading.Event,
    progress: Callable[[int, int], None],
) -> None:
    trouble = ""
    while not stop.is_set():
        try:
            seen = live.step()
        except SensorError as error:
            if not error.retry:
                raise
            if str(error) != trouble:
                _log.warning("%s; waiting for it", error)
            trouble, seen = str(error), []
        else:
            trouble = ""
        if file.what.get("window") is None and marker.name in live.looker.windows:
            file.note({**file.what, "window": str(live.looker.windows[marker.name])})
        for found, sighting in seen:
            file.add(found.path.name, rows_of(sighting, track.curves))
            track.add(sighting)
        live.acknowledge()
        progress(track.seen, len(live.follower.pending))
        if not seen:
            stop.wait(POLL_S)


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """Set by SIGINT and SIGTERM, so that none of them ends the program between two files that belong together."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
