"""Recorded readings: files of any kind that a configured source writes, merged in the order of their times."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

from sensors import registry
from sensors.block_files import is_waveform_table
from sensors.csv_log import read_readings
from sensors.images.formats import READERS
from sensors.reading import Reading, SensorError
from sensors.sensor import Sensor, TakesReducer
from twin.channels import channels_of, sensor_channels
from twin.config import Config
from twin.sections import SensorSection
from twin.vibration import reduction_for

VENDORS = {".pcp": "waygate", ".log": "bruker", ".wav": "blocks", ".h5": "blocks", ".hdf5": "blocks"}
TABLES = (".csv", ".parquet")


def read_record(config: Config, paths: Sequence[Path], base: Path = Path()) -> Iterator[Sequence[Reading]]:
    """Batches of readings of one or several files; several are merged by time.

    A vendor's log is read as the configuration's sensor of that kind reads it (zone, sign), whatever path stands there, and
    projections, a folder or a file of any vendor, as its first sensor of kind ``images`` looks at them.

    Parameters
    ----------
    base : Path
        Folder of the configuration, where relative paths that the sensor itself names (bright images) begin.

    Raises
    ------
    SensorError
        One line with file, place and mend.
    """
    streams = [_one(config, path, base) for path in paths]
    if len(streams) == 1:
        yield from streams[0]
        return
    merged = heapq.merge(*((r for batch in stream for r in batch) for stream in streams), key=lambda r: r.time)
    chunk: list[Reading] = []
    for reading in merged:
        chunk.append(reading)
        if len(chunk) >= 4096:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _one(config: Config, path: Path, base: Path) -> Iterator[Sequence[Reading]]:
    ending = path.suffix.lower()
    if not path.exists():
        raise SensorError(f"{path}: no such file; give the readings of a run (.csv, .parquet, .pcp or .log)")
    if ending in TABLES and not (ending == ".csv" and is_waveform_table(path, _accelerometers(config))):
        yield from read_readings(path, channels_of(config))
        return
    section = _section(config, path)
    kind, channels = section.kind, sensor_channels(config, section.name)
    given = {key: value for key, value in section.options.items() if key not in ("path", "follow")}
    if kind == "images":
        given |= {"path": str(path.resolve()), "follow": False}
    else:
        given["path"], base = path.name, path.parent
    sensor = registry.make(kind, registry.options_of(kind).model_validate(given), channels, base)
    if isinstance(sensor, TakesReducer):
        sensor.reduce_with(*reduction_for(config, section.name))
    with asyncio.Runner() as runner:
        try:
            runner.run(_open(sensor, section.name, path))
            stream = sensor.readings()
            while True:
                try:
                    yield runner.run(_next(stream))
                except StopAsyncIteration:
                    return
        finally:
            runner.run(sensor.close())


def _section(config: Config, path: Path) -> SensorSection:
    """The configured sensor that says how a file is read; raises in one line where there is none."""
    ending = path.suffix.lower()
    kind = VENDORS.get(ending, "blocks" if ending == ".csv" else None)
    first = {s.kind: s for s in reversed(config.sensors)}
    if kind in first and not path.is_dir():
        return first[kind]
    if "images" in first and (path.is_dir() or path.name.lower().endswith(tuple(READERS))):
        return first["images"]
    if path.is_dir():
        raise SensorError(f"{path}: is a folder; name the files in it, or configure a sensor of kind 'images'")
    kind = kind or ("images" if path.name.lower().endswith(tuple(READERS)) else None)
    if kind is None:
        known = dict.fromkeys((*TABLES, *VENDORS, *READERS))
        raise SensorError(f"{path}: ending {ending or '(none)'} is unknown; there are {', '.join(known)}")
    raise SensorError(
        f"{path}: the configuration has no sensor of kind {kind!r} that says what its columns mean; add one"
    )


def _accelerometers(config: Config) -> set[str]:
    return {c.address or c.name for c in config.channels if c.quantity == "acceleration"}


async def _open(sensor: Sensor, name: str, path: Path) -> None:
    try:
        await sensor.open()
    except SensorError as error:
        # a fault of the configuration names no file
        raise SensorError(str(error) if str(path) in str(error) else f"sensor[{name}]: {error}") from None


async def _next(stream: object) -> Sequence[Reading]:
    batch: Sequence[Reading] = await stream.__anext__()  # type: ignore[attr-defined]
    return batch


def zone_of(config: Config, path: Path) -> str | None:
    """Zone of the clock that wrote a vendor's log: that of the configured sensor of its kind, so that both agree."""
    kinds = (VENDORS.get(path.suffix.lower()), "images")
    section = next((s for kind in kinds for s in config.sensors if s.kind == kind), None)
    return None if section is None else str(section.options.get("timezone", "UTC"))
