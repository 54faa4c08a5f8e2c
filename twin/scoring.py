"""How far estimates can be believed, from the record itself: withhold readings, predict them, compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.engine import engine
from models.estimate import Array, ModelError
from models.smoother import smooth
from sensors.reading import Reading
from twin.assembly import Machine
from twin.core import Twin
from twin.correct import collect


@dataclass(frozen=True, slots=True)
class Score:
    """Withheld readings of one channel against what the others say.

    Attributes
    ----------
    time, value, predicted, sigma : (N,) arrays
        Reading and prediction (px, K; log counts for flux, px² for a blur); σ of a reading about the prediction.
    """

    channel: str
    time: Array
    value: Array
    predicted: Array
    sigma: Array

    @property
    def error(self) -> Array:
        """Prediction minus reading, (N,)."""
        return np.asarray(self.predicted - self.value)

    @property
    def rms(self) -> float:
        """Root mean square error."""
        return float(np.sqrt(np.mean(self.error**2)))

    @property
    def lag1(self) -> float:
        """Correlation of successive errors; far from 0 when the model is too stiff (+) or too flexible (−)."""
        e = self.error - self.error.mean()
        return float(e[1:] @ e[:-1] / (e @ e))

    @property
    def inside(self) -> float:
        """Share of withheld readings inside the 95 % band."""
        return float(np.mean(np.abs(self.error) <= 1.96 * self.sigma))

    @property
    def half_width(self) -> float:
        """Largest half-width of the 95 % band."""
        return float(1.96 * self.sigma.max())


def score(
    machine: Machine, readings: Sequence[Reading], channel: str, withhold: Callable[[int, Reading], bool]
) -> Score:
    """Predict the readings of ``channel`` that ``withhold(index, reading)`` takes away, from all the others.

    Raises
    ------
    ModelError
        If the channel is not one the model observes, or nothing is withheld.
    """
    if channel not in machine.model.channels:
        raise ModelError(f"channel {channel!r} is not observed; there are {', '.join(machine.model.channels)}")
    own = [r for r in readings if r.channel == channel and r.quality.usable]
    taken = [r for k, r in enumerate(own) if withhold(k, r)]
    if not taken:
        raise ModelError(f"no reading of {channel!r} is withheld; nothing to score")
    times = {r.time for r in taken}
    # a withheld reading leaves its instant on the grid, so that the end of the record is predicted, too
    rest = [r for r in readings if r.channel != channel or r.time not in times]
    observation = next(o for o in machine.model.observations if o.channel == channel)
    twin = Twin(machine.config)
    steps, first = collect(twin.aligner, twin.vectoriser, [rest], until=max(times))
    out = smooth(
        machine.model, twin.belief, steps, [observation], gate=machine.gate, run=engine(machine.config.estimator.engine)
    )
    time = np.array([r.time for r in taken])
    place = np.rint((time - first) / machine.config.estimator.grid_s).astype(int)
    flux = next(c.quantity for c in machine.config.channels if c.name == channel) == "flux"
    blur = next((c.quantity for c in machine.config.channels if c.name == channel), "") == "marker_blur"
    value = np.array([r.value for r in taken])
    noise = np.array([r.sigma for r in taken])
    if flux:
        value, noise = np.log(value), noise / value
    if blur:  # the model sees the square of a blur
        value, noise = value**2 - np.nan_to_num(noise) ** 2, 2.0 * value * noise
    spread = np.sqrt(out.cov[place, 0, 0] + np.nan_to_num(noise) ** 2 + observation.floor_sigma**2)
    return Score(channel, time, value, out.mean[place, 0], spread)
