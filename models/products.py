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
    """

    outputs: tuple[Observation, ...]
    states: tuple[str, ...]

    @classmethod
    def of(cls, outputs: Sequence[Observation], rows: Sequence[Observation] = ()) -> Products:
        """Find the products of outputs, and of the rows of readings that are to be linearised at the same states."""
        states = dict.fromkeys(s for o in (*outputs, *rows) for a, b, _ in o.products for s in (a, b))
        return cls(tuple(outputs), tuple(states))

    def extended(self) -> tuple[Observation, ...]:
        """Outputs, then the states of their products."""
        return (*self.outputs, *(Observation(s, ((s, 1.0),)) for s in self.states))

    def straight(self) -> tuple[Observation, ...]:
        """As :meth:`extended` without the products, whose tangent at the reference step is known only in the end."""
        return tuple(replace(o, products=()) for o in self.extended())

    def _pairs(self, a: int) -> list[tuple[int, int, float]]:
        place = {s: len(self.outputs) + k for k, s in enumerate(self.states)}
        return [(place[s], place[t], w) for s, t, w in self.outputs[a].products]

    def curvature(self, cov: Array, rows: Sequence[Observation]) -> Array:
        """What tangents at the smoothed states miss in rows with products of these states, (T, m, 2): value, variance.

        ``cov`` (T, q + k, q + k) is that of the extended outputs.
        """
        place = {s: len(self.outputs) + k for k, s in enumerate(self.states)}
        out = np.zeros((len(cov), len(rows), 2))
        for j, row in enumerate(rows):
            for a, b, w in row.products:
                i, k = place[a], place[b]
                out[:, j, 0] += w * cov[:, i, k]
                for a2, b2, w2 in row.products:
                    i2, k2 = place[a2], place[b2]
                    out[:, j, 1] += w * w2 * (cov[:, i, i2] * cov[:, k, k2] + cov[:, i, k2] * cov[:, k, i2])
        return out

    def finish(self, mean: Array, cov: Array, cross: Array, reference: int | None) -> tuple[Array, Array, Array]:
        """Outputs' mean (T, q), covariance and covariance with the reference step (T, q, q).

        Parameters
        ----------
        mean, cov : (T, q + k), (T, q + k, q + k) arrays
            Of the extended outputs, by their tangents at the smoothed states.
        cross : (T, q + k, q + k) array
            Covariance of the straight outputs at the reference step (rows) with the extended ones.
        """
        q = len(self.outputs)
        if not self.states:
            return mean, cov, cross
        values, spread, across = mean[:, :q].copy(), cov[:, :q, :q].copy(), cross[:, :q, :q].copy()
        for a in range(q):
            for i, j, w in self._pairs(a):
                values[:, a] += w * cov[:, i, j]
                if reference is not None:
                    across[:, a] += w * (mean[reference, j] * cross[:, i, :q] + mean[reference, i] * cross[:, j, :q])
                for k, m, w2 in self._pairs(a):
                    spread[:, a, a] += w * w2 * (cov[:, i, k] * cov[:, j, m] + cov[:, i, m] * cov[:, j, k])
                    if reference is not None:
                        across[:, a, a] += w * w2 * (cross[:, i, k] * cross[:, j, m] + cross[:, i, m] * cross[:, j, k])
        return values, spread, across
