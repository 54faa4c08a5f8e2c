"""A folder being filled, looked at: projections in, sightings out, each once however often the program is killed."""

from __future__ import annotations

import math
import threading
import time as clocks
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensors.images.follower import Follower, Found
from sensors.images.looking import Look, Looker, LookError, SizeError
from sensors.images.names import number_of
from sensors.images.series import Contents, Frame
from sensors.images.sighting import Sighting, told_of, values_of
from sensors.images.stamps import MODIFIED, TAG, tag_times
from sensors.images.tiff_file import first_page
from sensors.images.tiff_series import TiffSeries
from sensors.images.times import NoTimeError, Timing
from sensors.images.unfinished import UnfinishedError
from sensors.reading import SensorError

PRIMING = 64  # images that trackers are shown again after a restart
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Passed:
    """What was given before a restart: everything up to a file, unless it came into the folder after that one.

    A projection that came late was given, if at all, after the one by which the end is known; so it may be given again, and
    whoever keeps readings must know those that it has. Without that file (it is gone) times alone must do.
    """

    time: float
    order: tuple[int, str] | None = None
    arrived_ns: int = 0

    def holds(self, file: Found, time: float) -> bool:
        """Whether the readings of a file, which have this time, were given."""
        if self.order is None:
            return time <= self.time
        return file.order <= self.order and file.arrived_ns <= self.arrived_ns


class LiveFolder:
    """Looks at each projection of a folder as it comes.

    :meth:`step` gives sightings; what it gave comes again unless :meth:`acknowledge` was called before the next step.

    Parameters
    ----------
    follower : Follower
    looks : sequence of Look
    looker : Looker
    timing : Timing
    timezone : str
        Of the clock that stamps TIFF files.
    clock : callable
        Seconds of the patience.
    """

    def __init__(
        self,
        follower: Follower,
        looks: Sequence[Look],
        looker: Looker,
        timing: Timing,
        timezone: str = "UTC",
        clock: Callable[[], float] = clocks.monotonic,
    ) -> None:
        self.follower, self.looker = follower, looker
        self.words = ""
        self._primed = False
        self._looks, self._timing, self._timezone, self._clock = tuple(looks), timing, timezone, clock
        self._turns: Iterator[Found] | None = None
        self._given: list[Found] = []
        self._now = 0.0
        self._lock = threading.Lock()  # a step that nobody waits for any more may still be running in its thread

    def step(self, most: int = 16) -> list[tuple[Found, Sighting]]:
        """Look at up to ``most`` projections whose turn it is; empty when there is none for the moment.

        Raises
        ------
        SensorError
            The folder can't be read.
        LookError
            The looks don't fit the images.
        """
        with self._lock:
            if self._given:
                self.follower.give_back(self._given)
                self._given, self._turns = [], None
            try:
                return self._step(most)
            except BaseException:
                self._turns = None
                raise

    def _step(self, most: int) -> list[tuple[Found, Sighting]]:
        if self._turns is None:
            self._now = self._clock()
            self.follower.poll(self._now)
            self._turns = self.follower.ready(self._now)
        out: list[tuple[Found, Sighting]] = []
        while len(out) < most:
            file = next(self._turns, None)
            if file is None:
                self._turns = None
                break
            sighting = self._look(file)
            if sighting is not None:
                self.follower.accept(file)
                self._given.append(file)
                out.append((file, sighting))
        out.sort(key=lambda one: one[1].time)  # by modification times, files written out of order are so, too
        return out

    def acknowledge(self) -> None:
        """What the last step gave is kept by somebody."""
        with self._lock:
            self._given = []

    def passed(self, after: Mapping[str, float]) -> dict[str, Passed]:
        """What was given before a restart, by channel, from the newest time that each channel has; such files are skipped.

        From the newest file down, so that no more files are opened than were not given yet, and one.
        """
        self.follower.poll(self._clock())
        wanted, files = set(after.values()), self.follower.pending
        found: dict[float, Passed] = {}
        times: dict[str, float] = {}
        size = -1
        for file in reversed(files):
            if len(found) == len(wanted):
                break
            time = self._readable(file)
            times[file.path.name] = time
            if time in wanted:
                found[time], size = Passed(time, file.order, file.arrived_ns), file.size
        marks = {channel: found.get(time, Passed(time)) for channel, time in after.items()}
        for file in files if marks else ():
            name = file.path.name
            if all(mark.holds(file, times.get(name, math.inf)) for mark in marks.values()) and (
                file.size == size or name in times or math.isfinite(self._readable(file))
            ):
                self.follower.skip([name])
        return marks

    def _readable(self, file: Found) -> float:
        """Time of a file; ``nan`` for one that is not whole yet, or bad: it was not given."""
        try:
            return self._time(file, open_tiff(file.path, self._timezone).contents)[0]
        except SensorError:
            return math.nan

    def _look(self, file: Found) -> Sighting | None:
        """Everything in a projection; None when it can't be read now, which the follower is told."""
        try:
            if not file.size:
                raise UnfinishedError(f"{file.path}: is empty; not written yet, or the disk was full")
            series = open_tiff(file.path, self._timezone)
            time, angle = self._time(file, series.contents)
            if not self._primed:
                self._primed = True
                self._prime()
            fixes = self.looker.look(series, 0, angle)
        except LookError:
            raise
        except SensorError as error:
            self.follower.refuse(file, self._now, _cause(file, error), str(error), hopeless=not error.retry)
            return None
        values = {**values_of(self._looks, fixes), **told_of(file.number, angle)}
        return Sighting(file.number, time, values, fixes)

    def _time(self, file: Found, contents: Contents) -> tuple[float, float]:
        """Mid-exposure and angle, the same after a restart, and no two projections' alike.

        Stamps of whole seconds, and those of a file system, may be shared by neighbours: the number is added as microseconds.
        """
        frame, clock = contents.frames[0], contents.clock
        if clock == TAG:
            ticks = round(frame.time * 1e6)
        else:
            clock, ticks = MODIFIED, file.modified_ns // 1000
        self.words = self._timing.words(clock)
        stamp = Frame(file.number, time=(ticks + file.number % _MILLION) / 1e6, place=str(file.path))
        return self._timing.of(file.number, stamp, clock)

    def _prime(self) -> None:
        """After a restart: show the trackers what they had seen, from the first image on, so that they go on from there."""
        given = self.follower.given
        for at in np.unique(np.linspace(0, len(given) - 1, min(PRIMING, len(given))).round().astype(int)).tolist():
            try:
                series = open_tiff(given[at], self._timezone)
                self.looker.look(series, 0, self._timing.angle(number_of(given[at].stem) or 0))
            except LookError:
                raise
            except SensorError:
                continue  # moved away since, or cut


def open_tiff(path: Path, timezone: str) -> TiffSeries:
    """The first image of a TIFF file as a series of its own; raises as :func:`sensors.images.tiff_file.first_page`."""
    page = first_page(path)
    times, clock, _ = tag_times([page.taken], timezone, str(path.parent))
    return TiffSeries(
        Contents(path.stem, (Frame(0, time=times[0], place=str(path)),), page.shape, clock=clock), [(path, None)]
    )


def _cause(file: Found, error: SensorError) -> str:
    if isinstance(error, NoTimeError):
        return "no_time"
    if isinstance(error, SizeError):
        return "another_size"
    if isinstance(error, UnfinishedError):
        return "truncated" if file.size else "empty"
    return "unreadable"
