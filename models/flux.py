"""Flux: ``log I = b(t) + Σ β·covariate + ripple + noise`` with a warm-up bank in b."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.focal import bank_names, harmonic, random_walk, warmup_bank
from models.statespace import Block, Observation

LEVEL = "flux.level"


@dataclass(frozen=True, slots=True)
class FluxPrior:
    """Prior of the flux model, relative units (1 = 100 %).

    Parameters
    ----------
    walk_per_sqrt_s : float
        Random walk of the level [1/√s].
    warmup : float
        Prior amplitude of the warm-up.
    warmup_s : (float, float)
        Range of its time constants [s].
    floor : float
        Noise beyond counting.
    covariate_sigma : float
        Prior σ of each β.
    ripple_s : tuple of float
        Known periods of a ripple of the tube or its supply [s].
    ripple : float
        Its prior amplitude.
    """

    walk_per_sqrt_s: float
    warmup: float
    warmup_s: tuple[float, float]
    floor: float
    covariate_sigma: float
    ripple_s: tuple[float, ...] = ()
    ripple: float = 0.0


def beta(covariate: str) -> str:
    """Label of a covariate's coefficient."""
    return f"flux.beta.{covariate}"


def flux_blocks(prior: FluxPrior, log_level: float, covariates: Sequence[str]) -> list[Block]:
    """States of the flux model; ``log_level`` centres the (diffuse, σ = 2) prior of the level."""
    blocks = [random_walk(LEVEL, "1", prior.walk_per_sqrt_s, 2.0, log_level)]
    if prior.warmup > 0:
        blocks.append(warmup_bank("flux.warmup", "1", prior.warmup, prior.warmup_s))
    blocks += [random_walk(beta(name), "1", 0.0, prior.covariate_sigma) for name in covariates]
    blocks += [harmonic(f"flux.ripple{k + 1}", "1", prior.ripple, p) for k, p in enumerate(prior.ripple_s)]
    return blocks


def flux_terms(prior: FluxPrior) -> tuple[tuple[str, float], ...]:
    """Linear terms of log flux without covariates."""
    names = [LEVEL, *(bank_names("flux.warmup") if prior.warmup > 0 else ())]
    names += [f"flux.ripple{k + 1}.cos" for k in range(len(prior.ripple_s))]
    return tuple((name, 1.0) for name in names)


def flux_observation(channel: str, prior: FluxPrior, covariates: Sequence[str]) -> Observation:
    """How a flux channel (as log counts) sees the states; the floor is added to its σ."""
    return Observation(
        channel,
        flux_terms(prior),
        covariates=tuple((beta(name), name, 1.0) for name in covariates),
        floor_sigma=prior.floor,
        step_states=(LEVEL,),
        patience=1,  # the projection saw that flux: a breakdown of one projection must be corrected, not left out
    )


def log_reading(counts: float, sigma: float) -> tuple[float, float]:
    """log I and its σ for counts I > 0 (first order, σ/I).

    Examples
    --------
    >>> log_reading(1000.0, 10.0)
    (6.907755278982137, 0.01)
    """
    return float(np.log(counts)), sigma / counts
