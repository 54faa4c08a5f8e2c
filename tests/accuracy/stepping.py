"""The stepping machine followed by the twin, with recognition and without; the truth is the marker without noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.engine import engine
from models.recognition import Recognition
from models.steps import StepEvent
from sensors.reading import Reading
from tests.oracles.stepping_machine import NOISE_PX, READ_EVERY, Run
from twin.assembly import OUTPUTS
from twin.core import Twin
from twin.profiles import load_profile

GRID_S = 120.0


@dataclass(frozen=True)
class Followed:
    """Live estimates of the marker's position at each reading: mean and σ (T, 2) [px], the truth, and the events."""

    time: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    truth: np.ndarray
    events: list[StepEvent]

    def after(self, run: Run, span_s: float = 3600.0) -> np.ndarray:
        """Whether each instant lies within the hour after a jump."""
        starts = [run.time[k] for k, _ in run.jumps]
        return np.array([any(0.0 <= t - s < span_s for s in starts) for t in self.time], dtype=bool)

    @property
    def settled(self) -> np.ndarray:
        """Whether the first three hours are over: a cold start's bars of unknown length are another matter."""
        return self.time > self.time[0] + 3.0 * 3600.0

    def inside(self) -> np.ndarray:
        """Whether the truth lies in the 95 % interval, (T, 2)."""
        return np.abs(self.mean - self.truth) <= 1.96 * self.std


class Told:
    """Stands for the vectoriser and opens the variance of a step at the true instants."""

    def __init__(self, twin: Twin, run: Run) -> None:
        self._inner, self._states = twin.vectoriser, [twin.machine.model.index(f"source.{a}.walk") for a in "uv"]
        self._instants = {GRID_S * np.ceil(run.time[k] / GRID_S) for k, _ in run.jumps}

    def steps(self, vectors):
        steps = self._inner.steps(vectors)
        for row, vector in zip(steps.opened, vectors, strict=True):
            if any(abs(vector.time - t) < 0.5 * GRID_S for t in self._instants):
                row[self._states] += 0.15e-6**2
        return steps


def follow(run: Run, how: str = "recognised") -> Followed:
    """Run the twin over a record; ``how`` is recognised, plain (gate only) or told (of the instants)."""
    config = load_profile("xrm2-nanoct")
    twin = Twin(config.model_copy(update={"estimator": config.estimator.model_copy(update={"grid_s": GRID_S})}))
    model = twin.machine.model
    if how != "recognised":
        twin._filter = Recognition(model, twin._packed, twin.machine.gate, engine("compiled"), [])
    if how == "told":
        twin.vectoriser = Told(twin, run)
    batch = []
    at = slice(0, len(run.time), READ_EVERY)
    for t, room, stage, (u, v) in zip(run.time[at], run.room_k[at], run.stage_k[at], run.read_px[at], strict=True):
        batch += [Reading("t_room", t, 293.15 + room, 0.02), Reading("t_stage", t, 293.15 + stage, 0.02)]
        batch += [Reading("sample_u", t, u, NOISE_PX), Reading("sample_v", t, v, NOISE_PX)]
    offsets = [model.index(f"offset.sample_{a}") for a in "uv"]
    shifts = [OUTPUTS.index(f"shift.{a}") for a in "uv"]
    time, mean, std, truth = [], [], [], []
    place = {round(t / GRID_S): k for k, t in enumerate(run.time) if k % READ_EVERY == 0}
    for estimate, outputs in _each(twin, batch):
        k = place.get(round(estimate.time / GRID_S))
        if k is None:
            continue
        rows = outputs.rows[shifts].copy()
        rows[[0, 1], offsets] += 1.0
        time.append(estimate.time)
        mean.append(outputs.mean[shifts] + estimate.mean[offsets])
        std.append(np.sqrt(np.einsum("cn,nm,cm->c", rows, estimate.cov, rows)))
        truth.append(run.marker_px[k])
    return Followed(np.array(time), np.array(mean), np.array(std), np.array(truth), list(twin.recognised))


def _each(twin: Twin, batch: list[Reading]):
    for steps in (twin.steps(batch), twin.finish()):
        for estimate in steps:
            yield estimate, twin.outputs()
