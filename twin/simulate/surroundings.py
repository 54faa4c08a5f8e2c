"""Temperatures around the bars: the room's air, and masses that follow it or are warmed by the tube."""

from __future__ import annotations

import numpy as np
from scipy.signal import sawtooth

from twin.simulate.heat import Array, follow
from twin.simulate.scenario import ROOM, Door, Room, Scenario
from twin.simulate.streams import stream

CELSIUS = 273.15
AIR_EXCHANGE_S = 60.0  # how fast the air near the door takes the corridor's temperature: an assumption


def room_k(room: Room, time: Array, scan_start: float, seed: int) -> Array:
    """Temperature of the room's air [K] on an equidistant grid ``time`` [s since 1970]."""
    rng = stream(seed, "room")
    hours = (time / 3600.0) % 24.0
    value = CELSIUS + room.mean_degc + room.daily_k * np.cos(2 * np.pi * (hours - room.warmest_utc_h) / 24.0)
    # cooling is faster than warming, and no thermostat keeps time: the phase wanders by a few percent per cycle
    dt = float(time[1] - time[0])
    period = room.conditioning_min * 60.0
    wander = np.cumsum(rng.normal(0.0, 0.1 * np.sqrt(dt / period), len(time)))
    value += room.conditioning_k * sawtooth(2 * np.pi * (time - time[0]) / period + wander, width=0.7)
    walk = np.cumsum(rng.normal(0.0, room.random_walk_k_per_sqrt_h * np.sqrt(dt / 3600.0), len(time)))
    # the mean is the mean of the scan: a walk that began a day before would otherwise move it by a kelvin
    value += walk - walk[int(np.searchsorted(time, scan_start))]
    for door in room.doors:
        value += _door(door, time - scan_start)
    return np.asarray(value)


def _door(door: Door, since_scan: Array) -> Array:
    age = since_scan - door.time_h * 3600.0
    is_open = door.open_min * 60.0
    reached = -np.expm1(-is_open / AIR_EXCHANGE_S)
    opening = -np.expm1(-np.clip(age, 0.0, is_open) / AIR_EXCHANGE_S)
    closing = reached * np.exp(-np.maximum(age - is_open, 0.0) / (door.recovery_min * 60.0))
    return np.asarray(door.depth_k * np.where(age < is_open, opening, closing))


def surroundings_k(scenario: Scenario, room: Array, power_w: Array, time: Array, seed: int) -> dict[str, Array]:
    """Temperatures of the room and of every mass [K], by name.

    ``tau dT/dt = T_follows - T + R P + own`` with the tube's power P [W], the mass's R [K/W] and its own disturbance.
    """
    found = {ROOM: room}
    dt = float(time[1] - time[0])
    for mass in scenario.masses:
        rng = stream(seed, f"mass {mass.name}")
        phase = 2 * np.pi * (time - time[0]) / (mass.swing_min * 60.0) + rng.uniform(0.0, 2 * np.pi)
        walk = np.cumsum(rng.standard_normal(len(time))) * mass.random_walk_k_per_sqrt_h * np.sqrt(dt / 3600.0)
        driver = found[mass.follows] + mass.kelvin_per_watt * power_w + mass.swing_k * np.sin(phase) + walk
        found[mass.name] = follow(driver, mass.time_constant_min * 60.0, dt)
    return found
