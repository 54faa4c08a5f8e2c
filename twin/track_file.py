"""The readings file of a folder that is followed: appended to projection by projection, each exactly once over any kill.

Beside ``OUT`` stands ``OUT.done``: a first line with what is tracked, then a line per projection, the length of ``OUT`` once
its rows are in it, and the name of its file. Rows are written first, then this line. Whatever a killed run leaves behind the
last whole line is cut off both files, and its projection is taken again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from twin.atomic import OutputError, cause, write_atomic
from twin.publish.lock import FolderLock, InUseError
from twin.track import HEAD

_MARK = "# ctwin track 1 "


class TrackFile:
    """Opens or continues the file.

    Parameters
    ----------
    out : Path
    what : mapping
        What is tracked and where, JSON-able; a file begun with something else is refused.

    Raises
    ------
    OutputError
        ``out`` is there but not begun so, another process writes it, or it can't be written.
    """

    def __init__(self, out: Path, what: Mapping[str, Any]) -> None:
        self.out, self._ledger = out, out.with_name(out.name + ".done")
        self.done: list[str] = []
        try:
            self._lock = FolderLock(out.with_name(out.name + ".lock"))
        except InUseError as error:
            raise OutputError(f"{out}: process {error.pid or '(unknown)'} writes it; stop that one first") from None
        except OSError as error:
            raise OutputError(f"{out}: not written: {cause(error)}") from None
        try:
            if self._ledger.exists():
                self.what = self._continue(what)
            else:
                self.what = self._begin(what)
            self._rows: BinaryIO = self.out.open("ab")
            self._lines: BinaryIO = self._ledger.open("ab")
        except OSError as error:
            self._lock.release()
            raise OutputError(f"{out}: not written: {cause(error)}") from None
        except BaseException:
            self._lock.release()
            raise

    def add(self, name: str, rows: str) -> None:
        """Append the rows of the projection in a file of this name; when this returns they survive a kill."""
        try:
            self._rows.write(rows.encode())
            self._rows.flush()
            self._lines.write(f"{self._rows.tell()} {json.dumps(name)}\n".encode())
            self._lines.flush()
        except OSError as error:
            raise OutputError(f"{self.out}: not written any further: {cause(error)}") from None

    def note(self, what: Mapping[str, Any]) -> None:
        """Write down what is tracked, once it is known (a window that was found)."""
        self._lines.close()
        _, _, lines = self._ledger.read_text(encoding="utf-8").partition("\n")
        write_atomic(self._ledger, f"{_MARK}{json.dumps(what)}\n{lines}")
        self.what = dict(what)
        self._lines = self._ledger.open("ab")

    def close(self) -> None:
        """Let go of the files."""
        for file in (self._rows, self._lines):
            with contextlib.suppress(OSError):
                os.fsync(file.fileno())
                file.close()
        self._lock.release()

    def _begin(self, what: Mapping[str, Any]) -> dict[str, Any]:
        if self.out.exists() and not HEAD.encode().startswith(self.out.read_bytes()):
            raise OutputError(f"{self.out}: is there already, and not from --follow; give another --out, or remove it")
        write_atomic(self.out, HEAD)
        write_atomic(self._ledger, f"{_MARK}{json.dumps(what)}\n")
        return dict(what)

    def _continue(self, what: Mapping[str, Any]) -> dict[str, Any]:
        if not self.out.exists():
            raise OutputError(f"{self._ledger}: is there without {self.out.name}; put that back, or remove this one")
        whole, _, _ = self._ledger.read_bytes().decode("utf-8", "replace").rpartition("\n")
        first, *lines = whole.split("\n")
        begun = _parsed(first.removeprefix(_MARK)) if first.startswith(_MARK) else None
        if not isinstance(begun, dict):
            raise OutputError(f"{self._ledger}: is no ledger of a track; remove it, or give another --out")
        changed = [key for key, value in what.items() if begun.get(key) != value and value is not None]
        if changed:
            raise OutputError(
                f"{self.out}: was begun with {changed[0]} {begun.get(changed[0])!r}, not {what[changed[0]]!r}; "
                "give the same, or another --out"
            )
        length, kept, end = self.out.stat().st_size, len(first) + 1, len(HEAD)
        for line in lines:
            size, _, name = line.partition(" ")
            if not size.isdecimal() or int(size) > length or not isinstance(_parsed(name), str):
                break
            end, kept = int(size), kept + len(line.encode()) + 1
            self.done.append(str(_parsed(name)))
        os.truncate(self.out, end)
        os.truncate(self._ledger, kept)
        return begun


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
