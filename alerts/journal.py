"""Where events are kept: append-only, numbered, read back from the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from alerts.alert import Event


class Journal(Protocol):
    """An append-only list of events that gives each a rising number."""

    def append(self, event: Event) -> int:
        """Append an event (its own ``seq`` is ignored) and give its number."""

    def events(self) -> Iterator[Event]:
        """Yield all events in order, numbered."""


class MemoryJournal:
    """A journal that ends with the process; for replays of recorded readings and for tests.

    Examples
    --------
    >>> len(list(MemoryJournal().events()))
    0
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._events = list(events)

    def append(self, event: Event) -> int:
        """Append an event and give its number, counted from 1."""
        seq = self._events[-1].seq + 1 if self._events else 1
        self._events.append(replace(event, seq=seq))
        return seq

    def events(self) -> Iterator[Event]:
        """Yield all events in order."""
        return iter(tuple(self._events))
