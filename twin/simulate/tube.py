"""Programme of the tube: on, voltage and current at any instant, and how long ago the spot began to warm up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twin.config import Config
from twin.simulate.heat import Array
from twin.simulate.scenario import Tube


@dataclass(frozen=True, slots=True)
class TubeProgramme:
    """Piecewise constant operation; entry 0 holds before the first event."""

    switch: Array
    on: NDArray[np.bool_]
    voltage_kv: Array
    current_ua: Array
    armed: Array

    def _now(self, time: Array) -> NDArray[np.intp]:
        return np.searchsorted(self.switch, time, side="right")

    def is_on(self, time: Array) -> NDArray[np.bool_]:
        """Whether there is beam."""
        return np.asarray(self.on[self._now(time)])

    def kilovolt(self, time: Array) -> Array:
        """Voltage [kV], 0 when off."""
        at = self._now(time)
        return np.asarray(np.where(self.on[at], self.voltage_kv[at], 0.0))

    def microampere(self, time: Array) -> Array:
        """Current [µA], 0 when off."""
        at = self._now(time)
        return np.asarray(np.where(self.on[at], self.current_ua[at], 0.0))

    def power_w(self, time: Array) -> Array:
        """Power [W]: kV times µA is mW."""
        return self.kilovolt(time) * self.microampere(time) * 1e-3

    def age_s(self, time: Array) -> Array:
        """Time since the tube was last switched on or changed [s]; infinite for one that has always run."""
        return np.asarray(time - self.armed[self._now(time)])


def programme(tube: Tube, config: Config, scan_start: float) -> TubeProgramme:
    """Programme of a scenario's tube; switching on and any change of kV or µA arms the warm-up anew."""
    base = (config.source.voltage_kv, config.source.current_ua)
    states = [(tube.on_at_start, *base)]
    armed = [-np.inf]
    events = sorted(tube.events, key=lambda event: event.time_h)
    for event in events:
        state = (event.on, event.voltage_kv or base[0], event.current_ua or base[1])
        change = event.on and state != states[-1]
        armed.append(scan_start + event.time_h * 3600.0 if change else armed[-1])
        states.append(state)
    on, kilovolt, microampere = zip(*states, strict=True)
    return TubeProgramme(
        np.array([scan_start + event.time_h * 3600.0 for event in events]),
        np.array(on),
        np.array(kilovolt, dtype=float),
        np.array(microampere, dtype=float),
        np.array(armed),
    )
