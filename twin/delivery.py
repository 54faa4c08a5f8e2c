"""Delivery of the outbox: one task per sink, at least once, for as long as it takes.

Tasks of the service's event loop, not threads, keep the books: the store has one writer connection that belongs
to the loop's thread, so it needs no lock. Each attempt itself runs in a thread of its own, because a sink may
block until its time limit and must delay neither the estimates nor another sink.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from alerts.backoff import Backoff
from alerts.sink import Closing, Delivered, Notice, Outcome, Refused, Retry, Sink
from twin.episodes import EpisodeStore, Letter

_log = logging.getLogger("ctwin.delivery")


@dataclass(slots=True)
class SinkStatus:
    """How a sink is doing since the start of this process (``waiting`` and ``dead`` are the store's).

    ``next_attempt`` [s since 1970] is when it is tried again, ``None`` when nothing waits; ``busy_since`` since
    when an attempt is under way, ``None`` when none is (a sink without a time limit shows here).
    """

    name: str
    waiting: int = 0
    dead: int = 0
    delivered: int = 0
    failures: int = 0
    last_error: str = ""
    next_attempt: float | None = None
    busy_since: float | None = None


class Delivery:
    """Delivers what waits in the outbox.

    Parameters
    ----------
    store : EpisodeStore
        Used from the event loop's thread only.
    sinks : mapping of str to Sink
        By the names that the store knows them by.
    transaction : callable, optional
        Gives a context that commits at its end; the connection itself by default. No transaction of the
        connection may be left open across an ``await``: while one is open nothing is delivered, because
        what isn't committed may yet be undone.
    clock : callable
        Wall clock [s since 1970].
    chance : callable
        Random numbers in 0 … 1 for the waits.
    """

    def __init__(
        self,
        store: EpisodeStore,
        sinks: Mapping[str, Sink],
        *,
        system: str = "",
        site: str = "",
        transaction: Callable[[], AbstractContextManager[object]] | None = None,
        backoff: Backoff | None = None,
        poll_s: float = 1.0,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._transaction = transaction or (lambda: store.connection)
        self._names = (system, site)
        self._backoff = backoff or Backoff()
        self._poll_s, self._clock, self._chance = poll_s, clock, chance
        self._sinks = dict(sinks)
        self._status = {name: SinkStatus(name) for name in sinks}
        self._resume = dict.fromkeys(sinks, 0.0)  # retries of a sink wait until then, whichever letter
        self._asked = dict.fromkeys(sinks, 0.0)  # new letters too, where the server asked for it
        self._wakes: dict[str, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def start(self) -> None:
        """Start one task per sink in the running event loop."""
        self._stopping = False
        self._wakes = {name: asyncio.Event() for name in self._sinks}
        self._tasks = [asyncio.create_task(self._run(name), name=f"deliver to {name}") for name in self._sinks]

    def wake(self) -> None:
        """Look at once; to be called after a commit that added letters (otherwise within ``poll_s``)."""
        for event in self._wakes.values():
            event.set()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Stop: attempts under way get ``grace_s`` to end and be recorded; the rest waits for the next start."""
        self._stopping = True
        self.wake()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for sink in self._sinks.values():
            if isinstance(sink, Closing):
                sink.close()

    def status(self) -> tuple[SinkStatus, ...]:
        """How each sink is doing, letters to sinks that are no longer configured included."""
        backlog = self._store.backlog()
        for name, counts in backlog.items():
            status = self._status.setdefault(name, SinkStatus(name, last_error="this sink is not configured"))
            status.waiting, status.dead = counts.get("waiting", 0), counts.get("dead", 0)
            planned = self._store.next_attempt(name) if status.waiting else None
            pause = self._resume.get(name, 0.0) if status.failures else 0.0
            status.next_attempt = None if planned is None else max(planned, pause, self._clock())
        return tuple(self._status.values())

    async def _run(self, name: str) -> None:
        unrecorded: tuple[Letter, Outcome] | None = None
        fault = ""
        while not self._stopping:
            self._wakes[name].clear()
            try:
                if unrecorded is None:
                    letter = self._due(name)
                    if letter is None:
                        await self._rest(name)
                        continue
                    unrecorded = letter, await self._attempt(name, letter)
                # an outcome that can't be stored is kept and stored later, not found out by delivering again
                self._record(name, *unrecorded)
                unrecorded = None
                fault = ""
            except Exception as error:  # a task that ended here would silence its sink for good
                if str(error) != fault:
                    fault = str(error)
                    _log.error("sink %s: the outbox can't be used: %s; trying again", name, fault)
                await self._rest(name)

    def _due(self, name: str) -> Letter | None:
        now = self._clock()
        if self._store.connection.in_transaction or now < self._asked[name] <= now + self._backoff.most_asked_s:
            return None
        paused = now < self._resume[name] <= now + self._backoff.most_asked_s
        return self._store.due(name, now, retries=not paused, furthest_s=2 * self._backoff.most_asked_s)

    async def _attempt(self, name: str, letter: Letter) -> Outcome:
        notice = Notice(letter.event, *self._names)
        self._status[name].busy_since = self._clock()
        try:
            return await _in_thread(lambda: self._sinks[name].deliver(notice), f"sink {name}")
        except Exception as error:  # a fault of a sink is no reason to lose the alert
            return Retry(f"{type(error).__name__}: {error}")
        finally:
            self._status[name].busy_since = None

    def _record(self, name: str, letter: Letter, outcome: Outcome) -> None:
        status, now = self._status[name], self._clock()
        if isinstance(outcome, Retry):
            until = now + self._wait(letter.attempts + 1, outcome)
            with self._transaction():
                self._store.postpone(letter, until, outcome.reason)
            status.failures += 1
            status.last_error = outcome.reason
            self._resume[name] = now + self._wait(status.failures, outcome)
            self._asked[name] = now + min(outcome.after_s or 0.0, self._backoff.most_asked_s)
            if status.failures == 1:
                _log.warning("sink %s: %s; trying again until it is delivered", name, outcome.reason)
            return
        reason = outcome.reason if isinstance(outcome, Refused) else ""
        with self._transaction():
            self._store.settle(letter, "delivered" if isinstance(outcome, Delivered) else "dead", now, reason)
            # after an outage (more than one bad letter) whatever waits is due now
            if status.failures > 1:
                self._store.hasten(name, now)
        status.failures, self._resume[name] = 0, 0.0
        if isinstance(outcome, Delivered):
            status.delivered += 1
        else:
            status.last_error = reason
            _log.error("sink %s refused %s for good: %s", name, letter.event.key, reason)

    def _wait(self, failures: int, outcome: Retry) -> float:
        return self._backoff.wait(failures, part=self._chance(), asked_s=outcome.after_s)

    async def _rest(self, name: str) -> None:
        planned, now = None, self._clock()
        with suppress(sqlite3.Error):
            planned = self._store.next_attempt(name)
        wait = self._poll_s
        if planned is not None:
            wait = min(wait, max(max(planned, self._resume[name], self._asked[name]) - now, 0.01))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wakes[name].wait(), wait)


async def _in_thread(work: Callable[[], Outcome], name: str) -> Outcome:
    """Run a blocking call in a thread that can't keep the process from ending (a pool's threads would)."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Outcome] = loop.create_future()

    def finish(outcome: Outcome | None, error: Exception | None) -> None:
        if not future.done():
            if error is not None:
                future.set_exception(error)
            elif outcome is not None:
                future.set_result(outcome)

    def run() -> None:
        outcome: Outcome | None = None
        error: Exception | None = None
        try:
            outcome = work()
            if not isinstance(outcome, Delivered | Retry | Refused):
                raise TypeError(f"deliver gave {outcome!r}; expected Delivered, Retry or Refused")
        except Exception as fault:
            outcome, error = None, fault
        with suppress(RuntimeError):  # the loop is gone: the letter is delivered again after the next start
            loop.call_soon_threadsafe(finish, outcome, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future
