"""Markers as the model sees them: an unknown offset, the source, and the mount they move with."""

from __future__ import annotations

import numpy as np

from models.combination import Combination
from models.focal import random_walk
from models.geometry import ConeBeam, marker_row, wire_normal
from models.statespace import Block, Observation
from twin.bodies import Motions
from twin.config import Config
from twin.sections import ChannelSection, Marker

OFFSET_SIGMA_PX = 1e4  # where a window begins is anybody's guess


def marker_model(
    config: Config, pose: ConeBeam, marker: Marker, motions: Motions
) -> tuple[list[Block], list[Observation]]:
    """Offset and mount of a marker, and how its channels see source and mount."""
    channels = [c for c in config.channels if c.quantity == "marker_shift" and c.marker == marker.name]
    normals = [normal_of(marker, c) for c in channels]
    axes = {axis for normal in normals for axis, part in zip("uv", normal, strict=True) if abs(part) > 1e-12}
    blocks: list[Block] = []
    mounts: dict[str, Combination] = {}
    for axis in sorted(axes):
        mounts[axis] = mount = Combination()
        mount.add(motions.get(f"marker:{marker.name}.{axis}", Combination()))
        if marker.mounted_on == "object":
            mount.add(motions[f"object.{axis}"])
        walk = marker.mount_random_walk_um_per_sqrt_h * 1e-6 / 60.0
        if walk > 0:
            blocks.append(random_walk(f"marker.{marker.name}.{axis}", "m", walk))
            mount.put(f"marker.{marker.name}.{axis}")
    observations = []
    for channel, normal in zip(channels, normals, strict=True):
        offset = f"offset.{channel.name}"
        blocks.append(random_walk(offset, "px", 0.0, OFFSET_SIGMA_PX))
        seen = Combination({offset: 1.0})
        source, mount_gain, _ = marker_row(pose, marker.source_marker_mm * 1e-3, normal)
        for i, axis in enumerate("uv"):
            seen.add(motions[f"source.{axis}"], source[i])
            seen.add(mounts.get(axis, Combination()), mount_gain[i])
        # what the stage does anew in every projection is noise to the estimator, which can't follow it
        jitter = config.stage.nonrepeatable_nm * 1e-9 if marker.mounted_on == "object" else 0.0
        floor = jitter * float(np.linalg.norm(mount_gain))
        steps = tuple(s for s in (f"source.{a}.walk" for a in "uv") if s in seen.linear)
        observations.append(seen.observation(channel.name, floor, steps))
    return blocks, observations


def normal_of(marker: Marker, channel: ChannelSection) -> tuple[float, float]:
    """Direction (u, v) in which a channel measures a marker."""
    if channel.axis == "n":
        return wire_normal(marker.angle_deg)
    return (0.0, 1.0) if channel.axis == "v" else (1.0, 0.0)
