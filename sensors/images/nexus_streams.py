"""What a NeXus file logs beside images: monitors, and instruments whose units say what they measure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from sensors.images import nexus
from sensors.images.hdf5_file import LinkedData, open_hdf5
from sensors.images.series import NAN, Stream
from sensors.images.units import meaning_of
from sensors.images.window import MOST_FRAMES
from sensors.reading import SensorError


@dataclass(frozen=True, slots=True)
class Monitors:
    """Logs of a NeXus file.

    Attributes
    ----------
    times : sequence of float
        Of each sample [s since 1970]; ``nan`` when unknown.
    streams : sequence of Stream
        One value per sample.
    clock : str
        Where times come from; empty when there are none.
    """

    times: Sequence[float]
    streams: Sequence[Stream]
    clock: str = ""


def read_streams(path: Path, timezone: str = "UTC") -> Monitors:
    """Monitors and instruments of a NeXus file, whether it has images or not.

    Parameters
    ----------
    timezone : str
        Where a clock without zone stood, as an IANA name.

    Raises
    ------
    SensorError
        Not HDF5, no NXentry, or nothing logged per sample.
    """
    file, linked = open_hdf5(path), LinkedData(path)
    try:
        inner = nexus.entry_of(path, file)
        entry = inner.parent if nexus.text_of(inner.attrs.get("NX_class", "")) == "NXsubentry" else inner
        instruments = [group for _, group in nexus.groups(entry.get("instrument") or {})]
        lengths = Counter(
            item.size for group in instruments for item in map(group.get, group) if _is_log(item) and item.size > 1
        )
        monitors = [d for group in (inner, entry) for d in _monitors(group, linked)]
        if not lengths and not monitors:
            raise SensorError(f"{path}: logs nothing per sample; read it as a series of images")
        count = lengths.most_common(1)[0][0] if lengths else monitors[0][1].size
        streams = {name: _stream(name, data, range(count)) for name, data in monitors if data.shape == (count,)}
        for group in instruments:
            for name in group:
                data = linked.get(group, name)
                if _is_log(data) and data.shape == (count,):
                    known = meaning_of(nexus.text_of(data.attrs.get("units", "")))
                    if known is not None and name not in streams:
                        streams[name] = Stream(name, *known, tuple(data[()].astype(float).tolist()))
        times, clock = _times(path, instruments, count, timezone)
        return Monitors(times, tuple(streams.values()), clock)
    finally:
        linked.close()
        file.close()


def monitors_of(entry: Any, linked: LinkedData, count: int, seen: Sequence[int]) -> tuple[list[Stream], list[str]]:
    """Monitors of an entry at some of its frames, and a note about those whose file is not there."""
    before = set(linked.lost)
    streams = [_stream(name, data, seen) for name, data in _monitors(entry, linked) if data.shape == (count,)]
    gone = {place: name for place, name in linked.lost.items() if place not in before}
    if not gone:
        return streams, []
    names = ", ".join(place.split("/")[-2] for place in gone)
    return streams, [f"{', '.join(sorted(set(gone.values())))}: not there, so no {names}"]


def _monitors(entry: Any, linked: LinkedData) -> list[tuple[str, Any]]:
    """Data of the NXmonitor groups (older programs write NXMonitor), by the name of what they are linked to."""
    found = []
    for name, group in nexus.groups(entry):
        if nexus.text_of(group.attrs.get("NX_class", "")).lower() == "nxmonitor" and "data" in group:
            data = linked.get(group, "data")
            if _is_log(data):
                target = nexus.text_of(data.attrs.get("target", "")).rpartition("/")[2]
                found.append((name if target in ("", "data") else target, data))
    return found


def _stream(name: str, data: Any, samples: Sequence[int]) -> Stream:
    quantity, unit = meaning_of(nexus.text_of(data.attrs.get("units", ""))) or ("flux", "counts")
    values = data[()].astype(float).tolist()
    return Stream(name, quantity, unit, tuple(values[k] for k in samples))


def _is_log(item: Any) -> bool:
    return isinstance(item, h5py.Dataset) and item.ndim == 1 and item.dtype.kind in "uif" and item.size <= MOST_FRAMES


def _times(path: Path, instruments: Sequence[Any], count: int, timezone: str) -> tuple[list[float], str]:
    for group in instruments:
        try:
            times = nexus.times_of(path, group, count, timezone)
        except SensorError:
            continue
        return [float(t) for t in times], f"{group.name}/{'time' if 'time' in group else 'start_time'}"
    return [NAN] * count, ""
