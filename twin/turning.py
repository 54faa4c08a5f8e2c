"""The stage's angle: from a scan's own angles or a channel, averaged over each step; and outputs at a projection's angle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.statespace import Observation, StateSpace
from models.turning import SAMPLE, blurring, is_angle, of_angle
from twin.config import Config
from twin.scan import Scan
from twin.sections import ChannelSection


def stage_angles(config: Config) -> tuple[ChannelSection, ...]:
    """Channels that tell the stage's angle; one with a ``marker`` tells the direction of that."""
    return tuple(c for c in config.channels if c.quantity == "angle" and c.marker is None)


class ScanAngles:
    """Angle covariates of grid steps from the angles of a scan's projections.

    Readings of a step are averaged, and so is what the angle multiplies: a step takes the mean of cos kθ over its own
    projections, which for states that hardly change within a step is exactly what the mean of their readings saw. A step
    without a projection takes the angle in between, turning the short way.
    """

    def __init__(self, scan: Scan, grid_s: float) -> None:
        frames = scan.only("projection", "reference")
        self._time, self._grid = frames.time, grid_s
        self._angle = np.deg2rad(frames.angle_deg)
        self._unwrapped = np.unwrap(self._angle)

    def covariates(self, names: Sequence[str], time: float) -> Array | None:
        """Values for the step at ``time``; None outside the scan."""
        first = int(np.searchsorted(self._time, time - 0.5 * self._grid, side="left"))
        last = int(np.searchsorted(self._time, time + 0.5 * self._grid, side="left"))
        if last > first:
            return np.asarray(of_angle(names, self._angle[first:last]).mean(axis=0))
        if len(self._time) == 0 or not self._time[0] <= time <= self._time[-1]:
            return None
        return of_angle(names, np.array(np.interp(time, self._time, self._unwrapped)))


@dataclass(frozen=True)
class Turned:
    """Outputs taken apart into what doesn't know the angle and the states that the angle multiplies.

    Attributes
    ----------
    wanted : tuple of Observation
        The outputs without their angle terms, then each turning state, and what is wanted besides, as an output of its own.
    count : int
        Number of outputs.
    terms : tuple of (output, turning state, covariate, coefficient)
        By index, and the covariate by its name; an empty name stands for 1.
    """

    wanted: tuple[Observation, ...]
    count: int
    terms: tuple[tuple[int, int, str, float], ...]

    @classmethod
    def of(cls, outputs: Sequence[Observation], also: Sequence[str] = ()) -> Turned:
        """Take outputs apart; ``also`` names states that are wanted besides and that no angle multiplies."""
        turning = [s for o in outputs for s, name, _ in o.covariates if is_angle(name)]
        states = list(dict.fromkeys([*turning, *also]))
        plain = [
            Observation(
                o.channel, o.linear, o.products, tuple(t for t in o.covariates if not is_angle(t[1])), o.constant
            )
            for o in outputs
        ]
        terms = tuple(
            (k, states.index(state), name, weight)
            for k, o in enumerate(outputs)
            for state, name, weight in o.covariates
            if is_angle(name)
        )
        return cls((*plain, *(Observation(s, ((s, 1.0),)) for s in states)), len(outputs), terms)

    @property
    def states(self) -> tuple[str, ...]:
        """The states wanted as such, in their order."""
        return tuple(o.channel for o in self.wanted[self.count :])

    def weights(self, angle_rad: Array) -> Array:
        """Matrix (N, outputs, wanted) that puts the outputs together again at N angles."""
        out = np.zeros((len(angle_rad), self.count, len(self.wanted)))
        out[:, range(self.count), range(self.count)] = 1.0
        names = list(dict.fromkeys(name for _, _, name, _ in self.terms if name))
        values = of_angle(names, angle_rad)
        for k, state, name, weight in self.terms:
            out[:, k, self.count + state] += weight * (values[:, names.index(name)] if name else 1.0)
        return out

    def only_blur(self) -> Turned:
        """The same without what only says where the sample sits.

        What is fixed to the sample is seen from the sample, as if the stage stood at angle 0; of the stage's own errors
        the first harmonic along u is left out (``models.turning.stage_errors``).
        """
        kept = []
        for k, state, name, weight in self.terms:
            label = self.states[state]
            if label in SAMPLE:
                factor = float(of_angle([name], np.array(0.0))[0])
                kept.append((k, state, "", weight * factor))
            elif not label.startswith("stage.") or blurring([label], label.split(".")[1]):
                kept.append((k, state, name, weight))
        return Turned(self.wanted, self.count, tuple(kept))


def still(model: StateSpace, covariates: Array) -> Array:
    """Covariates with the stage held at angle 0.

    In the frame of the sample a creep that stays is no blur; seen in the laboratory it goes round with the stage.
    """
    out = covariates.copy()
    for i, name in enumerate(model.covariates):
        if is_angle(name):
            out[i] = float(of_angle([name], np.array(0.0))[0])
    return out


def planned(model: StateSpace, count: int) -> Array:
    """Covariates of ``count`` steps over a turn at even speed, all others nominal, (count, c)."""
    out = np.zeros((count, len(model.covariates)))
    turn = 2.0 * np.pi * np.arange(count) / max(count, 1)
    for i, name in enumerate(model.covariates):
        if is_angle(name):
            out[:, i] = of_angle([name], turn)[:, 0]
    return out
