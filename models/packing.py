"""A model as plain arrays, the form the compiled kernel takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from models.estimate import Array
from models.statespace import Observation, StateSpace

IntArray = np.ndarray[Any, np.dtype[np.int64]]
LANES = 16  # rows of the kernel's matrices are padded to a multiple, so that whole vector registers are used


class Motion(NamedTuple):
    """A transition matrix and the noise it adds, for ``M ← B M B' + noise`` on matrices with padded rows.

    Rows of B lie in compressed form; ``coupled`` rows have entries off the diagonal, ``single`` ones (constants, walks,
    decays) do not, and cost one multiplication per entry of M.
    """

    indptr: IntArray
    indices: IntArray
    values: Array
    coupled: IntArray
    single: IntArray
    touched: IntArray  # columns that coupled rows have entries in
    outer: Array  # (n, width) products of diagonal entries
    diagonal: Array  # (width,)
    noise: Array  # (n, width)

    @classmethod
    def of(cls, matrix: Array, noise: Array) -> Motion:
        """Pack a square matrix and the noise."""
        n = len(matrix)
        width = padded(n)
        rows = [np.flatnonzero(row) for row in matrix]
        lone = np.array([len(r) == 0 or (len(r) == 1 and r[0] == i) for i, r in enumerate(rows)], bool)
        diagonal = np.zeros(width)
        diagonal[:n] = np.diag(matrix)
        wide = np.zeros((n, width))
        wide[:, :n] = noise
        return cls(
            _ints(np.cumsum([0, *(len(r) for r in rows)])),
            _ints(np.concatenate(rows)) if n else _ints([]),
            np.concatenate([matrix[i, r] for i, r in enumerate(rows)]) if n else np.zeros(0),
            _ints(np.flatnonzero(~lone)),
            _ints(np.flatnonzero(lone)),
            _ints(np.unique(np.concatenate([[], *(r for r, alone in zip(rows, lone, strict=True) if not alone)]))),
            np.outer(diagonal[:n], diagonal),
            diagonal,
            wide,
        )


class Terms(NamedTuple):
    """Observations as term lists: row j owns start[j]:start[j+1]; its Jacobian is zero outside its support."""

    start: IntArray
    state: IntArray
    other: IntArray  # second state of a product, or -1
    covariate: IntArray  # covariate index, or -1
    weight: Array
    bent: IntArray  # 1 for a product that is treated to second order
    constant: Array
    support_start: IntArray
    paired: IntArray  # 1 where row j has products
    curved: IntArray  # 1 where row j has products that are treated to second order
    support: IntArray  # states that row j sees, ascending: support[support_start[j]:support_start[j+1]]

    @classmethod
    def of(cls, model: StateSpace, observations: Sequence[Observation]) -> Terms:
        """Pack observations of a model."""
        start, rows = [0], []
        vague = {model.index(name) for name in model.vague}
        support_start, support = [0], []
        for observation in observations:
            rows += [(model.index(name), -1, -1, weight) for name, weight in observation.linear]
            rows += [(model.index(a), model.index(b), -1, weight) for a, b, weight in observation.products]
            rows += [(model.index(name), -1, model.covariates.index(c), w) for name, c, w in observation.covariates]
            support += sorted({i for r in rows[start[-1] :] for i in r[:2] if i >= 0})
            start.append(len(rows))
            support_start.append(len(support))
        return cls(
            _ints(start),
            _ints([r[0] for r in rows]),
            _ints([r[1] for r in rows]),
            _ints([r[2] for r in rows]),
            np.array([r[3] for r in rows], float),
            _ints([r[1] >= 0 and not vague & {r[0], r[1]} for r in rows]),
            np.array([o.constant for o in observations], float),
            _ints(support_start),
            _ints([bool(o.products) for o in observations]),
            _ints([any(not vague & {model.index(a), model.index(b)} for a, b, _ in o.products) for o in observations]),
            _ints(support),
        )


def _ints(items: Any) -> IntArray:
    return np.asarray(items, dtype=np.int64)


def padded(n: int) -> int:
    """Length of a padded row of n numbers."""
    return max(-(-n // LANES), 1) * LANES


@dataclass(frozen=True)
class Packed:
    """A :class:`StateSpace` as plain arrays: its motion forward, its transpose for the way back, observations as terms."""

    n: int
    m: int
    forward: Motion
    back: Motion
    terms: Terms
    floor_var: Array
    step_start: IntArray
    step_state: IntArray
    patience: IntArray

    @classmethod
    def of(cls, model: StateSpace) -> Packed:
        """Pack a model."""
        n = len(model.names)
        step_starts: list[int] = [0]
        step_states: list[int] = []
        for observation in model.observations:
            step_states.extend(model.index(name) for name in observation.step_states)
            step_starts.append(len(step_states))
        return cls(
            n,
            len(model.observations),
            Motion.of(model.transition, model.noise),
            Motion.of(model.transition.T, np.zeros((n, n))),
            Terms.of(model, model.observations),
            np.array([o.floor_sigma**2 for o in model.observations], float),
            _ints(step_starts),
            _ints(step_states),
            _ints([o.patience for o in model.observations]),
        )
