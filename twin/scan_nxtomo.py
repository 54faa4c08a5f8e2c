"""Scans from NXtomo files (HDF5): image_key, rotation_angle and the time of each frame."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from sensors.reading import SensorError
from sensors.timestamps import WallClock
from twin.scan import Scan, ScanError, checked

# image_key of NXdetector; 3 is "invalid" and passed over
KINDS = {0: "projection", 1: "flat", 2: "dark"}
SECONDS = {
    "": 1.0,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "ns": 1e-9,
    "min": 60.0,
}
DEGREES = {"": 1.0, "deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180 / math.pi, "radian": 180 / math.pi}


def read_nxtomo(path: Path, zone: str | None = None) -> Scan:
    """Read times and angles of an NXtomo file; the index of a frame counts within its kind.

    Times come from NXdetector: ``time`` per frame (mid-exposure), or ``start_time`` per frame with ``stop_time`` or
    ``count_time``, each counted from its attribute ``start`` (ISO 8601; without one, from 1970). NXtomo itself asks
    for no time per frame; a file without is refused, for equal spacing would be a guess.

    Parameters
    ----------
    path : Path
    zone : str, optional
        Zone of a ``start`` that has none of its own.

    Raises
    ------
    ScanError
        Not HDF5, no NXtomo entry, a data set missing or of another length, and what any scan is refused for.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file, zone)
    except OSError as error:
        raise ScanError(f"{path}: not a readable HDF5 file ({str(error).splitlines()[0][:120]})") from None


def _read(path: Path, file: Any, zone: str | None) -> Scan:
    entry = _entry(path, file)
    detector = _detector(path, entry)
    key = np.asarray(detector["image_key"][()])
    count = key.size
    if key.ndim != 1 or count == 0:
        raise ScanError(f"{path}: {detector.name}/image_key must have one entry per frame")
    angle = _per_frame(path, entry.get("sample/rotation_angle"), f"{entry.name}/sample/rotation_angle", count)
    unit = _text(entry["sample/rotation_angle"].attrs.get("units", ""))
    if unit.lower() not in DEGREES:
        raise ScanError(f"{path}: {entry.name}/sample/rotation_angle has units {unit!r}; give degree or rad")
    unknown = sorted(set(key.tolist()) - {*KINDS, 3})
    if unknown:
        raise ScanError(f"{path}: image_key {unknown[0]!r} is unknown; 0 projection, 1 flat, 2 dark, 3 invalid")
    use = np.flatnonzero(key != 3)
    scan = Scan(
        name=(_text(entry["title"][()]) if "title" in entry else "") or path.stem,
        projection=_rank(key[use]),
        time=_times(path, detector, count, zone)[use],
        angle_deg=angle[use] * DEGREES[unit.lower()],
        kind=tuple(KINDS[int(k)] for k in key[use]),
    )
    return checked(scan, [f"{path}, frame {k}" for k in use.tolist()])


def _rank(key: NDArray[Any]) -> NDArray[np.int64]:
    """Number of each frame among those of its kind, from 0."""
    rank = np.zeros(key.size, dtype=np.int64)
    for kind in KINDS:
        rank[key == kind] = np.arange(np.count_nonzero(key == kind))
    return rank


def _entry(path: Path, file: Any) -> Any:
    """The entry that the file names as default, or its first NXentry."""
    default = _text(file.attrs.get("default", ""))
    if default and isinstance(file.get(default), h5py.Group):
        return file[default]
    for name in file:
        # a dangling external link gives None
        group = file.get(name)
        if isinstance(group, h5py.Group) and _text(group.attrs.get("NX_class", "")) == "NXentry":
            return group
    raise ScanError(f"{path}: has no NXentry; an NXtomo file is needed, or a scan CSV beside the images")


def _detector(path: Path, entry: Any) -> Any:
    instrument = entry.get("instrument")
    if isinstance(instrument, h5py.Group):
        for name in ("detector", *instrument):
            group = instrument.get(name)
            if isinstance(group, h5py.Group) and isinstance(group.get("image_key"), h5py.Dataset):
                return group
    raise ScanError(f"{path}: no detector with image_key under {entry.name}/instrument; NXtomo needs one")


def _times(path: Path, detector: Any, count: int, zone: str | None) -> Array:
    """Mid-exposure of each frame [s since 1970]."""
    if "time" in detector:
        return _clock(path, detector, "time", count, zone)
    if "start_time" in detector:
        start = _clock(path, detector, "start_time", count, zone)
        if "stop_time" in detector:
            return (start + _clock(path, detector, "stop_time", count, zone)) / 2
        if "count_time" in detector:
            exposure = np.broadcast_to(np.asarray(detector["count_time"][()], dtype=float).squeeze(), (count,))
            return np.asarray(start + exposure * _unit(path, detector["count_time"]) / 2)
    raise ScanError(
        f"{path}: {detector.name} has neither time nor start_time (with stop_time or count_time) per frame;"
        " give a scan CSV with projection,time,angle_deg"
    )


def _clock(path: Path, detector: Any, name: str, count: int, zone: str | None) -> Array:
    data = detector[name]
    offset = _per_frame(path, data, data.name, count) * _unit(path, data)
    start = _text(data.attrs.get("start", ""))
    if not start:
        return offset
    try:
        instant = datetime.fromisoformat(start)
    except ValueError:
        raise ScanError(f"{path}: {data.name}@start is {start!r}; give ISO 8601 with a zone") from None
    if instant.tzinfo is not None:
        return offset + instant.timestamp()
    if zone is None:
        raise ScanError(f"{path}: {data.name}@start {start!r} has no zone; name the zone of the clock that wrote it")
    try:
        return offset + WallClock(zone).seconds(instant)
    except SensorError as error:
        raise ScanError(f"{path}: {error}") from None


def _per_frame(path: Path, data: Any, place: str, count: int) -> Array:
    if not isinstance(data, h5py.Dataset):
        raise ScanError(f"{path}: {place} is missing; NXtomo needs it per frame")
    try:
        values = np.asarray(data[()], dtype=float)
    except ValueError:
        raise ScanError(f"{path}: {place} is not numeric") from None
    if values.shape != (count,):
        raise ScanError(f"{path}: {place} has shape {values.shape}, image_key has {count} frames; one value per frame")
    return values


def _unit(path: Path, data: Any) -> float:
    unit = _text(data.attrs.get("units", ""))
    if unit.lower() not in SECONDS:
        raise ScanError(f"{path}: {data.name} has units {unit!r}; give s, ms, us, ns or min")
    return SECONDS[unit.lower()]


def _text(value: Any) -> str:
    """HDF5 keeps text as bytes, str, or an array of one of them."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
