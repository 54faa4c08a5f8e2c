"""A second smoothing pass along the course that the first one found, for models with products of states.

The filter linearises a product at what it knows so far. Where both factors are uncertain (a sensitivity and a temperature
that nothing reads) these points wander, every reading is taken with another slope, and the estimate follows slopes that
were never there. Linearised along one course for all readings it does not: a step of Gauss and Newton towards the most
probable course.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from models.engine import Belief, Engine, Gate, Steps, compiled
from models.estimate import Array
from models.smoother import Smoothed, smooth
from models.statespace import Observation, StateSpace

AGAIN = 1  # passes after the first one
AT = "at."  # covariate: value of a state on the course that everything is linearised along


def smooth_again(
    model: StateSpace,
    prior: Belief,
    steps: Steps,
    outputs: Sequence[Observation],
    *,
    reference: int = 0,
    gate: Gate | None = None,
    step_states: dict[str, tuple[float, float]] | None = None,
    run: Engine = compiled,
    progress: Callable[[float], None] | None = None,
) -> Smoothed:
    """As :func:`models.smoother.smooth`; where the model has products, the mean is that of a second pass (Bell 1994,
    SIAM J. Optim. 4, 626: the iterated Kalman smoother), linearised along the smoothed course of the first.

    Parameters
    ----------
    As of :func:`models.smoother.smooth`. Steps of states are searched in the first pass and kept.

    Notes
    -----
    ``x y ≈ x* y + y* x - x* y*``: the factors' values on the course enter as covariates of a linear model, the rest is taken
    off the readings. The covariance stays that of the first pass: along a course that a temperature nobody reads is
    smoothed into, it hardly moves, and a sensitivity that multiplies it would seem to matter little. On machines drawn from
    their prior the first pass's σ is right within what a hundred runs can tell, with and without thermometers
    (``tests/accuracy/test_predicted_sigma.py``).
    """
    factors = sorted({s for o in (*model.observations, *outputs) for a, b, _ in o.products for s in (a, b)})
    wanted = [*outputs, *(Observation(name, ((name, 1.0),)) for name in factors)]
    rounds = 1 + AGAIN if factors else 1

    def part(k: int) -> Callable[[float], None] | None:
        return None if progress is None else lambda done: progress((k + done) / rounds)

    first = smooth(
        model, prior, steps, wanted,
        reference=reference, gate=gate, step_states=step_states, run=run, progress=part(0),
    )  # fmt: skip
    q = len(outputs)
    found = replace(first, mean=first.mean[:, :q], cov=first.cov[:, :q, :q], cross=first.cross[:, :q, :q])
    if not factors:
        return found
    opened = steps.opened.copy()
    for t, name, _ in first.steps:
        opened[t, model.index(name)] += (step_states or {})[name][1] ** 2
    straight = replace(
        model,
        covariates=(*model.covariates, *(AT + name for name in factors)),
        observations=tuple(_straight(o) for o in model.observations),
    )
    aims, mean = [_straight(o) for o in wanted], first.mean
    for k in range(AGAIN):
        course = dict(zip(factors, mean[:, q:].T, strict=True))
        seen = replace(
            steps,
            readings=steps.readings + _rest(model.observations, course, len(steps)),
            covariates=np.hstack([steps.covariates, *(course[name][:, None] for name in factors)]),
            opened=opened,
        )
        again = smooth(straight, prior, seen, aims, reference=None, gate=gate, run=run, progress=part(k + 1))
        mean = again.mean - _rest(wanted, course, len(steps))
    return replace(found, mean=mean[:, :q])


def _straight(o: Observation) -> Observation:
    """An observation with its products replaced by each factor times the other's value on the course."""
    turned = [term for a, b, w in o.products for term in ((a, AT + b, w), (b, AT + a, w))]
    return replace(o, products=(), covariates=(*o.covariates, *turned))


def _rest(observations: Sequence[Observation], course: dict[str, Array], count: int) -> Array:
    """``Σ w x* y*`` per observation and step, (T, m)."""
    out = np.zeros((count, len(observations)))
    for j, o in enumerate(observations):
        for a, b, w in o.products:
            out[:, j] += w * course[a] * course[b]
    return out
