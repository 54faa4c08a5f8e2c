"""Opening HDF5 files without disturbing who writes them, and finding the data that they link to."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import h5py

from sensors.images.unfinished import UnfinishedError
from sensors.images.window import MOST_FRAMES
from sensors.reading import SensorError

_CACHE_BYTES = 1 << 26  # some writers put many frames into one chunk


def open_hdf5(path: Path) -> Any:
    """The file, not locked, so that its writer is not disturbed.

    Raises
    ------
    UnfinishedError
        Cut off.
    SensorError
        Not HDF5, or unreadable.
    """
    try:
        return h5py.File(path, "r", locking=False, rdcc_nbytes=_CACHE_BYTES)
    except OSError as error:
        said = first_line(error)
        kind = UnfinishedError if "truncated" in said else SensorError
        raise kind(f"{path}: not a readable HDF5 file ({said})") from None


class LinkedData:
    """Data sets by name, through links; a file that a link names by a path of another machine is looked for beside.

    Attributes
    ----------
    lost : dict of str to str
        Files that links name and that are not there, by the data set's place.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: list[Any] = []
        self.lost: dict[str, str] = {}

    def get(self, group: Any, name: str) -> Any:
        """The data set; None where there is none or its link dangles."""
        data = _object(group, name)
        link = group.get(name, getlink=True)
        if data is None and isinstance(link, h5py.ExternalLink):
            beside = self._path.parent / Path(link.filename.replace("\\", "/")).name
            if beside.exists() and beside.resolve() != self._path.resolve():
                self._opened.append(open_hdf5(beside))
                data = _object(self._opened[-1], link.path)
            if data is None:
                self.lost[f"{group.name}/{name}"] = link.filename
        return data if isinstance(data, h5py.Dataset) else None

    def close(self) -> None:
        """Close the files found beside."""
        for file in self._opened:
            file.close()


def images_in(path: Path, data: Any, place: str) -> Any:
    """A data set, checked: numbers of three dimensions, whose filters and sources are at hand.

    Raises
    ------
    SensorError
        It isn't; a filter needs ``hdf5plugin``; a source of a virtual data set is missing, whose frames would be zeros.
    """
    if data.ndim != 3 or data.dtype.kind not in "uif" or 0 in data.shape or data.shape[0] > MOST_FRAMES:
        raise SensorError(
            f"{path}: {place} has shape {data.shape} of {data.dtype}, not up to a million frames of numbers"
        )
    _need_filters(path, data, place)
    if data.is_virtual:
        for source in data.virtual_sources():
            named = Path(data.file.filename).parent / source.file_name
            if source.file_name != "." and "%" not in source.file_name and not named.exists():
                raise SensorError(f"{path}: {place} needs {source.file_name}, which is not there; copy it beside")
    return data


def _need_filters(path: Path, data: Any, place: str) -> None:
    plist = data.id.get_create_plist()
    codes = [plist.get_filter(k) for k in range(plist.get_nfilters())]
    if all(h5py.h5z.filter_avail(code[0]) for code in codes) and not data.is_virtual:
        return
    try:
        import_module("hdf5plugin")
    except ImportError:
        if not codes:
            return
    missing = [code for code in codes if not h5py.h5z.filter_avail(code[0])]
    if missing:
        name = missing[0][3].decode("latin-1").split(";")[0] or f"number {missing[0][0]}"
        raise SensorError(f"{path}: {place} is compressed with the filter {name}; pip install hdf5plugin")


def first_line(error: Exception) -> str:
    """What an error says, short enough for a line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _object(group: Any, name: str) -> Any:
    """What stands there; None where a link dangles or what it leads to is corrupt."""
    try:
        return group.get(name)
    except (OSError, RuntimeError):
        return None
