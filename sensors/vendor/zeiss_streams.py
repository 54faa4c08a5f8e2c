"""What a Zeiss ``.txrm`` tells of every image beside the image itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.images.series import NAN, Stream
from sensors.images.units import meaning_of
from sensors.vendor.compound_file import CompoundFile

NO_TEMPERATURE = 99999.0
_SHIFTS = ("Alignment", "AMC/Alignment")
# float32 per image
_PER_IMAGE = (
    ("ImageInfo", "XrayVoltage", "voltage", "kV"),
    ("ImageInfo", "XrayCurrent", "current", "uA"),
    ("ImageInfo", "IonChamberCurrent", "flux", "counts"),
    ("ImageInfo", "CameraTemperature", "temperature", "degC"),
)
# one number for the scan
_SET = (("Voltage", "voltage", "kV"), ("Current", "current", "uA"))


def streams_of(file: CompoundFile, announced: int, count: int) -> tuple[list[Stream], list[str]]:
    """Streams for the first ``count`` of ``announced`` images, and what is odd.

    - ``X-Shifts``, ``Y-Shifts`` and every other stream of shifts of ``Alignment`` (Metrology, Temperature, SourceDrift,
      AMCDrift, Encoder, Stage, Dither, Spot, runout): marker_shift [px]. In ``AMC/Alignment`` they are doubles.
    - ``Temperatures`` of ``TemperatureInfo``, one stream per sensor, and the camera's ``Temperature`` [°C]; 99999 is none.
    - Tube and ion chamber; an axis per stage, as the file names it, where its unit is known.

    A stream of nothing but zeros is given, too: the vendor's "no shift".
    """
    streams: list[Stream] = []
    notes: list[str] = []
    for folder in _SHIFTS:
        kind = "<f8" if folder.startswith("AMC") else "<f4"
        for name in sorted(file.names(folder)):
            values = file.numbers(f"{folder}/{name}", kind)
            if len(values) == announced and _is_shift(name):
                streams.append(
                    _stream(name if folder == "Alignment" else f"AMC {name}", "marker_shift", "px", values, count)
                )
    for folder, name, quantity, unit in _PER_IMAGE:
        values = file.numbers(f"{folder}/{name}", "<f4")
        if len(values) == announced:
            streams.append(_stream(name, quantity, unit, values, count))
    for name, quantity, unit in _SET:
        value = _number(file, f"ImageInfo/{name}")
        if value:
            streams.append(Stream(name, quantity, unit, (value,) * count))
    streams += [*_temperatures(file, announced, count, notes), *_axes(file, announced, count)]
    return streams, notes


def applied(file: CompoundFile) -> list[str]:
    """A note with the flags ``…Applied`` that are set, and one with those that are not."""
    flags: dict[bool, list[str]] = {True: [], False: []}
    for name in sorted(file.names("Alignment")):
        value = file.numbers(f"Alignment/{name}", "<i4")
        if name.endswith("Applied") and value.size == 1:
            flags[bool(value[0])].append(name)
    said = {True: "set (part of X-Shifts and Y-Shifts)", False: "not set"}
    return [f"{file.path.name}: {', '.join(names)}: {said[on]}" for on, names in flags.items() if names]


def _is_shift(name: str) -> bool:
    return ("Shift" in name or "Runout" in name) and not name.endswith("Applied")


def _temperatures(file: CompoundFile, announced: int, count: int, notes: list[str]) -> Iterator[Stream]:
    values = file.numbers("TemperatureInfo/Temperatures", "<f4").astype(float)
    sensors = len(values) // announced
    if sensors and len(values) == sensors * announced:
        names = _words(file, "TemperatureInfo/AxisNames", sensors)
        for k, column in enumerate(values.reshape(announced, sensors).T):
            yield _stream(
                names[k] or f"Temperatures {k + 1}", "temperature", "degC", _told(column, notes, file, names[k]), count
            )
    camera = file.numbers("ImageInfo/Temperature", "<i4").astype(float)
    if camera.size:
        value = _told(camera[:1], notes, file, "ImageInfo/Temperature")
        yield Stream("Temperature", "temperature", "degC", (float(value[0]),) * count)


def _told(values: NDArray[np.float64], notes: list[str], file: CompoundFile, name: str) -> NDArray[np.float64]:
    """Temperatures with ``nan`` where the file says that there is none."""
    none = values == NO_TEMPERATURE
    if none.any():
        which = f"{name or 'Temperatures'}: 99999 is no temperature"
        notes.append(f"{file.path.name}: {which}{'' if none.all() else f' ({int(none.sum())} times)'}")
    return np.where(none, NAN, values)


def _axes(file: CompoundFile, announced: int, count: int) -> Iterator[Stream]:
    total = file.numbers("PositionInfo/TotalAxis", "<i4")
    axes = int(total[0]) if total.size else 0
    values = file.numbers("PositionInfo/MotorPositions", "<f4")
    if axes <= 0 or len(values) != axes * announced:
        return
    names, units = (_words(file, f"PositionInfo/{name}", axes) for name in ("AxisNames", "AxisUnits"))
    for name, unit, column in zip(names, units, values.reshape(announced, axes).T, strict=True):
        known = meaning_of(unit)
        if known is not None and name:
            yield _stream(name, *known, column, count)


def _words(file: CompoundFile, name: str, count: int) -> list[str]:
    """Names in fields of equal length, ended by zeros."""
    data = file.text(name)
    stride = len(data) // count
    return [data[k * stride : (k + 1) * stride].split(b"\0")[0].decode("latin-1").strip() for k in range(count)]


def _number(file: CompoundFile, name: str) -> float:
    """A number that older files write as int32, newer ones as float32; 0 where there is none."""
    whole, real = file.numbers(name, "<i4"), file.numbers(name, "<f4")
    if not whole.size:
        return 0.0
    return float(whole[0]) if 0 <= whole[0] < 1 << 20 else float(real[0]) if np.isfinite(real[0]) else 0.0


def _stream(name: str, quantity: str, unit: str, values: NDArray[np.floating[Any]], count: int) -> Stream:
    return Stream(name, quantity, unit, tuple(float(value) for value in values[:count]))
