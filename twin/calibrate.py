"""Calibration: what readings say about the numbers of a configuration, through the same kernel that runs live."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.engine import Steps
from models.estimate import ModelError
from models.identify import Identified, identify
from models.likelihood import Case
from models.statespace import StateSpace
from models.turning import is_angle
from sensors.reading import Reading
from twin.align import Aligner
from twin.assembly import Machine, assemble
from twin.bodies import initial_sigma_k
from twin.channels import channels_of
from twin.config import Config
from twin.correct import LATE_S, collect
from twin.free import Free, free_of, with_values
from twin.scan import Scan
from twin.vectorise import Vectoriser

MOST_STEPS = 2000  # beyond, readings are averaged on a coarser grid
FINE = 4.0  # steps that the shortest time constant keeps on it
OFFSET_K = 0.3  # σ of what a thermometer shows too much, for as long as the record
REMEMBERED = 64  # models
START_SIGMA_K = 5.0  # of a node's temperature when a record begins: nobody says that the machine was cold


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What a calibration found.

    Attributes
    ----------
    free : list of Free
        In the order of ``result.found``.
    result : Identified
    before, after : Config
        Configuration given, and with the values found (``sensitivity_sigma`` narrowed).
    grid_s : float
        Grid on which the readings were compared.
    steps : Steps
    begin_s, end_s : float
        Instants of the first and the last step.
    own_sigma : tuple of str
        Channels whose readings bring their own σ.
    left_out : dict of channel to count
        Readings that depend on the stage's angle while nobody told it.
    build : callable
        From numbers by name to the model and the steps that were compared.
    """

    free: list[Free]
    result: Identified
    before: Config
    after: Config
    grid_s: float
    steps: Steps
    begin_s: float
    end_s: float
    own_sigma: tuple[str, ...]
    left_out: dict[str, int]
    build: Callable[[Mapping[str, float]], Sequence[Case]]


def calibrate(
    config: Config,
    readings: Sequence[Reading],
    progress: Callable[[float], None] = lambda _: None,
    *,
    scan: Scan | None = None,
) -> Calibrated:
    """Find the numbers of a configuration that readings determine.

    Sensitivities are parameters here, not states, so the model is linear and its likelihood exact. A scan tells the angles of
    its projections, for readings that depend on them; without, a channel of quantity ``angle`` does.

    Raises
    ------
    ModelError
        When no reading is of a channel that the model observes, or nothing is free.
    """
    grid_s = grid_of(config, readings)
    own = own_sigma_of(config, readings)
    free = free_of(config, own)
    opened = _opened(config, grid_s)
    machine = assemble(opened)
    aligner = Aligner(grid_s, max(config.estimator.late_s, LATE_S))
    left_out: Counter[str] = Counter()
    vectoriser = Vectoriser(machine, lambda channel, _, count: left_out.update({channel: count}))
    if scan is not None:
        vectoriser.turn_with(scan)
    steps, begin = collect(aligner, vectoriser, [readings])
    if not np.isfinite(steps.readings).any():
        observed = ", ".join(machine.model.channels) or "none"
        raise ModelError(f"no reading is of a channel that the model observes ({observed}); nothing to calibrate with")
    columns, start = _noise_columns(machine, free), {f.name: f.parameter.start for f in free}
    thermometers = tuple(c.name for c in config.channels if c.name in machine.model.channels and c.at is not None)
    steps = replace(steps, opened=np.pad(steps.opened, ((0, 0), (0, len(thermometers)))))

    known: dict[tuple[float, ...], StateSpace] = {}

    def build(values: Mapping[str, float]) -> Sequence[Case]:
        scale = np.ones(len(machine.model.channels))
        for name, j in columns.items():
            scale[j] = (values[name] / start[name]) ** 2
        # a sensor's noise is no part of the model: a third of all runs needs no new one
        key = tuple(value for name, value in values.items() if name not in columns)
        if key not in known:
            if len(known) >= REMEMBERED:
                known.pop(next(iter(known)))
            known[key] = _with_offsets(assemble(with_values(opened, free, values)).model, thermometers)
        return [(known[key], replace(steps, variances=steps.variances * scale))]

    result = identify([f.parameter for f in free], build, progress)
    end = begin + grid_s * (len(steps) - 1)
    after = _narrowed(with_values(config, free, result.values()), free, result)
    return Calibrated(free, result, config, after, grid_s, steps, begin, end, own, dict(left_out), build)


def grid_of(config: Config, readings: Sequence[Reading]) -> float:
    """Multiple of the estimator's grid on which the record has at most MOST_STEPS steps, if its time constants allow."""
    times = [r.time for r in readings]
    span = max(times) - min(times)
    own = config.estimator.grid_s
    if any(is_angle(name) for name in assemble(config).model.covariates):
        return own  # an angle can't be averaged over a turn
    shortest = min(
        [60.0 * n.time_constant_min for n in config.nodes if n.time_constant_min is not None], default=math.inf
    )
    wanted = math.ceil(span / (MOST_STEPS * own))
    allowed = max(1, math.floor(shortest / (FINE * own))) if math.isfinite(shortest) else wanted
    return own * max(1, min(wanted, allowed))


def own_sigma_of(config: Config, readings: Sequence[Reading]) -> tuple[str, ...]:
    """Channels whose readings bring a σ that isn't the configuration's."""
    stated = {
        name: channel.admit(0.0, 1.0).sigma if math.isfinite(channel.sigma) else math.nan
        for name, channel in channels_of(config).items()
    }
    return tuple(
        dict.fromkeys(
            r.channel
            for r in readings
            if math.isfinite(r.sigma) and not math.isclose(r.sigma, stated.get(r.channel, math.nan), rel_tol=1e-6)
        )
    )


def _opened(config: Config, grid_s: float) -> Config:
    """The machine as a record of unknown beginning sees it: sensitivities constant, temperatures wide."""
    watt = config.source.voltage_kv * config.source.current_ua * 1e-3
    return config.model_copy(
        update={
            "estimator": config.estimator.model_copy(update={"grid_s": grid_s, "engine": "compiled"}),
            "elements": tuple(e.model_copy(update={"sensitivity_sigma": 0.0}) for e in config.elements),
            "nodes": tuple(
                n.model_copy(
                    update={
                        "initial_sigma_k": max(
                            initial_sigma_k(config, n), START_SIGMA_K, 3.0 * n.kelvin_per_watt * watt
                        )
                    }
                )
                for n in config.nodes
            ),
        }
    )


def _with_offsets(model: StateSpace, thermometers: Sequence[str]) -> StateSpace:
    """The same model with a constant, unknown offset of every thermometer.

    Two thermometers that differ by 0.2 K would otherwise give a steady rise, and with it K/W, to a part in a thousand.
    """
    more = len(thermometers)
    square = ((0, more), (0, more))
    own = np.diag(np.concatenate([np.zeros(len(model.names)), np.ones(more)]))
    return replace(
        model,
        names=(*model.names, *(f"thermometer.{name}" for name in thermometers)),
        units=(*model.units, *(["K"] * more)),
        observations=tuple(
            replace(o, linear=(*o.linear, (f"thermometer.{o.channel}", 1.0))) if o.channel in thermometers else o
            for o in model.observations
        ),
        drift=np.pad(model.drift, square),
        diffusion=np.pad(model.diffusion, square),
        input_rates=np.pad(model.input_rates, ((0, more), (0, 0))),
        transition=np.pad(model.transition, square) + own,
        noise=np.pad(model.noise, square),
        input_matrix=np.pad(model.input_matrix, ((0, more), (0, 0))),
        mean=np.concatenate([model.mean, np.zeros(more)]),
        cov=np.pad(model.cov, square) + OFFSET_K**2 * own,
    )


def _noise_columns(machine: Machine, free: Sequence[Free]) -> dict[str, int]:
    """Which column of the readings each free σ belongs to."""
    columns = {name: j for j, name in enumerate(machine.model.channels)}
    channels = machine.config.channels
    return {
        f.name: columns[channels[f.index].name]
        for f in free
        if f.key == "sigma" and f.index is not None and channels[f.index].name in columns
    }


def _narrowed(config: Config, free: Sequence[Free], result: Identified) -> Config:
    """Sensitivities that were determined get the σ with which they are."""
    elements = list(config.elements)
    for one, found in zip(free, result.found, strict=True):
        if one.kind == "sensitivity" and one.index is not None and found.determined:
            relative = found.sigma / max(abs(found.value), 1e-3)
            elements[one.index] = elements[one.index].model_copy(update={"sensitivity_sigma": relative})
    return config.model_copy(update={"elements": tuple(elements)})
