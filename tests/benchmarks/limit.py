"""How far the filter stands from the arithmetic that it can't avoid."""

from __future__ import annotations

import time

import numpy as np

from models import engine as e
from models.packing import Packed
from tests.benchmarks.systems import course
from twin.assembly import Machine

STEPS = 2000


def operations(packed: Packed) -> float:
    """Multiply-adds of one step with every channel read, no zero multiplied, symmetry used.

    Transition: every entry of the transition meets every column (A P), and again (A P) A' for the half of the result. A
    reading: P h over the row's support, and the half of P - g g'/s.
    """
    n, entries = packed.n, len(packed.forward.indices)
    reading = len(packed.terms.support) * n + packed.m * n * (n + 1) / 2
    return entries * n * 1.5 + reading


def peak(size: int = 384, rounds: int = 20) -> float:
    """Multiply-adds per second of the machine's own matrix product on one core's worth of data."""
    a = np.random.default_rng(1).standard_normal((size, size))
    best = np.inf
    for _ in range(rounds):
        begin = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begin)
    return float(size**3 / best)


def limit(machine: Machine) -> str:
    """One line that says it."""
    model, packed, steps = machine.model, Packed.of(machine.model), course(machine.model, STEPS)
    gate = e.Gate(1e9)
    best = np.inf
    for _ in range(5):
        begin = time.perf_counter()
        e.compiled(model, packed, e.Belief.prior(model), steps, gate, False)
        best = min(best, time.perf_counter() - begin)
    count, per_step, rate = operations(packed), best / STEPS, peak()
    return (
        f"\nfilter-{packed.n}x{packed.m}: {count:.0f} multiply-adds per step that no filter of this kind avoids, in "
        f"{per_step * 1e6:.2f} µs: {count / per_step * 1e-9:.1f} G/s; this machine's matrix product (OpenBLAS) does "
        f"{rate * 1e-9:.0f} G/s, so the kernel takes {per_step * rate / count:.1f} times the arithmetic's limit"
    )
