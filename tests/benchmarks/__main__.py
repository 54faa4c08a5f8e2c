"""The estimator against other libraries on a shipped system's own model; ``make bench`` runs it.

Prints a table and writes ``benchmarks.json``: a list of ``{"name", "ours_s", "peer", "peer_s", "ratio"}``, where ratio is
peer's time over ours. Each pair does the same job on the same numbers and must agree before it is timed; times are the
best of several runs after a first one that compiles.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import filterpy
import numpy as np
import statsmodels
from filterpy.kalman import KalmanFilter
from statsmodels.tsa.statespace.kalman_filter import FILTER_UNIVARIATE
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from models import engine as e
from models.packing import Packed
from models.smoother import smooth
from models.statespace import Observation, StateSpace
from twin.assembly import assemble
from twin.config import Config
from twin.profiles import load_profile

PROFILE, STEPS, SEED, ROUNDS = "xrm2-nanoct", 1000, 1, 3
OUT = Path("benchmarks.json")


@dataclass(frozen=True)
class Pair:
    """One job, done by us and by a peer; ``apart`` is how far the answers differ, in σ."""

    name: str
    peer: str
    ours_s: float
    peer_s: float
    apart: float

    @property
    def ratio(self) -> float:
        return self.peer_s / self.ours_s


def linear(config: Config) -> Config:
    """The same machine with its sensitivities known: no products of states, so that any library can filter it."""
    elements = tuple(element.model_copy(update={"sensitivity_sigma": 0.0}) for element in config.elements)
    return config.model_copy(update={"elements": elements})


def readings(model: StateSpace) -> e.Steps:
    """A simulated course of the model itself: thermometers at every step, other channels at every tenth (100 s)."""
    rng = np.random.default_rng(SEED)
    steps = e.Steps.empty(model, STEPS)
    root = np.linalg.cholesky(model.noise + 1e-12 * np.diag(np.diag(model.noise)) + 1e-40 * np.eye(len(model.names)))
    x = model.mean + np.sqrt(np.diag(model.cov)) * rng.standard_normal(len(model.names))
    for t in range(STEPS):
        x = model.transition @ x + root @ rng.standard_normal(len(x))
        for j, observation in enumerate(model.observations):
            if t % 10 and not observation.channel.startswith("t_"):
                continue
            sigma = 0.02 if observation.channel.startswith("t_") else 1.0 if "sample" in observation.channel else 1e-3
            value = observation.constant + sum(w * x[model.index(s)] for s, w in observation.linear)
            value += sum(w * x[model.index(a)] * x[model.index(b)] for a, b, w in observation.products)
            steps.readings[t, j] = value + sigma * rng.standard_normal()
            steps.variances[t, j] = sigma**2
    return steps


def best(job: Callable[[], object], rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        job()
        times.append(time.perf_counter() - begin)
    return min(times)


def apart(ours: np.ndarray, theirs: np.ndarray, variance: np.ndarray) -> float:
    """Largest difference of means in σ."""
    return float((np.abs(ours - theirs) / np.sqrt(np.maximum(variance, 1e-300))).max())


class Job:
    """A model, its readings, and what ours makes of them."""

    def __init__(self, config: Config) -> None:
        self.machine = assemble(config)
        self.model = self.machine.model
        self.packed = Packed.of(self.model)
        self.steps = readings(self.model)
        self.gate = replace(self.machine.gate, sigma=1e9)  # peers know no gate

    def filter(self, run: e.Engine = e.compiled, keep: bool = False) -> tuple[e.Belief, e.Record]:
        belief = e.Belief.prior(self.model)
        return belief, run(self.model, self.packed, belief, self.steps, self.gate, keep)

    def smooth(self, outputs: tuple[Observation, ...] | None = None):
        return smooth(
            self.model, e.Belief.prior(self.model), self.steps, outputs or self.machine.outputs, gate=self.gate
        )

    def states(self) -> tuple[Observation, ...]:
        """Every state as an output, to compare with libraries that smooth states."""
        return tuple(Observation(name, ((name, 1.0),)) for name in self.model.names)


def against_filterpy(job: Job) -> list[Pair]:
    ours, _ = job.filter()
    theirs, record = job.filter(e.filterpy, keep=True)
    n = len(job.model.names)
    kf = KalmanFilter(dim_x=n, dim_z=1)
    kf.F, kf.Q = job.model.transition, job.model.noise

    def their_smoother():
        _, kept = job.filter(e.filterpy, keep=True)
        return kf.rts_smoother(kept.mean[:, :, None], kept.cov)

    smoothed, by_rts = job.smooth(job.states()), their_smoother()
    del record
    variance = np.diagonal(smoothed.cov, axis1=1, axis2=2)
    return [
        Pair(
            "filter-profile", f"filterpy {filterpy.__version__}", best(job.filter),
            best(lambda: job.filter(e.filterpy), 1), apart(ours.mean, theirs.mean, np.diag(ours.cov)),
        ),
        Pair(
            "smooth-profile", f"filterpy {filterpy.__version__}", best(job.smooth), best(their_smoother, 1),
            apart(smoothed.mean, by_rts[0][:, :, 0], variance),
        ),
    ]  # fmt: skip


def against_statsmodels(job: Job) -> list[Pair]:
    model, n, m = job.model, len(job.model.names), len(job.model.channels)
    constant = np.array([o.constant for o in model.observations])
    design = np.array([model.row(dict(o.linear)) for o in model.observations])
    floor = np.array([o.floor_sigma**2 for o in model.observations])
    peer = KalmanSmoother(m, n, filter_method=FILTER_UNIVARIATE)
    peer.bind(np.ascontiguousarray(job.steps.readings - constant))
    peer["design"], peer["transition"], peer["selection"], peer["state_cov"] = (
        design, model.transition, np.eye(n), model.noise,
    )  # fmt: skip
    variances = job.steps.variances + floor
    peer["obs_cov"] = np.moveaxis(np.array([np.diag(row) for row in variances]), 0, 2)
    # its first step has no prediction before it; ours has one
    peer.initialize_known(
        model.transition @ model.mean, model.transition @ model.cov @ model.transition.T + model.noise
    )
    ours, _ = job.filter()
    theirs = peer.filter()
    smoothed, by_them = job.smooth(job.states()), peer.smooth()
    variance = np.diagonal(smoothed.cov, axis1=1, axis2=2)
    return [
        Pair(
            "filter-profile-linear", f"statsmodels {statsmodels.__version__}", best(job.filter), best(peer.filter),
            apart(ours.mean, theirs.filtered_state[:, -1], np.diag(ours.cov)),
        ),
        Pair(
            "smooth-profile-linear", f"statsmodels {statsmodels.__version__}", best(job.smooth), best(peer.smooth),
            apart(smoothed.mean, by_them.smoothed_state.T, variance),
        ),
    ]  # fmt: skip


def main() -> int:
    config = load_profile(PROFILE)
    whole, simple = Job(config), Job(linear(config))
    for job in (whole, simple):
        job.filter(), job.smooth()  # compile, or load what was compiled
    print(
        f"{PROFILE}: {len(whole.model.names)} states ({len(simple.model.names)} when linear), "
        f"{len(whole.model.channels)} channels, {STEPS} steps; best of {ROUNDS}"
    )
    pairs = [*against_filterpy(whole), *against_statsmodels(simple)]
    print(f"{'job':<24}{'ours':>10}{'peer':>10}{'ratio':>8}  {'apart':>8}  peer")
    for pair in pairs:
        print(
            f"{pair.name:<24}{pair.ours_s:>8.3f} s{pair.peer_s:>8.3f} s{pair.ratio:>8.1f}  {pair.apart:>6.0e} σ  {pair.peer}"
        )
    rows = [{"name": p.name, "ours_s": p.ours_s, "peer": p.peer, "peer_s": p.peer_s, "ratio": p.ratio} for p in pairs]
    OUT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    wrong = [pair.name for pair in pairs if not pair.apart < 1e-3]
    if wrong:
        print(f"ours and the peer disagree, so these times mean nothing: {', '.join(wrong)}")
    return 1 if wrong else 0


sys.exit(main())
