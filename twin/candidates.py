"""One more sensor: what could be added to a configured machine, each as a configuration of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from twin.config import Config
from twin.sections import ChannelSection, Marker

THERMOMETER_K, THERMOMETER_S = 0.02, 10.0  # of a new thermometer where no other one says what is usual here
SHIFT_PX = 0.1  # σ of a marker's position where no channel states one
NEAR = 1.2  # a first marker stands that much further from the source than the object
DEEPER = 2.0  # a second marker stands that much further from the source than the first


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sensor that could be added, in words, and the configuration with it."""

    words: str
    config: Config


def candidates(config: Config) -> Iterator[Candidate]:
    """Sensors that this configuration suggests.

    A thermometer on each node without one; of each wire a second one across it and, in its place, a cross that tells
    both directions; a second marker at another distance; a cross where there is no marker.
    """
    read = {c.at for c in config.channels if c.quantity == "temperature"}
    for node in config.nodes:
        if node.name not in read:
            yield Candidate(f"a thermometer on {node.name}", _with_thermometer(config, node.name))
    seen = [m for m in config.markers if any(c.marker == m.name for c in _shifts(config))]
    if not seen:
        depth = NEAR * config.geometry.source_object_mm
        cross = Marker(name=_new("cross", config), kind="cross", source_marker_mm=depth)
        yield Candidate(f"a cross at {depth:.3g} mm from the source", _with_marker(config, cross, None))
    for marker in seen:
        if marker.kind == "wire":
            across = marker.model_copy(
                update={"name": _new(f"{marker.name}-2", config), "angle_deg": marker.angle_deg - 90}
            )
            yield Candidate(f"a second wire across {marker.name}", _with_marker(config, across, marker))
            yield Candidate(f"a cross instead of {marker.name}", _crossed(config, marker))
    if seen:
        depth = min(DEEPER * seen[0].source_marker_mm, 0.5 * config.geometry.source_detector_mm)
        second = seen[0].model_copy(update={"name": _new(f"{seen[0].name}-2", config), "source_marker_mm": depth})
        yield Candidate(
            f"a second {second.kind} at {depth:.3g} mm from the source", _with_marker(config, second, seen[0])
        )


def _with_thermometer(config: Config, node: str) -> Config:
    like = next((c for c in config.channels if c.quantity == "temperature"), None)
    channel: dict[str, Any] = {
        "name": _new(f"t_{node}", config),
        "sensor": config.sensors[0].name if config.sensors else "added",
        "quantity": "temperature",
        "unit": "degC",
        "at": node,
        "sigma": like.sigma if like and like.sigma else THERMOMETER_K,
        "period_s": like.period_s if like and like.period_s else THERMOMETER_S,
    }
    return config.model_copy(update={"channels": (*config.channels, ChannelSection(**channel))})


def _with_marker(config: Config, marker: Marker, like: Marker | None) -> Config:
    """A marker more, on a mount like that of ``like``: it expands and creeps as much, but by itself."""
    pattern = next((c for c in _shifts(config) if like is not None and c.marker == like.name), None)
    axes = ("n",) if marker.kind == "wire" else ("u", "v")
    channels = tuple(_marker_channel(config, marker.name, axis, pattern) for axis in axes)
    elements = tuple(
        e.model_copy(update={"body": f"marker:{marker.name}"})
        for e in config.elements
        if like is not None and e.body == f"marker:{like.name}"
    )
    return config.model_copy(
        update={
            "markers": (*config.markers, marker),
            "channels": (*config.channels, *channels),
            "elements": (*config.elements, *elements),
        }
    )


def _crossed(config: Config, marker: Marker) -> Config:
    """A cross in the place of a wire, on the same mount."""
    pattern = next(c for c in _shifts(config) if c.marker == marker.name)
    others = tuple(c for c in config.channels if c.marker != marker.name)
    cross = marker.model_copy(update={"kind": "cross"})
    return config.model_copy(
        update={
            "markers": tuple(cross if m.name == marker.name else m for m in config.markers),
            "channels": (*others, *(_marker_channel(config, marker.name, axis, pattern) for axis in ("u", "v"))),
        }
    )


def _shifts(config: Config) -> list[ChannelSection]:
    return [c for c in config.channels if c.quantity == "marker_shift"]


def _marker_channel(config: Config, marker: str, axis: str, pattern: ChannelSection | None) -> ChannelSection:
    words: dict[str, Any] = {
        "name": _new(f"{marker}_{axis}", config),
        "sensor": pattern.sensor if pattern else (config.sensors[0].name if config.sensors else "added"),
        "quantity": "marker_shift",
        "unit": "px",
        "marker": marker,
        "axis": axis,
        "sigma": pattern.sigma if pattern and pattern.sigma else SHIFT_PX,
        "period_s": pattern.period_s if pattern else None,
    }
    return ChannelSection(**words)


def _new(name: str, config: Config) -> str:
    taken = {c.name for c in config.channels} | {m.name for m in config.markers}
    while name in taken:
        name += "x"
    return name
