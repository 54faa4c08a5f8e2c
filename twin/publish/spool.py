"""The spool: what is accepted stays on the disk until a server has acknowledged it, or a stated bound makes it go.

``accepted = delivered + dead letters + dropped + pending`` after any number of ``kill -9``. A line is accepted when
:meth:`Spool.append` has returned; it then survives the death of the process, and after :meth:`Spool.sync` also a power
cut. Delivery is at-least-once: lines sent but not yet marked as such are sent again, and a server of the InfluxDB
family overwrites a point with itself.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from twin.atomic import OutputError, cause
from twin.publish.dead_letter import DeadLetters
from twin.publish.lock import FolderLock, InUseError
from twin.publish.segment import LARGEST_LINE, LARGEST_RECORD, encode
from twin.publish.spool_files import (
    Batch,
    Segment,
    SpoolError,
    SpoolStatus,
    read_batch,
    scan,
    segment_path,
    status_of,
    write_cursor,
)

TOO_OLD, FULL, DAMAGED, DEAD_LETTER_FULL = "too_old", "spool_full", "damaged", "dead_letter_full"


class Spool:
    """A queue of lines on the disk, for one writer process and one reader thread of it.

    Parameters
    ----------
    folder : Path
        Created if absent; its owner is the first process to open it.
    max_bytes, max_age_s : float
        Bounds; beyond them whole segments go, the oldest first, and their lines are counted by cause.
    clock : callable
        Wall clock [s since 1970]. A clock that is years ahead makes everything too old.

    Raises
    ------
    SpoolError
        The folder can't be used, or another process has it.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: float = 256e6,
        max_age_s: float = 30 * 86400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder = folder
        self._max_bytes, self._max_age_s, self._clock = max_bytes, max_age_s, clock
        self._segment_bytes = min(8e6, max(max_bytes / 16, 4096))
        self._segment_age_s = min(3600.0, max_age_s / 16)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = FolderLock(folder / "spool.lock")
        except InUseError as error:
            raise SpoolError(f"{folder}: the spool is {error}; stop that one first, or give another folder") from None
        except OSError as error:
            raise SpoolError(f"{folder}: the spool can't be opened: {cause(error)}") from None
        try:
            self._segments, self._cursor, self._damaged = scan(folder, repair=True)
            self._dead = DeadLetters(folder)
        except OSError as error:
            self._lock_file.release()
            raise SpoolError(f"{folder}: the spool can't be read: {cause(error)}") from None
        self._active: int | None = None  # never an old segment: a power cut may have shortened it behind the cursor
        self._file: io.FileIO | None = None
        self._unsynced: dict[int, io.FileIO] = {}  # segments closed since the last sync
        self._in_flight: Batch | None = None
        self._overtaken = ""  # cause by which the segment of the batch in flight was dropped meanwhile
        self._changed = threading.Condition()
        self._closed = False
        self._last_number = max([self._cursor.segment, *self._segments])

    def append(self, lines: Iterable[str | bytes]) -> int:
        """Accept lines; returns their number once they are out of this process's hands.

        Raises
        ------
        SpoolError
            The disk is full or gone (``retry``): none of the record's lines is accepted, those accepted before are
            safe. Or a line can't be one.
        """
        data = [text.encode() if isinstance(text, str) else text for text in lines]
        for text in data:
            if not text or b"\n" in text or text.startswith(b"#") or len(text) > LARGEST_LINE:
                raise SpoolError(f"{self.folder}: not one line of line protocol: {text[:60]!r}")
        with self._changed:
            if self._closed:
                raise SpoolError(f"{self.folder}: the spool is closed")
            now = self._clock()
            for part in _records(data):
                self._write(encode(part, now), len(part), now)
            if data:
                self._changed.notify_all()
        return len(data)

    def sync(self) -> None:
        """Make everything accepted so far survive a power cut; raises :class:`SpoolError` (``retry``)."""
        with self._changed:
            try:
                files = [*self._unsynced.values(), *([self._file] if self._file else [])]
                for file in files:
                    os.fsync(file.fileno())
                if files:
                    _sync_folder(self.folder)
            except OSError as error:
                raise SpoolError(f"{self.folder}: not safe on the disk: {cause(error)}", retry=True) from None
            for file in self._unsynced.values():
                file.close()
            self._unsynced.clear()

    def peek(self, max_lines: int = 5000, max_bytes: int = 1_000_000) -> Batch | None:
        """The oldest lines that nobody has acknowledged, always whole records; None if there are none.

        Raises SpoolError (``retry``) when the disk can't be read, or a drop can't be recorded.
        """
        with self._changed:
            if self._closed:
                return None
            try:
                self._expire()
                while self._segments:
                    number = min(self._segments)
                    segment = self._segments[number]
                    start = self._cursor.offset if number == self._cursor.segment else 0
                    if start < segment.size:
                        batch, skipped = read_batch(self.folder, number, start, segment.size, max_lines, max_bytes)
                        self._damaged += skipped
                        if batch is not None:
                            self._in_flight, self._overtaken = batch, ""
                            return batch
                        self._cursor = self._cursor.moved(number, segment.size)
                    self._finish(number)
                    if number == self._active:
                        break
            except (OSError, OutputError) as error:
                raise SpoolError(f"{self.folder}: can't be read: {_words(error)}", retry=True) from None
            return None

    def acknowledge(self, batch: Batch, dead: Iterable[tuple[bytes, str]] = ()) -> None:
        """Mark a batch as settled: delivered, but for the lines in ``dead`` with the server's words.

        The dead letters and the new cursor are on the disk when this returns; raises :class:`SpoolError` (``retry``)
        when they can't be, and the batch will come again.
        """
        with self._changed:
            if self._closed:
                return
            refused, now = list(dead), self._clock()
            try:
                gone = self._dead.add(refused, now)
                cursor = self._cursor.counted(len(batch.lines) - len(refused), len(refused))
                cursor = cursor.dropping(DEAD_LETTER_FULL, gone)
                if self._overtaken:
                    cursor = cursor.dropping(self._overtaken, -len(batch.lines))
                else:
                    cursor = cursor.moved(batch.segment, batch.end)
                write_cursor(self.folder, cursor)
            except (OSError, OutputError) as error:
                raise SpoolError(f"{self.folder}: delivery can't be recorded: {_words(error)}", retry=True) from None
            self._cursor = cursor
            segment = self._segments.get(batch.segment)
            if segment is not None and not self._overtaken:
                segment.pending -= len(batch.lines)
                if batch.end >= segment.size:
                    self._finish(batch.segment)
            self._in_flight, self._overtaken = None, ""

    def wait(self, timeout_s: float) -> None:
        """Sleep until something is pending, the spool is closed, or the time is over."""
        with self._changed:
            if not self._closed and not any(segment.pending for segment in self._segments.values()):
                self._changed.wait(timeout_s)

    def wake(self) -> None:
        """End a :meth:`wait`."""
        with self._changed:
            self._changed.notify_all()

    def stat(self) -> SpoolStatus:
        """What there is and what became of the rest."""
        with self._changed:
            return status_of(self.folder, self._segments, self._cursor, self._damaged, self._clock())

    def close(self) -> None:
        """Sync and let others in; what is pending stays for the next start. Never raises."""
        with self._changed:
            if self._closed:
                return
            with contextlib.suppress(SpoolError):
                self.sync()
            self._closed = True
            for file in [*self._unsynced.values(), *([self._file] if self._file else [])]:
                file.close()
            self._unsynced.clear()
            self._file = self._active = None
            with contextlib.suppress(OSError, OutputError):
                if not any(segment.pending for segment in self._segments.values()):
                    for number in list(self._segments):
                        self._remove(number)
                    self._cursor = self._cursor.moved(self._last_number, 0)
                write_cursor(self.folder, self._cursor)
            self._lock_file.release()
            self._changed.notify_all()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, record: bytes, lines: int, now: float) -> None:
        try:
            self._make_room(len(record), now)
            segment = self._open(now)
            file = self._file
            if file is None:  # pragma: no cover - _open has just set it
                return
            rest = memoryview(record)
            while rest:  # a raw write may stop at the last free byte
                rest = rest[file.write(rest) :]
        except (OSError, OutputError) as error:
            self._abandon_tail()
            raise SpoolError(f"{self.folder}: {lines} lines not accepted: {_words(error)}", retry=True) from None
        segment.size += len(record)
        segment.pending += lines
        segment.last = now

    def _open(self, now: float) -> Segment:
        """The segment to write to; a new one when the last is large or old enough."""
        if self._file is not None and self._active is not None:
            segment = self._segments[self._active]
            if segment.size < self._segment_bytes and now - segment.first < self._segment_age_s:
                return segment
            self._unsynced[self._active] = self._file
            self._file = self._active = None
            if len(self._unsynced) > 4:
                self.sync()
        number = self._last_number + 1
        self._file = io.FileIO(segment_path(self.folder, number), "xb")
        self._last_number = self._active = number
        self._segments[number] = Segment(0, 0, now, now)
        return self._segments[number]

    def _abandon_tail(self) -> None:
        """After a failed write: cut off its beginning, so that the record's lines don't come back half accepted."""
        if self._file is None or self._active is None:
            return
        try:
            self._file.truncate(self._segments[self._active].size)
            self._file.seek(0, os.SEEK_END)
        except OSError:  # leave it: readers stop at the known size, and a restart recognises the rest as torn
            self._unsynced[self._active] = self._file
            self._file = self._active = None

    def _make_room(self, needed: int, now: float) -> None:
        self._expire(now)
        while self._segments and sum(s.size for s in self._segments.values()) + needed > self._max_bytes:
            number = min(self._segments)
            self._drop(number, FULL if self._segments[number].pending else "")

    def _expire(self, now: float | None = None) -> None:
        now = self._clock() if now is None else now
        for number in sorted(self._segments):
            if now - self._segments[number].last <= self._max_age_s:
                break
            self._drop(number, TOO_OLD)

    def _drop(self, number: int, why: str) -> None:
        lost = self._segments[number].pending
        cursor = self._cursor.dropping(why, lost).moved(number + 1, 0) if lost else self._cursor.moved(number + 1, 0)
        write_cursor(self.folder, cursor)
        self._cursor = cursor
        if self._in_flight is not None and self._in_flight.segment == number and lost:
            self._overtaken = why
        self._remove(number)

    def _finish(self, number: int) -> None:
        """A segment is read to its end; lines that didn't come out of it were destroyed on the disk."""
        segment = self._segments[number]
        self._cursor = self._cursor.dropping(DAMAGED, segment.pending)
        segment.pending = 0
        if number != self._active:
            self._remove(number)

    def _remove(self, number: int) -> None:
        file = self._unsynced.pop(number, None)
        if number == self._active:
            file, self._file, self._active = self._file, None, None
        if file is not None:
            file.close()
        del self._segments[number]
        # where this fails (Windows, while somebody reads the file) the next start does it: it lies behind the cursor
        with contextlib.suppress(OSError):
            segment_path(self.folder, number).unlink(missing_ok=True)


def _words(error: OSError | OutputError) -> str:
    return cause(error) if isinstance(error, OSError) else str(error)


def _records(lines: list[bytes]) -> Iterable[list[bytes]]:
    """Split lines into records small enough for any reader."""
    part: list[bytes] = []
    size = 0
    for text in lines:
        if part and (size + len(text) + 1 > LARGEST_RECORD or len(part) == 1000):
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text) + 1
    if part:
        yield part


def _sync_folder(folder: Path) -> None:
    """Make new names survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
