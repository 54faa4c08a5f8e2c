"""Names in a configuration that must point at each other: nodes, markers, sensors, channels."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.config import Config

AMBIENT = "ambient"
VOXEL_UM = (1e-4, 1e4)  # beyond, a length is in another unit than its key says
MOST_STEPS = 1e7  # of a scan: 10 s for three years


def broken_references(config: Config) -> Iterator[str]:
    """Yield one line per name that is used but not defined, defined twice, or used against its meaning."""
    nodes = [node.name for node in config.nodes]
    markers = [marker.name for marker in config.markers]
    sensors = [sensor.name for sensor in config.sensors]
    for kind, names in (
        ("node", nodes),
        ("marker", markers),
        ("sensor", sensors),
        ("channel", [c.name for c in config.channels]),
        ("alert", [a.name for a in config.alerts]),
        ("sink", [k.name for k in config.sinks]),
    ):
        for name in sorted({n for n in names if names.count(n) > 1}):
            yield f"{kind}[{name}].name: given {names.count(name)} times; names must differ"
    yield from _thermal(config, nodes)
    for number, element in enumerate(config.elements, 1):
        yield from _known(f"element[{number}].node", element.node, nodes)
        if element.body.startswith("marker:"):
            yield from _known(f"element[{number}].body", element.body.removeprefix("marker:"), markers)
    for marker in config.markers:
        if marker.node is not None:
            yield from _known(f"marker[{marker.name}].node", marker.node, nodes)
        if marker.source_marker_mm >= config.geometry.source_detector_mm:
            yield f"marker[{marker.name}].source_marker_mm: must be smaller than geometry.source_detector_mm"
    yield from _channels(config, nodes, markers, sensors)
    yield from _derived(config)
    yield from _scans(config)
    voxel_um = config.geometry.pixel_um * config.geometry.source_object_mm / config.geometry.source_detector_mm
    if not VOXEL_UM[0] <= voxel_um <= VOXEL_UM[1]:
        yield f"geometry: these lengths make a voxel of {voxel_um:.3g} um; check their units"
    steps = config.scan.duration_h * 3600.0 / config.estimator.grid_s
    if steps > MOST_STEPS:
        yield (
            f"estimator.grid_s: {config.estimator.grid_s:g} s make {steps:.2g} steps of a scan of "
            f"{config.scan.duration_h:g} h, more than {MOST_STEPS:.0e} can't be held; take longer steps"
        )


def _thermal(config: Config, nodes: list[str]) -> Iterator[str]:
    for node in config.nodes:
        if node.name != AMBIENT and node.time_constant_min is None and node.capacity_j_per_k is None:
            yield f"node[{node.name}].time_constant_min: missing; every node but ambient needs it (or a capacity and links)"
        if node.kelvin_per_watt > 0 and node.time_constant_min is None:
            yield f"node[{node.name}].kelvin_per_watt: needs time_constant_min beside it"
    if nodes and AMBIENT not in nodes:
        yield f"node: one node must be named {AMBIENT!r} (the room)"
    capacities = {n.name: n.capacity_j_per_k is not None or n.kelvin_per_watt > 0 for n in config.nodes}
    for number, link in enumerate(config.links, 1):
        for key, end in (("a", link.a), ("b", link.b)):
            yield from _known(f"link[{number}].{key}", end, nodes)
            if end == AMBIENT:
                yield f"link[{number}].{key}: ambient can't be an end; use the node's time_constant_min"
            elif not capacities.get(end, True):
                yield f"node[{end}].capacity_j_per_k: missing; a link ends there (or give kelvin_per_watt)"


def _channels(config: Config, nodes: list[str], markers: list[str], sensors: list[str]) -> Iterator[str]:
    kinds = {marker.name: marker.kind for marker in config.markers}
    for channel in config.channels:
        key = f"channel[{channel.name}]"
        yield from _known(f"{key}.sensor", channel.sensor, sensors)
        if channel.at is not None:
            yield from _known(f"{key}.at", channel.at, nodes)
        if channel.quantity == "acceleration" and channel.axis not in ("u", "v", "w"):
            yield f"{key}.axis: an accelerometer needs the axis it measures along: u, v or w"
        if channel.quantity != "acceleration" and (channel.full_scale is not None or channel.noise_per_sqrt_hz):
            yield f"{key}: full_scale and noise_per_sqrt_hz belong to an accelerometer (quantity = 'acceleration')"
        if channel.measures is not None and channel.quantity != "displacement":
            yield f"{key}.measures: a {channel.measures} is a displacement; set quantity and unit so"
        if channel.quantity in ("marker_shift", "marker_blur"):
            if channel.marker is None or channel.axis is None:
                yield f"{key}: a {channel.quantity} needs marker and axis"
            else:
                yield from _known(f"{key}.marker", channel.marker, markers)
                kind = kinds.get(channel.marker)
                if kind is not None and ((channel.axis == "n") != (kind == "wire") or channel.axis == "w"):
                    yield f"{key}.axis: {channel.axis!r} does not fit a {kind}; a wire has n, all others u and v"


def _scans(config: Config) -> Iterator[str]:
    """Two channels that tell of scans could contradict each other."""
    for quantity in ("scan", "projection"):
        names = [c.name for c in config.channels if c.quantity == quantity]
        if len(names) > 1:
            yield f"channel[{names[1]}].quantity: {names[0]} is of quantity {quantity} already; there can be one"


def _derived(config: Config) -> Iterator[str]:
    """Names that an accelerometer's own channels have already."""
    names = {c.name for c in config.channels if c.quantity == "acceleration"}
    for channel in config.channels:
        stem = next((n for n in names if channel.name.startswith(f"{n}.")), None)
        if stem is not None:
            yield f"channel[{channel.name}].name: names that begin with {stem + '.'!r} are those of what {stem} measures"


def _known(key: str, name: str, names: Iterable[str]) -> Iterator[str]:
    known = list(names)
    if name not in known:
        match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {match[0]!r}?" if match else f"known: {', '.join(known) or 'none'}"
        yield f"{key}: {name!r} is not defined; {hint}"
