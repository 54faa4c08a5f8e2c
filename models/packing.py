"""A model as plain arrays, the form the compiled kernel takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.estimate import Array
from models.statespace import Observation, StateSpace

IntArray = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Terms:
    """Observations as term lists: row j owns start[j]:start[j+1]."""

    start: IntArray
    state: IntArray
    other: IntArray  # second state of a product, or -1
    covariate: IntArray  # covariate index, or -1
    weight: Array
    constant: Array

    @classmethod
    def of(cls, model: StateSpace, observations: Sequence[Observation]) -> Terms:
        """Pack observations of a model."""
        start, rows = [0], []
        for observation in observations:
            rows += [(model.index(name), -1, -1, weight) for name, weight in observation.linear]
            rows += [(model.index(a), model.index(b), -1, weight) for a, b, weight in observation.products]
            rows += [(model.index(name), -1, model.covariates.index(c), w) for name, c, w in observation.covariates]
            start.append(len(rows))
        return cls(
            _ints(start),
            _ints([r[0] for r in rows]),
            _ints([r[1] for r in rows]),
            _ints([r[2] for r in rows]),
            np.array([r[3] for r in rows], float),
            np.array([o.constant for o in observations], float),
        )


def _ints(items: list[int]) -> IntArray:
    return np.asarray(items, dtype=np.int64)


@dataclass(frozen=True)
class Packed:
    """A :class:`StateSpace` as plain arrays: transition in compressed rows, observations as term lists."""

    n: int
    m: int
    indptr: IntArray
    indices: IntArray
    values: Array
    noise: Array
    terms: Terms
    floor_var: Array
    step_start: IntArray
    step_state: IntArray
    patience: IntArray

    @classmethod
    def of(cls, model: StateSpace) -> Packed:
        """Pack a model."""
        n = len(model.names)
        indptr: list[int] = [0]
        indices: list[int] = []
        values: list[float] = []
        for i in range(n):
            columns = np.flatnonzero(model.transition[i])
            indices.extend(int(c) for c in columns)
            values.extend(float(v) for v in model.transition[i, columns])
            indptr.append(len(indices))
        step_starts: list[int] = [0]
        step_states: list[int] = []
        for observation in model.observations:
            step_states.extend(model.index(name) for name in observation.step_states)
            step_starts.append(len(step_states))
        return cls(
            n,
            len(model.observations),
            _ints(indptr),
            _ints(indices),
            np.array(values, float),
            np.ascontiguousarray(model.noise),
            Terms.of(model, model.observations),
            np.array([o.floor_sigma**2 for o in model.observations], float),
            _ints(step_starts),
            _ints(step_states),
            _ints([o.patience for o in model.observations]),
        )
