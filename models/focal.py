"""Drift that no temperature explains: walks per axis, and warm-up as a bank of time constants."""

from __future__ import annotations

import numpy as np

from models.estimate import ModelError
from models.statespace import Block

BANK = 6  # time constants of a warm-up bank


def random_walk(name: str, unit: str, per_sqrt_s: float, initial_sigma: float = 0.0, mean: float = 0.0) -> Block:
    """Brownian motion ``dx = q dW`` with intensity ``per_sqrt_s`` [unit/√s]; a constant where that is zero."""
    return Block(
        (name,),
        (unit,),
        np.zeros((1, 1)),
        np.array([[per_sqrt_s**2]]),
        np.array([mean]),
        np.array([[initial_sigma**2]]),
    )


def ornstein_uhlenbeck(name: str, unit: str, sigma: float, correlation_s: float) -> Block:
    """Stationary ``dx = -x/τ dt + σ √(2/τ) dW`` (Uhlenbeck & Ornstein 1930)."""
    return Block(
        (name,),
        (unit,),
        np.array([[-1.0 / correlation_s]]),
        np.array([[2.0 * sigma**2 / correlation_s]]),
        np.zeros(1),
        np.array([[sigma**2]]),
    )


def integrated_walk(name: str, unit: str, per_sqrt_s: float, rate_walk: float, initial_rate: float) -> Block:
    """Position whose rate is itself a random walk; ``rate_walk`` [unit/s/√s], ``initial_rate`` σ [unit/s]."""
    return Block(
        (name, f"{name}.rate"),
        (unit, f"{unit}/s"),
        np.array([[0.0, 1.0], [0.0, 0.0]]),
        np.diag([per_sqrt_s**2, rate_walk**2]),
        np.zeros(2),
        np.diag([0.0, initial_rate**2]),
    )


def bank_names(name: str) -> tuple[str, ...]:
    """Labels of the members of a warm-up bank."""
    return tuple(f"{name}.{k + 1}" for k in range(BANK))


def warmup_bank(name: str, unit: str, amplitude: float, range_s: tuple[float, float]) -> Block:
    """Warm-up of unknown time constant: ``Σ_k a_k exp(-t/τ_k)``, τ_k log-spaced over ``range_s``.

    The amplitudes are independent with variance ``amplitude²/K``, so that the warm-up begins with σ = amplitude. A bank
    stays linear (a single unknown τ would not), forecasts with a band that knows that τ is unknown, and holds any
    completely monotone relaxation, hence also that of a bar with a spectrum of time constants.

    Examples
    --------
    >>> block = warmup_bank("source.u.warmup", "m", 1e-6, (300.0, 10800.0))
    >>> len(block.names), round(float(np.trace(block.cov)) * 1e12, 6)
    (6, 1.0)
    """
    low, high = range_s
    if not 0 < low < high:
        raise ModelError("a warm-up bank needs a range of time constants with 0 < first < second")
    tau = np.geomspace(low, high, BANK)
    return Block(
        bank_names(name),
        (unit,) * BANK,
        np.diag(-1.0 / tau),
        np.zeros((BANK, BANK)),
        np.zeros(BANK),
        np.eye(BANK) * amplitude**2 / BANK,
    )


def harmonic(name: str, unit: str, amplitude: float, period_s: float, walk_per_sqrt_s: float = 0.0) -> Block:
    """Ripple of known period: a rotating pair whose first member is the ripple; ``amplitude`` is its rms prior."""
    omega = 2.0 * np.pi / period_s
    return Block(
        (f"{name}.cos", f"{name}.sin"),
        (unit, unit),
        np.array([[0.0, -omega], [omega, 0.0]]),
        np.eye(2) * walk_per_sqrt_s**2,
        np.zeros(2),
        np.eye(2) * amplitude**2,
    )
