"""The planned scan as steps of a model: conditioning, scan, and which channel reads when and how well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.engine import Belief, Steps
from models.statespace import StateSpace, discretise
from twin.assembly import Machine, assemble
from twin.config import Config
from twin.sections import ChannelSection
from twin.spot import usual_blur_px
from twin.turning import planned, still
from twin.vectorise import DEFAULT_SIGMA

STEPS = 200  # of a scan
PER_FRAME = ("marker_shift", "marker_blur", "flux")  # without a period these read once per projection, and only then
STOOD_S = 48 * 3600.0  # how long a machine has stood before it is switched on, unless its heat takes longer to settle
Period = Callable[[ChannelSection], float | None]


@dataclass(frozen=True)
class Schedule:
    """A scan to rehearse.

    Attributes
    ----------
    machine : Machine
        The model on a coarse grid.
    prior : Belief
        The machine as it has stood, off, one step before it is switched on.
    steps : Steps
        Tube power throughout; ``readings`` 0 where a channel reads, nan where not.
    reference : int
        First step of the scan.
    """

    machine: Machine
    prior: Belief
    steps: Steps
    reference: int

    @property
    def step_s(self) -> float:
        """Length of a step [s]."""
        return self.machine.model.step_s


def schedule(
    config: Config,
    *,
    wait_s: float | None = None,
    duration_s: float | None = None,
    every: Period | None = None,
    start: Belief | None = None,
    count: int = STEPS,
) -> Schedule:
    """Steps of a scan that begins ``wait_s`` after the tube was switched on.

    Readings that fall within one step are taken together. Thermometers read from switching on; markers and flux only in
    projections, unless their channel has a period.

    Parameters
    ----------
    wait_s, duration_s : float, optional
        Default: ``scan.conditioning_h`` and ``scan.duration_h``.
    every : callable, optional
        Period [s] of a channel instead of the configured one; None leaves it.
    start : Belief, optional
        Of a machine that runs: begin with it instead of one that has stood. ``wait_s`` then counts from it.
    """
    scan = config.scan
    wait = scan.conditioning_h * 3600.0 if wait_s is None else wait_s
    duration = scan.duration_h * 3600.0 if duration_s is None else duration_s
    step = max(duration / count, min(config.estimator.grid_s, duration / 4.0))
    coarse = config.model_copy(update={"estimator": config.estimator.model_copy(update={"grid_s": step})})
    machine = assemble(coarse)
    reference, count = round(wait / step), round(duration / step) + 1
    steps = Steps.empty(machine.model, reference + count)
    steps.covariates[:reference] = still(machine.model, np.zeros(len(machine.model.covariates)))
    steps.covariates[reference:] = planned(machine.model, count)
    steps.inputs[:] = config.source.voltage_kv * 1e3 * config.source.current_ua * 1e-6
    sections = {c.name: c for c in config.channels}
    for j, name in enumerate(machine.model.channels):
        channel = sections[name]
        per_frame = channel.quantity in PER_FRAME and channel.period_s is None
        period = (every and every(channel)) or channel.period_s or scan.duration_h * 3600.0 / scan.projections
        noise = _sigma(channel, config.detector.full_scale_counts)
        if channel.quantity == "marker_blur":
            noise *= 2.0 * usual_blur_px(machine.model, name)  # the model sees its square
        first = reference if per_frame else 0
        at = first + _reading_steps(len(steps.readings) - first, period / step)
        steps.readings[at, j] = 0.0
        steps.variances[:, j] = noise**2 * min(period / step, 1.0)
    return Schedule(machine, stood(machine.model) if start is None else start.copy(), steps, reference)


def _reading_steps(count: int, every: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Steps with a reading: all, or one per ``every`` steps, the first and the last among them."""
    if every <= 1.0:
        return np.arange(count)
    return np.unique(np.append(np.round(np.arange(0.0, count - 1, every)), count - 1).astype(np.int64))


def stood(model: StateSpace) -> Belief:
    """The prior with every temperature as after two days (or five of its slowest time constants) without tube power.

    The configured σ of a temperature says how little is known where a record begins. A machine that has stood is in
    balance with its room; only what its nodes do of their own keeps them apart.
    """
    warm = np.array([n.startswith(("temperature.", "daily.", "sensor.")) for n in model.names])
    mean, cov = model.mean.copy(), model.cov.copy()
    if warm.any():
        own = np.ix_(warm, warm)
        rates = np.abs(np.linalg.eigvals(model.drift[own]).real)
        slowest = float(rates[rates > 1e-9].min(initial=1.0))
        transition, noise, _ = discretise(
            model.drift[own], model.diffusion[own], np.zeros((int(warm.sum()), 0)), max(STOOD_S, 5.0 / slowest)
        )
        mean[warm] = transition @ mean[warm]
        cov[own] = transition @ cov[own] @ transition.T + noise
    return Belief(mean, cov, np.zeros(len(model.channels), dtype=np.int64))


def _sigma(channel: ChannelSection, full_scale: float) -> float:
    if channel.quantity == "flux":
        return channel.sigma / (0.5 * full_scale) if channel.sigma else DEFAULT_SIGMA["flux"]
    return channel.sigma or DEFAULT_SIGMA.get(channel.quantity, 1.0)
