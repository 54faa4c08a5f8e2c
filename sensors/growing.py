"""A text file that another program is still writing: complete lines only, truncation and rotation noticed."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import BinaryIO

from sensors.reading import SensorError

_LOG = logging.getLogger("ctwin.sensors.growing")
_CHUNK = 1 << 18
_LONGEST_LINE = 1 << 20


class GrowingFile:
    """Gives the complete lines that have been added since the last call.

    A last line without its line end is kept until the writer has finished it. When the file becomes shorter,
    or another one takes its name, reading starts again at its top and ``restarts`` grows by one. What the
    writer appended to a file between the last poll and its renaming is read from the old file where the
    system allows it to stay open; on Windows an open file would block the writer's renaming, so there it is
    closed between polls.
    """

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        self.path = path
        self.restarts = 0
        self._line = 0
        self._encoding = encoding
        self._file: BinaryIO | None = None
        self._identity: tuple[int, int] | None = None
        self._position = 0
        self._torn = b""

    def lines(self) -> list[tuple[int, str]]:
        """Complete lines since the last call with their numbers, about 256 KiB of them; empty when nothing is new.

        Raises
        ------
        SensorError
            When the file can't be read (``retry``: a share may come back), or is no text.
        """
        try:
            while data := self._read():
                self._torn += data
                if b"\n" in data or len(self._torn) > _LONGEST_LINE:
                    break
        except FileNotFoundError:
            return []  # between rotation and the new file; its channels grow stale meanwhile, which is alarmed
        except OSError as error:
            self.close()
            raise SensorError(f"{self.path}: can't be read: {error.strerror}; check the share", retry=True) from None
        whole, newline, self._torn = self._torn.rpartition(b"\n")
        if len(self._torn) > _LONGEST_LINE:
            raise SensorError(f"{self.path}, line {self._line + 1}: no line end within 1 MiB; this is no text log")
        return self._numbered(whole) if newline else []

    def rest(self) -> list[tuple[int, str]]:
        """What stands behind the last line end, as a line: for a file that is known to be finished."""
        whole, self._torn = self._torn, b""
        return self._numbered(whole) if whole else []

    def _numbered(self, block: bytes) -> list[tuple[int, str]]:
        try:
            text = block.decode("utf-8-sig" if self._line == 0 and self._encoding == "utf-8" else self._encoding)
            zero = text.find("\0")
            before = text[:zero] if zero >= 0 else ""
        except UnicodeDecodeError as error:
            zero, before = error.start, block[: error.start].decode(self._encoding)
        if zero >= 0:
            place = f"{self.path}, line {self._line + 1 + before.count(chr(10))}"
            raise SensorError(f"{place}: binary data or another encoding; give a text file in UTF-8")
        lines = text.split("\n")
        first, self._line = self._line + 1, self._line + len(lines)
        return [(first + index, line.rstrip("\r")) for index, line in enumerate(lines)]

    def _read(self) -> bytes:
        if self._file is not None:
            data = self._file.read(_CHUNK)
            if data or not self._replaced():
                return self._taken(data)
            self._start_again()
        elif self._identity is not None and self._replaced():
            self._start_again()
        if self._file is None:
            self._file = self.path.open("rb")
            # on Windows fstat and stat may tell different identities of one file
            status = self.path.stat() if os.name == "nt" else os.fstat(self._file.fileno())
            self._identity = (status.st_dev, status.st_ino)
            self._file.seek(self._position)
        data = self._taken(self._file.read(_CHUNK))
        if os.name == "nt":
            self.close()
        return data

    def _taken(self, data: bytes) -> bytes:
        self._position += len(data)
        return data

    def _replaced(self) -> bool:
        status = self.path.stat()
        return (status.st_dev, status.st_ino) != self._identity or status.st_size < self._position

    def _start_again(self) -> None:
        _LOG.warning("%s: shorter than before or replaced; reading it again from its top", self.path)
        self.close()
        self._position, self._torn, self._identity, self._line = 0, b"", None, 0
        self.restarts += 1

    def close(self) -> None:
        """Let go of the file; a later call of ``lines`` goes on where this one stood."""
        if self._file is not None:
            self._file.close()
            self._file = None
