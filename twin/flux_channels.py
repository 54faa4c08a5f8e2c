"""Flux channels as the model sees them: the prior of the flux, and covariates in the model's own scale."""

from __future__ import annotations

import numpy as np

from models.flux import FluxPrior, flux_blocks, flux_observation
from models.statespace import Block, Observation
from twin.config import Config
from twin.pose import spot_fwhm_m

BEAM_SHIFT = "beam_shift"


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
    seen = [
        flux_observation(c.name, prior, [v for v in covariates if v.partition(".")[0] in c.covariates]) for c in fluxes
    ]
    return blocks, seen


def flux_covariates(config: Config) -> list[str]:
    """Covariates that some flux channel wants and some channel delivers.

    The part of beam and tip, ``beam_shift``, comes as its square, and once more as itself per channel that measures it
    (:func:`covariate_value`).
    """
    wanted = dict.fromkeys(v for c in config.channels if c.quantity == "flux" for v in c.covariates)
    found: list[str] = []
    for name in wanted:
        if name in delivered(config):
            found.append(name)
            found += [f"{BEAM_SHIFT}.{c.name}" for c in config.channels if name == BEAM_SHIFT == c.measures]
    return found


def delivered(config: Config) -> set[str]:
    """What channels bring that may be a covariate."""
    return {c.quantity for c in config.channels} | {c.measures for c in config.channels if c.measures is not None}


def covariate_value(config: Config, name: str, si_value: float) -> float:
    """A covariate as the model takes it: relative to nominal for kV and µA, thousands of px for the shuttle.

    In a source with a needle for a target the flux falls when beam and tip part by δ: ``log I = -δ²/(2 w²)``, w the width
    (σ) of the beam on the tip. δ is counted in spot FWHM F (the mean of u and v), so that β of δ² is ``-F²/(2 w²)``, a few at
    most. Nobody knows where on its scale a displacement meter reads the tip: with that place d₀,
    ``-(d - d₀)²/(2 w²)`` has a part that is linear in each direction's reading, ``d d₀/w²``, hence the covariates
    ``beam_shift.CHANNEL``; the constant is the level's.

    Wrong where noise of the displacement is not small against w: it then weakens β, and adds ``δ σ_δ/w²`` of noise.

    Parameters
    ----------
    si_value : float
        Reading in SI units; for ``beam_shift`` the sum of squares over its channels [m²].
    """
    if name == "voltage":
        return si_value / (config.source.voltage_kv * 1e3) - 1.0
    if name == "current":
        return si_value / (config.source.current_ua * 1e-6) - 1.0
    if name.startswith(BEAM_SHIFT):
        width = sum(spot_fwhm_m(config)) / 2.0
        return si_value / (width**2 if name == BEAM_SHIFT else width)
    return si_value * 1e-3
