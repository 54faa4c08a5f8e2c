"""Flux of the bright field and everything it depends on."""

from __future__ import annotations

import numpy as np

from twin.config import Config
from twin.simulate.heat import Array
from twin.simulate.motion import Motion
from twin.simulate.scenario import FluxTruth, Scenario
from twin.simulate.streams import stream
from twin.simulate.tube import TubeProgramme


class FluxLaw:
    """Expected counts per pixel of a bright field at any instant.

    ``level · (1 + warm-up exp(-t/tau)) · walk · (kV/kV0)^a · (µA/µA0)^b · shuttle · tip · steps``, 0 without beam. With
    ``tip_um`` the part of the spot's wander that parts beam and needle tip costs ``exp(-|x|²/(2 tip²))`` of the flux.
    """

    def __init__(
        self, scenario: Scenario, config: Config, tube: TubeProgramme, source: Motion, scan_start: float, seed: int
    ) -> None:
        self._law = scenario.flux
        self._base = (config.source.voltage_kv, config.source.current_ua)
        self._tube = tube
        self._source = source
        self._scan_start = scan_start
        grid = source.grid
        step = self._law.random_walk_percent_per_sqrt_h / 100.0 * np.sqrt((grid[1] - grid[0]) / 3600.0)
        self._walk = np.cumsum(stream(seed, "flux walk").normal(0.0, 1.0, len(grid))) * step
        self._walk -= np.interp(scan_start, grid, self._walk)

    def at(self, time: Array, shuttle_px: Array | float = 0.0) -> Array:
        """Expected counts at instants, the detector's shuttle standing at ``shuttle_px``."""
        law, tube = self._law, self._tube
        counts = law.level_counts * (
            1.0 + law.warmup_percent / 100.0 * np.exp(-tube.age_s(time) / (law.warmup_min * 60.0))
        )
        counts = counts * np.exp(np.interp(time, self._source.grid, self._walk))
        on = tube.is_on(time)
        kilovolt = np.where(on, tube.kilovolt(time), self._base[0])
        microampere = np.where(on, tube.microampere(time), self._base[1])
        counts *= (kilovolt / self._base[0]) ** law.voltage_exponent
        counts *= (microampere / self._base[1]) ** law.current_exponent
        counts *= 1.0 + law.percent_per_shuttle_px / 100.0 * shuttle_px
        if law.tip_um is not None:
            apart = self._source.at(time).wander[:, :2] / (law.tip_um * 1e-6)
            counts *= np.exp(-0.5 * (apart**2).sum(axis=1))
        return np.asarray(np.where(on, counts * self._steps(law, time), 0.0))

    def beam_shift_m(self, time: Array) -> Array:
        """How far beam and tip have parted, along u and v, (N, 2) [m]."""
        return np.asarray(self._source.at(time).wander[:, :2])

    def _steps(self, law: FluxTruth, time: Array) -> Array:
        factor = np.ones_like(time)
        for step in law.steps:
            age = time - (self._scan_start + step.time_h * 3600.0)
            left = np.ones_like(age)
            if step.recovery_min is not None:
                left = np.exp(-np.maximum(age, 0.0) / (step.recovery_min * 60.0))
            factor = np.where(age >= 0, factor * (1.0 + (step.factor - 1.0) * left), factor)
        return factor
