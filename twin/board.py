"""The board between the machine and those who look at it: the latest state, and a ring of samples for charts.

The service publishes after each step, hundreds of times per second in an accelerated run; readers take what is
newest when they are ready. Nothing is queued per reader, so a slow one costs no memory and delays nobody.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import AsyncIterator, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.thinning import Columns, thin


class Board:
    """Latest published state and the last ``capacity`` chart samples; safe to use from any thread.

    Parameters
    ----------
    capacity
        Samples kept for charts; the oldest is forgotten for a new one. A column takes 8 bytes per sample.
    interval_s
        Shortest time between two updates of one subscriber [s].

    Examples
    --------
    >>> board = Board(capacity=100)
    >>> board.publish({"system": "ct"}, {"time_s": 10.0, "spot_u_um": 0.5})
    1
    >>> board.state()["system"], board.history()["columns"]["spot_u_um"]
    ('ct', [0.5])
    """

    def __init__(self, capacity: int = 20_000, *, interval_s: float = 0.1) -> None:
        if capacity < 2:
            raise ValueError(f"capacity is {capacity}; a chart needs at least 2 samples")
        self.capacity = capacity
        self.interval_s = interval_s
        self._lock = threading.Lock()
        self._sequence = 0
        self._state: Mapping[str, Any] = {}
        self._text: tuple[int, str] = (0, "{}")
        self._rings: Columns = {}
        self._subscriptions: set[Subscription] = set()

    def publish(self, state: Mapping[str, Any], sample: Mapping[str, float | None]) -> int:
        """Make ``state`` the latest and append ``sample`` to the ring; returns the sample's sequence number.

        The state is given away: don't change it, or anything in it, afterwards. It is turned into JSON only when
        somebody asks. Values that JSON doesn't know (NaN, infinity) become null there; a missing column of the
        sample is a gap in its chart.
        """
        with self._lock:
            row = self._sequence % self.capacity
            for ring in self._rings.values():
                ring[row] = math.nan
            for name, value in sample.items():
                if name not in self._rings:
                    self._rings[name] = np.full(self.capacity, math.nan)
                self._rings[name][row] = math.nan if value is None else value
            self._state = state
            self._sequence += 1
            waiting = list(self._subscriptions)
            sequence = self._sequence
        for subscription in waiting:
            subscription.wake()
        return sequence

    def state(self) -> dict[str, Any]:
        """Latest published state; empty before the first."""
        with self._lock:
            return dict(self._state)

    def newest(self) -> tuple[int, str]:
        """Sequence number of the latest state and its JSON text, encoded once however many ask."""
        with self._lock:
            sequence, state = self._sequence, self._state
            if self._text[0] == sequence:
                return self._text
        encoded = (sequence, json.dumps(plain(state), allow_nan=False, separators=(",", ":")))
        with self._lock:
            if encoded[0] > self._text[0]:
                self._text = encoded
        return encoded

    def history(self, after: int = 0, points: int | None = None, *, span_s: float | None = None) -> dict[str, Any]:
        """Chart samples as columns of equal length.

        Parameters
        ----------
        after
            Only samples with a larger sequence number. A number beyond the newest stems from another run of the
            service and means everything.
        points
            About how many rows the caller can use; longer records are thinned so that every peak stays visible.
        span_s
            Only samples whose ``time_s`` is at most this much older than the newest one's [s].

        Returns
        -------
        dict
            ``first`` and ``seq``: sequence numbers of the first and of the last sample covered. ``columns``: name →
            values, null for a gap, rounded to 1e-6 of the unit.
        """
        if points is not None and points < 2:
            raise ValueError(f"points is {points}; a chart needs at least 2")
        with self._lock:
            last = self._sequence
            if after > last:
                after = 0
            first = max(after, last - self.capacity, 0) + 1
            rows = np.arange(first - 1, last) % self.capacity
            columns = {name: ring[rows] for name, ring in self._rings.items()}
        if span_s is not None and "time_s" in columns and rows.size:
            time = columns["time_s"]
            recent = time >= time[-1] - span_s
            begin = int(np.argmax(recent)) if recent.any() else 0
            columns = {name: column[begin:] for name, column in columns.items()}
            first += begin
        if points is not None and last - first + 1 > points:
            columns = thin(columns, points)
        return {"first": first, "seq": last, "columns": {name: _listed(column) for name, column in columns.items()}}

    def subscribe(self) -> Subscription:
        """Begin to follow the state from the running event loop; close what you get."""
        subscription = Subscription(self, asyncio.get_running_loop())
        with self._lock:
            self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        with self._lock:
            self._subscriptions.discard(subscription)


class Subscription:
    """One reader that follows a board; knows only what it has shown last, so it can't fall behind by more than one."""

    def __init__(self, board: Board, loop: asyncio.AbstractEventLoop) -> None:
        self._board = board
        self._loop = loop
        self._event = asyncio.Event()
        self._woken = False
        self._closed = False

    async def updates(self, idle_s: float) -> AsyncIterator[tuple[int, str] | None]:
        """Newest (sequence number, JSON) when there is one; None after ``idle_s`` seconds without; ends on close."""
        shown = 0
        while not self._closed:
            # Cleared before looking: what is published from here on sets the event again.
            self._woken = False
            self._event.clear()
            newest = self._board.newest()
            if newest[0] > shown:
                shown = newest[0]
                yield newest
                await asyncio.sleep(self._board.interval_s)
                continue
            try:
                await asyncio.wait_for(self._event.wait(), idle_s)
            except TimeoutError:
                yield None

    def wake(self) -> None:
        """Tell the reader that there is something new (from any thread; at most one call into its loop per look)."""
        if self._woken:
            return
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # its loop has been closed, and so has its client
            self._board.unsubscribe(self)

    def close(self) -> None:
        """End ``updates`` and leave the board."""
        self._closed = True
        self._board.unsubscribe(self)
        self._woken = False
        self.wake()


def plain(value: Any) -> Any:
    """Copy of a state made of what JSON knows: numbers of numpy become Python's, NaN and infinity become None."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"a state can't hold {type(value).__name__}: give numbers, strings, lists and mappings")


def _listed(column: NDArray[np.float64]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in np.round(column, 6).tolist()]
