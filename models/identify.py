"""Parameters of a model that a record determines, with intervals; and those it does not determine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.estimate import Array, ModelError
from models.likelihood import Case, Innovations, Posterior, innovations, minimise
from models.profile_likelihood import doubtful, profile_interval

NARROWED = 0.5  # posterior σ over prior σ at which a parameter counts as determined
PARTNER = 0.7  # |correlation| from which another parameter is named as the one it is entangled with
EDGE = 3.5  # σ of the prior: further away a value is at the bound of what was thought possible
OUTLIER = 5.0
ROUNDS = 3  # of leaving out outliers and fitting again
BLIND = 1e-6  # curvature of the likelihood below which no reading depends on a parameter


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something to be found, and what is believed of it before.

    Parameters
    ----------
    start : float
        Value to start from, the centre of its prior.
    spread : float
        σ of the prior: of ln(value) if ``positive``, else of the value itself.
    positive : bool
        Whether it is searched in its logarithm.
    """

    name: str
    start: float
    spread: float
    positive: bool = True

    def at(self, z: float) -> float:
        """Value at ``z`` σ of the prior from the start.

        Examples
        --------
        >>> round(Parameter("tau", 100.0, np.log(3.0)).at(-1.0), 3)
        33.333
        """
        return float(self.start * np.exp(self.spread * z)) if self.positive else self.start + self.spread * z


@dataclass(frozen=True, slots=True)
class Found:
    """A parameter after the record.

    Attributes
    ----------
    value, low, high : float
        Most probable value and 95 % interval (an end at the bound of the search is open).
    sigma : float
        Of the value; from the curvature.
    narrowed : float
        σ after over σ before.
    determined : bool
        Narrowed at least by a factor of two, and not at the bound.
    partners : tuple of str
        Parameters together with which it is known, though not by itself.
    moved : bool
        Not determined, but the start lies outside the interval: the record says where it is not.
    seen : bool
        Whether any reading depends on it.
    profiled : bool
        Whether the interval is from the profile instead of the curvature.
    """

    parameter: Parameter
    value: float
    low: float
    high: float
    sigma: float
    narrowed: float
    determined: bool
    partners: tuple[str, ...] = ()
    moved: bool = False
    seen: bool = True
    profiled: bool = False

    @property
    def use(self) -> bool:
        """Whether the value is better than the one before."""
        return self.determined or self.moved or bool(self.partners)


@dataclass(frozen=True, slots=True)
class Identified:
    """Result of :func:`identify`: parameters in the order given, innovations before and after of the readings used."""

    found: tuple[Found, ...]
    used: tuple[Array, ...]
    before: Innovations
    after: Innovations
    cov: Array
    readings: int
    outliers: int
    runs: int

    def values(self) -> dict[str, float]:
        """Value to use of each parameter: found, or as before where the record says nothing."""
        return {f.parameter.name: f.value if f.use else f.parameter.start for f in self.found}


def identify(
    parameters: Sequence[Parameter],
    build: Callable[[Mapping[str, float]], Sequence[Case]],
    progress: Callable[[float], None] = lambda _: None,
    *,
    profiles: bool = True,
) -> Identified:
    """Most probable parameters given records, their 95 % intervals, and which of them the records determine.

    The likelihood is the kernel's (prediction error decomposition, Schweppe 1965), with every parameter's prior as wide
    as stated. A parameter is *determined* when its posterior σ is at most half its prior σ and it isn't at the bound of
    the search; *entangled* when it would be if its partners were known; else the record doesn't say, and it keeps its
    value, on which then the others are fitted. Readings beyond 5 σ of the fitted model are left out and the fit is
    repeated. Intervals are from the curvature, and from the profile where that disagrees with the posterior itself.

    Parameters
    ----------
    parameters : sequence of Parameter
    build : callable
        From values by name to cases (model and steps); records in several cases are independent.
    progress : callable
        Told how much is done, 0 … 1.
    profiles : bool
        Whether intervals are checked; without, they are those of the curvature, and cost nothing.

    Raises
    ------
    ModelError
        Without parameters, or without any reading of an observed channel.

    Notes
    -----
    Wrong when the model's structure is: then σ is that of the best of the wrong models, and too small. A step of the
    machine within the record widens the walks.
    """
    if not parameters:
        raise ModelError("nothing to calibrate: no parameter is free")
    size = len(parameters)

    def cases(z: Array) -> Sequence[Case]:
        return build({p.name: p.at(float(np.clip(c, -2 * EDGE, 2 * EDGE))) for p, c in zip(parameters, z, strict=True)})

    z, free = np.zeros(size), np.ones(size, dtype=bool)
    start = cases(z)
    used = [np.isfinite(steps.readings) for _, steps in start]
    posterior = Posterior(cases, size, used)
    done = 0.0

    def tick() -> None:
        nonlocal done
        done += 0.06 * (0.95 - done)
        progress(done)

    outliers = 0
    # at a second point, too: beside a sensitivity of exactly 0 a time constant has no effect, yet may have one
    aside = 0.3 * np.cos(np.arange(size))
    free = np.any([np.diag(posterior.local(at, free)[2]) - 1.0 > BLIND for at in (z, aside)], axis=0)
    for _ in range(ROUNDS):
        z, value, curvature = minimise(posterior, z, free, tick=tick)
        wild = _wild(cases(z), used)
        if not any(mask.any() for mask in wild):
            break
        outliers += sum(int(mask.sum()) for mask in wild)
        used = [np.logical_and(mask, np.logical_not(w)) for mask, w in zip(used, wild, strict=True)]
        posterior.used = used
    cov: Array = np.linalg.inv(curvature).astype(float)
    raw = [_judge(posterior, parameters, z, value, cov, curvature, free, i, tick, profiles) for i in range(size)]
    keep = np.array([f.use for f in raw])
    if keep.any() and not keep[free].all():
        # what the record doesn't say keeps its value; the others have to fit to that
        z = np.where(keep, z, 0.0)
        z, value, _ = minimise(posterior, z, free & keep, tick=tick)
        raw = [_shifted(f, p.at(z[i])) if keep[i] else f for i, (f, p) in enumerate(zip(raw, parameters, strict=True))]
    progress(1.0)
    readings = sum(int(mask.sum()) for mask in used)
    before, after = innovations(start, used), innovations(cases(np.where(keep, z, 0.0)), used)
    return Identified(tuple(raw), tuple(used), before, after, cov, readings, outliers, posterior.runs)


def _wild(cases: Sequence[Case], used: Sequence[Array]) -> list[Array]:
    """Readings further than OUTLIER σ from their prediction, one mask per case."""
    masks = []
    for (model, steps), mask in zip(cases, used, strict=True):
        found = innovations([(model, steps)], [mask])
        wild = np.zeros(mask.shape, dtype=bool)
        wild[mask] = np.abs(found.value) > OUTLIER * np.sqrt(found.variance)
        masks.append(wild)
    return masks


def _judge(
    posterior: Posterior,
    parameters: Sequence[Parameter],
    z: Array,
    value: float,
    cov: Array,
    curvature: Array,
    free: Array,
    i: int,
    tick: Callable[[], None],
    profiles: bool,
) -> Found:
    """Interval of one parameter and what it is worth."""
    parameter, sigma = parameters[i], float(np.sqrt(cov[i, i]))
    tick()
    low, high = float(z[i] - 1.959964 * sigma), float(z[i] + 1.959964 * sigma)
    determined, profiled = sigma <= NARROWED and abs(z[i]) < EDGE, False
    partners: tuple[str, ...] = ()
    if free[i] and not determined and 1.0 / np.sqrt(curvature[i, i]) <= NARROWED:
        scale = np.sqrt(np.diag(cov))
        strength = np.abs(cov[i] / (scale * sigma))
        strength[i] = 0.0
        order = [int(j) for j in np.argsort(-strength) if strength[j] >= PARTNER]
        partners = tuple(parameters[j].name for j in order[:3])
    outside = not low <= 0.0 <= high
    wanted = profiles and free[i] and (determined or outside or bool(partners))
    if wanted and doubtful(posterior, z, value, cov, i):
        low, high = profile_interval(posterior, z, value, cov, i, free, EDGE)
        profiled = True
        # the interval decides: a curvature at the top may promise more than the posterior holds
        determined = determined and high - low <= 2.0 * 1.959964 * NARROWED
    found = parameter.at(float(z[i]))
    slope = found * parameter.spread if parameter.positive else parameter.spread
    return Found(
        parameter,
        found,
        parameter.at(low),
        parameter.at(high),
        abs(slope) * sigma,
        sigma,
        bool(determined),
        () if determined else partners,
        bool(free[i] and not determined and not low <= 0.0 <= high),
        bool(free[i]),
        profiled,
    )


def _shifted(found: Found, value: float) -> Found:
    """The same with another value inside its interval."""
    return replace(found, value=float(np.clip(value, found.low, found.high)))
