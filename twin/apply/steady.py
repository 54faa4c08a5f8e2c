"""A file for h5py that keeps a fault for later: HDF5 that fails to write can neither go on nor be closed."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


class SteadyFile(io.RawIOBase):
    """File-like object; after a failed write nothing more is written, and HDF5 isn't told.

    Attributes
    ----------
    fault : OSError or None
        Why the file is worth nothing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fault: OSError | None = None
        self._file = path.open("w+b", buffering=0)

    def check(self) -> None:
        """Raise the fault, if there is one."""
        if self.fault is not None:
            raise self.fault

    def readinto(self, buffer: Any) -> int:
        """Read as a file does."""
        return int(self._file.readinto(buffer) or 0)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as in a file."""
        return self._file.seek(offset, whence)

    def write(self, data: Any) -> int:
        """Write all of it; a fault is kept."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while self.fault is None and len(rest):
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            self.fault = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Cut or lengthen; a fault is kept."""
        try:
            if self.fault is None:
                self._file.truncate(size)
        except OSError as error:
            self.fault = error
        return size or 0

    def flush(self) -> None:
        """Nothing is held back."""

    def finish(self) -> None:
        """Put everything onto the disk; raises the fault, if there was one."""
        self.check()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        self._file.close()
        super().close()
