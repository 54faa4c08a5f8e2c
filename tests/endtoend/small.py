"""The small machine in memory, for tests that need no process."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator

from sensors.reading import Reading
from tests.endtoend.machine import config_text, readings
from twin.channels import channels_of
from twin.config import Config, validate


def small(sensor: str = 'kind = "csv"\npath = "log.csv"', **options: object) -> Config:
    """Its configuration."""
    return validate(tomllib.loads(config_text(sensor, **options)), "test")  # type: ignore[arg-type]


def admitted(config: Config, seconds: int, seed: int, **options: float) -> list[Reading]:
    """Its readings as sensors give them: SI units, σ of the channel."""
    channels = channels_of(config)
    return [channels[r.channel].admit(r.time, r.value, quality=r.quality) for r in readings(seconds, seed, **options)]


def batches(rows: list[Reading], size: int) -> Iterator[list[Reading]]:
    """Rows in batches."""
    for k in range(0, len(rows), size):
        yield rows[k : k + size]
