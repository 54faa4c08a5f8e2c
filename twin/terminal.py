"""What a person at a terminal sees: a progress bar where somebody looks, nothing where nobody does; aligned tables."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from typing import TextIO

WIDTH = 32


class Progress:
    """A bar on stderr, drawn at most ten times per second and only on a terminal."""

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self._label, self._stream = label, stream or sys.stderr
        self._shown = self._stream.isatty()
        self._begin = time.monotonic()
        self._last = -1.0
        self._note = ""

    def __call__(self, fraction: float, note: str = "") -> None:
        """Show how much is done, 0 … 1."""
        now = time.monotonic()
        if not self._shown or (now - self._last < 0.1 and fraction < 1.0):
            return
        self._last = now
        part = min(max(fraction, 0.0), 1.0)
        full = int(part * WIDTH)
        left = (now - self._begin) * (1.0 - part) / part if part > 0.02 else float("nan")
        ahead = f" {left:4.0f} s left" if left == left else ""
        self._stream.write(
            f"\r{self._label} [{'#' * full}{'.' * (WIDTH - full)}] {100 * part:3.0f} %{ahead} {note}\x1b[K"
        )
        self._stream.flush()

    def done(self) -> None:
        """End the line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


class LogHandler(logging.StreamHandler[TextIO]):
    """Log lines on stderr that wipe a progress bar away instead of being written behind it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
        super().emit(record)


def say(text: str = "") -> None:
    """A line on stdout."""
    sys.stdout.write(f"{text}\n")


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Columns aligned; the first to the left, numbers as they come.

    >>> print(table([["a", "1"], ["bcd", "20"]], ""))
    a    1
    bcd  20
    """
    widths = [max(len(row[k]) for row in rows if k < len(row)) for k in range(max(map(len, rows)))]
    return "\n".join(indent + "  ".join(cell.ljust(widths[k]) for k, cell in enumerate(row)).rstrip() for row in rows)
