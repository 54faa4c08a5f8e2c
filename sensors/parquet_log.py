"""The long table of readings as Parquet: columns ``time, channel, value[, sigma][, quality]``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sensors.channel import Channel
from sensors.reading import Reading, SensorError
from sensors.rows import OPTIONAL, RowError, Rows, checked_sigma, columns_of, quality_of, seconds

_TYPES = {
    "time": "a timestamp with zone, POSIX seconds or ISO text",
    "channel": "text",
    "value": "a number",
    "sigma": "a number",
    "quality": "text",
}


def read_parquet(path: Path, channels: Mapping[str, Channel], chunk: int) -> Iterator[list[Reading]]:
    """Stream the readings of a Parquet file; faults as :func:`sensors.csv_log.read_readings` tells them."""
    try:
        with pq.ParquetFile(path) as file:
            columns = columns_of(file.schema_arrow.names, str(path))
            for name in columns:
                _check_type(path, name, file.schema_arrow.field(file.schema_arrow.names[columns[name]]).type)
            rows = Rows(columns, channels)
            first = 1
            for batch in file.iter_batches(batch_size=chunk):
                yield [_reading(path, rows, first + k, row) for k, row in enumerate(_rows(batch, columns))]
                first += batch.num_rows
    except PermissionError:
        raise SensorError(f"{path}: can't be read: Permission denied; check who may read it") from None
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise SensorError(f"{path}: not a whole Parquet file ({reason}); write it again, or name text .csv") from None


def _check_type(path: Path, name: str, kind: Any) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
    if name == "time" and pa.types.is_timestamp(kind) and kind.tz is None:
        raise SensorError(f"{path}, column 'time': timestamps have no zone; localise them, for instance to UTC")
    good = text if name in ("channel", "quality") else number or pa.types.is_null(kind)
    if name == "time":
        good = text or number or pa.types.is_timestamp(kind)
    if not good and not (name == "quality" and pa.types.is_null(kind)):
        raise SensorError(f"{path}, column {name!r}: holds {kind}; it must be {_TYPES[name]}")


def _rows(batch: Any, columns: Mapping[str, int]) -> Iterator[tuple[Any, ...]]:
    parts: dict[str, Iterable[Any]] = {name: itertools.repeat(None) for name in OPTIONAL}
    for name, index in columns.items():
        column = batch.column(index)
        if name == "time" and pa.types.is_timestamp(column.type):
            # whole and fractional seconds apart: nanoseconds since 1970 don't fit a float
            per_s = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
            ticks = column.cast(pa.int64()).to_pylist()
            parts[name] = [None if t is None else t // per_s + (t % per_s) / per_s for t in ticks]
        else:
            parts[name] = column.to_pylist()
    return zip(parts["time"], parts["channel"], parts["value"], parts["sigma"], parts["quality"], strict=False)


def _reading(path: Path, rows: Rows, number: int, row: tuple[Any, ...]) -> Reading:
    time, name, value, sigma, quality = row
    try:
        channel = rows.channel(name or "")
        return channel.admit(
            seconds(time),
            math.nan if value is None else float(value),
            math.nan if sigma is None else checked_sigma(float(sigma)),
            quality_of(quality or ""),
        )
    except RowError as fault:
        raise SensorError(f"{path}, row {number}, {fault}") from None
    except ValueError as error:
        raise SensorError(f"{path}, row {number}, column 'time': {error}") from None


def write_parquet(path: Path, rows: Iterable[tuple[float, str, float, float, str]]) -> int:
    """Write rows of time, channel, value, σ and quality; returns their number."""
    schema = pa.schema(
        [
            ("time", pa.float64()),
            ("channel", pa.string()),
            ("value", pa.float64()),
            ("sigma", pa.float64()),
            ("quality", pa.string()),
        ],
        metadata={"ctwin": "readings 1"},
    )
    count = 0
    iterator = iter(rows)
    with pq.ParquetWriter(path, schema) as writer:
        while part := list(itertools.islice(iterator, 65536)):
            columns = zip(zip(*part, strict=True), schema, strict=True)
            writer.write_table(pa.table([pa.array(column, kind.type) for column, kind in columns], schema=schema))
            count += len(part)
    return count
