"""Fixed-interval smoothing in bounded memory, with the covariance to a reference instant and a search for steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.engine import Belief, Engine, Gate, Record, Steps, compiled
from models.estimate import Array
from models.kalman import cross_pass, output_rows, smooth_pass
from models.packing import Packed, Terms
from models.statespace import Observation, StateSpace

CHUNK = 512
ROUNDS = 12  # of the search for steps, one step each


@dataclass(frozen=True, slots=True)
class Smoothed:
    """Outputs given all readings of an interval.

    Attributes
    ----------
    mean : (T, q) array
        Smoothed outputs.
    cov : (T, q, q) array
        Their covariance.
    cross : (T, q, q) array
        Covariance of the outputs at the reference step with those at each step (rows: reference); zero before it.
    reference : int
        The reference step.
    steps : tuple of (int, str, float)
        Steps that were recognised: index, state, size.
    loglik : float
    """

    mean: Array
    cov: Array
    cross: Array
    reference: int
    steps: tuple[tuple[int, str, float], ...]
    loglik: float

    def difference(self) -> tuple[Array, Array]:
        """Outputs minus those at the reference step, and the variance of that difference: two (T, q) arrays."""
        k = self.reference
        own = np.diagonal(self.cov, axis1=1, axis2=2)
        cross = np.diagonal(self.cross, axis1=1, axis2=2)
        variance = own + own[k] - 2.0 * cross
        variance[k] = 0.0
        return self.mean - self.mean[k], np.maximum(variance, 0.0)


def smooth(
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
    """Smooth outputs (weighted sums and products of states, written like observations) over all steps.

    The forward pass keeps one belief per chunk of 512 steps; the backward pass filters each chunk again, so memory is
    independent of the length but for the outputs. Steps in ``step_states`` (state → expected steps in the interval) are
    searched by the score test of the backward pass and opened where it is decisive, until none is left.

    Parameters
    ----------
    outputs : q observations
        What is wanted; products are linearised at the filtered mean of each step.
    reference : int
        Step whose outputs the corrections are relative to.

    step_states : mapping of state to (expected steps in the interval, σ of a step)
        Where a step is looked for.

    Notes
    -----
    A shock of prior variance V to state i before the readings of a step has the log Bayes factor
    ``½ r_i² V/(1 + V N_ii) - ½ ln(1 + V N_ii)`` against none (r, N of the adjoint pass). It is accepted where that beats the
    prior odds of T/expected by ten to one; of states that explain the same instant the more likely one is taken. Wrong when
    two steps of one state lie closer than the readings can tell apart: they are then one.
    """
    packed, terms = Packed.of(model), Terms.of(model, outputs)
    policy = (gate or Gate()).for_model(model)
    wanted = {model.index(name): chance for name, chance in (step_states or {}).items() if min(chance) > 0}
    found: list[tuple[int, str, float]] = []
    for round_ in range(ROUNDS):
        result, stat, size = _pass(model, packed, prior, steps, terms, reference, policy, run, bool(wanted), progress)
        new = _decisive(stat, size, wanted, {t for t, _, _ in found})
        if new is None or round_ == ROUNDS - 1:
            break
        t, i, jump = new
        opened = steps.opened.copy()
        opened[t, i] += wanted[i][1] ** 2
        found.append((t, model.names[i], jump))
        steps = replace(steps, opened=opened)
    return replace(result, steps=tuple(sorted(found)))


def _decisive(
    stat: Array, size: Array, wanted: dict[int, tuple[float, float]], known: set[int]
) -> tuple[int, int, float] | None:
    """The likeliest shock that beats its prior odds, away from those already opened; None if there is none."""
    best: tuple[float, int, int, float] | None = None
    for i, (expected, sigma) in wanted.items():
        # stat = r²/N and size = r/N give N = stat/size²
        with np.errstate(divide="ignore", invalid="ignore"):
            information = np.where(stat[:, i] > 0, stat[:, i] / size[:, i] ** 2, 0.0)
        gain = sigma**2 * information
        factor = 0.5 * stat[:, i] * gain / (1.0 + gain) - 0.5 * np.log1p(gain)
        for t in known:
            factor[max(t - 1, 0) : t + 2] = -np.inf
        t = int(factor.argmax())
        if factor[t] > np.log(max(len(factor) / expected, 1.0)) + np.log(10.0) and (
            best is None or factor[t] > best[0]
        ):
            best = (float(factor[t]), t, i, float(size[t, i]))
    return None if best is None else best[1:]


def _pass(
    model: StateSpace,
    packed: Packed,
    prior: Belief,
    steps: Steps,
    terms: Terms,
    reference: int,
    gate: Gate,
    run: Engine,
    want_steps: bool,
    progress: Callable[[float], None] | None,
) -> tuple[Smoothed, Array, Array]:
    count, n, q = len(steps), packed.n, len(terms.constant)
    starts = list(range(0, count, CHUNK))
    beliefs, crosses = [], []
    belief, cross, loglik = prior.copy(), np.zeros((q, n)), 0.0
    for first in starts:
        beliefs.append(belief.copy())
        crosses.append(cross.copy())
        part = steps.part(first, first + CHUNK)
        inside = first <= reference < first + CHUNK
        keep = inside or first > reference
        record = run(model, packed, belief, part, gate, keep)
        loglik += record.loglik
        if keep:
            cross = _cross(packed, terms, record, part, cross, reference - first)[-1]
        if progress is not None:
            progress(0.5 * (first + len(part)) / count)
    mean, cov, out_cross = np.empty((count, q)), np.empty((count, q, q)), np.zeros((count, q, q))
    stat, size = (np.empty((count, n)), np.empty((count, n))) if want_steps else (np.empty((0, n)), np.empty((0, n)))
    r, information = np.zeros(n), np.zeros((n, n))
    for number, first in reversed(list(enumerate(starts))):
        part = steps.part(first, first + CHUNK)
        last = first + len(part)
        record = run(model, packed, beliefs[number], part, gate, True)
        track = last > reference
        carried = (
            _cross(packed, terms, record, part, crosses[number], reference - first) if track else np.zeros((0, q, n))
        )
        chunk_stat, chunk_size = np.empty((len(part), n)), np.empty((len(part), n))
        smooth_pass(
            packed.indptr,
            packed.indices,
            packed.values,
            record.mean,
            record.cov,
            record.innovation,
            record.spread,
            record.row,
            record.gain,
            r,
            information,
            np.ascontiguousarray(part.covariates),
            terms.start,
            terms.state,
            terms.other,
            terms.covariate,
            terms.weight,
            terms.constant,
            carried,
            track,
            mean[first:last],
            cov[first:last],
            out_cross[first:last],
            chunk_stat,
            chunk_size,
        )
        if want_steps:
            stat[first:last], size[first:last] = chunk_stat, chunk_size
        if progress is not None:
            progress(1.0 - 0.5 * first / count)
    return Smoothed(mean, cov, out_cross, reference, (), loglik), stat, size


def _cross(packed: Packed, terms: Terms, record: Record, part: Steps, cross: Array, reference: int) -> Array:
    """Covariance of the reference outputs with the filter's error at each step of a chunk, (T, q, n)."""
    count = len(record.spread)
    rows = np.zeros((len(terms.constant), packed.n))
    out = np.zeros((count, len(rows), packed.n))
    first, carried = 0, cross.copy()
    if 0 <= reference < count:
        output_rows(
            record.mean[reference],
            np.ascontiguousarray(part.covariates[reference]),
            terms.start,
            terms.state,
            terms.other,
            terms.covariate,
            terms.weight,
            terms.constant,
            rows,
        )
        carried = rows @ record.cov[reference]
        out[reference] = carried
        first = reference + 1
    elif reference >= count:
        return out
    cross_pass(
        packed.indptr,
        packed.indices,
        packed.values,
        record.spread[first:],
        record.row[first:],
        record.gain[first:],
        carried,
        out[first:],
    )
    return out
