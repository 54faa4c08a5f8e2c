"""A machine whose spot jumps, made without the product: lagging bars, walks, warm-up of one exponential, Poisson jumps.

Everything is drawn from the prior that the profile ``xrm2-nanoct`` states; the numbers are written down here once more, so
that a change of the profile is noticed. Lengths in µm, temperatures in K above 20 °C.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GRID_S = 10.0
READ_EVERY = 12  # grid steps between marker readings (1000 projections in 34 h are one per 122 s)
NOISE_PX = 1.25
MAGNIFICATION, PIXEL_UM = 585.0, 55.0
STEPS_PER_DAY, STEP_UM = 1.5, np.array([0.15, 0.15])


@dataclass(frozen=True)
class Run:
    """Truth on the grid, columns u and v, and what the channels read (nan = nothing)."""

    time: np.ndarray
    source_um: np.ndarray
    object_um: np.ndarray
    shift_px: np.ndarray
    marker_px: np.ndarray  # without noise: offset + shift
    read_px: np.ndarray
    room_k: np.ndarray
    stage_k: np.ndarray
    jumps: tuple[tuple[int, np.ndarray], ...]


def lagged(driver: np.ndarray, tau_s: float, first: float, walk: np.ndarray) -> np.ndarray:
    """First-order lag of a driver held over each step, with a walk of its own."""
    out, keep = np.empty_like(driver), np.exp(-GRID_S / tau_s)
    state = first
    for k, value in enumerate(driver):
        state = value + (state - value) * keep + walk[k]
        out[k] = state
    return out


def simulate(
    seed: int,
    hours: float,
    steps_per_day: float = STEPS_PER_DAY,
    jumps: tuple[tuple[int, np.ndarray], ...] | None = None,
) -> Run:
    """One machine of the profile; ``jumps`` (grid index, µm along u and v) instead of drawn ones."""
    rng = np.random.default_rng(seed)
    count = round(hours * 3600.0 / GRID_S)
    age = GRID_S * (1.0 + np.arange(count))
    root_h = np.sqrt(GRID_S / 3600.0)

    def walk(per_sqrt_h: float) -> np.ndarray:
        return rng.normal(0.0, per_sqrt_h * root_h, count)

    day = rng.normal(0.0, 0.3, 2)
    phase = 2.0 * np.pi * age / 86400.0
    room = rng.normal(0.0, 3.0) + np.cumsum(walk(0.2)) + day[0] * np.cos(phase) + day[1] * np.sin(phase)
    stage = lagged(room, 5400.0, rng.normal(0.0, 3.0), walk(0.02))
    target = lagged(room, 2700.0, rng.normal(0.0, 3.0), walk(0.05))
    felt = lagged(stage, 60.0, stage[0], np.zeros(count))
    bars = {"object": 17.0e-6 * 40e3 * rng.normal(1.0, 0.7), "source": 23.0e-6 * 25e3 * rng.normal(1.0, 0.7)}
    own = {"object": (0.3, 1.0), "source": (0.5, 0.7)}
    if jumps is None:
        instants = np.flatnonzero(rng.random(count) < steps_per_day * GRID_S / 86400.0)
        jumps = tuple((int(k), rng.normal(0.0, STEP_UM)) for k in instants)
    source, moved = np.empty((count, 2)), np.empty((count, 2))
    for axis in range(2):
        tau = np.exp(rng.uniform(np.log(1200.0), np.log(36000.0)))
        source[:, axis] = np.cumsum(walk(0.05)) + rng.normal(0.0, 0.3) * np.exp(-age / tau)
        source[:, axis] += bars["source"] * own["source"][axis] * target
        moved[:, axis] = np.cumsum(walk(0.03)) + bars["object"] * own["object"][axis] * stage
        for start, size in jumps:
            source[start:, axis] += size[axis]
    shift = (-(MAGNIFICATION - 1.0) * source + MAGNIFICATION * moved) / PIXEL_UM
    marker = shift + rng.normal(0.0, 100.0, 2)
    read = np.full((count, 2), np.nan)
    read[::READ_EVERY] = marker[::READ_EVERY] + rng.normal(0.0, NOISE_PX, (len(read[::READ_EVERY]), 2))
    return Run(
        1.7e9 + GRID_S * np.arange(count), source, moved, shift, marker, read,
        room + rng.normal(0.0, 0.02, count), felt + rng.normal(0.0, 0.02, count), jumps,
    )  # fmt: skip
