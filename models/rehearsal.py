"""A dress rehearsal: courses drawn from the model's own prior, read by simulated channels, smoothed like real ones.

The covariance of a linear model does not depend on the readings, so there a rehearsal says what a plain covariance analysis
says, whatever was drawn. Where a sensitivity multiplies a temperature it does depend on them: a temperature that stays at
the reference makes a sensitivity neither felt nor learnt. Averaging over courses takes that in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from models.engine import Belief, Gate, Steps
from models.estimate import Array
from models.observability import change_cov, prior_change_cov
from models.rows import Rows
from models.smoother import smooth
from models.statespace import Observation, StateSpace

OPEN_GATE = 1e9  # the model's own draws hold no outliers


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What K rehearsed courses of T steps taught about q outputs; all are changes since the reference step.

    Attributes
    ----------
    posterior : (T, q, q) array
        Covariance given all readings; weighted mean over the courses.
    moved : (K, T, q) array
        How the outputs really changed.
    missed : (K, T, q) array
        What the smoother missed: its mean minus the truth.
    weight : (K,) array
        How much each course counts; they add up to 1.
    """

    posterior: Array
    moved: Array
    missed: Array
    weight: Array


def draw_states(model: StateSpace, prior: Belief, inputs: Array, courses: int, seed: int) -> Array:
    """States over T steps of ``courses`` courses drawn from the prior, (courses, T, n).

    ``inputs`` (T, k) are the known inputs; the prior is one step before the first. Every state has a stream of chance of
    its own: a sensor more changes no course. Steps and re-armed warm-ups are not drawn: the model holds their possibility,
    not their time.
    """
    shake, start = _root(model.noise), _root(prior.cov)
    chance = np.empty((len(inputs) + 1, courses, len(model.names)))
    for i, name in enumerate(model.names):
        chance[..., i] = _stream(seed, name).standard_normal(chance.shape[:2])
    x = prior.mean + chance[0] @ start.T
    out = np.empty((courses, len(inputs), len(model.names)))
    for t, push in enumerate(inputs @ model.input_matrix.T):
        x = x @ model.transition.T + push + chance[t + 1] @ shake.T
        out[:, t] = x
    return out


def rehearse(
    model: StateSpace,
    prior: Belief,
    steps: Steps,
    outputs: Sequence[Observation],
    reference: int,
    *,
    courses: int,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> Rehearsal:
    """Draw courses, read them, smooth them.

    Parameters
    ----------
    steps : Steps
        What is read when: where ``readings`` is not nan a reading of ``variances`` is made; its value is ignored.
    reference : int
        First step of the scan; changes are relative to it.
    courses : int
        Each costs a smoother's run.
    seed : int
        Same seed, same courses, whatever is read: two sets of sensors are compared on the same drift.

    Examples
    --------
    A walk of 1 m/√s that is read without error at the end of 2 steps: half-way 0.5 m² is left, whatever was drawn.

    >>> from models.focal import random_walk
    >>> sight = Observation("c", (("x", 1.0),))
    >>> model = StateSpace.assemble([random_walk("x", "m", 1.0)], [sight], 1.0)
    >>> steps = Steps.empty(model, 3)
    >>> steps.readings[[0, 2], 0], steps.variances[:] = 0.0, 1e-12
    >>> played = rehearse(model, Belief.prior(model), steps, [sight], 0, courses=2, seed=1)
    >>> played.posterior[:, 0, 0].round(6).tolist()
    [0.0, 0.5, 0.0]
    """
    rows, sees = Rows.of(model, outputs), Rows.of(model, model.observations)
    states = draw_states(model, prior, steps.inputs, courses, seed)
    weight = _weights(model, outputs, prior, steps, reference, states)
    hiss = np.empty((courses, len(steps), len(model.channels)))
    for j, name in enumerate(model.channels):
        hiss[..., j] = _stream(seed, name).standard_normal((courses, len(steps)))
    noise = np.sqrt(steps.variances + np.array([o.floor_sigma**2 for o in model.observations]))
    asked = np.isfinite(steps.readings)
    posterior = np.zeros((len(steps) - reference, len(outputs), len(outputs)))
    moved, missed = np.empty((2, courses, *posterior.shape[:2]))
    for k, course in enumerate(states):
        shown = sees.values(course, steps.covariates) + hiss[k] * noise
        read = replace(steps, readings=np.where(asked, shown, np.nan))
        smoothed = smooth(model, prior, read, outputs, reference=reference, gate=Gate(OPEN_GATE))
        posterior += weight[k] * change_cov(smoothed)
        truth = rows.values(course[reference:], steps.covariates[reference:])
        moved[k] = truth - truth[0]
        missed[k] = smoothed.difference()[0][reference:] - moved[k]
        if progress is not None:
            progress((k + 1) / courses)
    return Rehearsal(posterior, moved, missed, weight)


def _weights(
    model: StateSpace, outputs: Sequence[Observation], prior: Belief, steps: Steps, reference: int, states: Array
) -> Array:
    """Weights of the courses (they add up to 1) with which states in products swing as much as expected.

    A posterior that depends on the course depends, to the first order, on how far the factors of products (temperatures)
    swing over the scan, and what they swing on average is known exactly. The weights nearest to equal ones that give these
    averages are the regression estimator of survey sampling (Deville & Sarndal 1992, J. Am. Stat. Assoc. 87, 376): a few
    courses then do for many. Without products the weights are equal.
    """
    count = len(states)
    factors = sorted({state for o in (*model.observations, *outputs) for a, b, _ in o.products for state in (a, b)})
    even = np.full(count, 1.0 / count)
    if not factors:
        return even
    alone = [Observation(name, ((name, 1.0),)) for name in factors]
    change = prior_change_cov(model, prior.mean, prior.cov, alone, steps, reference)
    expected = np.diagonal(change, axis1=1, axis2=2).mean(axis=0)
    middle = _mean_course(model, prior, steps.inputs)[reference:]
    at = [model.index(name) for name in factors]
    expected = expected + ((middle - middle[0])[:, at] ** 2).mean(axis=0)
    swings = ((states[:, reference:, at] - states[:, reference : reference + 1, at]) ** 2).mean(axis=1)
    moving = expected > 1e-12 * expected.max()
    if not moving.any():
        return even
    terms = np.vstack([np.ones(count), (swings[:, moving] / expected[moving]).T])
    wanted = np.ones(len(terms))
    weight = even + np.linalg.lstsq(terms, wanted - terms @ even, rcond=1e-9)[0]
    weight = np.maximum(weight, 0.0)
    return np.asarray(weight / weight.sum())


def _mean_course(model: StateSpace, prior: Belief, inputs: Array) -> Array:
    x, out = prior.mean, np.empty((len(inputs), len(prior.mean)))
    for t, push in enumerate(inputs @ model.input_matrix.T):
        x = model.transition @ x + push
        out[t] = x
    return out


def _root(cov: Array) -> Array:
    """Lower triangle R with ``R R' = cov``, for covariances that may be singular (to 1e-12 of each variance)."""
    scale = np.sqrt(np.maximum(np.diag(cov), 0.0))
    even = cov / np.outer(np.where(scale > 0, scale, 1.0), np.where(scale > 0, scale, 1.0))
    return np.asarray(scale[:, None] * np.linalg.cholesky(even + np.diag(np.where(scale > 0, 1e-12, 1.0))))


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(name.encode())])
