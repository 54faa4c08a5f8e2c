"""Flux channels as the model sees them: the prior of the flux, and covariates in the model's own scale."""

from __future__ import annotations

import numpy as np

from models.flux import FluxPrior, flux_blocks, flux_observation
from models.statespace import Block, Observation
from twin.config import Config


def flux_prior(config: Config) -> FluxPrior:
    """Prior of the flux model in relative units and seconds."""
    f = config.flux
    return FluxPrior(
        f.random_walk_percent_per_sqrt_h * 1e-2 / 60.0,
        f.warmup_percent * 1e-2,
        (f.warmup_min[0] * 60.0, f.warmup_min[1] * 60.0),
        f.floor_percent * 1e-2,
        f.covariate_sigma,
        f.ripple_period_s,
        f.ripple_percent * 1e-2,
    )


def flux_model(config: Config) -> tuple[list[Block], list[Observation]]:
    """States of the flux and how its channels see them; nothing where none measures flux."""
    fluxes = [c for c in config.channels if c.quantity == "flux"]
    if not fluxes:
        return [], []
    prior, covariates = flux_prior(config), flux_covariates(config)
    blocks = flux_blocks(prior, float(np.log(config.detector.full_scale_counts / 2.0)), covariates)
    return blocks, [flux_observation(c.name, prior, [v for v in covariates if v in c.covariates]) for c in fluxes]


def flux_covariates(config: Config) -> list[str]:
    """Covariates that some flux channel wants and some channel delivers."""
    delivered = {c.quantity for c in config.channels}
    wanted = dict.fromkeys(v for c in config.channels if c.quantity == "flux" for v in c.covariates)
    return [name for name in wanted if name in delivered]


def covariate_value(config: Config, name: str, si_value: float) -> float:
    """A covariate as the model takes it: relative to nominal for kV and µA, thousands of px for the shuttle."""
    if name == "voltage":
        return si_value / (config.source.voltage_kv * 1e3) - 1.0
    if name == "current":
        return si_value / (config.source.current_ua * 1e-6) - 1.0
    return si_value * 1e-3
