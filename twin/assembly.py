"""From a configuration to a model: which states there are, what each channel sees, what is wanted as output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.engine import Gate
from models.estimate import Array
from models.flux import LEVEL
from models.geometry import ConeBeam
from models.spot import SPOT
from models.statespace import Observation, StateSpace
from models.thermal import AMBIENT, REFERENCE_K, temperature
from models.turning import is_angle
from twin.bodies import AXES, BODIES, moving_bodies, thermal_blocks
from twin.config import Config
from twin.flux_channels import covariate_value, flux_covariates, flux_model, flux_prior
from twin.markers import marker_model
from twin.outputs import OUTPUTS, machine_outputs
from twin.pose import pose_of, spot_fwhm_m
from twin.sections import ChannelSection, Drift
from twin.spot import spot_model

__all__ = ["OUTPUTS", "Machine", "assemble", "covariate_value", "flux_prior", "pose_of", "spot_fwhm_m"]


@dataclass(frozen=True)
class Machine:
    """A configured machine as a model.

    Attributes
    ----------
    model : StateSpace
        Lengths in metres, temperatures in kelvin above 20 °C, marker positions in px, flux as log counts.
    outputs : tuple of Observation
        As :data:`OUTPUTS`; displacements [m], shift [px], magnification and log flux relative to the reference.
    rearmed : (n,) array
        Variance added when the tube is switched on or its operating point changes.
    gate : Gate
    step_rates : mapping of state to (expected steps per second, σ of a step [m; relative for flux])
    """

    config: Config
    pose: ConeBeam
    model: StateSpace
    outputs: tuple[Observation, ...]
    rearmed: Array
    gate: Gate
    step_rates: dict[str, tuple[float, float]]

    @property
    def has_flux(self) -> bool:
        """Whether any channel measures flux."""
        return any(c.quantity == "flux" for c in self.config.channels)


def assemble(config: Config) -> Machine:
    """Build the model of a configuration."""
    pose = pose_of(config)
    moved, motions = moving_bodies(config)
    blocks = thermal_blocks(config) + moved
    observations = [_thermometer(channel) for channel in config.channels if channel.at is not None]
    for marker in config.markers:
        new_blocks, seen = marker_model(config, pose, marker, motions)
        blocks += new_blocks
        observations += seen
    spot_states, blurs = spot_model(config, pose, spot_fwhm_m(config))
    blocks += spot_states
    observations += blurs
    flux_states, fluxes = flux_model(config)
    blocks += flux_states
    observations += fluxes
    outputs = machine_outputs(pose, motions, fluxes)
    angles = (name for o in (*observations, *outputs) for _, name, _ in o.covariates if is_angle(name))
    covariates = [*flux_covariates(config), *dict.fromkeys(angles)]
    model = StateSpace.assemble(blocks, observations, config.estimator.grid_s, covariates, _vague(config))
    return Machine(config, pose, model, outputs, _rearmed(model), _gate(config, model), _step_rates(config, model))


def _vague(config: Config) -> list[str]:
    """Temperatures that no thermometer reads, neither on the node nor, for a node that follows the room, in the room."""
    read = {c.at for c in config.channels if c.at is not None}
    room = AMBIENT in read
    return [
        temperature(n.name)
        for n in config.nodes
        if n.name not in read and not (room and n.time_constant_min is not None)
    ]


def _thermometer(channel: ChannelSection) -> Observation:
    node = temperature(channel.at or "")
    state = f"sensor.{channel.name}" if channel.lag_s > 0 else node
    return Observation(channel.name, ((state, 1.0),), constant=REFERENCE_K, step_states=(node, state))


def _rearmed(model: StateSpace) -> Array:
    """Prior variance of every warm-up state and of the spot's size: what a switch-on adds again."""
    again = [".warmup." in name or name in SPOT for name in model.names]
    return np.where(again, np.diagonal(model.cov), 0.0)


def _gate(config: Config, model: StateSpace) -> Gate:
    step_var = np.zeros(len(model.names))
    for i, name in enumerate(model.names):
        if name.startswith(("temperature.", "sensor.")):
            step_var[i] = 1.0
        elif name.endswith(".walk") and name.split(".")[0] in BODIES:
            body, axis, _ = name.split(".")
            step_var[i] = (3.0 * getattr(config.drift, body).step_sigma_um[AXES.index(axis)] * 1e-6) ** 2
        elif name == "flux.level":
            step_var[i] = 0.3**2
        elif name in SPOT:
            step_var[i] = model.cov[i, i]
    return Gate(config.estimator.gate_sigma, step_var)


def _step_rates(config: Config, model: StateSpace) -> dict[str, tuple[float, float]]:
    rates = {}
    for body in BODIES:
        drift: Drift = getattr(config.drift, body)
        for i, axis in enumerate(AXES):
            name = f"{body}.{axis}.walk"
            if drift.steps_per_day > 0 and name in model.names:
                rates[name] = (drift.steps_per_day / 86400.0, drift.step_sigma_um[i] * 1e-6)
    if config.flux.steps_per_day > 0 and LEVEL in model.names:
        rates[LEVEL] = (config.flux.steps_per_day / 86400.0, config.flux.step_percent * 1e-2)
    return rates
