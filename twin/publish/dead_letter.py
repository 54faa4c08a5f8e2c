"""Lines that a server refuses for good, kept with its words; bounded, so that a bad day can't fill the disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

FILE = "dead-letter.lp"
OLDER = "dead-letter.1.lp"


class DeadLetters:
    """The file ``dead-letter.lp`` of a spool: valid line protocol, each line under a comment with time and reason.

    At ``max_bytes`` it becomes ``dead-letter.1.lp``, and what that held before is given up.
    """

    def __init__(self, folder: Path, max_bytes: int = 8_000_000) -> None:
        self._path = folder / FILE
        self._older = folder / OLDER
        self._max_bytes = max_bytes
        _repair(self._path)

    def add(self, refused: Sequence[tuple[bytes, str]], time: float) -> int:
        """Keep lines with the server's words, on the disk before this returns; the number of older lines given up."""
        if not refused:
            return 0
        stamp = datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
        data = b"".join(
            f"# {stamp} {' '.join(words.split())[:500]}\n".encode() + line + b"\n" for line, words in refused
        )
        gone = 0
        if self._path.exists() and self._path.stat().st_size + len(data) > self._max_bytes:
            gone = count(self._older)
            self._path.replace(self._older)
        with self._path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return gone


def count(path: Path) -> int:
    """Number of lines that are kept in a dead-letter file (0 when there is none)."""
    try:
        with path.open("rb") as file:
            return sum(1 for line in file if line.strip() and not line.startswith(b"#"))
    except FileNotFoundError:
        return 0


def _repair(path: Path) -> None:
    """Cut off what a crash left unfinished; its line was not acknowledged and comes again."""
    try:
        with path.open("r+b") as file:
            data = file.read()
            if data and not data.endswith(b"\n"):
                file.truncate(data.rfind(b"\n") + 1)
    except FileNotFoundError:
        pass
