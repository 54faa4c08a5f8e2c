"""Fixed-interval smoothing in bounded memory, with the covariance to a reference instant and a search for steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

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
    """Outputs given all readings of an interval, at K of its steps.

    Attributes
    ----------
    mean : (K, q) array
        Smoothed outputs.
    cov : (K, q, q) array
        Their covariance.
    cross : (K, q, q) array
        Covariance of the outputs at the reference step with those at each step (rows: reference); zero before it, and
        everywhere when no reference was given.
    at : (K,) int array
        The steps, rising.
    reference : int
        Row of the reference step.
    steps : tuple of (int, str, float)
        Steps of the machine that were recognised: index in the interval, state, size.
    loglik : float
    """

    mean: Array
    cov: Array
    cross: Array
    at: NDArray[np.int64]
    reference: int
    steps: tuple[tuple[int, str, float], ...]
    loglik: float

    def row(self, place: Array) -> Array:
        """Where places between steps of the interval lie between the rows; the steps on both sides must be among them.

        A place before the first row or behind the last counts as that row.

        Examples
        --------
        >>> none = np.zeros((3, 0))
        >>> some = Smoothed(none, none, none, np.array([4, 5, 9]), 0, (), 0.0)
        >>> some.row(np.array([2.0, 4.25, 5.0, 11.0])).tolist()
        [0.0, 0.25, 1.0, 2.0]
        """
        low = np.clip(np.searchsorted(self.at, np.floor(place), side="right") - 1, 0, len(self.at) - 1)
        return np.asarray(np.clip(low + place - self.at[low], 0.0, len(self.at) - 1.0).clip(low, low + 1.0))

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
    at: NDArray[np.int64] | None = None,
    gate: Gate | None = None,
    step_states: dict[str, tuple[float, float]] | None = None,
    run: Engine = compiled,
    progress: Callable[[float], None] | None = None,
) -> Smoothed:
    """Smooth outputs (weighted sums and products of states, written like observations) over all steps.

    The forward pass keeps one belief per chunk (as many steps as fill 64 MB); the backward pass filters each chunk again. So
    memory hardly grows with the length where outputs are wanted at some steps only. Steps in ``step_states`` (state →
    expected steps in the interval) are searched by the score test of the backward pass and opened where it is decisive,
    until none is left.

    Parameters
    ----------
    outputs : q observations
        What is wanted; products are linearised at the smoothed mean of each step, and what that misses is added
        (:mod:`models.products`).
    reference : int, optional
        Step whose outputs the corrections are relative to; without one no covariance across time is worked out.
    at : (K,) int array, optional
        Steps at which outputs are wanted, rising, the reference among them; default: all.
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
    policy = (gate or Gate()).for_model(model)
    wanted = {model.index(name): chance for name, chance in (step_states or {}).items() if min(chance) > 0}
    rows = np.arange(len(steps)) if at is None else np.asarray(at, dtype=np.int64)
    bent = any(o.products for o in model.observations)
    sweep = _Sweep(model, packed, prior, products, reference, rows, policy, run, progress)
    found: list[tuple[int, str, float]] = []
    for round_ in range(ROUNDS):
        swept = sweep.over(steps, shocks=bool(wanted), states=bent)
        odds = _log_odds(swept.stat, swept.size, wanted, {t for t, _, _ in found})
        new = _decisive(odds, swept.size, wanted)
        if new is None or round_ == ROUNDS - 1:
            break
        t, i, jump = new
        opened = steps.opened.copy()
        opened[t, i] += wanted[i][1] ** 2
        found.append((t, model.names[i], jump))
        steps = replace(steps, opened=opened)
    if wanted:
        steps = replace(steps, opened=steps.opened + _suspected(odds, swept.stat, swept.size, wanted))
    first = None if products.known else swept
    for _ in range((LINEARISATIONS if products.known else 1) if bent else int(bool(wanted))):
        if bent:
            steps = _linearised(model, products, steps, swept)
        swept = sweep.over(steps, states=bent)
    mean, cov, cross = _finished(model, products, swept)
    if first is not None:
        # along a course into which a temperature that nobody reads was smoothed, the covariance would come out too small
        _, cov, cross = _finished(model, products, first)
    return replace(swept.result, mean=mean, cov=cov, cross=cross, steps=tuple(sorted(found)))


@dataclass(frozen=True, slots=True)
class _Swept:
    """One pass forward and back: outputs by their tangents, and what the next pass or the search needs of all T steps.

    ``stat``, ``size`` (T, n): of shocks to states. ``states`` (T, k), ``bent`` (T, m, 2): means of the states in products,
    and what tangents there miss in rows with products. ``touched`` (n,): where products touch at the reference step.
    """

    result: Smoothed
    stat: Array
    size: Array
    states: Array
    bent: Array
    touched: Array | None
    referred: bool


def _finished(model: StateSpace, products: Products, swept: _Swept) -> tuple[Array, Array, Array]:
    result, reference = swept.result, swept.result.reference if swept.referred else None
    points = products.points(model.names, result.mean, reference, swept.touched)
    return products.finish(result.mean, result.cov, result.cross, reference, points)


def _linearised(model: StateSpace, products: Products, steps: Steps, swept: _Swept) -> Steps:
    """Steps whose rows are linearised at the smoothed states, with what that misses given their covariance.

    Iterated posterior linearisation (García-Fernández, Svensson & Särkkä 2017, IEEE Trans. Signal Process. 65, 3176).
    """
    around = np.zeros((len(steps), len(model.names)))
    for k, name in enumerate(products.states):
        around[:, model.index(name)] = swept.states[:, k]
    return replace(steps, around=around, bent=swept.bent)


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


@dataclass(frozen=True, slots=True)
class _Sweep:
    """What all passes over an interval have in common."""

    model: StateSpace
    packed: Packed
    prior: Belief
    products: Products
    reference: int | None
    rows: NDArray[np.int64]
    gate: Gate
    run: Engine
    progress: Callable[[float], None] | None

    def over(self, steps: Steps, shocks: bool = False, states: bool = False) -> _Swept:
        """Filter forward, chunk by chunk, then back."""
        model, packed, reference, rows = self.model, self.packed, self.reference, self.rows
        terms = Terms.of(model, self.products.extended())
        straight = Terms.of(model, self.products.straight())
        count, n, q, width = len(steps), packed.n, len(terms.constant), packed.forward.noise.shape[1]
        chunk = _chunk(packed)
        starts = list(range(0, count, chunk))
        beliefs, crosses = [], []
        belief, cross, loglik = self.prior.copy(), np.zeros((q, width)), 0.0
        record = None
        for first in starts:
            beliefs.append(belief.copy())
            crosses.append(cross.copy())
            part = steps.part(first, first + chunk)
            tracked = reference is not None and reference < first + chunk
            record = self.run(model, packed, belief, part, self.gate, tracked or first == starts[-1])
            loglik += record.loglik
            if tracked and reference is not None and first != starts[-1]:
                cross = _cross(packed, straight, record, part, cross, reference - first)[-1]
            self._tell(0.5 * (first + len(part)) / count)
        kept = len(rows)
        mean, cov, out_cross = np.empty((kept, q)), np.empty((kept, q, q)), np.zeros((kept, q, q))
        few = count if states else 0
        outer = len(self.products.outputs)
        course, bent = np.empty((few, q - outer)), np.empty((few, len(model.observations), 2))
        stat, shock = np.empty((2, count if shocks else 0, n))
        r, information, touched = np.zeros(width), np.zeros((width, width)), None
        for number, first in reversed(list(enumerate(starts))):
            part = steps.part(first, first + chunk)
            last = first + len(part)
            if record is None:
                record = self.run(model, packed, beliefs[number], part, self.gate, True)
            carried = np.zeros((0, q, width))
            if reference is not None and last > reference:
                carried = _cross(packed, straight, record, part, crosses[number], reference - first)
            # outputs are linearised where the readings were; where all becomes known, at what is known in the end
            points = part.around if len(part.around) else record.mean if model.vague else np.zeros((0, n))
            if len(points) and reference is not None and first <= reference < last:
                touched = points[reference - first].copy()
            here_mean, here_cov = np.empty((len(part), q)), np.empty((len(part), q, q))
            here_cross = np.zeros((len(part), q, q))
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
                here_mean,
                here_cov,
                here_cross,
                stat[first:last],
                shock[first:last],
            )
            low, high = np.searchsorted(rows, (first, last))
            chosen = rows[low:high] - first
            mean[low:high], cov[low:high], out_cross[low:high] = here_mean[chosen], here_cov[chosen], here_cross[chosen]
            if states:
                course[first:last] = here_mean[:, outer:]
                bent[first:last] = self.products.curvature(here_cov, model.observations)
            record = None
            self._tell(1.0 - 0.5 * first / count)
        row = 0 if reference is None else int(np.searchsorted(rows, reference))
        result = Smoothed(mean, cov, out_cross, rows, row, (), loglik)
        return _Swept(result, stat, shock, course, bent, touched, reference is not None)

    def _tell(self, part: float) -> None:
        if self.progress is not None:
            self.progress(part)


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
