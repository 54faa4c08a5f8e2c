"""Likelihood of records as a function of a model's parameters, with its slope and curvature, through the same kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse.csgraph import connected_components

from models.engine import Belief, Gate, Steps, compiled
from models.estimate import Array, ModelError
from models.packing import IntArray, Packed
from models.statespace import StateSpace

Case = tuple[StateSpace, Steps]
Build = Callable[[Array], Sequence[Case]]
STEP = 0.01  # of the central differences, in σ of the prior
OPEN = Gate(np.inf)  # a gate would make the likelihood jump where a reading passes it


@dataclass(frozen=True, slots=True)
class Innovations:
    """Readings minus their predictions from the readings before, and the variances; both (N,), all cases in a row."""

    value: Array
    variance: Array

    @property
    def loglik(self) -> float:
        """Log likelihood ``-½ Σ (ln 2πs + v²/s)``.

        Examples
        --------
        >>> round(Innovations(np.array([0.0, 1.0]), np.ones(2)).loglik, 4)
        -2.3379
        """
        return float(-0.5 * np.sum(np.log(2.0 * np.pi * self.variance) + self.value**2 / self.variance))


def innovations(cases: Sequence[Case], used: Sequence[Array] | None = None) -> Innovations:
    """Innovations of each reading that is there (and ``used``, masks (T, m) of the cases), no gate."""
    values, variances = [], []
    for k, (model, steps) in enumerate(cases):
        if used is not None:
            steps = replace(steps, readings=np.where(used[k], steps.readings, np.nan))
        value, variance = np.full(steps.readings.shape, np.nan), np.full(steps.readings.shape, np.nan)
        for columns, own, part in independent_parts(model, steps):
            record = compiled(own, Packed.of(own), Belief.prior(own), part, OPEN)
            value[:, columns], variance[:, columns] = record.innovation, record.spread
        there = np.isfinite(steps.readings)
        values.append(value[there])
        variances.append(variance[there])
    return Innovations(np.concatenate(values), np.concatenate(variances))


def independent_parts(model: StateSpace, steps: Steps) -> list[tuple[list[int], StateSpace, Steps]]:
    """A model's parts that know nothing of each other, as columns of the readings, model and steps of each.

    Exact: states are in one part where the prior, the noise, a transition or a reading joins them, and a part that no
    reading sees is left out, as are states that no reading depends on, now or later. Time of a pass grows with the
    square of the states, so two halves cost half.
    """
    there = [j for j in range(len(model.channels)) if np.isfinite(steps.readings[:, j]).any()]
    if not there:
        raise ModelError("no reading of any channel that the model observes; nothing to calibrate with")
    sees = np.zeros((len(there), len(model.names)), dtype=bool)
    for k, j in enumerate(there):
        observation = model.observations[j]
        names = [s for s, _ in observation.linear] + [s for s, _, _ in observation.covariates]
        names += [s for a, b, _ in observation.products for s in (a, b)]
        sees[k, [model.index(name) for name in names]] = True
    linked = model.transition != 0.0
    stays = sees.any(axis=0)
    while (grown := stays | linked[stays].any(axis=0)).sum() > stays.sum():
        stays = grown
    joined = linked | (model.noise != 0.0) | (model.cov != 0.0) | (sees.T.astype(int) @ sees.astype(int) > 0)
    joined &= np.outer(stays, stays)
    label = connected_components(joined, directed=False)[1]
    parts = []
    for number in dict.fromkeys(int(label[row][0]) for row in sees):
        keep = np.flatnonzero((label == number) & stays)
        columns = [j for k, j in enumerate(there) if label[sees[k]][0] == number]
        parts.append((columns, *_cut(model, steps, keep, columns)))
    return parts


def _cut(model: StateSpace, steps: Steps, keep: IntArray, columns: list[int]) -> Case:
    """Some states and channels of a model."""
    square = np.ix_(keep, keep)
    part = replace(
        model,
        names=tuple(model.names[i] for i in keep),
        units=tuple(model.units[i] for i in keep),
        observations=tuple(replace(model.observations[j], step_states=()) for j in columns),
        drift=model.drift[square],
        diffusion=model.diffusion[square],
        input_rates=model.input_rates[keep],
        transition=model.transition[square],
        noise=model.noise[square],
        input_matrix=model.input_matrix[keep],
        mean=model.mean[keep],
        cov=model.cov[square],
    )
    return part, replace(
        steps, readings=steps.readings[:, columns], variances=steps.variances[:, columns], opened=steps.opened[:, keep]
    )


class Posterior:
    """Minus the log posterior in the prior's own units: every coordinate is a priori N(0, 1).

    Parameters
    ----------
    build : callable
        From coordinates (P,) to the cases: models and their steps.
    size : int
        Number of coordinates P.
    used : sequence of (T, m) bool arrays, optional
        Readings that count, one mask per case.

    Notes
    -----
    With innovations v, variances s and their derivatives (central differences, two runs of the kernel per coordinate)

        slope      g_i  = z_i  + Σ_t [ v ∂_i v / s + ½ (1 - v²/s) ∂_i s / s ]
        curvature  H_ij = δ_ij + Σ_t [ ∂_i v ∂_j v / s + ½ ∂_i s ∂_j s / s² ]

    H holds the expected information instead of second derivatives (Fisher scoring; Gupta & Mehra 1974, IEEE Trans.
    Autom. Control 19, 774): it is never indefinite and costs no further runs. It is wrong where the posterior is far from
    Gaussian; :mod:`models.profile_likelihood` checks that.
    """

    def __init__(self, build: Build, size: int, used: Sequence[Array] | None = None) -> None:
        self.build, self.size, self.used = build, size, used
        self.runs = 0

    def innovations(self, z: Array) -> Innovations:
        """Innovations at a point."""
        self.runs += 1
        return innovations(self.build(z), self.used)

    def value(self, z: Array) -> float:
        """Minus the log posterior, without the prior's constant; infinite where no model can be built."""
        try:
            value = 0.5 * float(z @ z) - self.innovations(z).loglik
        except (ModelError, np.linalg.LinAlgError, FloatingPointError):
            return np.inf
        return value if np.isfinite(value) else np.inf

    def local(self, z: Array, free: Array) -> tuple[float, Array, Array]:
        """Value, slope (P,) and curvature (P, P); coordinates that are not ``free`` get slope 0 and curvature 1."""
        here = self.innovations(z)
        v, s = here.value, here.variance
        count = len(v)
        by_v, by_s = np.zeros((self.size, count)), np.zeros((self.size, count))
        for i in np.flatnonzero(free):
            ahead, behind = z.copy(), z.copy()
            ahead[i] += STEP
            behind[i] -= STEP
            a, b = self.innovations(ahead), self.innovations(behind)
            by_v[i] = (a.value - b.value) / (2.0 * STEP * np.sqrt(s))
            by_s[i] = (a.variance - b.variance) / (2.0 * STEP * s)
        w = v / np.sqrt(s)
        slope = np.where(free, z, 0.0) + by_v @ w + 0.5 * by_s @ (1.0 - w**2)
        curvature = np.eye(self.size) + by_v @ by_v.T + 0.5 * by_s @ by_s.T
        return 0.5 * float(z @ z) - here.loglik, slope, curvature


ENOUGH = 1e-3  # decrease still expected of another step, in log posterior
MOST = 60


def minimise(
    posterior: Posterior, z: Array, free: Array, most: int = MOST, tick: Callable[[], None] = lambda: None
) -> tuple[Array, float, Array]:
    """Most probable coordinates by damped Fisher scoring: point (P,), value and curvature (P, P) there.

    A step never goes further than 1 σ of the prior in any coordinate, and only downhill (Levenberg's damping).
    """
    damping = 1e-3
    value, slope, curvature = posterior.local(z, free)
    for _ in range(most):
        tick()
        if float(slope @ np.linalg.solve(curvature, slope)) < 2.0 * ENOUGH:
            break
        while damping < 1e9:
            step = -np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), slope)
            step /= max(1.0, float(np.abs(step).max()))
            if posterior.value(z + step) < value:
                break
            damping *= 10.0
        else:
            break
        z = z + step
        damping = max(damping / 10.0, 1e-6)
        value, slope, curvature = posterior.local(z, free)
    return z, value, curvature
