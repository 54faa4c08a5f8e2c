"""Entries, detectors, units and clocks of NeXus files, for scans and for series of images alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sensors.images.window import MOST_FRAMES
from sensors.reading import SensorError
from sensors.timestamps import WallClock

# image_key of NXdetector; 3 is "invalid" and passed over
KINDS = {0: "projection", 1: "flat", 2: "dark"}
INVALID = 3
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


def entry_of(path: Path, file: Any) -> Any:
    """The entry that the file names as default, or its first NXentry; in it a subentry that is defined as NXtomo.

    Raises
    ------
    SensorError
        There is none.
    """
    default = text_of(file.attrs.get("default", ""))
    if default and isinstance(file.get(default), h5py.Group):
        return _tomo(file[default])
    for _, group in groups(file):
        if text_of(group.attrs.get("NX_class", "")) == "NXentry":
            return _tomo(group)
    raise SensorError(f"{path}: has no NXentry; an NXtomo file is needed, or a scan CSV beside the images")


def detectors_of(path: Path, entry: Any) -> list[Any]:
    """Detectors of an entry that have an ``image_key``.

    Raises
    ------
    SensorError
        There is none.
    """
    instrument = entry.get("instrument")
    found = []
    if isinstance(instrument, h5py.Group):
        for name in dict.fromkeys(("detector", *instrument)):
            group = instrument.get(name)
            if isinstance(group, h5py.Group) and isinstance(group.get("image_key"), h5py.Dataset):
                found.append(group)
    if not found:
        raise SensorError(f"{path}: no detector with image_key under {entry.name}/instrument; NXtomo needs one")
    return found


def kinds_of(path: Path, detector: Any) -> list[str]:
    """Kind of each frame; empty for one that is invalid. Frames for alignment (``image_key_control`` −1) are references.

    Raises
    ------
    SensorError
        ``image_key`` is not one known number per frame.
    """
    data = detector["image_key"]
    if data.ndim != 1 or not 0 < data.size <= MOST_FRAMES:
        raise SensorError(f"{path}: {detector.name}/image_key must have one entry per frame")
    key = np.asarray(data[()])
    unknown = sorted(set(key.tolist()) - {*KINDS, INVALID})
    if unknown:
        raise SensorError(f"{path}: image_key {unknown[0]!r} is unknown; 0 projection, 1 flat, 2 dark, 3 invalid")
    kinds = [KINDS.get(int(k), "") for k in key.tolist()]
    control = detector.get("image_key_control")
    if isinstance(control, h5py.Dataset) and control.shape == key.shape:
        kinds = ["reference" if c == -1 else kind for c, kind in zip(control[()].tolist(), kinds, strict=True)]
    return kinds


def ranks_of(kinds: list[str]) -> list[int]:
    """Number of each frame among those of its kind, from 0.

    Examples
    --------
    >>> ranks_of(["flat", "projection", "flat"])
    [0, 0, 1]
    """
    seen: dict[str, int] = {}
    ranks = []
    for kind in kinds:
        ranks.append(seen.get(kind, 0))
        seen[kind] = ranks[-1] + 1
    return ranks


def rotation_of(path: Path, entry: Any, count: int) -> NDArray[np.float64]:
    """``sample/rotation_angle`` of each frame [deg]; raises SensorError when missing, of another length or unit."""
    place = f"{entry.name}/sample/rotation_angle"
    data = entry.get("sample/rotation_angle")
    angle = per_frame(path, data, place, count)
    unit = text_of(data.attrs.get("units", ""))
    if unit.lower() not in DEGREES:
        raise SensorError(f"{path}: {place} has units {unit!r}; give degree or rad")
    return angle * DEGREES[unit.lower()]


def times_of(path: Path, detector: Any, count: int, zone: str | None) -> NDArray[np.float64]:
    """Mid-exposure of each frame [s since 1970].

    Times come from NXdetector: ``time`` per frame (mid-exposure), or ``start_time`` per frame with ``stop_time`` or
    ``count_time``, each counted from its attribute ``start`` (ISO 8601; without one, from 1970).

    Raises
    ------
    SensorError
        NXtomo itself asks for no time per frame; a file without is refused, for equal spacing would be a guess.
    """
    if "time" in detector:
        return _clock(path, detector, "time", count, zone)
    if "start_time" in detector:
        start = _clock(path, detector, "start_time", count, zone)
        if "stop_time" in detector:
            return (start + _clock(path, detector, "stop_time", count, zone)) / 2
        if "count_time" in detector:
            exposure = np.broadcast_to(np.asarray(detector["count_time"][()], dtype=float).squeeze(), (count,))
            return np.asarray(start + exposure * _unit(path, detector["count_time"]) / 2)
    raise SensorError(
        f"{path}: {detector.name} has neither time nor start_time (with stop_time or count_time) per frame;"
        " give a scan CSV with projection,time,angle_deg"
    )


def instant_of(path: Path, place: str, text: str, zone: str | None) -> float:
    """Seconds since 1970 of an ISO 8601 text; without a zone of its own, in ``zone``.

    Raises
    ------
    SensorError
        It is no instant, or there is no zone.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise SensorError(f"{path}: {place} is {text!r}; give ISO 8601 with a zone") from None
    if instant.tzinfo is not None:
        return instant.timestamp()
    if zone is None:
        raise SensorError(f"{path}: {place} {text!r} has no zone; name the zone of the clock that wrote it")
    try:
        return WallClock(zone).seconds(instant)
    except SensorError as error:
        raise SensorError(f"{path}: {error}") from None


def per_frame(path: Path, data: Any, place: str, count: int) -> NDArray[np.float64]:
    """A number per frame; raises SensorError when missing, not numeric, or of another length."""
    if not isinstance(data, h5py.Dataset):
        raise SensorError(f"{path}: {place} is missing; NXtomo needs it per frame")
    try:
        values = np.asarray(data[()], dtype=float)
    except ValueError:
        raise SensorError(f"{path}: {place} is not numeric") from None
    if values.shape != (count,):
        raise SensorError(
            f"{path}: {place} has shape {values.shape}, image_key has {count} frames; one value per frame"
        )
    return values


def groups(parent: Any) -> Iterator[tuple[str, Any]]:
    """Groups in a group, with their names; dangling links are passed over."""
    for name in parent:
        group = parent.get(name)
        if isinstance(group, h5py.Group):
            yield name, group


def text_of(value: Any) -> str:
    """HDF5 keeps text as bytes, str, or an array of one of them."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _tomo(entry: Any) -> Any:
    for _, group in groups(entry):
        definition = group.get("definition")
        if isinstance(definition, h5py.Dataset) and text_of(definition[()]) == "NXtomo":
            return group
    return entry


def _clock(path: Path, detector: Any, name: str, count: int, zone: str | None) -> NDArray[np.float64]:
    data = detector[name]
    offset = per_frame(path, data, data.name, count) * _unit(path, data)
    start = text_of(data.attrs.get("start", ""))
    return offset + instant_of(path, f"{data.name}@start", start, zone) if start else offset


def _unit(path: Path, data: Any) -> float:
    unit = text_of(data.attrs.get("units", ""))
    if unit.lower() not in SECONDS:
        raise SensorError(f"{path}: {data.name} has units {unit!r}; give s, ms, us, ns or min")
    return SECONDS[unit.lower()]
