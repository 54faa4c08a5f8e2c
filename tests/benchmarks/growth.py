"""How the cost grows with time, states and channels; and a year of a large system in bounded memory."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from models import engine as e
from models.focal import random_walk, warmup_bank
from models.packing import Packed
from models.smoother import smooth
from models.statespace import Observation, StateSpace
from models.thermal import ThermalNode, network, temperature
from tests.benchmarks.systems import course
from twin.assembly import Machine

STATES = (8, 16, 24, 32, 48, 64, 96)
CHANNELS = (2, 5, 10, 20, 40, 80)
GATE = e.Gate(1e9)


def system(states: int, channels: int) -> StateSpace:
    """As in the profiles: half the states are a thermal network, the rest walks and warm-ups that markers see."""
    nodes = max(states // 2, 2)
    thermal = network(
        [ThermalNode("ambient", walk_k_per_sqrt_s=1e-3)]
        + [ThermalNode(f"n{k}", time_constant_s=600.0 * (k + 1), walk_k_per_sqrt_s=1e-4) for k in range(nodes - 1)],
        [],
    )
    blocks, seen = [thermal], []
    while sum(len(b.names) for b in blocks) < states:
        left = states - sum(len(b.names) for b in blocks)
        k = len(blocks)
        blocks.append(
            warmup_bank(f"w{k}", "m", 1.0, (300.0, 1e4)) if left >= 6 and k % 2 else random_walk(f"x{k}", "m", 0.1, 1.0)
        )
        seen.append(blocks[-1].names)
    rows = []
    for j in range(channels):
        if j % 2:
            rows.append(Observation(f"m{j}", tuple((name, 1.0) for name in seen[(j // 2) % len(seen)])))
        else:
            rows.append(
                Observation(f"t{j}", ((temperature(f"n{(j // 2) % (nodes - 1)}" if nodes > 1 else "ambient"), 1.0),))
            )
    return StateSpace.assemble(blocks, rows, 60.0)


def cost(model: StateSpace, count: int = 600, smoothed: bool = False, rounds: int = 3) -> float:
    """Seconds per step."""
    steps, packed = course(model, count), Packed.of(model)
    wanted = (Observation("a", ((model.names[0], 1.0),)), Observation("b", ((model.names[-1], 1.0),)))
    best = np.inf
    for _ in range(rounds):
        begin = time.perf_counter()
        if smoothed:
            smooth(model, e.Belief.prior(model), steps, wanted, reference=None, gate=GATE)
        else:
            e.compiled(model, packed, e.Belief.prior(model), steps, GATE, False)
        best = min(best, time.perf_counter() - begin)
    return float(best / count)


def growth(picture: Path) -> str:
    """Draw the cost against states and channels; return what it says in words."""
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    lines = []
    for smoothed, label, colour in (
        (False, "filter", "tab:blue"),
        (True, "filter + smoother, two outputs", "tab:orange"),
    ):
        by_states = [cost(system(n, 10), smoothed=smoothed) for n in STATES]
        by_channels = [cost(system(30, m), smoothed=smoothed) for m in CHANNELS]
        left.loglog(STATES, np.array(by_states) * 1e6, "o-", color=colour, label=label)
        right.loglog(CHANNELS, np.array(by_channels) * 1e6, "o-", color=colour, label=label)
        n_power = np.polyfit(np.log(STATES[2:]), np.log(by_states[2:]), 1)[0]
        m_power = np.polyfit(np.log(CHANNELS[2:]), np.log(by_channels[2:]), 1)[0]
        lines.append(
            f"{label}: grows with states^{n_power:.1f} (10 channels, 24 to 96 states) and channels^{m_power:.1f} (30 states)"
        )
    model = system(30, 40)
    lengths = (2000, 8000, 32000)
    times = [cost(model, t, smoothed=True, rounds=2) * 1e6 for t in lengths]
    lines.append(
        "linear in time: " + ", ".join(f"{t:.1f} µs per step over {n}" for n, t in zip(lengths, times, strict=True))
    )
    left.set(xlabel="states (10 channels)", ylabel="µs per step", title="states")
    right.set(xlabel="channels (30 states)", title="channels")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8)
    figure.savefig(picture, dpi=130)
    return "\n".join(["", *lines, f"figure: {picture}"])


def year(machine: Machine) -> str:
    """A year on a grid of 60 s, filtered and smoothed; memory beyond what goes in and comes out."""
    model = machine.model
    count = 365 * 24 * 60
    day = course(model, 1440)
    n, m = len(model.names), len(model.channels)
    steps = e.Steps(
        np.tile(day.readings, (365, 1)),
        np.broadcast_to(day.variances[0], (count, m)),
        np.zeros((count, 0)),
        np.zeros((count, len(model.inputs))),
        np.broadcast_to(np.zeros(n), (count, n)),
    )
    tracemalloc.start()
    begin = time.perf_counter()
    out = smooth(model, e.Belief.prior(model), steps, machine.outputs[6:8], reference=None, gate=GATE)
    took = time.perf_counter() - begin
    used, results = tracemalloc.get_traced_memory()[1] * 1e-6, (out.mean.nbytes + out.cov.nbytes) * 1e-6
    tracemalloc.stop()
    return (
        f"\na year of {n} states and {m} channels at 60 s ({count} steps), filtered and smoothed: {took:.0f} s "
        f"({took / count * 1e6:.1f} µs per step); {used:.0f} MB beyond the readings, {results:.0f} MB of them results; "
        f"all covariances would be {count * n**2 * 8e-6:.0f} MB"
    )
