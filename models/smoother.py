"""Fixed-interval smoothing in bounded memory, with the covariance to a reference instant and a search for steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.adjoint import cross_pass, smooth_pass
from models.engine import Belief, Engine, Gate, Record, Steps, compiled
from models.estimate import Array
from models.kalman import output_rows
from models.packing import Packed, Terms
from models.products import Products
from models.statespace import Observation, StateSpace

CHUNK_BYTES = 64 * 2**20  # of what the forward pass leaves for the backward one
LINEARISATIONS = 2  # of products, at the states as they are known from all readings
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
        Covariance of the outputs at the reference step with those at each step (rows: reference); zero before it, and
        everywhere when no reference was given.
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

    def only(self, count: int) -> Smoothed:
        """The first ``count`` outputs."""
        return replace(
            self,
            mean=self.mean[:, :count],
            cov=self.cov[:, :count, :count],
            cross=self.cross[:, :count, :count],
        )


def smooth(
    model: StateSpace,
    prior: Belief,
    steps: Steps,
    outputs: Sequence[Observation],
    *,
    reference: int | None = 0,
    gate: Gate | None = None,
    step_states: dict[str, tuple[float, float]] | None = None,
    run: Engine = compiled,
    progress: Callable[[float], None] | None = None,
) -> Smoothed:
    """Smooth outputs (weighted sums and products of states, written like observations) over all steps.

    The forward pass keeps one belief per chunk (as many steps as fill 64 MB); the backward pass filters each chunk again,
    so memory is independent of the length but for the outputs. Steps in ``step_states`` (state → expected steps in the
    interval) are searched by the score test of the backward pass and opened where it is decisive, until none is left.

    Parameters
    ----------
    outputs : q observations
        What is wanted; products are linearised at the smoothed mean of each step, and what that misses is added
        (:mod:`models.products`).
    reference : int, optional
        Step whose outputs the corrections are relative to; without one no covariance across time is worked out.
    step_states : mapping of state to (expected steps in the interval, σ of a step)
        Where a step is looked for.

    Notes
    -----
    A shock of prior variance V to state i before the readings of a step has the log Bayes factor
    ``½ r_i² V/(1 + V N_ii) - ½ ln(1 + V N_ii)`` against none (r, N of the adjoint pass). It is accepted where that beats the
    prior odds of T/expected by ten to one; of states that explain the same instant the more likely one is taken. Wrong when
    two steps of one state lie closer than the readings can tell apart: they are then one. What is not decisive widens the
    last pass by its probability (:func:`_suspected`).
    """
    packed, products = Packed.of(model), Products.of(outputs, model.observations, model.vague)
    terms = Terms.of(model, products.extended()), Terms.of(model, products.straight())
    policy = (gate or Gate()).for_model(model)
    wanted = {model.index(name): chance for name, chance in (step_states or {}).items() if min(chance) > 0}
    found: list[tuple[int, str, float]] = []
    for round_ in range(ROUNDS):
        result, stat, size, at = _pass(
            model, packed, prior, steps, terms, reference, policy, run, bool(wanted), progress
        )
        odds = _log_odds(stat, size, wanted, {t for t, _, _ in found})
        new = _decisive(odds, size, wanted)
        if new is None or round_ == ROUNDS - 1:
            break
        t, i, jump = new
        opened = steps.opened.copy()
        opened[t, i] += wanted[i][1] ** 2
        found.append((t, model.names[i], jump))
        steps = replace(steps, opened=opened)
    if wanted:
        steps = replace(steps, opened=steps.opened + _suspected(odds, stat, size, wanted))
    first, first_at, bent = result, at, any(o.products for o in model.observations)
    for _ in range((LINEARISATIONS if products.known else 1) if bent else int(bool(wanted))):
        if bent:
            steps = _linearised(model, products, steps, result)
        result, _, _, at = _pass(model, packed, prior, steps, terms, reference, policy, run, False, progress)
    mean, cov, cross = _finished(model, products, result, reference, at)
    if not products.known:
        # along a course into which a temperature that nobody reads was smoothed, the covariance would come out too small
        _, cov, cross = _finished(model, products, first, reference, first_at)
    return replace(result, mean=mean, cov=cov, cross=cross, steps=tuple(sorted(found)))


def _finished(
    model: StateSpace, products: Products, result: Smoothed, reference: int | None, at: Array | None
) -> tuple[Array, Array, Array]:
    points = products.points(model.names, result.mean, reference, at)
    return products.finish(result.mean, result.cov, result.cross, reference, points)


def _linearised(model: StateSpace, products: Products, steps: Steps, result: Smoothed) -> Steps:
    """Steps whose rows are linearised at the smoothed states, with what that misses given their covariance.

    Iterated posterior linearisation (García-Fernández, Svensson & Särkkä 2017, IEEE Trans. Signal Process. 65, 3176).
    """
    around, q = np.zeros((len(steps), len(model.names))), len(products.outputs)
    for k, name in enumerate(products.states):
        around[:, model.index(name)] = result.mean[:, q + k]
    return replace(steps, around=around, bent=products.curvature(result.cov, model.observations))


def _log_odds(stat: Array, size: Array, wanted: dict[int, tuple[float, float]], known: set[int]) -> Array:
    """Log odds (T, states wanted) of a shock at a step against none, away from those already opened."""
    odds = np.empty((len(stat), len(wanted)))
    for k, (i, (expected, sigma)) in enumerate(wanted.items()):
        gain = sigma**2 * _information(stat, size, i)
        odds[:, k] = 0.5 * stat[:, i] * gain / (1.0 + gain) - 0.5 * np.log1p(gain)
        odds[:, k] -= np.log(max(len(odds) / expected, 1.0))
    for t in known:
        odds[max(t - 1, 0) : t + 2] = -np.inf
    return odds


def _information(stat: Array, size: Array, i: int) -> Array:
    # stat = r²/N and size = r/N give N = stat/size²
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(stat[:, i] > 0, stat[:, i] / size[:, i] ** 2, 0.0)


def _decisive(odds: Array, size: Array, wanted: dict[int, tuple[float, float]]) -> tuple[int, int, float] | None:
    """The likeliest shock, if its odds are ten to one."""
    if not wanted:
        return None
    t, k = (int(i) for i in np.unravel_index(odds.argmax(), odds.shape))
    i = list(wanted)[k]
    return (t, i, float(size[t, i])) if odds[t, k] > np.log(10.0) else None


def _suspected(odds: Array, stat: Array, size: Array, wanted: dict[int, tuple[float, float]]) -> Array:
    """Variance (T, n) of shocks that may have happened without being decisive: probability times E size².

    Given one shock at most per stretch in which one is expected, its place has the posterior odds that are there; given its
    place its size has the variance V/(1 + V N) about V r/(1 + V N). So a quiet record is opened less than a walk of the same
    second moment would, and a suspicious place more.
    """
    opened = np.zeros_like(stat)
    for k, (i, (expected, sigma)) in enumerate(wanted.items()):
        weight = np.exp(np.minimum(odds[:, k], 50.0))
        stretch = int(np.clip(len(weight) / expected, 1, len(weight)))
        total = np.concatenate([[0.0], np.cumsum(weight)])
        first = np.clip(np.arange(len(weight)) - stretch // 2, 0, len(weight) - stretch)
        around = total[first + stretch] - total[first]
        gain = sigma**2 * _information(stat, size, i)
        second = sigma**2 / (1.0 + gain) + (gain * size[:, i] / (1.0 + gain)) ** 2
        opened[:, i] = weight / (1.0 + around) * second
    return opened


def _pass(
    model: StateSpace,
    packed: Packed,
    prior: Belief,
    steps: Steps,
    both: tuple[Terms, Terms],
    reference: int | None,
    gate: Gate,
    run: Engine,
    want_steps: bool,
    progress: Callable[[float], None] | None,
) -> tuple[Smoothed, Array, Array, Array | None]:
    terms, straight = both
    count, n, q, width = len(steps), packed.n, len(terms.constant), packed.forward.noise.shape[1]
    size = _chunk(packed)
    starts = list(range(0, count, size))
    beliefs, crosses = [], []
    belief, cross, loglik = prior.copy(), np.zeros((q, width)), 0.0
    record = None
    for first in starts:
        beliefs.append(belief.copy())
        crosses.append(cross.copy())
        part = steps.part(first, first + size)
        tracked = reference is not None and reference < first + size
        record = run(model, packed, belief, part, gate, tracked or first == starts[-1])
        loglik += record.loglik
        if tracked and reference is not None and first != starts[-1]:
            cross = _cross(packed, straight, record, part, cross, reference - first)[-1]
        if progress is not None:
            progress(0.5 * (first + len(part)) / count)
    mean, cov, out_cross = np.empty((count, q)), np.empty((count, q, q)), np.zeros((count, q, q))
    stat, shock = (np.empty((count, n)), np.empty((count, n))) if want_steps else (np.empty((0, n)), np.empty((0, n)))
    r, information, at = np.zeros(width), np.zeros((width, width)), None
    for number, first in reversed(list(enumerate(starts))):
        part = steps.part(first, first + size)
        last = first + len(part)
        if record is None:
            record = run(model, packed, beliefs[number], part, gate, True)
        carried = np.zeros((0, q, width))
        if reference is not None and last > reference:
            carried = _cross(packed, straight, record, part, crosses[number], reference - first)
        # outputs are linearised where the readings were; where all becomes known, at what is known in the end
        points = part.around if len(part.around) else record.mean if model.vague else np.zeros((0, n))
        if len(points) and reference is not None and first <= reference < last:
            at = points[reference - first].copy()
        smooth_pass(
            packed.back,
            packed.terms,
            record.mean,
            record.wide_cov,
            record.innovation,
            record.spread,
            record.row_values,
            record.wide_gain,
            r,
            information,
            np.ascontiguousarray(part.covariates),
            terms,
            points,
            carried,
            mean[first:last],
            cov[first:last],
            out_cross[first:last],
            stat[first:last],
            shock[first:last],
        )
        record = None
        if progress is not None:
            progress(1.0 - 0.5 * first / count)
    return Smoothed(mean, cov, out_cross, reference or 0, (), loglik), stat, shock, at


def _chunk(packed: Packed) -> int:
    """Steps whose record fills ``CHUNK_BYTES``."""
    width = packed.forward.noise.shape[1]
    return max(int(CHUNK_BYTES // (8 * (packed.n + packed.m) * width)), 16)


def _cross(packed: Packed, terms: Terms, record: Record, part: Steps, cross: Array, reference: int) -> Array:
    """Covariance of the reference outputs with the filter's error at each step of a chunk, (T, q, width)."""
    count, width = len(record.spread), packed.forward.noise.shape[1]
    out = np.zeros((count, len(terms.constant), width))
    first, carried = 0, cross.copy()
    if reference >= 0:
        rows = np.zeros((len(terms.constant), width))
        output_rows(record.mean[reference], np.ascontiguousarray(part.covariates[reference]), terms, rows)
        carried = rows[:, : packed.n] @ record.wide_cov[reference]
        out[reference] = carried
        first = reference + 1
    cross_pass(
        packed.forward,
        packed.terms,
        record.spread[first:],
        record.row_values[first:],
        record.wide_gain[first:],
        carried,
        out[first:],
    )
    return out
