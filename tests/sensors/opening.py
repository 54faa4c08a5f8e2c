"""A sensor that must not open."""

from __future__ import annotations

import asyncio

import pytest

from sensors.reading import SensorError


def opening(sensor):
    """Its one line, and whether trying again may help."""

    async def go():
        try:
            await sensor.open()
        finally:
            await sensor.close()

    with pytest.raises(SensorError) as error:
        asyncio.run(go())
    assert "\n" not in str(error.value)
    return str(error.value), error.value.retry
