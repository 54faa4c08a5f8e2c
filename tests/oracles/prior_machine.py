"""A machine drawn from what its configuration states, without a line of models/: courses and readings.

Heat by a matrix exponential on a fine grid, drift by its textbook definition, markers by similar triangles. What a
configuration says about steps, flux and turning parts is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from sensors.reading import Reading
from twin.config import Config

DT = 60.0  # fine grid [s]
STOOD_H = 60.0
EXPANSION = {"aluminium": 23e-6, "stainless-304": 17e-6, "invar": 1.2e-6, "granite": 6.5e-6}


@dataclass(frozen=True)
class Course:
    """One machine's course from switching on: time [s], displacements by body (T, 3) [m], nodes [K above 20 °C]."""

    time: np.ndarray
    moved: dict[str, np.ndarray]
    warm: dict[str, np.ndarray]

    def at(self, time: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values at other instants."""
        columns = np.atleast_2d(values.T)
        return np.stack([np.interp(time, self.time, c) for c in columns], axis=-1)


def course(config: Config, hours: float, rng: np.random.Generator, tilts: np.ndarray | None = None) -> Course:
    """Draw a machine that has stood off and is switched on at time 0.

    ``tilts`` (elements, 4): standard normal numbers for the sensitivity and direction of each element, to be drawn evenly
    over many machines (Latin hypercube).
    """
    time = np.arange(0.0, hours * 3600.0 + DT, DT)
    warm = _heat(config, len(time), rng)
    moved = {"source": np.zeros((len(time), 3)), "object": np.zeros((len(time), 3))}
    for body in ("source", "object"):
        drift = getattr(config.drift, body)
        moved[body] += _walk(rng, len(time), drift.random_walk_um_per_sqrt_h)
        taus = np.exp(np.linspace(np.log(drift.warmup_min[0]), np.log(drift.warmup_min[1]), 6)) * 60.0
        for axis in range(3):
            size = drift.warmup_um[axis] * 1e-6 / np.sqrt(6.0)
            for tau in taus:
                moved[body][:, axis] += size * rng.standard_normal() * np.exp(-time / tau)
    for marker in config.markers:
        if marker.mounted_on == "base":
            moved[f"marker:{marker.name}"] = _walk(rng, len(time), [marker.mount_random_walk_um_per_sqrt_h] * 3)
    tilts = rng.standard_normal((len(config.elements), 4)) if tilts is None else tilts
    for element, tilt in zip(config.elements, tilts, strict=True):
        alpha = EXPANSION[element.material] if element.material else element.expansion_per_k
        scale = 1.0 + element.sensitivity_sigma * tilt[0]
        direction = np.array(element.direction) * scale + element.direction_sigma * tilt[1:]
        growth = alpha * element.length_mm * 1e-3 * warm[element.node]
        if element.body in moved:
            moved[element.body] += np.outer(growth, direction)
    for marker in config.markers:
        if marker.mounted_on == "object":
            moved[f"marker:{marker.name}"] = moved["object"] + _walk(
                rng, len(time), [marker.mount_random_walk_um_per_sqrt_h] * 3
            )
    return Course(time, moved, warm)


def readings(
    config: Config, course: Course, begin_s: float, times: np.ndarray, rng: np.random.Generator
) -> list[Reading]:
    """Readings of thermometers from switching on and of markers in projections at ``times`` (seconds after it)."""
    found = []
    g = config.geometry
    for channel in config.channels:
        if channel.quantity == "temperature":
            at = np.arange(0.0, times[-1] + 1.0, channel.period_s)
            felt = course.warm[channel.at]
            if channel.lag_s:
                felt = _lagged(felt, channel.lag_s)
            value = np.interp(at, course.time, felt) + 293.15
        elif channel.quantity == "marker_shift":
            at = times
            marker = next(m for m in config.markers if m.name == channel.marker)
            scale = g.source_detector_mm / marker.source_marker_mm
            angle = np.deg2rad(marker.angle_deg)
            normal = {"u": [1.0, 0.0], "v": [0.0, 1.0], "n": [np.sin(angle), -np.cos(angle)]}[channel.axis]
            source, mount = (course.at(times, course.moved[b])[:, :2] for b in ("source", f"marker:{marker.name}"))
            value = ((mount * scale - source * (scale - 1.0)) @ normal) / (g.pixel_um * 1e-6) + rng.uniform(100, 900)
        elif channel.quantity in ("voltage", "current"):  # known exactly; they also say since when the tube is on
            at = np.arange(0.0, times[-1] + 1.0, channel.period_s)
            nominal = {"voltage": config.source.voltage_kv * 1e3, "current": config.source.current_ua * 1e-6}
            found += [Reading(channel.name, begin_s + t, nominal[channel.quantity]) for t in at.tolist()]
            continue
        else:
            continue
        value = value + channel.sigma * rng.standard_normal(len(at))
        found += [
            Reading(channel.name, begin_s + t, v, channel.sigma)
            for t, v in zip(at.tolist(), value.tolist(), strict=True)
        ]
    return sorted(found, key=lambda r: r.time)


def _walk(rng: np.random.Generator, count: int, um_per_sqrt_h: object) -> np.ndarray:
    steps = rng.standard_normal((count, 3)) * np.array(um_per_sqrt_h) * 1e-6 * np.sqrt(DT / 3600.0)
    steps[0] = 0.0
    return np.cumsum(steps, axis=0)


def _lagged(felt: np.ndarray, lag: float) -> np.ndarray:
    """First-order lag of a course that is linear between the points of the fine grid."""
    out = np.empty_like(felt)
    out[0] = felt[0]
    a = np.exp(-DT / lag)
    for k in range(1, len(felt)):
        slope = (felt[k] - felt[k - 1]) / DT
        out[k] = felt[k] - slope * lag + (out[k - 1] - felt[k - 1] + slope * lag) * a
    return out


def _heat(config: Config, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    names = [n.name for n in config.nodes]
    if not names:
        return {}
    size, room = len(names), names.index("ambient")
    rate, gain = np.zeros((size + 2, size + 2)), np.zeros(size + 2)
    capacity = {
        n.name: n.capacity_j_per_k or (n.time_constant_min * 60.0 / n.kelvin_per_watt if n.kelvin_per_watt else None)
        for n in config.nodes
    }
    for i, node in enumerate(config.nodes):
        if node.time_constant_min:
            rate[i, i] -= 1.0 / (node.time_constant_min * 60.0)
            rate[i, room] += 1.0 / (node.time_constant_min * 60.0)
        if node.kelvin_per_watt:
            gain[i] = 1.0 / capacity[node.name]
    for link in config.links:
        for a, b in ((link.a, link.b), (link.b, link.a)):
            part = link.conductance_w_per_k / capacity[a]
            rate[names.index(a), names.index(a)] -= part
            rate[names.index(a), names.index(b)] += part
    omega = 2.0 * np.pi / 86400.0
    rate[size, size + 1], rate[size + 1, size], rate[room, size + 1] = -omega, omega, -omega
    keep = expm(rate * DT)
    watts = config.source.voltage_kv * config.source.current_ua * 1e-3
    driven = expm(np.block([[rate, (gain * watts)[:, None]], [np.zeros((1, size + 3))]]) * DT)[:-1, -1]
    shake = np.array([n.random_walk_k_per_sqrt_h for n in config.nodes] + [0.0, 0.0]) * np.sqrt(DT / 3600.0)
    state = np.zeros(size + 2)
    state[:size] = (config.nodes[room].initial_sigma_k or 3.0) * rng.standard_normal()
    state[size:] = config.nodes[room].daily_k / np.sqrt(2.0) * rng.standard_normal(2)
    before = round(STOOD_H * 3600.0 / DT)
    noise = rng.standard_normal((before + count, size + 2)) * shake
    out = np.empty((count, size))
    for k in range(before + count):
        if k >= before:
            out[k - before] = state[:size]
        state = keep @ state + noise[k] + (driven if k >= before else 0.0)
    return {name: out[:, i] for i, name in enumerate(names)}
