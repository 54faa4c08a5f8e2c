"""Which reader opens which file or folder as a series of projections."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import cast

from sensors.images.folder_files import listed
from sensors.images.joined import JoinedSeries
from sensors.images.series import Series
from sensors.images.unfinished import UnfinishedError
from sensors.reading import SensorError
from sensors.timestamps import WallClock

# end of the name, in lower case → module:function(path, request) that opens it; the first that fits. In a folder the first
# for which there is a file (of logs: one of a whole scan, which ``scans_among`` of the reader's module knows).
READERS = {
    "_ctdata.txt": "sensors.vendor.nikon_series:open_nikon",
    ".xtekct": "sensors.vendor.nikon_series:open_nikon",
    ".pcp": "sensors.vendor.waygate_run:open_waygate",
    ".pcj": "sensors.vendor.waygate_run:open_waygate",
    ".pca": "sensors.vendor.waygate_run:open_waygate",
    ".log": "sensors.vendor.bruker_series:open_bruker",
    ".tif": "sensors.images.tiff_stack:open_tiff",
    ".tiff": "sensors.images.tiff_stack:open_tiff",
    ".txrm": "sensors.vendor.zeiss:open_txrm",
    ".xrm": "sensors.vendor.zeiss:open_txrm",
    ".h5": "sensors.images.nxtomo:open_nxtomo",
    ".hdf5": "sensors.images.nxtomo:open_nxtomo",
    ".hdf": "sensors.images.nxtomo:open_nxtomo",
    ".nx": "sensors.images.nxtomo:open_nxtomo",
    ".nxs": "sensors.images.nxtomo:open_nxtomo",
}
_LOGS = ("_ctdata.txt", ".xtekct", ".pcp", ".pcj", ".pca", ".log")
_FILE, _FOLDER = "sensors.images.tiff_stack:open_tiff", "sensors.images.tiff_folder:open_folder"


@dataclass(frozen=True, slots=True)
class Request:
    """What a reader may need to know beside the path.

    Attributes
    ----------
    timezone : str
        Where a clock without zone stood, as an IANA name.
    pattern : str
        Which files of a folder are meant (``raw_*.tif``); empty for all.
    without : frozenset of Path
        Images that are not part of the series.
    """

    timezone: str = "UTC"
    pattern: str = ""
    without: frozenset[Path] = field(default=frozenset())


def open_series(
    path: Path, *, timezone: str = "UTC", flat: Path | None = None, dark: Path | None = None, pattern: str = ""
) -> Series:
    """Open a file or folder of projections, whatever program wrote it.

    Parameters
    ----------
    path : Path
        A TIFF folder, a TIFF file, an HDF5 file (NXtomo or the data exchange of synchrotrons), a Zeiss ``.txrm``, or the
        log of a Nikon, Waygate or Bruker console beside its TIFF images.
    timezone : str
        Where a clock without zone stood, as an IANA name such as ``Europe/Berlin``.
    flat, dark : Path, optional
        File or folder of images that are taken instead of the series' own flats or darks.
    pattern : str
        Which TIFF images of a folder are meant (``raw_*.tif``).

    Raises
    ------
    UnfinishedError
        Empty or cut off; it may still be being written.
    SensorError
        One line with file, place and mend.
    """
    WallClock(timezone)  # an unknown zone is told at once
    lights = {kind: named for kind, named in (("flat", flat), ("dark", dark)) if named is not None}
    opened = [_open(path, Request(timezone, pattern, frozenset(named.resolve() for named in lights.values())))]
    try:
        for named in lights.values():
            opened.append(_open(named, Request(timezone)))
        return JoinedSeries(opened[0], dict(zip(lights, opened[1:], strict=True))) if lights else opened[0]
    except BaseException:
        for series in opened:
            series.close()
        raise


def reader_of(name: str) -> str | None:
    """``module:function`` for a file of this name; None for one that nobody reads.

    Examples
    --------
    >>> reader_of("Lego_ctdata.txt"), reader_of("notes.txt")
    ('sensors.vendor.nikon_series:open_nikon', None)
    """
    return next((reader for ending, reader in READERS.items() if name.lower().endswith(ending)), None)


def _open(path: Path, request: Request) -> Series:
    try:
        if path.is_dir():
            return _open_folder(path, request)
        if not path.exists():
            raise SensorError(f"{path}: no such file or folder; check the path", retry=True)
        reader = reader_of(path.name)
        if reader is None:
            raise SensorError(
                f"{path}: no reader for files {path.suffix or path.name!r}; there are {', '.join(READERS)}"
            )
        if path.stat().st_size == 0:
            raise UnfinishedError(f"{path}: is empty; not written yet, or the disk was full")
        return _call(reader, path, request)
    except OSError as error:
        raise SensorError(f"{path}: can't be read: {error.strerror or error}; check the share", retry=True) from None


def _open_folder(folder: Path, request: Request) -> Series:
    """By a console's log in it, or as TIFF images, or its only file of projections."""
    names = listed(folder)[0]
    for ending, reader in READERS.items():
        found = [name for name in names if name.lower().endswith(ending)]
        if found and ending in _LOGS:
            found = import_module(reader.split(":")[0]).scans_among(folder, found)
        if not found:
            continue
        if reader == _FILE:
            break
        if len(found) > 1:
            raise SensorError(f"{folder}: holds {len(found)} scans ({', '.join(found[:5])}); name one of them")
        return _call(reader, folder / found[0], request)
    return _call(_FOLDER, folder, request)


def _call(reader: str, path: Path, request: Request) -> Series:
    module, function = reader.split(":")
    return cast("Series", getattr(import_module(module), function)(path, request))
