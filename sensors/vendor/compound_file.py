"""Streams of OLE2 compound files by name, read in whole runs of sectors.

olefile reads a stream sector by sector; a projection of 8 MB has 2000 to 16 000 of them. Its table of sectors (4 bytes for
each, so 0.1–0.8 % of the file) is used to read those that follow each other at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.images.unfinished import UnfinishedError
from sensors.reading import SensorError

_MOST_VALUES = 1 << 27  # bytes of a stream that holds numbers per projection


class CompoundFile:
    """An open OLE2 file; names of streams don't care for upper and lower case.

    Raises
    ------
    UnfinishedError
        Cut off.
    SensorError
        Not OLE2, corrupt, or olefile is missing.
    """

    def __init__(self, path: Path) -> None:
        try:
            olefile = import_module("olefile")
        except ImportError:
            raise SensorError(f"{path}: is read with olefile; pip install olefile") from None
        self.path = path
        try:
            if not olefile.isOleFile(str(path)):
                raise SensorError(f"{path}: is no OLE2 file, so no .txrm or .xrm; name the scan's file")
            self._ole: Any = olefile.OleFileIO(str(path))
        except SensorError:
            raise
        except Exception as error:  # olefile passes on what a corrupt table makes of it, of any type
            raise UnfinishedError(
                f"{path}: its table of contents can't be read ({_said(error)}); cut off? copy it again"
            ) from None
        self._names = {"/".join(parts).lower(): parts for parts in self._ole.listdir(streams=True, storages=False)}

    def names(self, folder: str) -> list[str]:
        """Streams directly in a storage, by their names as written."""
        depth = folder.count("/") + 2
        start = folder.lower() + "/"
        return [parts[-1] for name, parts in self._names.items() if name.startswith(start) and len(parts) == depth]

    def size(self, name: str) -> int:
        """Bytes of a stream; -1 where there is none."""
        parts = self._names.get(name.lower())
        return -1 if parts is None else int(self._ole.get_size(parts))

    def numbers(self, name: str, kind: str) -> NDArray[Any]:
        """A stream of numbers; empty where there is none."""
        if self.size(name) > _MOST_VALUES:
            raise SensorError(f"{self.path}: {name} has {self.size(name)} bytes; the file is corrupt")
        data = self.text(name)
        itemsize = np.dtype(kind).itemsize
        return np.frombuffer(data[: len(data) // itemsize * itemsize], dtype=kind)

    def text(self, name: str) -> bytes:
        """Bytes of a small stream; empty where there is none."""
        parts = self._names.get(name.lower())
        if parts is None:
            return b""
        try:
            with self._ole.openstream(parts) as stream:
                return bytes(stream.read())
        except Exception as error:  # as above
            raise UnfinishedError(
                f"{self.path}: {name} can't be read ({_said(error)}); cut off? copy it again"
            ) from None

    def fill(self, name: str, place: str, first: int, into: NDArray[Any]) -> None:
        """Bytes of a large stream, from ``first`` on, into an array.

        Raises
        ------
        UnfinishedError
            They lie beyond the end of the file.
        """
        target = into.view(np.uint8).reshape(-1).data
        done, at = 0, 0
        for offset, length in self._runs_of(name, place):
            low, high = max(first - at, 0), min(first + into.nbytes - at, length)
            at += length
            if low < high:
                self._ole.fp.seek(offset + low)
                done += self._ole.fp.readinto(target[done : done + high - low])
        if done < into.nbytes:
            raise UnfinishedError(
                f"{place}: has {done} of {into.nbytes} bytes; not written yet, or cut off: copy it again"
            )

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        self._ole.close()

    def _runs_of(self, name: str, place: str) -> Sequence[tuple[int, int]]:
        """Where the sectors of a stream lie that follow each other: offset and bytes."""
        parts = self._names[name.lower()]
        entry = self._ole.direntries[self._ole._find(parts)]
        if entry.is_minifat:
            raise SensorError(f"{place}: is too short for an image; the file is corrupt")
        sector, size, table = entry.isectStart, self._ole.sectorsize, self._ole.fat
        if entry.size > len(table) * size:
            raise UnfinishedError(
                f"{place}: claims {entry.size} bytes, more than the file has; cut off, or corrupt: copy it again"
            )
        runs: list[tuple[int, int]] = []
        left = entry.size
        while left > 0:
            if not 0 <= sector < len(table):
                raise UnfinishedError(f"{place}: its sectors end too early; cut off, or corrupt: copy it again")
            start, count = sector, 1
            while count * size < left and table[sector] == sector + 1 and sector + 1 < len(table):
                sector += 1
                count += 1
            runs.append(((start + 1) * size, min(count * size, left)))
            left -= count * size
            sector = table[sector]
        return runs


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
