"""Kind ``images`` is not built yet: valid in a configuration, refused in one line when it is opened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sensors.images.projections import ImagesSensor
from sensors.reading import SensorError


def test_images_say_that_they_cannot_be_read_yet(tmp_path: Path) -> None:
    sensor = ImagesSensor(ImagesSensor.Options(folder="scans"), [], tmp_path)
    with pytest.raises(SensorError, match="can't measure markers in images") as told:
        asyncio.run(sensor.open())
    assert not told.value.retry
