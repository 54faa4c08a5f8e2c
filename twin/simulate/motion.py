"""How the bodies really move: expansion of their bars, walks, wander, warm-up of the spot, creep and jumps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from twin.config import Config
from twin.simulate.heat import Array, Conduction, expansion_m
from twin.simulate.scenario import Bar, Contact, Jump, Scenario, Walk
from twin.simulate.streams import stream
from twin.simulate.tube import TubeProgramme

MICRO = 1e-6


@dataclass(frozen=True, slots=True)
class Parts:
    """Displacement of one body, (N, 3) [m], taken apart by what somebody who knows the parameters could know.

    Attributes
    ----------
    known : expansion, warm-up and creep: follow from temperatures and parameters.
    jumps : jumps of the spot.
    walk : random walk, zero where the lead-in begins.
    wander : Ornstein-Uhlenbeck process, stationary.
    """

    known: Array
    jumps: Array
    walk: Array
    wander: Array

    @property
    def total(self) -> Array:
        """Displacement [m]."""
        return self.known + self.jumps + self.walk + self.wander


@dataclass(frozen=True, slots=True)
class Motion:
    """Motion of one body on the simulation's grid; what is not smooth is evaluated where it is asked for."""

    grid: Array
    thermal: Array
    walk: Array
    wander: Array
    law: Walk
    jumps: tuple[Jump, ...]
    begin: float
    scan_start: float
    tube: TubeProgramme

    def at(self, time: Array) -> Parts:
        """Displacement at any instants."""
        warm = np.exp(-self.tube.age_s(time) / (self.law.warmup_min * 60.0))
        creep = np.log1p(np.maximum(time - self.begin, 0.0) / (self.law.creep_min * 60.0))
        known = (
            _between(self.grid, self.thermal, time)
            + np.outer(warm, self.law.warmup_um) * MICRO
            + np.outer(creep, self.law.creep_um) * MICRO
        )
        jumped = np.zeros_like(known)
        for jump in self.jumps:
            jumped[time >= self.scan_start + jump.time_h * 3600.0] += np.array(jump.source_um) * MICRO
        return Parts(known, jumped, _between(self.grid, self.walk, time), _between(self.grid, self.wander, time))


def _between(grid: Array, values: Array, time: Array) -> Array:
    return np.stack([np.interp(time, grid, column) for column in values.T], axis=-1)


def bodies(config: Config) -> tuple[str, ...]:
    """Everything that moves by itself: source, object, detector, and the mounts of markers that don't ride on it."""
    mounts = tuple(f"marker:{m.name}" for m in config.markers if m.mounted_on == "base")
    return ("source", "object", "detector", *mounts)


def bar_cells(bar: Bar, surroundings: Mapping[str, Array], dt: float) -> Array:
    """Temperatures along a bar over time, (K, cells) [K]."""
    contacts = (bar.foot, bar.head, bar.side)
    still = np.zeros_like(next(iter(surroundings.values())))
    around = np.stack([still if c is None else surroundings[c.to] for c in contacts], axis=-1)
    foot_s, head_s, side_s = (_seconds(c) for c in contacts)
    conduction = Conduction(bar.length_mm * 1e-3, bar.diffusivity_m2_per_s, bar.cells, foot_s, head_s, side_s)
    return conduction.run(around, dt)


def _seconds(contact: Contact | None) -> float | None:
    return None if contact is None else contact.film_min * 60.0


def motions(
    config: Config,
    scenario: Scenario,
    cells: Mapping[str, Array],
    reference_k: float,
    grid: Array,
    span: tuple[float, float],
    tube: TubeProgramme,
    seed: int,
) -> dict[str, Motion]:
    """Motion of every body; ``cells`` holds each bar's temperatures, ``span`` = (begin of lead-in, start of scan)."""
    begin, scan_start = span
    found: dict[str, Motion] = {}
    for body in bodies(config):
        thermal = np.zeros((len(grid), 3))
        for bar in scenario.bars:
            if bar.body == body:
                grown = expansion_m(cells[bar.name], bar.expansion_per_k, bar.length_mm * 1e-3, reference_k)
                thermal += np.outer(grown, bar.direction)
        law = scenario.walk(body)
        walk, wander = _chance(law, grid, begin, seed, body)
        jumps = scenario.jumps if body == "source" else ()
        found[body] = Motion(grid, thermal, walk, wander, law, jumps, begin, scan_start, tube)
    return found


def _chance(law: Walk, grid: Array, begin: float, seed: int, body: str) -> tuple[Array, Array]:
    """Random walk (zero until ``begin``) and Ornstein-Uhlenbeck process on the grid, (K, 3) each [m]."""
    dt = float(grid[1] - grid[0])
    steps = stream(seed, f"{body} walk").standard_normal((len(grid), 3))
    steps[grid <= begin] = 0.0
    walk = np.cumsum(steps, axis=0) * (np.array(law.random_walk_um_per_sqrt_h) * MICRO * np.sqrt(dt / 3600.0))
    shocks = stream(seed, f"{body} wander").standard_normal((len(grid), 3))
    decay = float(np.exp(-dt / (law.wander_min * 60.0)))
    shocks[1:] *= np.sqrt(1.0 - decay**2)
    wander = lfilter([1.0], [1.0, -decay], shocks, axis=0) * (np.array(law.wander_um) * MICRO)
    return walk, np.asarray(wander)
