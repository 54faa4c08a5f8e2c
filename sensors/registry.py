"""Kinds of sensor by name; outsiders add theirs through the entry point group ``ctwin.sensors``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from sensors.channel import Channel
from sensors.sensor import Sensor

# kind -> module:class. A class has a nested pydantic model ``Options`` (its keys in the configuration)
# and is called with (options, channels, base) where base is the folder that relative paths start from.
KINDS = {
    "csv": "sensors.csv_log:CsvSensor",
    "waygate": "sensors.vendor.waygate:WaygateSensor",
    "bruker": "sensors.vendor.bruker:BrukerSensor",
    "images": "sensors.images.projections:ImagesSensor",
    "mqtt": "sensors.mqtt:MqttSensor",
    "epics": "sensors.epics:EpicsSensor",
    "blocks": "sensors.block_folder:BlocksSensor",
    "shaker": "sensors.shaker:ShakerSensor",
    "simulated": "sensors.simulated:SimulatedSensor",
}


def kinds() -> tuple[str, ...]:
    """Names of all kinds, shipped and installed."""
    return tuple(sorted({*KINDS, *(point.name for point in entry_points(group="ctwin.sensors"))}))


def sensor_class(kind: str) -> Any:
    """Class that implements a kind; raises KeyError for an unknown one."""
    if kind in KINDS:
        module, name = KINDS[kind].split(":")
        return getattr(import_module(module), name)
    for point in entry_points(group="ctwin.sensors"):
        if point.name == kind:
            return point.load()
    raise KeyError(kind)


def options_of(kind: str) -> type[BaseModel]:
    """Typed options of a kind, for validating a configuration."""
    return cast("type[BaseModel]", sensor_class(kind).Options)


def make(kind: str, options: BaseModel, channels: Sequence[Channel], base: Path) -> Sensor:
    """Build a sensor of a kind."""
    factory = cast("Callable[[BaseModel, Sequence[Channel], Path], Sensor]", sensor_class(kind))
    return factory(options, channels, base)
