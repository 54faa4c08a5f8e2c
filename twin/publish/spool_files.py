"""What lies in a spool's folder, and reading it; also while another process owns it.

``0000000000000007.lp`` segments, oldest first · ``cursor.json`` how far a server has acknowledged, and the counts ·
``dead-letter.lp`` · ``spool.lock``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from twin.atomic import write_atomic
from twin.publish.segment import LARGEST_RECORD, Damage, Record, decode

CURSOR = "cursor.json"
_SEGMENT = re.compile(r"\d{16}\.lp")


class SpoolError(Exception):
    """The spool can't do what was asked; one line with folder, consequence and mend. ``retry``: it may pass."""

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


@dataclass(slots=True)
class Segment:
    """Bytes of whole records, lines not yet acknowledged, times of the first and last record [s since 1970]."""

    size: int
    pending: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive lines of one segment, and where they end."""

    segment: int
    end: int
    lines: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far everything is settled, and what became of it."""

    segment: int = 0
    offset: int = 0
    delivered: int = 0
    dead: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def moved(self, segment: int, offset: int) -> Cursor:
        """This cursor at another place, never backwards."""
        ahead = (segment, offset) > (self.segment, self.offset)
        return replace(self, segment=segment, offset=offset) if ahead else self

    def counted(self, delivered: int, dead: int) -> Cursor:
        """This cursor with more lines settled."""
        return replace(self, delivered=self.delivered + delivered, dead=self.dead + dead)

    def dropping(self, why: str, lines: int) -> Cursor:
        """This cursor with more lines dropped for a cause."""
        return replace(self, dropped={**self.dropped, why: self.dropped.get(why, 0) + lines}) if lines else self


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """A spool in numbers.

    Attributes
    ----------
    bytes : int
        Size of the segments on the disk, acknowledged parts included.
    pending_lines : int
        Lines that no server has acknowledged.
    oldest_age_s : float
        Age of the oldest of them [s]; 0 when there is none.
    delivered_lines, dead_lines : int
        Lines delivered, and lines refused by the server, since the spool was made (``dead-letter.lp`` has the latter).
    dropped_lines : dict of str to int
        Lines given up, by cause: spool_full, too_old, dead_letter_full.
    damaged_bytes : int
        Bytes that were no whole record: the last one before a crash (never accepted), or a fault of the disk.
    """

    bytes: int
    pending_lines: int
    oldest_age_s: float
    delivered_lines: int
    dead_lines: int
    dropped_lines: dict[str, int]
    damaged_bytes: int


def segment_path(folder: Path, number: int) -> Path:
    """File of a segment."""
    return folder / f"{number:016d}.lp"


def read_cursor(folder: Path) -> Cursor:
    """The stored cursor; the beginning if there is none or it is unreadable (delivery then begins anew)."""
    try:
        stored = json.loads((folder / CURSOR).read_text(encoding="utf-8"))
        return Cursor(
            int(stored["segment"]), int(stored["offset"]), int(stored["delivered"]), int(stored["dead"]),
            {str(why): int(lines) for why, lines in stored["dropped"].items()},
        )  # fmt: skip
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return Cursor()


def write_cursor(folder: Path, cursor: Cursor) -> None:
    """Replace the stored cursor; raises :class:`twin.atomic.OutputError`."""
    stored = {
        "segment": cursor.segment, "offset": cursor.offset, "delivered": cursor.delivered, "dead": cursor.dead,
        "dropped": cursor.dropped,
    }  # fmt: skip
    write_atomic(folder / CURSOR, json.dumps(stored) + "\n")


def scan(folder: Path, repair: bool) -> tuple[dict[int, Segment], Cursor, int]:
    """Segments with something in them, the cursor, and the number of damaged bytes.

    With ``repair`` (only for the owner) torn tails are cut off, and what lies behind the cursor is deleted.
    """
    cursor = read_cursor(folder)
    segments: dict[int, Segment] = {}
    damaged = 0
    for number in numbers(folder):
        path = segment_path(folder, number)
        try:
            data = b"" if number < cursor.segment else path.read_bytes()
        except FileNotFoundError:  # its owner has just delivered it
            continue
        pieces = list(decode(data))
        whole = [piece for piece in pieces if isinstance(piece, Record)]
        after = cursor.offset if number == cursor.segment else 0
        damaged += sum(p.end - p.start for p in pieces if isinstance(p, Damage) and p.end > after)
        size = whole[-1].end if whole else 0
        pending = sum(record.count for record in whole if record.start >= after)
        if repair and not pending:
            with contextlib.suppress(OSError):
                path.unlink()
        elif repair and size < len(data):
            os.truncate(path, size)
        if pending:
            segments[number] = Segment(size, pending, whole[0].time, whole[-1].time)
    if repair:
        # numbers may only grow: where nothing is left, the cursor remembers the last one
        last = max([cursor.segment, *numbers(folder)])
        start = min(segments, default=last)
        cursor = cursor if cursor.segment == start else cursor.moved(start, 0)
    return segments, cursor, damaged


def numbers(folder: Path) -> list[int]:
    """Numbers of the segment files, oldest first."""
    return sorted(int(path.stem) for path in folder.glob("*.lp") if _SEGMENT.fullmatch(path.name))


def read_batch(
    folder: Path, number: int, start: int, size: int, max_lines: int, max_bytes: int
) -> tuple[Batch | None, int]:
    """Whole records from ``start`` up to the bounds (one at least), and the number of damaged bytes passed over."""
    with segment_path(folder, number).open("rb") as file:
        file.seek(start)
        data = file.read(min(size - start, max(max_bytes, 0) + 2 * LARGEST_RECORD))
    lines: list[bytes] = []
    end, used, skipped = 0, 0, 0
    for piece in decode(data, complete=start + len(data) >= size):
        if isinstance(piece, Damage):
            skipped += piece.end - piece.start
            continue
        if lines and (len(lines) + piece.count > max_lines or used + len(piece.payload) > max_bytes):
            break
        lines += piece.payload.split(b"\n")[:-1]
        used += len(piece.payload)
        end = piece.end
    return (Batch(number, start + end, tuple(lines)) if lines else None), skipped


def pending_lines(folder: Path) -> Iterator[bytes]:
    """Every line not yet acknowledged, oldest first; the folder may belong to a running process."""
    cursor = read_cursor(folder)
    for number in numbers(folder):
        if number < cursor.segment:
            continue
        try:
            data = segment_path(folder, number).read_bytes()
        except FileNotFoundError:
            continue
        after = cursor.offset if number == cursor.segment else 0
        for piece in decode(data):
            if isinstance(piece, Record) and piece.start >= after:
                yield from piece.payload.split(b"\n")[:-1]


def status_of(folder: Path, segments: dict[int, Segment], cursor: Cursor, damaged: int, now: float) -> SpoolStatus:
    """Numbers of a spool whose segments are known."""
    pending = sum(segment.pending for segment in segments.values())
    oldest = now
    waiting = [number for number in sorted(segments) if segments[number].pending]
    if waiting:
        number = waiting[0]
        oldest = segments[number].first
        start = cursor.offset if number == cursor.segment else 0
        with contextlib.suppress(OSError), segment_path(folder, number).open("rb") as file:
            file.seek(start)
            head = file.read(40).split()  # "# ctwin 1 <time> …"
            oldest = float(head[3]) if len(head) > 3 and head[0] == b"#" else oldest
    return SpoolStatus(
        sum(segment.size for segment in segments.values()), pending, max(now - oldest, 0.0),
        cursor.delivered, cursor.dead, dict(cursor.dropped), damaged,
    )  # fmt: skip
