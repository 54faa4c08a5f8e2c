"""Noise that a measured beam shift brings into the flux that is corrected by it."""

from __future__ import annotations

import math

import numpy as np

from models.estimate import Array
from models.flux import beta
from models.smoother import Smoothed
from models.statespace import StateSpace
from twin.channels import channels_of
from twin.config import Config
from twin.flux_channels import BEAM_SHIFT, covariate_value
from twin.sections import ChannelSection
from twin.turning import Turned


def beam_betas(model: StateSpace) -> list[str]:
    """States that multiply the beam shift and its square."""
    return [beta(name) for name in model.covariates if name.partition(".")[0] == BEAM_SHIFT]


def beam_noise(config: Config, model: StateSpace, turned: Turned, smoothed: Smoothed, covariates: Array) -> Array:
    """Variance of log flux at each step by the noise of the beam's displacement, (T,).

    ``Σ (2 β x + β_x)² σ_x²`` over the channels that measure it, x in spot FWHM: first order in the noise, which is taken as
    independent from step to step. σ is the channel's stated one over the root of its readings in a step; 0 where none is
    stated.
    """
    out = np.zeros(len(covariates))
    for channel in config.channels:
        name = f"{BEAM_SHIFT}.{channel.name}"
        if name not in model.covariates:
            continue
        both, own = (float(smoothed.mean[-1, turned.count + turned.states.index(beta(n))]) for n in (BEAM_SHIFT, name))
        slope = 2.0 * both * covariates[:, model.covariates.index(name)] + own
        out += (slope * _sigma(config, channel, name)) ** 2
    return out


def _sigma(config: Config, channel: ChannelSection, name: str) -> float:
    si = channels_of(config)[channel.name].admit(0.0, 0.0).sigma
    count = 1.0 if channel.period_s is None else max(config.estimator.grid_s / channel.period_s, 1.0)
    return covariate_value(config, name, si) / math.sqrt(count) if math.isfinite(si) else 0.0
