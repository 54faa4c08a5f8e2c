"""Outputs and channels as a linear part, products of states and states times covariates, for whole courses at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.packing import IntArray
from models.statespace import Observation, StateSpace


@dataclass(frozen=True, slots=True)
class Rows:
    """``y = constant + linear x + Σ weight x_i x_j + Σ weight x_i covariate`` for q outputs.

    Attributes
    ----------
    constant : (q,) array
    linear : (q, n) array
    output, first, second : (p,) int arrays
        Output and the two states of each product.
    weight : (p,) array
    known : (c, q, n) array
        What each covariate adds to ``linear`` per unit.
    """

    constant: Array
    linear: Array
    output: IntArray
    first: IntArray
    second: IntArray
    weight: Array
    known: Array

    @classmethod
    def of(cls, model: StateSpace, observations: Sequence[Observation]) -> Rows:
        """Rows of observations of a model."""
        linear = np.zeros((len(observations), len(model.names)))
        known = np.zeros((len(model.covariates), *linear.shape))
        products: list[tuple[int, int, int, float]] = []
        for k, observation in enumerate(observations):
            for state, weight in observation.linear:
                linear[k, model.index(state)] += weight
            for state, covariate, factor in observation.covariates:
                known[model.covariates.index(covariate), k, model.index(state)] += factor
            products += [(k, model.index(a), model.index(b), w) for a, b, w in observation.products]
        output, first, second = (np.array([p[c] for p in products], dtype=np.int64) for c in range(3))
        weights = np.array([p[3] for p in products], dtype=float)
        return cls(np.array([o.constant for o in observations]), linear, output, first, second, weights, known)

    def at(self, x: Array, covariates: Array) -> Array:
        """Jacobian at one state (n,) and its covariates (c,): (q, n)."""
        rows = self.linear + np.tensordot(covariates, self.known, axes=1)
        np.add.at(rows, (self.output, self.first), self.weight * x[self.second])
        np.add.at(rows, (self.output, self.second), self.weight * x[self.first])
        return np.asarray(rows)

    def values(self, x: Array, covariates: Array) -> Array:
        """Outputs of a course of states (T, n) with its covariates (T, c), exactly: (T, q)."""
        out = self.constant + x @ self.linear.T
        for column, rows in zip(covariates.T, self.known, strict=True):
            out = out + column[:, None] * (x @ rows.T)
        pick = np.zeros((len(self.weight), len(self.constant)))
        pick[np.arange(len(self.weight)), self.output] = self.weight
        return np.asarray(out + (x[:, self.first] * x[:, self.second]) @ pick)

    def second_order(self, c: Array, d: Array) -> Array:
        """What products of Gaussians add to the covariance of outputs beyond the linear part, (q, q).

        ``C_ik D_jl + C_il D_jk`` per pair of products (Isserlis 1918); C, D = Cov(states then, states now).
        """
        i, j = self.first, self.second
        pairs = c[np.ix_(i, i)] * d[np.ix_(j, j)] + c[np.ix_(i, j)] * d[np.ix_(j, i)]
        pick = np.zeros((len(self.constant), len(self.weight)))
        pick[self.output, np.arange(len(self.weight))] = self.weight
        return np.asarray(pick @ pairs @ pick.T)
