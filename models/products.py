"""Outputs with products of states, smoothed: what a tangent misses, and the tangent at the reference step.

``y = … + w x_i x_j`` of jointly Gaussian states has the mean ``w (x̂_i x̂_j + V_ij)`` and, beside its tangent's, the variance
``w w' (V_ii' V_jj' + V_ij' V_ji')`` summed over the output's products; between two instants the same with the covariance
across time. Exact for Gaussian states (Isserlis 1918, Biometrika 12, 134).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.estimate import Array
from models.statespace import Observation


@dataclass(frozen=True, slots=True)
class Products:
    """Products of q outputs, and the states in them as further outputs.

    Attributes
    ----------
    outputs : tuple of Observation, length q
    states : tuple of str, length k
        States that occur in a product; they are outputs q … q+k-1 of :meth:`extended`.
    vague : frozenset of str
        States whose products keep to their tangent (``StateSpace.vague``).
    """

    outputs: tuple[Observation, ...]
    states: tuple[str, ...]
    vague: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, outputs: Sequence[Observation], rows: Sequence[Observation] = (), vague: Sequence[str] = ()
    ) -> Products:
        """Find the products of outputs, and of the rows of readings that are to be linearised at the same states."""
        states = dict.fromkeys(s for o in (*outputs, *rows) for a, b, _ in o.products for s in (a, b))
        return cls(tuple(outputs), tuple(states), frozenset(vague))

    def extended(self) -> tuple[Observation, ...]:
        """Outputs, then the states of their products."""
        return (*self.outputs, *(Observation(s, ((s, 1.0),)) for s in self.states))

    def straight(self) -> tuple[Observation, ...]:
        """As :meth:`extended` without the products, whose tangent at the reference step is known only in the end."""
        return tuple(replace(o, products=()) for o in self.extended())

    @property
    def known(self) -> bool:
        """Whether all products are treated to second order."""
        return not self.vague & set(self.states)

    def _pairs(self, row: Observation, all_: bool = False) -> list[tuple[int, int, float]]:
        place = {s: len(self.outputs) + k for k, s in enumerate(self.states)}
        return [(place[s], place[t], w) for s, t, w in row.products if all_ or not self.vague & {s, t}]

    def curvature(self, cov: Array, rows: Sequence[Observation]) -> Array:
        """What tangents at the smoothed states miss in rows with products of these states, (T, m, 2): value, variance.

        ``cov`` (T, q + k, q + k) is that of the extended outputs.
        """
        out = np.zeros((len(cov), len(rows), 2))
        for j, row in enumerate(rows):
            for i, k, w in self._pairs(row):
                out[:, j, 0] += w * cov[:, i, k]
                for i2, k2, w2 in self._pairs(row):
                    out[:, j, 1] += w * w2 * (cov[:, i, i2] * cov[:, k, k2] + cov[:, i, k2] * cov[:, k, i2])
        return out

    def points(self, names: Sequence[str], mean: Array, reference: int | None, at: Array | None) -> Array:
        """Where the products' tangents touch at the reference step, (q + k,): at ``at`` (n,), or at the smoothed mean."""
        found: Array = mean[reference or 0].copy()
        if at is not None:
            found[len(self.outputs) :] = [at[names.index(name)] for name in self.states]
        return found

    def finish(
        self, mean: Array, cov: Array, cross: Array, reference: int | None, points: Array
    ) -> tuple[Array, Array, Array]:
        """Outputs' mean (T, q), covariance and covariance with the reference step (T, q, q).

        Parameters
        ----------
        mean, cov : (T, q + k), (T, q + k, q + k) arrays
            Of the extended outputs, by their tangents.
        cross : (T, q + k, q + k) array
            Covariance of the straight outputs at the reference step (rows) with the extended ones.
        points : (q + k,) array
            Where the tangents touch at the reference step.
        """
        q = len(self.outputs)
        if not self.states:
            return mean, cov, cross
        values, spread, across = mean[:, :q].copy(), cov[:, :q, :q].copy(), cross[:, :q, :q].copy()
        for a, row in enumerate(self.outputs):
            if reference is not None:
                for i, j, w in self._pairs(row, True):
                    across[:, a] += w * (points[j] * cross[:, i, :q] + points[i] * cross[:, j, :q])
            for i, j, w in self._pairs(row):
                values[:, a] += w * cov[:, i, j]
                for k, m, w2 in self._pairs(row):
                    spread[:, a, a] += w * w2 * (cov[:, i, k] * cov[:, j, m] + cov[:, i, m] * cov[:, j, k])
                    if reference is not None:
                        across[:, a, a] += w * w2 * (cross[:, i, k] * cross[:, j, m] + cross[:, i, m] * cross[:, j, k])
        return values, spread, across
