"""A scan: when each projection was taken and at which angle; read from whatever wrote it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from sensors.images.formats import READERS as IMAGES
from sensors.images.times import Timing

KINDS = ("projection", "flat", "dark", "reference")
LATEST_S = 253402300800.0  # the year 10000 [s]; milliseconds of our days lie beyond


class ScanError(ValueError):
    """A scan can't be read; the message names file, place and mend."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Frames of a scan in the order of their times.

    Attributes
    ----------
    name : str
    projection : (N,) int array
        Index of the frame, rising within its kind. Corrections carry it through.
    time : (N,) array
        Mid-exposure [s since 1970-01-01 UTC], never falling.
    angle_deg : (N,) array
        Angle of the object, > 0 right-handed about −v; ``nan`` only for flats and darks that have none.
    kind : tuple of str, length N
        projection, flat, dark or reference.

    Examples
    --------
    >>> scan = Scan("s", np.arange(3), np.array([0.0, 5.0, 9.0]), np.array([np.nan, 0.0, 1.0]),
    ...             ("flat", "projection", "projection"))
    >>> scan.only("projection").projection.tolist(), scan.duration_s
    ([1, 2], 9.0)
    """

    name: str
    projection: NDArray[np.int64]
    time: Array
    angle_deg: Array
    kind: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.projection) == len(self.time) == len(self.angle_deg) == len(self.kind):
            raise ScanError(f"scan {self.name}: projection, time, angle_deg and kind have different lengths")

    def __len__(self) -> int:
        return len(self.projection)

    @property
    def duration_s(self) -> float:
        """Time from the first to the last frame [s]."""
        return float(self.time[-1] - self.time[0]) if len(self) else 0.0

    def only(self, *kinds: str) -> Scan:
        """The frames of these kinds."""
        keep = np.array([kind in kinds for kind in self.kind], dtype=bool)
        chosen = tuple(kind for kind in self.kind if kind in kinds)
        return Scan(self.name, self.projection[keep], self.time[keep], self.angle_deg[keep], chosen)


# end of the name → module:function(path, zone) that reads it; modules are imported when needed
READERS = {
    ".csv": "twin.scan_csv:read_scan_csv",
    ".pcp": "twin.scan_vendor:read_waygate",
    ".log": "twin.scan_vendor:read_bruker",
    ".h5": "twin.scan_nxtomo:read_nxtomo",
    ".hdf5": "twin.scan_nxtomo:read_nxtomo",
    ".nx": "twin.scan_nxtomo:read_nxtomo",
    ".nxs": "twin.scan_nxtomo:read_nxtomo",
    "_ctdata.txt": "twin.scan_vendor:read_nikon",
    ".txrm": "twin.scan_vendor:read_zeiss",
}


def read_scan(path: Path, zone: str | None = None, timing: Timing | None = None) -> Scan:
    """Read a scan from a scan CSV, an NXtomo file, the log of a Waygate, Bruker, Nikon or Zeiss console, or projections.

    Parameters
    ----------
    path : Path
    zone : str, optional
        IANA name of the zone of the clock that wrote a vendor's log ("Europe/Berlin"); those have none of their own.
    timing : Timing, optional
        Cadence of the projections, which are then looked for at ``path`` whatever else is there.

    Raises
    ------
    ScanError
        One line with file, place and mend: no projection, a missing column, a time that goes back, an index twice, …
    """
    if not path.exists():
        raise ScanError(f"{path}: no such file; a scan file is CSV with projection,time,angle_deg")
    reader = _reader(path)
    if path.is_dir():
        inside = sorted(item.name for item in path.iterdir() if _reader(item) is not None)
        if inside and timing is None:
            raise ScanError(f"{path}: is a folder; name one of the scans in it: {', '.join(inside[:5])}")
    elif reader is None and not path.name.lower().endswith(tuple(IMAGES)):
        raise ScanError(f"{path}: ending {path.suffix or '(none)'} is unknown; there are {', '.join(READERS)}")
    if reader is None or timing is not None or path.is_dir():
        return cast("Scan", import_module("twin.scan_images").read_images(path, zone, timing))
    module, name = reader.split(":")
    return cast("Scan", getattr(import_module(module), name)(path, zone))


def _reader(path: Path) -> str | None:
    return next((reader for ending, reader in READERS.items() if path.name.lower().endswith(ending)), None)


def checked(scan: Scan, places: Sequence[str]) -> Scan:
    """Refuse a scan that can't be corrected; ``places`` says for each frame where it stands, for the message."""
    bad = np.flatnonzero(~np.isfinite(scan.time) | (np.abs(scan.time) >= LATEST_S))
    if bad.size:
        k = int(bad[0])
        hint = "give seconds since 1970, not milliseconds" if np.isfinite(scan.time[k]) else "correct or remove it"
        raise ScanError(f"{places[k]}: time {float(scan.time[k])!r} is not an instant; {hint}")
    back = np.flatnonzero(np.diff(scan.time) < 0)
    if back.size:
        k = int(back[0]) + 1
        step = float(scan.time[k - 1] - scan.time[k])
        raise ScanError(f"{places[k]}: time is {step:.6g} s before the frame above; sort by time, or mend the clock")
    needs_angle = np.array([kind in ("projection", "reference") for kind in scan.kind], dtype=bool)
    lost = np.flatnonzero(needs_angle & ~np.isfinite(scan.angle_deg))
    if lost.size:
        raise ScanError(f"{places[int(lost[0])]}: angle_deg is not a finite number; a projection needs its angle")
    last: dict[str, int] = {}
    for k, (kind, index) in enumerate(zip(scan.kind, scan.projection.tolist(), strict=True)):
        if index <= last.get(kind, -1):
            said = "is there twice" if index == last[kind] else f"comes after {last[kind]}"
            raise ScanError(f"{places[k]}: {kind} {index} {said}; each index once, rising with time")
        last[kind] = index
    if "projection" not in last:
        raise ScanError(
            f"{places[0] if places else scan.name}: the scan has no frame of kind projection; nothing to correct"
        )
    return scan
