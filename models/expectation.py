"""Innovations of a belief that several hypotheses share, from those of one of them."""

from __future__ import annotations

import numpy as np

from models.engine import Belief, Record
from models.estimate import Array
from models.expectation_kernel import share
from models.packing import Packed


def shared_innovations(packed: Packed, record: Record, one: Belief, shared: Belief) -> tuple[Array, Array]:
    """Innovation and its variance (m,) as ``shared`` expects the readings, where ``record`` is the step of ``one``.

    The mean of ``shared`` lies ``d`` away from that of ``one``, its covariance is larger by ``D``; both are carried through
    the transition and through the updates that ``one`` made: ``v - h d`` and ``s + h D h'``, then ``d ← (I - k h') d``,
    ``D ← (I - k h') D (I - k h')'`` for the next reading of the step. So a step of the machine that is suspected but not yet
    accepted isn't held against the model, which expects steps.

    Parameters
    ----------
    record : Record
        A pass of length 1 that kept its rows and gains. Gated readings stay as they are: they have no row.
    one, shared : Belief
        Both before the step.

    Examples
    --------
    A level that has stepped by 3 with probability ½, seen with a variance of 1 by who believes that it hasn't:

    >>> from models.engine import Gate, Steps, compiled
    >>> from models.focal import random_walk
    >>> from models.statespace import Observation, StateSpace
    >>> level = StateSpace.assemble([random_walk("x", "m", 0.0)], [Observation("z", (("x", 1.0),))], 10.0, ())
    >>> steps, packed = Steps.empty(level, 1), Packed.of(level)
    >>> steps.readings[0, 0] = 2.0
    >>> one = Belief(np.zeros(1), np.zeros((1, 1)), np.zeros(1, np.int64))
    >>> both = Belief(np.array([1.5]), np.array([[2.25]]), one.gated_run)
    >>> shared_innovations(packed, compiled(level, packed, one.copy(), steps, Gate(), True), one, both)
    (array([0.5]), array([3.25]))
    """
    innovation, spread = record.innovation[0].copy(), record.spread[0].copy()
    share(
        shared.mean - one.mean,
        shared.cov - one.cov,
        np.empty((packed.n, packed.n)),
        packed.forward.indptr,
        packed.forward.indices,
        packed.forward.values,
        record.row[0],
        np.ascontiguousarray(record.gain[0]),
        innovation,
        spread,
    )
    return innovation, spread
