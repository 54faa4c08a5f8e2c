"""What each mode of a machine means, in words and numbers, before anything is measured: for ``ctwin check``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from models.vibration import Mode, transfer
from sensors.vibration import QUANTITY
from twin.assembly import pose_of
from twin.config import Config
from twin.vibration import AXES, exposure_s, lever

MILLI_G = 9.80665e-3  # [m/s²]


def mode_figures(config: Config) -> list[dict[str, Any]]:
    """Per mode what 1 mg rms of the base is worth in the object plane [nm rms], and how an exposure divides it.

    ``at_resonance_nm`` for a tone at the resonance, ``below_nm`` for one far below it, ``jitter_share`` of the variance
    at the resonance.
    """
    pose, out = pose_of(config), []
    for mode in config.modes:
        gain = abs(mode.participation * lever(pose, mode)) if mode.axis in AXES else 0.0
        seen = Mode(mode.frequency_hz, mode.damping, gain)
        at, below = np.abs(transfer(np.array([mode.frequency_hz, 0.0]), [seen])) * MILLI_G * 1e9
        out.append({
            "frequency_hz": mode.frequency_hz,
            "damping": mode.damping,
            "axis": mode.axis,
            "body": mode.body,
            "amplitude_nm": mode.amplitude_nm,
            "at_resonance_nm": float(at),
            "below_nm": float(below),
            "amplification": 1.0 / (2.0 * mode.damping),
            "jitter_share": float(np.sinc(mode.frequency_hz * exposure_s(config)) ** 2),
            "accelerometers": accelerometers(config, mode.axis),
        })  # fmt: skip
    return out


def accelerometers(config: Config, axis: str) -> list[str]:
    """Names of those along an axis."""
    return [c.name for c in config.channels if c.quantity == QUANTITY and c.axis == axis]


def mode_lines(config: Config) -> Iterator[str]:
    """The same in words, a line per mode; nothing without modes."""
    figures = mode_figures(config)
    if figures:
        yield f"Modes (1 mg rms of the base, seen in the object plane; exposure of a projection {exposure_s(config):g} s)"
    for one in figures:
        name = f"  {one['frequency_hz']:g} Hz, {one['axis']}, {one['body']}, damping {one['damping']:g}"
        if one["axis"] not in AXES:
            yield f"{name}: moves along the beam; no blur on the axis, not counted"
            continue
        moved = f"{_nm(one['below_nm'])} far below, {_nm(one['at_resonance_nm'])} at the resonance"
        share = one["jitter_share"]
        divided = "all of it blurs" if share < 1e-3 else f"{100 * (1 - share):.0f} % blurs, {100 * share:.0f} % jitters"
        stated = f"; {one['amplitude_nm']:g} nm stated" if one["amplitude_nm"] else ""
        seen = f"measured by {', '.join(one['accelerometers'])}" if one["accelerometers"] else "no accelerometer"
        yield f"{name}: {moved}; {divided}; {seen}{stated}"


def mode_notes(config: Config) -> Iterator[str]:
    """What is missing between modes and accelerometers."""
    silent = [m for m in config.modes if m.axis in AXES and not m.amplitude_nm and not accelerometers(config, m.axis)]
    if silent:
        which = ", ".join(f"{m.frequency_hz:g} Hz ({m.axis})" for m in silent)
        yield f"mode: no amplitude_nm is stated and no accelerometer measures along it: {which} adds nothing to the budget"
    for sensor in config.sensors:
        length = sensor.options.get("block_s", 10.0)
        if sensor.kind in ("blocks", "shaker") and 0.5 * length > config.estimator.late_s:
            yield (
                f"sensor[{sensor.name}].block_s: the middle of a block of {length:g} s is older than estimator.late_s "
                "when it comes; a running service would count it as late"
            )
    axes = {mode.axis for mode in config.modes}
    for channel in config.channels:
        if channel.quantity == QUANTITY and (channel.axis or "w") in AXES and channel.axis not in axes:
            yield (
                f"channel[{channel.name}]: no mode along {channel.axis}; its spectrum is kept, but what it does to the "
                "resolution is unknown"
            )


def _nm(value: float) -> str:
    return f"{value:.3g} nm" if value < 1e4 else f"{value * 1e-3:.3g} um"
