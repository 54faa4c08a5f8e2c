"""From the spool to one server: a thread that never gives up and never guesses a line guilty."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from twin.publish.spool import Spool
from twin.publish.spool_files import Batch
from twin.publish.target import Answer, Target, Verdict

_LOG = logging.getLogger("ctwin.publish")


class State(StrEnum):
    """What a drain is doing."""

    IDLE = "idle"
    DELIVERING = "delivering"
    WAITING = "waiting"  # no answer, or the server is busy: tries again by itself
    DENIED = "denied"  # token, database, address: somebody must mend it; looks again now and then
    FAILED = "failed"  # something here (disk); tries again
    STOPPED = "stopped"

    @property
    def healthy(self) -> bool:
        """Whether nothing is known to be wrong."""
        return self in (State.IDLE, State.DELIVERING, State.STOPPED)


@dataclass(frozen=True, slots=True)
class DrainStatus:
    """A drain in numbers, for /metrics and the status page.

    Attributes
    ----------
    target : str
        Server, interface and bucket; no secrets.
    state : State
    words : str
        What the server (or the network) said last, empty when all is well.
    since : float
        When this state of affairs, good or bad, began [s since 1970].
    delivered_lines, refused_lines, requests, failures : int
        Since this process began; failures are requests that have to be repeated.
    last_success : float or None
        Last acknowledgement of the server [s since 1970].
    """

    target: str
    state: State
    words: str
    since: float
    delivered_lines: int
    refused_lines: int
    requests: int
    failures: int
    last_success: float | None


OnProblem = Callable[[DrainStatus], None]


class Drain:
    """One thread that empties a spool into a target.

    Parameters
    ----------
    spool : Spool
    target : Target
    on_problem : callable, optional
        Called in the thread with the status whenever trouble begins, changes its kind, or is over.
    retry_s : (float, float)
        First and longest pause after a failure [s]; doubled in between, each shortened at random to as little as half.
    denied_retry_s : float
        Pause after the server said no to the request as such [s].
    batch_lines, batch_bytes : int
        Largest request.
    clock : callable
        Wall clock [s since 1970].
    """

    def __init__(
        self,
        spool: Spool,
        target: Target,
        *,
        on_problem: OnProblem | None = None,
        retry_s: tuple[float, float] = (1.0, 60.0),
        denied_retry_s: float = 60.0,
        batch_lines: int = 5000,
        batch_bytes: int = 1_000_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spool, self._target, self._on_problem = spool, target, on_problem
        self._retry_s, self._denied_retry_s = retry_s, denied_retry_s
        self._most_lines, self._batch_bytes = batch_lines, batch_bytes
        self._ceiling = batch_lines  # what the server has shown to take at once (413)
        self._since_ceiling = 0
        self._clock = clock
        self._random = random.Random()  # noqa: S311 - jitter, no secret
        self._stop = threading.Event()
        self._deadline = float("inf")
        self._failures_in_a_row = 0
        self._doubts = 0  # how often in a row the server refused everything
        self._lock = threading.Lock()
        self._state, self._words, self._since = State.STOPPED, "", clock()
        self._delivered = self._refused = self._requests = self._failures = 0
        self._last_success: float | None = None
        self._thread = threading.Thread(target=self._run, name="ctwin-publish", daemon=True)

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Deliver what can be delivered in half the time, then end; whether the thread has ended in time.

        What is left stays in the spool. A thread that hangs in a request is left to itself: its batch is not
        acknowledged and comes again at the next start.
        """
        self._deadline = time.monotonic() + timeout_s / 2
        self._stop.set()
        self._spool.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def status(self) -> DrainStatus:
        """State and numbers."""
        with self._lock:
            return DrainStatus(
                self._target.name, self._state, self._words, self._since, self._delivered, self._refused,
                self._requests, self._failures, self._last_success,
            )  # fmt: skip

    def _run(self) -> None:
        self._enter(State.IDLE)
        while True:
            try:
                batch = self._spool.peek(self._batch_lines(), self._batch_bytes)
                if batch is not None:
                    self._settle(batch)
                elif self._stop.is_set():
                    break
                else:
                    self._enter(State.IDLE)
                    self._spool.wait(0.5)
            except Exception as error:  # whatever happens here, the thread goes on: nothing else empties the spool
                self._enter(State.FAILED, str(error) or type(error).__name__)
                self._pause(self._backoff())
            if self._stop.is_set() and (not self._state.healthy or time.monotonic() >= self._deadline):
                break
        self._target.close()
        self._enter(State.STOPPED, self._words)

    def _settle(self, batch: Batch) -> None:
        """Bring every line of a batch to the server or to the dead letters, then acknowledge it.

        A line that a server refuses is found by halving. It is put aside only if the server says itself that the line
        is at fault, or has taken other lines of the same batch; a server (or a proxy in front of it) that refuses
        everything without naming a line is not believed.
        """
        parts = [batch.lines]
        dead: list[tuple[bytes, str]] = []
        accused: list[tuple[bytes, str]] = []
        while parts:
            part = parts[-1]
            answer = self._send(part)
            if answer.verdict in (Verdict.RETRY, Verdict.DENIED):
                if self._repeat(answer):
                    continue
                return  # stopping: the batch stays in the spool
            parts.pop()
            self._failures_in_a_row = 0
            if answer.verdict is Verdict.DELIVERED:
                continue
            if len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
                if answer.verdict is Verdict.TOO_LARGE:
                    self._ceiling, self._since_ceiling = max(min(half, self._ceiling), 1), 0
            elif answer.blames_line:
                dead.append((part[0], answer.words))
            else:
                accused.append((part[0], answer.words))
            if self._stop.is_set() and time.monotonic() >= self._deadline:
                return
        if len(accused) == len(batch.lines):
            self._doubt(accused[0][1])
            return
        self._spool.acknowledge(batch, dead + accused)
        self._doubts = 0
        self._since_ceiling += 1
        if self._since_ceiling >= 20:  # carefully up again: the limit may have been one long line's, or was raised
            self._ceiling, self._since_ceiling = min(self._most_lines, self._ceiling + self._ceiling // 4 + 1), 0
        with self._lock:
            self._delivered += len(batch.lines) - len(dead) - len(accused)
            self._refused += len(dead) + len(accused)
        self._enter(State.DELIVERING)

    def _send(self, lines: tuple[bytes, ...]) -> Answer:
        answer = self._target.send(b"\n".join(lines) + b"\n")
        with self._lock:
            self._requests += 1
            if answer.verdict is Verdict.DELIVERED:
                self._last_success = self._clock()
            elif answer.verdict in (Verdict.RETRY, Verdict.DENIED):
                self._failures += 1
        return answer

    def _repeat(self, answer: Answer) -> bool:
        """Pause after an answer that says nothing about the lines; False when stopping."""
        if answer.verdict is Verdict.DENIED:
            self._enter(State.DENIED, answer.words)
            return self._pause(self._denied_retry_s)
        self._enter(State.WAITING, answer.words)
        return self._pause(max(self._backoff(), answer.retry_after_s))

    def _doubt(self, words: str) -> None:
        """The server refused every line and blamed none: ask again later, with few lines at first, then with more."""
        self._doubts += 1
        self._enter(State.DENIED, f"refuses everything, so perhaps not a fault of the lines: {words}")
        self._pause(self._denied_retry_s)

    def _batch_lines(self) -> int:
        doubtful = 32 << min(self._doubts, 20) if self._doubts else self._most_lines
        return min(self._ceiling, doubtful)

    def _backoff(self) -> float:
        first, longest = self._retry_s
        pause = min(longest, first * 2.0 ** min(self._failures_in_a_row, 30))
        self._failures_in_a_row += 1
        return pause * self._random.uniform(0.5, 1.0)

    def _pause(self, seconds: float) -> bool:
        return not self._stop.wait(seconds)

    def _enter(self, state: State, words: str = "") -> None:
        with self._lock:
            changed = (state if not state.healthy else None) != (self._state if not self._state.healthy else None)
            if changed:
                self._since = self._clock()
            self._state, self._words = state, words
        if changed and self._on_problem is not None and state is not State.STOPPED:
            try:
                self._on_problem(self.status())
            except Exception:
                _LOG.exception("on_problem failed")
