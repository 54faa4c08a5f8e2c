"""One process per folder: a lock that the system itself releases when its owner dies, however it dies."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # Windows locks bytes: one behind the text, so that others can read whose it is

    def _take(file: IO[bytes]) -> None:
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


class InUseError(OSError):
    """Another process holds the lock; ``pid`` is its number, or None where it couldn't be read."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"in use by process {pid}" if pid else "in use by another process")
        self.pid = pid


class FolderLock:
    """Exclusive use of a folder until :meth:`release` or the end of the process.

    The file stays behind, because removing it would let two processes hold two files of one name.
    """

    def __init__(self, path: Path) -> None:
        # not "w": that would empty the file of its owner before asking for the lock
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b", 0)
        try:
            _take(self._file)
        except OSError as error:
            owner = None
            with contextlib.suppress(OSError, ValueError, IndexError):
                self._file.seek(0)
                owner = int(self._file.read(20).split()[0])
            self._file.close()
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK):
                raise InUseError(owner) from None
            raise  # a file system without locks
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let others in."""
        self._file.close()
