"""Do intervals hold the truth, and are they as narrow as they can be? Counted over machines drawn from a profile's prior.

Run alone, ``python -m tests.accuracy.honest --runs 1000`` prints the whole table; the slow suite runs 200.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context

import numpy as np

from models import engine as e
from models.anchors import Anchors
from models.forecast import Tangent, propagate
from models.kalman import output_rows
from models.packing import Packed, Terms
from models.smoother import smooth
from sensors.reading import Reading
from tests.oracles.drawn_machines import LATTICE_S, Drawn, draw
from twin.assembly import OUTPUTS, Machine, assemble
from twin.config import Config
from twin.core import Outputs, Twin
from twin.correct import collect, correct
from twin.profiles import load_profile
from twin.scan import Scan
from twin.stepping import expecting

START_S = 1.7e9 - 1.7e9 % 3600.0
LEAD_H = 2.0
BATCH = 25
Z95 = 1.959964
HORIZONS_H = (0.5, 2.0, 8.0)
SCAN_S = 1800.0  # the live scan begins when the tube has been on for half an hour
SHIFTS = ("shift.u", "shift.v")
PHASES = ("warm-up", "steady", "after a step")


def _none() -> list[int]:
    return [0, 0]


def _floats() -> dict[str, float]:
    return defaultdict(float)


def _counts() -> dict[str, list[int]]:
    return defaultdict(_none)


@dataclass
class Score:
    """Intervals of one kind in one phase: how many held, and their score against the knowing estimator's, per output."""

    held: int = 0
    count: int = 0
    held_by: dict[str, list[int]] = field(default_factory=_counts)
    ours: dict[str, float] = field(default_factory=_floats)
    knowing: dict[str, float] = field(default_factory=_floats)

    def take(
        self, name: str, error: np.ndarray, std: np.ndarray, known_error: np.ndarray, known_std: np.ndarray
    ) -> None:
        """Count intervals mean ± 1.96 σ; interval score = width + misses · 2/0.05 (Gneiting & Raftery 2007, eq. 43)."""
        self.held += int((np.abs(error) <= Z95 * std).sum())
        self.count += error.size
        self.held_by[name][0] += int((np.abs(error) <= Z95 * std).sum())
        self.held_by[name][1] += error.size
        self.ours[name] += interval_score(error, std)
        self.knowing[name] += interval_score(known_error, known_std)

    def add(self, other: Score) -> None:
        """Take another count in."""
        self.held, self.count = self.held + other.held, self.count + other.count
        for name, score in other.ours.items():
            self.ours[name] += score
            self.knowing[name] += other.knowing[name]
            for i in (0, 1):
                self.held_by[name][i] += other.held_by[name][i]

    @property
    def coverage(self) -> float:
        return self.held / max(self.count, 1)

    @property
    def ratio(self) -> float:
        """Mean over outputs of ours / knowing."""
        return float(np.mean([self.ours[n] / self.knowing[n] for n in self.ours])) if self.ours else math.nan


def interval_score(error: np.ndarray, std: np.ndarray) -> float:
    """Sum of the 95 % interval's scores."""
    beyond = np.maximum(np.abs(error) - Z95 * std, 0.0)
    return float((2.0 * Z95 * std + 2.0 / 0.05 * beyond).sum())


Scores = dict[tuple[str, str], Score]


def config_of(profile: str) -> Config:
    """The profile on a grid of 60 s (the lattice of the drawn machines)."""
    config = load_profile(profile)
    return config.model_copy(update={"estimator": config.estimator.model_copy(update={"grid_s": LATTICE_S})})


def every(config: Config) -> int:
    """Lattice instants between two projections."""
    return max(round(config.scan.duration_h * 3600.0 / config.scan.projections / LATTICE_S), 1)


def readings_of(config: Config, drawn: Drawn, rng: np.random.Generator) -> list[list[Reading]]:
    """Noisy readings, a batch per instant: thermometers and tube at every instant, markers and flux with projections."""
    spacing, batches = every(config), []
    operating = {"voltage": config.source.voltage_kv * 1e3, "current": config.source.current_ua * 1e-6}
    frame_sigma = 1e-3
    for k, t in enumerate(drawn.time):
        batch = []
        for c in config.channels:
            if c.quantity in operating:
                batch.append(Reading(c.name, START_S + t, operating[c.quantity], math.nan))
            elif c.quantity == "temperature" or (k % spacing == 0 and c.quantity == "marker_shift"):
                batch.append(Reading(c.name, START_S + t, drawn.clean[c.name][k] + c.sigma * rng.normal(), c.sigma))
            elif k % spacing == 0 and c.quantity == "flux":
                total = math.hypot(frame_sigma, config.flux.floor_percent * 1e-2)
                counts = math.exp(drawn.clean[c.name][k] + total * rng.normal())
                batch.append(Reading(c.name, START_S + t, counts, frame_sigma * counts))
        batches.append(batch)
    return batches


def knowing(config: Config, drawn: Drawn) -> Machine:
    """The machine as somebody knows it who was told its parameters."""
    elements = tuple(
        el.model_copy(
            update={
                "sensitivity": el.sensitivity * float(drawn.sensitivity[k]) if any(el.direction) else el.sensitivity,
                "direction": tuple(
                    d + float(a) / float(drawn.sensitivity[k]) for d, a in zip(el.direction, drawn.direction[k], strict=True)
                ),
                "sensitivity_sigma": 0.0,
                "direction_sigma": 0.0,
            }
        )
        for k, el in enumerate(config.elements)
    )  # fmt: skip

    def at(tau: float) -> tuple[float, float]:
        return tau / 60.0, tau / 60.0 * 1.0001

    drift = config.drift.model_copy(
        update={
            body: getattr(config.drift, body).model_copy(update={"warmup_min": at(drawn.tau_s[body])})
            for body in ("source", "object")
        }
    )
    flux = config.flux.model_copy(update={"warmup_min": at(drawn.tau_s["flux"])})
    return assemble(config.model_copy(update={"elements": elements, "drift": drift, "flux": flux}))


def phase_of(drawn: Drawn, t: float) -> str | None:
    """The phase that an instant belongs to; None between phases."""
    since = [t - at for at, _ in drawn.steps if at <= t]
    if since and min(since) <= 3600.0:
        return PHASES[2]
    if t <= 3.0 * 3600.0:
        return PHASES[0] if t >= 1800.0 else None
    return PHASES[1] if t >= 6.0 * 3600.0 and (not since or min(since) > 7200.0) else None


class Judge:
    """Scores of many runs."""

    def __init__(self, profile: str) -> None:
        self.config = config_of(profile)
        self.machine = assemble(self.config)
        self.scores: Scores = defaultdict(Score)
        self.names = [n for n in OUTPUTS if n != "magnification"]

    def run(self, runs: int, seed: int) -> None:
        """Draw and judge ``runs`` machines."""
        hours = LEAD_H + self.config.scan.duration_h
        for k, drawn in enumerate(draw(self.config, hours, runs, seed)):
            self.one(drawn, np.random.default_rng([seed, k]))

    def one(self, drawn: Drawn, rng: np.random.Generator) -> None:
        """One machine: live estimates, forecasts, corrections, and the same by the estimator that knows."""
        batches = readings_of(self.config, drawn, rng)
        knows = knowing(self.config, drawn)
        told = Told(self.config, knows, drawn, batches)
        self._live(drawn, batches, told)
        self._corrections(drawn, batches, told)

    def _live(self, drawn: Drawn, batches: list[list[Reading]], told: Told) -> None:
        twin = Twin(self.config)
        twin.begin_scan(START_S + SCAN_S)
        first = round(SCAN_S / LATTICE_S)
        index = {float(START_S + t): k for k, t in enumerate(drawn.time)}
        ahead = forecast_instants(drawn)
        for batch in batches:
            for estimate in twin.steps(batch):
                k = index.get(estimate.time)
                if k is None:
                    continue
                if k % 10 == 0 and (phase := phase_of(drawn, drawn.time[k])):
                    out = twin.outputs()
                    std = np.sqrt(np.diag(out.cov))[None]
                    self._take("live", phase, drawn, np.array([k]), out.mean[None], std, *told.at(k))
                    if twin.anchors is not None and k > first:
                        ours = since_first(twin.anchors, out)
                        self._take("live change", phase, drawn, np.array([k]), *ours, *told.change(k), first, SHIFTS)
                if k in ahead:
                    out = twin.outputs()
                    belief = e.Belief(twin.belief.mean, twin.belief.cov, twin.belief.gated_run)
                    ours = look(twin.machine, belief, out.rows, twin.inputs, twin.tangent)
                    theirs = told.look(k)
                    for i, hours in enumerate(HORIZONS_H):
                        then = k + round(hours * 3600 / LATTICE_S)
                        if then < len(drawn.time):
                            self._take(
                                f"forecast {hours:g} h", ahead[k], drawn, np.array([then]), ours[0][[i]], ours[1][[i]],
                                theirs[0][[i]], theirs[1][[i]], k,
                            )  # fmt: skip

    def _corrections(self, drawn: Drawn, batches: list[list[Reading]], told: Told) -> None:
        first = round(LEAD_H * 3600 / LATTICE_S)
        frames = np.arange(first, len(drawn.time), every(self.config))
        scan = Scan(
            "drawn", np.arange(len(frames)), START_S + drawn.time[frames], np.linspace(0.0, 360.0, len(frames)),
            ("projection",) * len(frames),
        )  # fmt: skip
        found = correct(self.machine, batches, scan).correction
        mean = np.column_stack(
            [found.source_um * 1e-6, found.object_um * 1e-6, found.shift_px, found.magnification, np.log(found.flux)]
        )
        std = np.column_stack(
            [
                found.source_um_std * 1e-6,
                found.object_um_std * 1e-6,
                found.shift_px_std,
                found.magnification_std,
                found.flux_std / found.flux,
            ]
        )
        known_mean, known_std = told.corrections(frames)
        for phase in PHASES:
            here = np.array([i for i in range(1, len(frames)) if phase_of(drawn, drawn.time[frames[i]]) == phase], int)
            if len(here):
                self._take(
                    "correction",
                    phase,
                    drawn,
                    frames[here],
                    mean[here],
                    std[here],
                    known_mean[here],
                    known_std[here],
                    frames[0],
                )

    def _take(self, kind, phase, drawn, at, mean, std, known_mean, known_std, reference=None, names=()) -> None:
        score = self.scores[kind, phase]
        for name in names or self.names:
            i = OUTPUTS.index(name)
            truth = drawn.outputs[name][at] - (0.0 if reference is None else drawn.outputs[name][reference])
            score.take(name, mean[:, i] - truth, std[:, i], known_mean[:, i] - truth, known_std[:, i])

    def table(self) -> str:
        """Coverage and score ratio per kind and phase."""
        lines = [f"{'kind':<16}{'phase':<14}{'intervals':>10}{'coverage':>10}{'score/knowing':>15}"]
        for (kind, phase), s in sorted(self.scores.items()):
            lines.append(f"{kind:<16}{phase:<14}{s.count:>10}{s.coverage:>10.3f}{s.ratio:>15.2f}")
            lines.append(
                "    " + "  ".join(f"{n} {h / c:.2f}/{s.ours[n] / s.knowing[n]:.2f}" for n, (h, c) in s.held_by.items())
            )
        return "\n".join(lines)


class Told:
    """The estimator that was told parameters and instants of steps, on the same readings."""

    def __init__(self, config: Config, machine: Machine, drawn: Drawn, batches: list[list[Reading]]) -> None:
        twin = Twin(machine.config)
        steps, first = collect(twin.aligner, twin.vectoriser, batches)
        if first != START_S:
            raise AssertionError(f"the grid begins at {first}, the machine at {START_S}")
        opened = steps.opened.copy()
        model = machine.model
        for at, jump in drawn.steps:
            k = int(np.ceil(at / LATTICE_S))
            for name in jump:
                body, axis = name.split(".")
                if k < len(opened):
                    size = getattr(config.drift, body).step_um["uvw".index(axis)]
                    opened[k, model.index(f"{name}.walk")] += (size * 1e-6) ** 2
        self.machine, self.model = machine, model
        self.steps = replace(steps, opened=opened)
        self.gate = replace(machine.gate, sigma=1e9)
        self.terms = Terms.of(model, machine.outputs)
        self.record = e.compiled(model, Packed.of(model), e.Belief.prior(model), self.steps, self.gate, True)
        self._change = self._changes(round(SCAN_S / LATTICE_S))

    def _out(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._tangent(self.record.mean[k], k)

    def _tangent(self, x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.zeros((len(OUTPUTS), len(self.model.names)))
        mean = output_rows(x, np.ascontiguousarray(self.steps.covariates[k]), self.terms, rows)
        return mean, rows

    def at(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Live outputs and σ at a lattice instant."""
        mean, rows = self._out(k)
        return mean[None], np.sqrt(np.einsum("qi,ij,qj->q", rows, self.record.cov[k], rows))[None]

    def _changes(self, first: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Change since an instant that is itself known better by and by (fixed-point smoothing), with its σ."""
        mean, rows = self._out(first)
        cross = rows @ self.record.cov[first]
        own, row, gain, found = cross @ rows.T, self.record.row, self.record.gain, {}
        for k in range(first + 1, len(self.steps)):
            cross = cross @ self.model.transition.T
            for j in np.flatnonzero(self.record.spread[k] > 0):
                g, s = cross @ row[k, j], self.record.spread[k, j]
                mean, own = mean + g * self.record.innovation[k, j] / s, own - np.outer(g, g) / s
                cross = cross - np.outer(g, gain[k, j])
            if k % 10 == 0:
                now, here = self._out(k)
                cov = here @ self.record.cov[k] @ here.T + own - cross @ here.T - here @ cross.T
                found[k] = (now - mean)[None], np.sqrt(np.maximum(np.diag(cov), 0.0))[None]
        return found

    def change(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Live change since the scan's first instant."""
        return self._change[k]

    def look(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Forecasts from a lattice instant."""
        _, rows = self._out(k)
        belief = e.Belief(self.record.mean[k], np.ascontiguousarray(self.record.cov[k]), np.zeros(0, np.int64))
        return look(self.machine, belief, rows, self.steps.inputs[k], lambda x: self._tangent(x, k))

    def corrections(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed differences to the first projection and their σ."""
        out = smooth(
            self.model,
            e.Belief.prior(self.model),
            self.steps,
            self.machine.outputs,
            reference=int(frames[0]),
            gate=self.gate,
        )
        mean, variance = out.difference()
        return mean[frames], np.sqrt(variance[frames])


def look(
    machine: Machine, belief: e.Belief, rows: np.ndarray, inputs: np.ndarray, tangent: Tangent
) -> tuple[np.ndarray, np.ndarray]:
    """Forecast change of the outputs from now to the three horizons, and its σ."""
    path = propagate(
        expecting(machine), belief.mean, belief.cov, rows, inputs, HORIZONS_H[-1] * 3600.0, 17, None, None, tangent
    )
    index = [round(h * 2) for h in HORIZONS_H]
    variance = [np.diag(path.cov[i, :, i] + path.cov[0, :, 0] - path.cov[0, :, i] - path.cov[i, :, 0]) for i in index]
    return path.mean[index] - path.mean[0], np.sqrt(np.maximum(variance, 0.0))


def since_first(anchors: Anchors, out: Outputs) -> tuple[np.ndarray, np.ndarray]:
    """Change of the shift since the scan's first anchor as the live twin knows it, in the columns of the outputs."""
    change, std = np.zeros((1, len(OUTPUTS))), np.zeros((1, len(OUTPUTS)))
    for i, name in enumerate(SHIFTS):
        o = OUTPUTS.index(name)
        across = float(anchors.cross[0, i] @ out.rows[o])
        change[0, o] = out.mean[o] - anchors.mean[0, i]
        std[0, o] = math.sqrt(max(out.cov[o, o] + anchors.cov[0, i, 0, i] - 2.0 * across, 0.0))
    return change, std


def forecast_instants(drawn: Drawn) -> dict[int, str]:
    """Lattice instants at which a forecast is judged, with their phase."""
    found = {}
    for hours in (1.0, 2.0, 8.0, 14.0, 20.0):
        k = round(hours * 3600 / LATTICE_S)
        phase = phase_of(drawn, drawn.time[k]) if k < len(drawn.time) else None
        if phase in PHASES[:2]:
            found[k] = phase
    for at, _ in drawn.steps:
        k = int(np.ceil(at / LATTICE_S)) + 30
        if at > 3600.0 and k < len(drawn.time):
            found[k] = PHASES[2]
    return found


def part(profile: str, runs: int, seed: int) -> Scores:
    """A share of the runs, for one process."""
    judge = Judge(profile)
    judge.run(runs, seed)
    return dict(judge.scores)


def judged(profile: str, runs: int, seed: int, progress: Callable[[int], None] | None = None) -> Judge:
    """``runs`` machines in shares of ``BATCH``, on as many processes as there are cores."""
    whole = Judge(profile)
    seeds = range(seed, seed + runs, BATCH)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        shares = pool.map(part, [profile] * len(seeds), [min(BATCH, seed + runs - s) for s in seeds], seeds)
        for k, share in enumerate(shares):
            for key, score in share.items():
                whole.scores[key].add(score)
            if progress is not None:
                progress(min((k + 1) * BATCH, runs))
    return whole


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", default="xrm2-nanoct")
    given = parser.parse_args()
    judge = judged(given.profile, given.runs, given.seed, lambda done: print(f"{done} of {given.runs}", flush=True))
    print(judge.table())


if __name__ == "__main__":
    main()
