"""When scans begin and end and their projections are taken: announced by a file, told by channels, or by an operator."""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from models.estimate import Array
from sensors.reading import Reading
from sensors.timestamps import AHEAD_S
from twin.config import Config
from twin.scan import Scan
from twin.sections import ScanPlan

OPERATOR = "scan:operator"  # no configured channel can have this name
LEAST_SILENCE_S, SILENT_CADENCES = 600.0, 20.0
Kind = Literal["announced", "counted", "planned"]


@dataclass(frozen=True, slots=True)
class Watched:
    """A scan as far as it is known while it runs.

    Attributes
    ----------
    name : str
    started : float
        [s since 1970].
    total : int
        Projections it is to have.
    kind : str
        Where its projections come from: ``announced`` by a file, ``counted`` by a channel, or ``planned`` by ``[scan]``.
    """

    name: str
    started: float
    total: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Change:
    """A scan begins (``scan`` is it) or ends (None) at an instant [s since 1970]."""

    time: float
    scan: Watched | None


class ScanWatch:
    """Follows the course of scans; what it says depends on readings and their order alone.

    A scan that was announced comes first. Otherwise it begins and ends with a channel of quantity ``scan`` or with an
    operator's word (a reading of the channel :data:`OPERATOR`). Without such a channel the projections themselves tell it:
    it begins with the first of them and ends when none has come for ``scan.ends_after_min``, or when their numbers start
    over. Where no channel counts projections they are taken as planned: at even distances over ``scan.duration_h``.

    Parameters
    ----------
    config : Config
    name_of : callable
        Name of the scan that began at an instant [s since 1970].
    """

    def __init__(self, config: Config, name_of: Callable[[float], str] | None = None) -> None:
        self._plan = config.scan
        self._name_of = name_of or (lambda time: default_name(config.system.name, time))
        self._switches = {c.name for c in config.channels if c.quantity == "scan"}
        self._counters = {c.name for c in config.channels if c.quantity == "projection"}
        self.running: Watched | None = None  # at the instant reached last
        self.taken = 0  # projections of it by then
        self._changes: deque[Change] = deque()  # heard of, not reached yet
        self._times: list[float] = []  # of projections heard of, not reached yet
        self._open: Watched | None = None  # the scan under way at the newest reading
        self._announced: Watched | None = None
        self._announced_until = -math.inf
        self._by_switch = False
        self._first = self._last = -1  # numbers of its projections
        self._newest = -math.inf  # time of its newest projection
        self._closed = -math.inf  # when the scan before it ended

    @property
    def under_way(self) -> Watched | None:
        """The scan under way at the newest reading, or announced; ``running`` is a little behind, at the newest estimate."""
        return self._announced or self._open

    @property
    def ends_after_s(self) -> float:
        """Silence after which a counted scan is over [s]."""
        if self._plan.ends_after_min is not None:
            return self._plan.ends_after_min * 60.0
        return max(SILENT_CADENCES * self._plan.duration_h * 3600.0 / self._plan.projections, LEAST_SILENCE_S)

    def announce(self, scan: Scan) -> None:
        """Follow a scan whose projections are known; one of another name that is under way is over with the next step."""
        frames = scan.only("projection")
        times = frames.time.tolist()
        watched = Watched(scan.name, times[0], len(times), "announced")
        self._changes.clear()
        if self.running is not None and self.running.name == scan.name:
            self.running, self._times = watched, times[self.taken :]
        else:
            if self.running is not None:
                self._changes.append(Change(-math.inf, None))
            self._times = times
            self._changes.append(Change(times[0], watched))
        self._changes.append(Change(math.nextafter(times[-1], math.inf), None))
        self._announced, self._announced_until = watched, times[-1]
        self._open, self._closed = None, times[-1]

    def take(self, readings: Sequence[Reading], ingest: float | None = None) -> None:
        """Hear what readings say, in the order of arrival."""
        latest = math.inf if ingest is None else ingest + AHEAD_S
        for reading in readings:
            if reading.time > latest or not reading.quality.usable or reading.time <= self._closed:
                continue
            if reading.channel in self._switches or reading.channel == OPERATOR:
                self._switch(reading.time, reading.value != 0.0)
            elif reading.channel in self._counters:
                self._count(reading.time, round(reading.value))

    def _switch(self, time: float, on: bool) -> None:
        if on and self._open is None:
            self._begin(time, by_switch=True)
        elif not on and self._open is not None:
            self._end(min(time, self.due))

    def _count(self, time: float, number: int) -> None:
        if self._open is not None and not self._by_switch:
            if time > self._newest + self.ends_after_s:
                self._end(self._newest + self.ends_after_s)
            elif time > self._newest and number <= self._first and self._last > self._first:
                self._end(math.nextafter(time, -math.inf))
        if self._open is None:
            if self._switches:
                return  # an image taken outside of any scan
            self._begin(time, by_switch=False)
        if self._first < 0:
            self._first = number
        self._last = max(self._last, number)
        self._newest = max(self._newest, time)
        if self._open is not None and time >= self._open.started:
            bisect.insort(self._times, time)

    def _begin(self, time: float, by_switch: bool) -> None:
        kind: Kind = "counted" if self._counters else "planned"
        self._open = Watched(self._name_of(time), time, self._plan.projections, kind)
        self._by_switch, self._first, self._last, self._newest = by_switch, -1, -1, time
        self._changes.append(Change(time, self._open))
        if kind == "planned":
            self._times.extend(planned_times(self._plan, time).tolist())

    def _end(self, time: float) -> None:
        if self._open is not None and self._open.kind == "planned":
            self._times = [t for t in self._times if t <= time]
        self._changes.append(Change(time, None))
        self._open, self._closed = None, time

    @property
    def due(self) -> float:
        """When the scan under way is over although nobody says so [s since 1970]; infinite where that doesn't happen."""
        if self._open is None or (self._by_switch and self._switches):
            return math.inf
        if self._open.kind == "planned":
            return self._open.started + self._plan.duration_h * 3600.0
        return self._newest + self.ends_after_s

    def reach(self, time: float) -> Iterator[Change]:
        """Changes up to an instant of the grid [s since 1970], in order; ``running`` and ``taken`` follow them."""
        if time > self.due:
            self._end(self.due)
        while self._changes and self._changes[0].time <= time:
            change = self._changes.popleft()
            self._pass(change.time if change.scan is None else math.nextafter(change.time, -math.inf))
            if change.scan is None and self.running == self._announced:
                self._announced = None
            self.running, self.taken = change.scan, 0
            yield change
        self._pass(time)

    def _pass(self, time: float) -> None:
        """Projections taken up to an instant."""
        count = bisect.bisect_right(self._times, time)
        del self._times[:count]
        if self.running is not None:
            self.taken += count

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next, as JSON-able data; times that follow from a file or plan left out."""
        counted = [t for t in self._times if self._announced is None or t > self._announced_until]
        return {
            "running": None if self.running is None else asdict(self.running),
            "taken": self.taken,
            "changes": [[_finite(c.time), None if c.scan is None else asdict(c.scan)] for c in self._changes],
            "times": counted if self._counters else [],
            "open": None if self._open is None else asdict(self._open),
            "by_switch": self._by_switch,
            "numbers": [self._first, self._last],
            "newest": _finite(self._newest),
            "closed": _finite(self._closed),
        }

    def restore(self, state: Mapping[str, Any], announced: Callable[[str], Scan | None]) -> None:
        """Continue where :meth:`state` was taken; ``announced`` gives an announced scan by its name, if it is known still."""
        self.running = None if state["running"] is None else Watched(**state["running"])
        self.taken = int(state["taken"])
        self._changes = deque(
            Change(_number(time), None if scan is None else Watched(**scan)) for time, scan in state["changes"]
        )
        self._times = list(state["times"])
        self._open = None if state["open"] is None else Watched(**state["open"])
        self._by_switch = bool(state["by_switch"])
        self._first, self._last = state["numbers"]
        self._newest, self._closed = _number(state["newest"]), _number(state["closed"])
        ahead = next((c.scan for c in self._changes if c.scan is not None), self.running)
        if ahead is None or ahead.kind == "counted":
            return  # their times came with the state
        taken = self.taken if ahead == self.running else 0
        if ahead.kind == "planned":
            ends = next((c.time for c in self._changes if c.scan is None), math.inf)
            self._times = [t for t in planned_times(self._plan, ahead.started).tolist()[taken:] if t <= ends]
            return
        scan, self._announced = announced(ahead.name), ahead
        if scan is None:
            self._announced = None
            self._changes = deque([Change(-math.inf, None)] if self.running is not None else [])
        else:
            times = scan.only("projection").time.tolist()
            self._times = [*times[taken:], *self._times]
            self._announced_until = times[-1]


def planned_times(plan: ScanPlan, started: float) -> Array:
    """Mid-exposures of a planned scan that began at an instant, (N,) [s since 1970]."""
    spacing = plan.duration_h * 3600.0 / plan.projections
    return np.asarray(started + spacing * (np.arange(plan.projections) + 0.5))


def default_name(system: str, started: float) -> str:
    """Name of a scan that nobody has named.

    Examples
    --------
    >>> default_name("ct1", 1519330721.4)
    'ct1-2018-02-22T201841Z'
    """
    return f"{system}-{datetime.fromtimestamp(started, UTC):%Y-%m-%dT%H%M%SZ}"


def _finite(time: float) -> float | None:
    return time if math.isfinite(time) else None


def _number(time: float | None) -> float:
    return -math.inf if time is None else float(time)
