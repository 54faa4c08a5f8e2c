"""Alerts in the store: the journal of events, and the outbox of what each sink has yet to be told.

All writing goes through the one connection it is given and joins the caller's transaction; nothing here commits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alerts.alert import NOTIFIED, Alert, AlertError, Event, Severity, State, Transition
from alerts.book import Book, standing
from alerts.ledger import fold

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS alert_event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, episode TEXT NOT NULL, rule TEXT NOT NULL,
        transition TEXT NOT NULL, state TEXT NOT NULL, severity TEXT NOT NULL, value REAL, bound REAL,
        message TEXT NOT NULL, guidance TEXT NOT NULL, operator TEXT NOT NULL, comment TEXT NOT NULL,
        simulated INTEGER NOT NULL)""",
    """CREATE TRIGGER IF NOT EXISTS alert_event_is_never_changed BEFORE UPDATE ON alert_event
        BEGIN SELECT RAISE(ABORT, 'alert_event is append-only'); END""",
    """CREATE TABLE IF NOT EXISTS alert_outbox (
        id INTEGER PRIMARY KEY, seq INTEGER NOT NULL REFERENCES alert_event (seq), episode TEXT NOT NULL,
        sink TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt REAL NOT NULL DEFAULT 0, settled REAL, reason TEXT NOT NULL DEFAULT '')""",
    """CREATE INDEX IF NOT EXISTS alert_outbox_waiting ON alert_outbox (sink, episode, seq)
        WHERE status = 'waiting'""",
)
_COLUMNS = (
    "e.seq, e.time, e.episode, e.rule, e.transition, e.state, e.severity, e.value, e.bound, e.message, "
    "e.guidance, e.operator, e.comment, e.simulated"
)


@dataclass(frozen=True, slots=True)
class Letter:
    """A row of the outbox: an event for one sink.

    Attributes
    ----------
    status : str
        ``waiting``, ``delivered``, or ``dead`` (refused for good; ``reason`` holds the receiver's words).
    attempts : int
        Attempts that failed so far.
    next_attempt : float
        Not before this instant [s since 1970]; 0: as soon as can be.
    reason : str
        Why the last attempt failed.
    """

    id: int
    sink: str
    status: str
    attempts: int
    next_attempt: float
    reason: str
    event: Event


class EpisodeStore:
    """The journal that :class:`alerts.book.Book` writes to, with an outbox.

    Parameters
    ----------
    connection : sqlite3.Connection
        The store's only writer. Its tables are made if absent (not committed either).
    sinks : collection of str
        Names of the sinks; each event that operators are told of gets one row per sink, in the same
        transaction as the event: both are there after a crash, or neither.
    """

    def __init__(self, connection: sqlite3.Connection, sinks: Collection[str] = ()) -> None:
        self.connection = connection
        self._sinks = tuple(sinks)
        self._begin()
        for statement in _SCHEMA:
            connection.execute(statement)

    def append(self, event: Event) -> int:
        """Append an event and its outbox rows; its number."""
        self._begin()
        cursor = self.connection.execute(
            "INSERT INTO alert_event (time, episode, rule, transition, state, severity, value, bound, message, "
            "guidance, operator, comment, simulated) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                event.time, event.episode, event.rule, str(event.transition), str(event.state), str(event.severity),
                event.value, event.limit, event.message, event.guidance, event.by, event.comment, event.simulated,
            ),
        )  # fmt: skip
        seq = cursor.lastrowid
        if seq is None:
            raise sqlite3.InternalError("the store gave no number to an alert event")
        if event.transition in NOTIFIED:
            self.connection.executemany(
                "INSERT INTO alert_outbox (seq, episode, sink) VALUES (?,?,?)",
                [(seq, event.episode, sink) for sink in self._sinks],
            )
        return seq

    def events(self, after: int = 0) -> Iterator[Event]:
        """Yield the events numbered above ``after``, in order (a client that fell behind asks so)."""
        return _events(self.connection, after)

    def due(self, sink: str, now: float, *, retries: bool = True, furthest_s: float = 7200.0) -> Letter | None:
        """Next letter of a sink, or ``None``: new ones first, then those to be tried again.

        The letters of one episode keep their order, so that "returned" never overtakes "raised"; a letter
        that a receiver can't digest holds up its own episode only. An attempt planned further ahead than
        ``furthest_s`` was planned by a clock that has been set back since, and is due.
        """
        rows = self.connection.execute(
            f"SELECT o.id, o.sink, o.status, o.attempts, o.next_attempt, o.reason, {_COLUMNS} "  # noqa: S608 (constant)
            "FROM alert_outbox o JOIN alert_event e ON e.seq = o.seq "
            "WHERE o.sink = :sink AND o.status = 'waiting' AND (o.attempts = 0 OR :retries) "
            "AND (o.next_attempt <= :now OR o.next_attempt > :now + :furthest) "
            "AND NOT EXISTS (SELECT 1 FROM alert_outbox p WHERE p.sink = o.sink AND p.status = 'waiting' "
            "AND p.episode = o.episode AND p.seq < o.seq) ORDER BY o.attempts > 0, o.seq LIMIT 1",
            {"sink": sink, "now": now, "retries": retries, "furthest": furthest_s},
        )
        return next(map(_letter, rows), None)

    def settle(self, letter: Letter, status: str, now: float, reason: str = "") -> None:
        """Record that a letter is ``delivered`` or ``dead``."""
        self._begin()
        self.connection.execute(
            "UPDATE alert_outbox SET status = ?, settled = ?, reason = ? WHERE id = ?", (status, now, reason, letter.id)
        )

    def postpone(self, letter: Letter, until: float, reason: str) -> None:
        """Record a failed attempt and when the next may be."""
        self._begin()
        self.connection.execute(
            "UPDATE alert_outbox SET attempts = attempts + 1, next_attempt = ?, reason = ? WHERE id = ?",
            (until, reason, letter.id),
        )

    def hasten(self, sink: str, now: float) -> None:
        """Make every waiting letter of a sink due (its receiver is back)."""
        self._begin()
        self.connection.execute(
            "UPDATE alert_outbox SET next_attempt = :now WHERE sink = :sink AND status = 'waiting' "
            "AND next_attempt > :now",
            {"now": now, "sink": sink},
        )

    def backlog(self) -> dict[str, dict[str, int]]:
        """Letters per sink and status, sinks that are no longer configured included."""
        found: dict[str, dict[str, int]] = {sink: {} for sink in self._sinks}
        for sink, status, count in self.connection.execute(
            "SELECT sink, status, COUNT(*) FROM alert_outbox GROUP BY sink, status"
        ):
            found.setdefault(sink, {})[status] = count
        return found

    def next_attempt(self, sink: str) -> float | None:
        """When the earliest waiting letter of a sink may be tried [s since 1970]; ``None`` without one."""
        row = self.connection.execute(
            "SELECT MIN(next_attempt) FROM alert_outbox WHERE sink = ? AND status = 'waiting'", (sink,)
        ).fetchone()
        return None if row is None or row[0] is None else float(row[0])

    def _begin(self) -> None:
        # in every isolation level of the connection: a step of several events is written whole or not at all
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")


def list_alerts(path: Path) -> tuple[Alert, ...]:
    """Alerts that stand, worst first, read from a store that another process may be writing to."""
    with _reading(path) as connection:
        return standing(fold(_events(connection)))


def list_events(path: Path, after: int = 0) -> tuple[Event, ...]:
    """Events of a store numbered above ``after``."""
    with _reading(path) as connection:
        return tuple(_events(connection, after))


def list_letters(path: Path, *, every: bool = False) -> tuple[Letter, ...]:
    """Letters that are waiting or dead (or all), oldest first."""
    with _reading(path) as connection:
        if not _has_tables(connection):
            return ()
        rows = connection.execute(
            f"SELECT o.id, o.sink, o.status, o.attempts, o.next_attempt, o.reason, {_COLUMNS} "  # noqa: S608 (constant)
            "FROM alert_outbox o JOIN alert_event e ON e.seq = o.seq WHERE ? OR o.status <> 'delivered' ORDER BY o.id",
            (every,),
        )
        return tuple(map(_letter, rows))


def acknowledge_offline(
    path: Path, episode: str, by: str, comment: str, time: float, sinks: Collection[str] = ()
) -> Event:
    """Acknowledge in the store of a service that is **not running**, and commit.

    A store has one writer: the caller must hold the store's lock. While the service runs, the
    acknowledgement goes to it over HTTP instead.

    Parameters
    ----------
    sinks : collection of str
        Names of the configured sinks, which the service tells when it is started again.

    Raises
    ------
    AlertError
        No store there, it can't be written, or the episode can't be acknowledged.
    """
    if not path.is_file():
        raise AlertError(f"{path}: no store there; name the state folder of the service")
    try:
        with closing(sqlite3.connect(path, timeout=5.0)) as connection, connection:
            return Book((), EpisodeStore(connection, sinks)).acknowledge(episode, by, comment, time)
    except sqlite3.Error as error:
        raise AlertError(f"{path}: the acknowledgement can't be stored: {error}") from None


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(_open_to_read(path)) as connection:
        try:
            yield connection
        except sqlite3.Error as error:
            raise AlertError(f"{path}: can't be read as a store: {error}") from None


def _open_to_read(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise AlertError(f"{path}: no store there; name the state folder of the service")
    address = path.resolve().as_uri()
    # a store that is at rest in a folder that can't be written to opens only when said to be immutable
    still = not path.with_name(path.name + "-wal").exists()
    for options in ("?mode=ro", "?mode=ro&immutable=1") if still else ("?mode=ro",):
        connection = sqlite3.connect(address + options, uri=True, timeout=5.0)
        try:
            connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as fault:
            connection.close()
            problem = fault
        else:
            return connection
    raise AlertError(f"{path}: can't be read as a store: {problem}") from None


def _has_tables(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name IN ('alert_event', 'alert_outbox')")
    return int(found.fetchone()[0]) == 2


def _events(connection: sqlite3.Connection, after: int = 0) -> Iterator[Event]:
    if _has_tables(connection):
        yield from map(_event, connection.execute(
            f"SELECT {_COLUMNS} FROM alert_event e WHERE e.seq > ? ORDER BY e.seq", (after,)  # noqa: S608 (constant)
        ))  # fmt: skip


def _event(row: tuple[Any, ...]) -> Event:
    try:
        return _decoded(row)
    except (ValueError, TypeError):
        raise sqlite3.DatabaseError("an event of an alert is damaged") from None


def _decoded(row: tuple[Any, ...]) -> Event:
    return Event(
        seq=row[0], time=row[1], episode=row[2], rule=row[3], transition=Transition(row[4]), state=State(row[5]),
        severity=Severity(row[6]), value=row[7], limit=row[8], message=row[9], guidance=row[10], by=row[11],
        comment=row[12], simulated=bool(row[13]),
    )  # fmt: skip


def _letter(row: tuple[Any, ...]) -> Letter:
    return Letter(row[0], row[1], row[2], row[3], row[4], row[5], _event(row[6:]))
