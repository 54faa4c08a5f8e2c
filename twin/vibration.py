"""The machine's modes as accelerometers need them, and what their readings mean for markers and for the resolution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.geometry import ConeBeam, marker_row
from models.vibration import Mode
from sensors.channel import Channel
from sensors.reading import Reading
from sensors.vibration import OBJECT_PLANE, QUANTITY, Reducer, Reduction, Sight, band_hz
from twin.assembly import pose_of
from twin.config import Config
from twin.markers import normal_of
from twin.sections import Mode as ModeSection

SHOWN = {"rms_um_per_s2": "", "base_nm": ".base", "blur_nm": ".blur", "jitter_nm": ".jitter"}
SHOWN_SCALE = {"rms_um_per_s2": 1e6, "base_nm": 1e9, "blur_nm": 1e9, "jitter_nm": 1e9}
AXES = "uv"  # motion along w changes the magnification, and blurs off the axis only


def exposure_s(config: Config) -> float:
    """Exposure of a projection, all its frames together [s]; pauses between frames are not counted."""
    return config.scan.exposure_s * config.scan.frames


def lever(pose: ConeBeam, mode: ModeSection) -> float:
    """What the motion of a mode's body is worth in the object plane: object 1, source -(M-1)/M, detector -1/M."""
    bodies = {name: np.zeros(3) for name in ("source", "object", "detector")}
    bodies[mode.body][0] = 1.0
    return float(pose.object_plane_m(pose.content_shift_px(*bodies.values()))[0])


def sights(config: Config, axis: str) -> tuple[Sight, ...]:
    """Where the modes along an axis are looked at: the object plane, and every marker channel that sees them."""
    pose, modes = pose_of(config), [mode for mode in config.modes if mode.axis == axis]
    if not modes or axis not in AXES:
        return ()
    plane = tuple(_mode(mode, lever(pose, mode)) for mode in modes)
    out = [Sight(OBJECT_PLANE, plane)]
    markers = {marker.name: marker for marker in config.markers}
    for channel in config.channels:
        if channel.quantity != "marker_shift" or channel.marker is None:
            continue
        marker = markers[channel.marker]
        source, mount, detector = marker_row(pose, marker.source_marker_mm * 1e-3, normal_of(marker, channel))
        gain = {
            "source": source,
            "object": mount if marker.mounted_on == "object" else 0.0 * mount,
            "detector": detector,
        }
        seen = tuple(_mode(mode, float(gain[mode.body][AXES.index(axis)])) for mode in modes)
        if any(mode.gain for mode in seen):
            out.append(Sight(channel.name, seen))
    return tuple(out)


def _mode(mode: ModeSection, gain: float) -> Mode:
    return Mode(mode.frequency_hz, mode.damping, mode.participation * gain)


def reducer_of(config: Config) -> Reducer:
    """How the blocks of every accelerometer of a machine become readings."""
    given = config.vibration
    return Reducer({
        c.name: Reduction(
            c.noun, sights(config, c.axis or ""), exposure_s(config), given.low_hz, given.spectrum_every_s
        )
        for c in config.channels
        if c.quantity == QUANTITY
    })  # fmt: skip


def powers_of(config: Config) -> frozenset[str]:
    """Channels whose readings are rms values: several within a step of the grid are averaged as powers."""
    reducer = reducer_of(config)
    return frozenset((*reducer.reductions, *(channel.name for channel in reducer.channels)))


def vibration_state(config: Config, latest: Mapping[str, Reading]) -> list[dict[str, Any]]:
    """What each accelerometer said last, with its spectrum in third-octave bands, for the page."""
    out = []
    for c in config.channels:
        if c.quantity != QUANTITY:
            continue
        found = {name: latest.get(f"{c.name}{tail}") for name, tail in SHOWN.items()}
        bands = [r for name, r in sorted(latest.items()) if name.startswith(f"{c.name}.band.")]
        newest = max((r.time for r in bands), default=0.0)
        bands = [r for r in bands if r.time == newest]
        out.append({
            "channel": c.name,
            "axis": c.axis,
            **{n: None if r is None or not math.isfinite(r.value) else r.value * SHOWN_SCALE[n] for n, r in found.items()},
            "spectrum": {
                "time_s": newest if bands else None,
                "frequency_hz": [band_hz(r.channel) for r in bands],
                "rms_um_per_s2": [r.value * 1e6 for r in bands],
            },
        })  # fmt: skip
    return out


def reduction_for(config: Config, sensor: str) -> tuple[Reducer, tuple[Channel, ...]]:
    """What a source of waveforms is given: the reduction of its blocks, and the channels that come out."""
    reducer = reducer_of(config)
    return reducer, tuple(channel for channel in reducer.channels if channel.sensor == sensor)
