"""The embedded store: journal of readings, estimates, snapshots of the filter, scans; one writer, one process.

Everything that a batch of readings causes is one transaction. Asking a source for its next batch, which acknowledges the
one before, comes after the commit; so what was acknowledged is in the journal, and what is in the journal has its
estimates.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.estimate import Array, Estimate
from sensors.reading import Quality, Reading
from twin.publish.lock import FolderLock, InUseError

FORMAT = 1
LEAST_FREE_BYTES = 10_000_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS channel (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS batch (seq INTEGER PRIMARY KEY AUTOINCREMENT, ingest REAL);
CREATE TABLE IF NOT EXISTS reading (
  seq INTEGER NOT NULL, channel INTEGER NOT NULL, time REAL NOT NULL, value REAL, sigma REAL, quality TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS reading_seq ON reading (seq);
CREATE INDEX IF NOT EXISTS reading_time ON reading (channel, time);
CREATE TABLE IF NOT EXISTS estimate (time REAL PRIMARY KEY, mean BLOB NOT NULL, std BLOB NOT NULL, sample TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS snapshot (time REAL PRIMARY KEY, seq INTEGER NOT NULL, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS step (
  told REAL NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (told, name, kind));
CREATE TABLE IF NOT EXISTS scan (name TEXT PRIMARY KEY, started REAL NOT NULL, ended REAL, data TEXT NOT NULL);
"""


class HistoryError(Exception):
    """The store can't be used; the message names file, cause and mend."""


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch of readings as it came."""

    seq: int
    ingest: float | None
    readings: list[Reading]


class History:
    """The store of one machine; open it once per process.

    Raises
    ------
    HistoryError
        Another process uses it, the folder can't be written, the disk is full, or it is of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "history.sqlite"
        self._channels: dict[str, int] = {}
        self._newest: dict[str, float] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(folder / "lock")
        except InUseError as error:
            owner = f"process {error.pid}" if error.pid else "another process"
            raise HistoryError(
                f"{folder}: {owner} uses this store; stop it, or give store.folder another folder"
            ) from None
        except FileExistsError:
            raise HistoryError(f"{folder}: is a file, the store needs a folder; give store.folder another") from None
        except OSError as error:
            raise HistoryError(
                f"{folder}: the store can't be written: {error.strerror}; give store.folder another"
            ) from None
        try:
            self.connection = _connect(self.path)
            with self.transaction():
                for statement in _SCHEMA.strip().split(";\n"):
                    self.connection.execute(statement)
                stored = int(self.meta("format", str(FORMAT)))
                if stored != FORMAT:
                    raise HistoryError(
                        f"{self.path}: has format {stored}, this ctwin reads {FORMAT}; use another folder"
                    )
                self.set_meta("format", str(FORMAT))
            self._recall()
        except BaseException as error:
            if hasattr(self, "connection"):
                self.connection.close()
            self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise HistoryError(f"{self.path}: {_cause(error)}") from None
            raise

    def _recall(self) -> None:
        """What is kept in memory, as the file has it."""
        self._channels = {str(name): int(k) for name, k in self.connection.execute("SELECT name, id FROM channel")}
        newest = "SELECT MAX(time) FROM reading WHERE channel = ?"
        times = {name: self.connection.execute(newest, (k,)).fetchone()[0] for name, k in self._channels.items()}
        self._newest = {name: float(time) for name, time in times.items() if time is not None}

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; a full disk or a lost one becomes a HistoryError."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException as error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
                if self._channels:
                    self._recall()  # a channel that was new in this batch is not in the file
            if isinstance(error, sqlite3.Error):
                raise HistoryError(f"{self.path}: {_cause(error)}; nothing of this batch was kept") from None
            raise

    def meta(self, key: str, default: str = "") -> str:
        """A stored word."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Store a word (within the caller's transaction)."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def fresh(self, readings: Sequence[Reading]) -> list[Reading]:
        """Readings that the journal doesn't hold yet, by channel and time.

        A source sends again what it wasn't told was taken: after ``kill -9`` between commit and acknowledgement.
        """
        return [reading for reading in readings if not self._holds(reading)]

    def _holds(self, reading: Reading) -> bool:
        if not reading.time <= self._newest.get(reading.channel, -np.inf):
            return False
        key = (self._channels.get(reading.channel), reading.time)
        found = self.connection.execute("SELECT 1 FROM reading WHERE channel = ? AND time = ? LIMIT 1", key)
        return found.fetchone() is not None

    def append(self, readings: Sequence[Reading], ingest: float | None) -> int:
        """Journal a batch (within the caller's transaction); its number."""
        seq = self.connection.execute("INSERT INTO batch (ingest) VALUES (?)", (ingest,)).lastrowid or 0
        self.connection.executemany(
            "INSERT INTO reading VALUES (?,?,?,?,?,?)",
            [(seq, self._channel(r.channel), r.time, _null(r.value), _null(r.sigma), str(r.quality)) for r in readings],
        )
        for r in readings:
            self._newest[r.channel] = max(r.time, self._newest.get(r.channel, r.time))
        return seq

    def _channel(self, name: str) -> int:
        number = self._channels.get(name)
        if number is None:
            cursor = self.connection.execute("INSERT INTO channel (name) VALUES (?)", (name,))
            number = self._channels[name] = int(cursor.lastrowid or 0)
        return number

    def batches(self, after: int = 0) -> Iterator[StoredBatch]:
        """Journalled batches numbered above ``after``, as they came."""
        return read_batches(self.connection, after)

    def add_estimates(self, estimates: Sequence[tuple[Estimate, Mapping[str, float | None]]]) -> None:
        """Store estimates with their chart samples (within the caller's transaction); a repeated one replaces itself."""
        self.connection.executemany(
            "INSERT OR REPLACE INTO estimate VALUES (?,?,?,?)",
            [
                (
                    e.time,
                    e.mean.tobytes(),
                    np.sqrt(np.maximum(np.diagonal(e.cov), 0.0)).tobytes(),
                    json.dumps(dict(sample)),
                )
                for e, sample in estimates
            ],
        )

    def add_steps(self, steps: Iterable[tuple[float, str, str, str]]) -> None:
        """Journal recognised steps (within the caller's transaction): instant of recognition, what, kind, JSON."""
        self.connection.executemany("INSERT OR REPLACE INTO step VALUES (?,?,?,?)", steps)

    def save_snapshot(self, time: float, seq: int, data: Mapping[str, Any]) -> None:
        """Store a snapshot that holds everything up to batch ``seq``; the last dozen and one per hour are kept."""
        self.connection.execute("INSERT OR REPLACE INTO snapshot VALUES (?,?,?)", (time, seq, json.dumps(data)))
        self.connection.execute(
            "DELETE FROM snapshot WHERE time < (SELECT time FROM snapshot ORDER BY time DESC LIMIT 1 OFFSET 12) "
            "AND time NOT IN (SELECT MIN(time) FROM snapshot GROUP BY CAST(time / 3600 AS INTEGER))"
        )

    def latest_snapshot(self, before: float = np.inf) -> tuple[int, dict[str, Any]] | None:
        """Newest snapshot not later than ``before``: batch number and content."""
        return read_snapshot(self.connection, before)

    def add_scan(self, name: str, started: float, data: str) -> bool:
        """Record a scan (within the caller's transaction); whether it has been corrected already."""
        row = self.connection.execute("SELECT data, ended FROM scan WHERE name = ?", (name,)).fetchone()
        if row is not None and row[0] == data:
            return row[1] is not None
        self.connection.execute("INSERT OR REPLACE INTO scan VALUES (?,?,NULL,?)", (name, started, data))
        return False

    def begin_scan(self, name: str, started: float) -> None:
        """Record that a scan has begun whose projections are still to come (within the caller's transaction)."""
        self.connection.execute("INSERT OR IGNORE INTO scan VALUES (?,?,NULL,'')", (name, started))

    def drop_scan(self, name: str) -> None:
        """Forget a scan (within the caller's transaction)."""
        self.connection.execute("DELETE FROM scan WHERE name = ?", (name,))

    def end_scan(self, name: str, ended: float) -> None:
        """Record that a scan is over and corrected (within the caller's transaction)."""
        self.connection.execute("UPDATE scan SET ended = ? WHERE name = ?", (ended, name))

    def prune(self, older_than: float) -> int:
        """Forget what is older than an instant, but for what the newest snapshot still needs; readings removed."""
        newest = self.connection.execute("SELECT time, seq FROM snapshot ORDER BY time DESC LIMIT 1").fetchone()
        if newest is None:
            return 0
        time, seq = newest
        removed = 0
        for channel in self._channels.values():  # by channel: that is how the index runs
            removed += self.connection.execute(
                "DELETE FROM reading WHERE channel = ? AND time < ? AND seq <= ?", (channel, older_than, seq)
            ).rowcount
        self.connection.execute("DELETE FROM estimate WHERE time < ?", (older_than,))
        self.connection.execute("DELETE FROM step WHERE told < ?", (older_than,))
        self.connection.execute("DELETE FROM snapshot WHERE time < ?", (min(older_than, time),))
        first = self.connection.execute("SELECT MIN(seq) FROM reading").fetchone()[0]
        self.connection.execute(
            "DELETE FROM batch WHERE seq <= ? AND seq < ?", (seq, seq + 1 if first is None else first)
        )
        return removed

    def rows(self) -> int:
        """Number of the last batch, which is how many there ever were."""
        row = self.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'batch'").fetchone()
        return 0 if row is None else int(row[0])

    def obstacles(self) -> list[str]:
        """What keeps the journal from being written, in words; nothing when all is well."""
        try:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                self.set_meta("probe", "")
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
            free = shutil.disk_usage(self.path.parent).free
        except (sqlite3.Error, OSError) as error:
            return [f"{self.path}: {_cause(error)}"]
        return [] if free >= LEAST_FREE_BYTES else [f"{self.path}: the disk is all but full; free some space"]

    def close(self) -> None:
        """Close the store and let others in."""
        self.connection.close()
        self._lock.release()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # an acknowledged reading survives a power cut, too
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_to_read(folder: Path) -> sqlite3.Connection:
    """Connection that reads a store while its service may be running."""
    path = folder / "history.sqlite"
    if not path.is_file():
        raise HistoryError(f"{folder}: no store there; name the state folder of a service (store.folder)")
    # a store at rest in a folder that can't be written to opens only when said to be immutable
    still = not path.with_name(path.name + "-wal").exists()
    problem: sqlite3.Error | None = None
    for options in ("?mode=ro", "?mode=ro&immutable=1") if still else ("?mode=ro",):
        connection = sqlite3.connect(path.resolve().as_uri() + options, uri=True, timeout=10.0)
        try:
            connection.execute("SELECT COUNT(*) FROM meta").fetchone()
        except sqlite3.Error as error:
            connection.close()
            problem = error
        else:
            return connection
    raise HistoryError(f"{path}: {_cause(problem or sqlite3.Error('unknown'))}")


def read_batches(connection: sqlite3.Connection, after: int = 0) -> Iterator[StoredBatch]:
    """Batches above ``after`` in order."""
    names = {int(k): str(v) for k, v in connection.execute("SELECT id, name FROM channel")}
    ingests = connection.execute("SELECT seq, ingest FROM batch WHERE seq > ? ORDER BY seq", (after,))
    for seq, ingest in ingests:
        rows = connection.execute(
            "SELECT channel, time, value, sigma, quality FROM reading WHERE seq = ? ORDER BY rowid", (seq,)
        )
        readings = [
            Reading(names[c], t, np.nan if v is None else v, np.nan if s is None else s, Quality(q))
            for c, t, v, s, q in rows
        ]
        yield StoredBatch(int(seq), ingest, readings)


def read_snapshot(connection: sqlite3.Connection, before: float = np.inf) -> tuple[int, dict[str, Any]] | None:
    """Newest snapshot not later than ``before``."""
    row = connection.execute(
        "SELECT seq, data FROM snapshot WHERE time <= ? ORDER BY time DESC LIMIT 1", (min(before, 1e300),)
    ).fetchone()
    return None if row is None else (int(row[0]), json.loads(row[1]))


def read_scans(connection: sqlite3.Connection) -> dict[str, str]:
    """Recorded scans whose projections are known: name → data."""
    return dict(connection.execute("SELECT name, data FROM scan WHERE data <> '' ORDER BY started"))


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """What the store knows of a scan: ``ended`` is None until its corrections are final, ``data`` empty while it runs."""

    name: str
    started: float
    ended: float | None
    data: str


def read_scan_records(connection: sqlite3.Connection) -> list[ScanRecord]:
    """All scans, in the order they began."""
    rows = connection.execute("SELECT name, started, ended, data FROM scan ORDER BY started, name")
    return [ScanRecord(str(name), float(started), ended, str(data)) for name, started, ended, data in rows]


def newest_estimate(connection: sqlite3.Connection) -> float:
    """Instant of the newest stored estimate [s since 1970]; ``nan`` without any."""
    newest = connection.execute("SELECT MAX(time) FROM estimate").fetchone()[0]
    return np.nan if newest is None else float(newest)


def read_steps(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Recognised steps in the order they were recognised; none in a store of before they were kept."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'step'").fetchone() is None:
        return []
    return [json.loads(data) for (data,) in connection.execute("SELECT data FROM step ORDER BY told, name, kind")]


def read_estimates(connection: sqlite3.Connection) -> tuple[Array, Array, Array]:
    """Times (T,), means (T, n) and σ (T, n) of all stored estimates (of the newest model's size)."""
    rows = connection.execute("SELECT time, mean, std FROM estimate ORDER BY time").fetchall()
    if not rows:
        return np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0))
    size = len(rows[-1][1])
    same = [row for row in rows if len(row[1]) == size]
    return (
        np.array([r[0] for r in same]),
        np.array([np.frombuffer(r[1]) for r in same]),
        np.array([np.frombuffer(r[2]) for r in same]),
    )


def _null(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _cause(error: sqlite3.Error | OSError) -> str:
    text = str(error)
    if "full" in text:
        return "the disk is full; free some space"
    if "readonly" in text:
        return "can't be written; check its permissions"
    if "not a database" in text or "malformed" in text:
        return (
            f"is damaged ({text}); move it away and start again, its readings can be replayed from the sources' files"
        )
    return f"the store can't be used: {text}"
