"""Segment files of the spool: records that tell by themselves whether they are whole.

A segment is a valid line-protocol file: each record is a comment line with time, counts and checksum, then its lines.
So an operator can read it, and any InfluxDB tool can import it, without ctwin.

    # ctwin 1 1795210542.123456 2 84 5d3e9a01
    ctwin_reading,channel=t_tube,site=lab-1,system=ct value=294.65 1795210542000000000
    ...
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MARK = b"# ctwin 1 "
LARGEST_LINE = 64 * 1024
LARGEST_RECORD = 256 * 1024  # bytes of lines in one record; a reader that holds twice this always holds a whole one
_HEADER = re.compile(rb"# ctwin 1 (\d+\.\d{6} (\d+) (\d+)) ([0-9a-f]{8})\n")
_LONGEST_HEADER = 80


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record: where it lies in its data, when it was accepted [s since 1970], its lines."""

    start: int
    end: int
    time: float
    count: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no whole record: torn by a crash, or changed on the disk."""

    start: int
    end: int


def encode(lines: Sequence[bytes], time: float) -> bytes:
    """One record of lines (each without its end).

    Examples
    --------
    >>> encode([b"m v=1.0 1"], 2.5)
    b'# ctwin 1 2.500000 1 10 0aae3aef\\nm v=1.0 1\\n'
    """
    payload = b"\n".join(lines) + b"\n"
    head = f"{max(time, 0.0):.6f} {len(lines)} {len(payload)}".encode()
    return b"%s%s %08x\n%s" % (MARK, head, zlib.crc32(payload, zlib.crc32(head)), payload)


def decode(data: bytes, complete: bool = True) -> Iterator[Record | Damage]:
    """Whole records of ``data`` in order, with the damage between them.

    Parameters
    ----------
    complete : bool
        Whether the data reach to the end of the segment; if not, a record cut off at the end is no damage.
    """
    at = 0
    while at < len(data):
        record = _record(data, at)
        if record is not None:
            yield record
            at = record.end
            continue
        if not complete and len(data) - at < LARGEST_RECORD + _LONGEST_HEADER:
            return  # perhaps only cut off: the next reading begins here
        following = _next_whole(data, at + 1)
        yield Damage(at, following)
        at = following


def _record(data: bytes, at: int) -> Record | None:
    match = _HEADER.match(data, at, at + _LONGEST_HEADER)
    if match is None:
        return None
    end = match.end() + int(match[3])
    payload = data[match.end() : end]
    if len(payload) != int(match[3]) or zlib.crc32(payload, zlib.crc32(match[1])) != int(match[4], 16):
        return None
    return Record(at, end, float(match[1].split()[0]), int(match[2]), payload)


def _next_whole(data: bytes, at: int) -> int:
    while (at := data.find(MARK, at)) >= 0:
        if _record(data, at) is not None:
            return at
        at += 1
    return len(data)
