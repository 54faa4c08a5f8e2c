"""Readings of many clocks → ordered vectors on one grid; what can't be used is counted by cause, never lost silently."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensors.reading import Reading
from sensors.timestamps import TimestampPolicy


@dataclass(frozen=True, slots=True)
class Cell:
    """Mean of one channel's readings within one grid step."""

    value: float
    sigma: float
    count: int


@dataclass(frozen=True, slots=True)
class Vector:
    """All that was read around one instant of the grid: channel → mean value and its σ."""

    time: float
    cells: Mapping[str, Cell]


# A record has no arrival times to tell a wrong stamp by; one that leaps further than this would close millions of steps.
LEAP_S = 400.0 * 86400.0


class Aligner:
    """Puts readings on the grid ``k·grid_s`` (k integer since 1970); a step closes ``late_s`` after its end.

    The clock of the grid is the newest event time seen, held back to the ingest time where one is given: one stamp in
    the future must not close the steps of all others. Only the order of the readings and their two times decide, so a
    replay of the journal closes the same steps with the same content.

    Parameters
    ----------
    powers : frozenset of str
        Channels of rms values, of which the mean of the squares is taken: weights of 1/σ² would all but leave out the
        loud ones.
    """

    def __init__(
        self,
        grid_s: float,
        late_s: float,
        circular: frozenset[str] = frozenset(),
        powers: frozenset[str] = frozenset(),
    ) -> None:
        self.grid_s, self.late_s, self._powers = grid_s, late_s, powers
        self._circular = circular  # channels of angles [rad]: 359° and 1° make 0°, not 180°
        self.policy = TimestampPolicy()
        self.drops: Counter[tuple[str, str]] = Counter()
        self._open: dict[int, dict[str, list[tuple[float, float]]]] = {}
        self._next: int | None = None
        self._newest = -math.inf

    def add(self, readings: Sequence[Reading], ingest_time: float | None = None) -> list[Vector]:
        """Take readings in the order of arrival; return the steps they close, in order (gaps included).

        Steps close after each reading, not after the last: where one batch ends and the next begins is chance.
        """
        closed: list[Vector] = []
        for reading in readings:
            cause = self._take(reading, ingest_time)
            if cause:
                self.drops[reading.channel, cause] += 1
            closed += self._close(self._newest - self.late_s)
        return closed

    def _take(self, reading: Reading, ingest_time: float | None) -> str:
        """Put a reading where it belongs; the cause for which it can't be used, or nothing."""
        if ingest_time is None and LEAP_S < reading.time - self._newest < math.inf:
            return "ahead"
        cause = self.policy.judge(reading.channel, reading.time, ingest_time)
        if cause is not None:
            return str(cause)
        step = math.floor(reading.time / self.grid_s + 0.5)
        self._newest = max(self._newest, reading.time if ingest_time is None else min(reading.time, ingest_time))
        if self._next is not None and step < self._next:
            return "late"
        if not reading.quality.usable:
            return str(reading.quality)
        self._open.setdefault(step, {}).setdefault(reading.channel, []).append((reading.value, reading.sigma))
        return ""

    def flush(self) -> list[Vector]:
        """Close every step that has a reading (at the end of a record)."""
        return self._close(max(self._open, default=-math.inf) * self.grid_s + self.grid_s) if self._open else []

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next, as JSON-able data."""
        return {
            "next": self._next,
            "newest": self._newest if math.isfinite(self._newest) else None,
            "last": dict(self.policy.last),
            "open": {
                str(step): {channel: list(values) for channel, values in cells.items()}
                for step, cells in self._open.items()
            },
            "drops": [[channel, cause, count] for (channel, cause), count in sorted(self.drops.items())],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state` was taken."""
        self._next = state["next"]
        self._newest = -math.inf if state["newest"] is None else float(state["newest"])
        self.policy = TimestampPolicy(state["last"])
        self._open = {
            int(step): {channel: [(v, s) for v, s in values] for channel, values in cells.items()}
            for step, cells in state["open"].items()
        }
        self.drops = Counter({(channel, cause): count for channel, cause, count in state["drops"]})

    def _close(self, until: float) -> list[Vector]:
        out: list[Vector] = []
        if self._next is None:
            if not self._open:
                return out
            first = min(self._open)
            if (first + 0.5) * self.grid_s > until:
                return out
            self._next = first
        while (self._next + 0.5) * self.grid_s <= until:
            found = sorted(self._open.pop(self._next, {}).items())
            cells = {channel: self._together(channel, values) for channel, values in found}
            out.append(Vector(self._next * self.grid_s, cells))
            self._next += 1
        return out

    def _together(self, channel: str, values: list[tuple[float, float]]) -> Cell:
        if channel in self._powers:
            return _power(values)
        return _mean(_unwound(values) if channel in self._circular else values)


def _unwound(values: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Angles brought to within half a turn of the first one."""
    first = values[0][0]
    return [(first + math.remainder(value - first, 2.0 * math.pi), sigma) for value, sigma in values]


def _power(values: list[tuple[float, float]]) -> Cell:
    """Root of the mean square."""
    square = sum(v * v for v, _ in values) / len(values)
    spread = math.sqrt(sum((v * s) ** 2 for v, s in values)) / len(values)
    return Cell(math.sqrt(square), spread / math.sqrt(square) if square > 0 else math.nan, len(values))


def _mean(values: list[tuple[float, float]]) -> Cell:
    """Mean weighted by 1/σ² where every value states its σ, plain otherwise."""
    if len(values) == 1:
        return Cell(values[0][0], values[0][1], 1)
    if all(math.isfinite(s) and s > 0 for _, s in values):
        weights = [1.0 / s**2 for _, s in values]
        total = sum(weights)
        return Cell(sum(w * v for w, (v, _) in zip(weights, values, strict=True)) / total, total**-0.5, len(values))
    return Cell(sum(v for v, _ in values) / len(values), math.nan, len(values))
