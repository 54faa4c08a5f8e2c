"""From a configuration to a model: which states there are, what each channel sees, what is wanted as output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.blur import TEN_PERCENT_PER_FWHM
from models.engine import Gate
from models.estimate import Array
from models.flux import FluxPrior, flux_blocks, flux_observation
from models.focal import bank_names, integrated_walk, ornstein_uhlenbeck, random_walk, warmup_bank
from models.geometry import ConeBeam, marker_row, wire_normal
from models.statespace import Block, Observation, StateSpace
from models.thermal import REFERENCE_K, ThermalNode, network, temperature
from twin.config import Config
from twin.sections import ChannelSection, Drift, Marker

AXES = "uvw"
BODIES = ("source", "object")
OUTPUTS = (
    *(f"{body}.{axis}" for body in BODIES for axis in AXES),
    "shift.u",
    "shift.v",
    "magnification",
    "flux",
)


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
    step_rates : mapping of state to (expected steps per second, σ of a step [m])
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


def pose_of(config: Config) -> ConeBeam:
    """Reference pose [m]."""
    g = config.geometry
    return ConeBeam(g.source_object_mm * 1e-3, g.source_detector_mm * 1e-3, g.pixel_um * 1e-6)


def spot_fwhm_m(config: Config) -> tuple[float, float]:
    """Focal spot FWHM u, v [m], whichever convention the configuration uses."""
    if config.source.spot_fwhm_um is not None:
        return config.source.spot_fwhm_um[0] * 1e-6, config.source.spot_fwhm_um[1] * 1e-6
    width = (config.source.spot_10_percent_um or 0.0) * 1e-6 / TEN_PERCENT_PER_FWHM
    return float(width), float(width)


def assemble(config: Config) -> Machine:
    """Build the model of a configuration."""
    pose = pose_of(config)
    blocks: list[Block] = []
    lagged = [(c.name, c.at, c.lag_s) for c in config.channels if c.at is not None and c.lag_s > 0]
    if config.nodes:
        blocks.append(
            network(
                [_node(config, node.name) for node in config.nodes],
                [(link.a, link.b, link.conductance_w_per_k) for link in config.links],
                lagged,
            )
        )
    linear: dict[str, dict[str, float]] = {f"{b}.{a}": {} for b in (*BODIES, "detector") for a in AXES}
    products: dict[str, list[tuple[str, str, float]]] = {}
    for body in BODIES:
        drift: Drift = getattr(config.drift, body)
        for i, axis in enumerate(AXES):
            for block, terms in _drift_blocks(f"{body}.{axis}", drift, i):
                blocks.append(block)
                linear[f"{body}.{axis}"].update(dict.fromkeys(terms, 1.0))
    for k, element in enumerate(config.elements):
        scale = f"sensitivity.{k + 1}"
        if element.sensitivity_sigma > 0:
            blocks.append(random_walk(scale, "1", 0.0, element.sensitivity_sigma))
        for i, axis in enumerate(AXES):
            weight = element.metres_per_kelvin * element.direction[i]
            if weight == 0.0:
                continue
            body = f"{element.body}.{axis}"
            node = temperature(element.node)
            here = linear.setdefault(body, {})
            here[node] = here.get(node, 0.0) + weight
            if element.sensitivity_sigma > 0:
                products.setdefault(body, []).append((node, scale, weight))
    observations: list[Observation] = []
    for channel in config.channels:
        if channel.at is not None:
            observations.append(_thermometer(channel))
    for marker in config.markers:
        new_blocks, new_observations = _marker(config, pose, marker, linear, products)
        blocks += new_blocks
        observations += new_observations
    prior, covariates = flux_prior(config), _covariates(config)
    fluxes = [c for c in config.channels if c.quantity == "flux"]
    if fluxes:
        blocks += flux_blocks(prior, float(np.log(config.detector.full_scale_counts / 2.0)), covariates)
        observations += [flux_observation(c.name, prior, [v for v in covariates if v in c.covariates]) for c in fluxes]
    model = StateSpace.assemble(blocks, observations, config.estimator.grid_s, covariates)
    outputs = _outputs(pose, linear, products, observations, fluxes)
    return Machine(config, pose, model, outputs, _rearmed(model), _gate(config, model), _step_rates(config, model))


def _node(config: Config, name: str) -> ThermalNode:
    node = next(n for n in config.nodes if n.name == name)
    minutes = node.time_constant_min
    return ThermalNode(
        name,
        None if minutes is None else minutes * 60.0,
        node.kelvin_per_watt,
        node.capacity_j_per_k,
        node.random_walk_k_per_sqrt_h / 60.0,
        node.daily_k,
        0.0,
        node.initial_sigma_k,
    )


def _drift_blocks(name: str, drift: Drift, i: int) -> Iterator[tuple[Block, tuple[str, ...]]]:
    """Blocks of one body's axis, each with the labels that add up to its displacement."""
    walk = drift.random_walk_um_per_sqrt_h[i] * 1e-6 / 60.0
    label = f"{name}.walk"
    if drift.model == "ornstein_uhlenbeck" and drift.sigma_um and drift.correlation_min and drift.sigma_um[i] > 0:
        yield (
            ornstein_uhlenbeck(f"{name}.ou", "m", drift.sigma_um[i] * 1e-6, drift.correlation_min * 60.0),
            (f"{name}.ou",),
        )
    if drift.model == "integrated_walk" and drift.rate_walk_um_per_h_per_sqrt_h:
        rate = drift.rate_walk_um_per_h_per_sqrt_h[i] * 1e-6 / 3600.0
        yield integrated_walk(label, "m", walk, rate / 60.0, rate * 10.0), (label,)
    elif walk > 0 or drift.steps_per_day > 0:
        yield random_walk(label, "m", walk), (label,)
    if drift.warmup_um[i] > 0:
        low, high = drift.warmup_min
        bank = f"{name}.warmup"
        yield warmup_bank(bank, "m", drift.warmup_um[i] * 1e-6, (low * 60.0, high * 60.0)), bank_names(bank)


def _thermometer(channel: ChannelSection) -> Observation:
    node = temperature(channel.at or "")
    state = f"sensor.{channel.name}" if channel.lag_s > 0 else node
    return Observation(channel.name, ((state, 1.0),), constant=REFERENCE_K, step_states=(node, state))


def _marker(
    config: Config,
    pose: ConeBeam,
    marker: Marker,
    linear: dict[str, dict[str, float]],
    products: dict[str, list[tuple[str, str, float]]],
) -> tuple[list[Block], list[Observation]]:
    """Offset and mount of a marker, and its channels."""
    blocks, observations = [], []
    channels = [c for c in config.channels if c.marker == marker.name]
    directions = {"u": (1.0, 0.0), "v": (0.0, 1.0), "n": wire_normal(marker.angle_deg)}
    mount_axes = {a for c in channels for a, w in zip("uv", directions[c.axis or "u"], strict=True) if abs(w) > 1e-12}
    walk = marker.mount_random_walk_um_per_sqrt_h * 1e-6 / 60.0
    mounts = {}
    for axis in sorted(mount_axes):
        name = f"marker.{marker.name}.{axis}"
        mounts[axis] = dict(linear.get(f"marker:{marker.name}.{axis}", {}))
        own = list(products.get(f"marker:{marker.name}.{axis}", []))
        if marker.mounted_on == "object":
            for state, weight in linear[f"object.{axis}"].items():
                mounts[axis][state] = mounts[axis].get(state, 0.0) + weight
            own += products.get(f"object.{axis}", [])
        if walk > 0:
            blocks.append(random_walk(name, "m", walk))
            mounts[axis][name] = 1.0
        products[f"mount:{marker.name}.{axis}"] = own
    for channel in channels:
        normal = directions[channel.axis or "u"]
        source, mount, _ = marker_row(pose, marker.source_marker_mm * 1e-3, normal)
        offset = f"offset.{channel.name}"
        blocks.append(random_walk(offset, "px", 0.0, 1e4))
        terms: dict[str, float] = {offset: 1.0}
        pairs: list[tuple[str, str, float]] = []
        for i, axis in enumerate("uv"):
            for gain, states, doubles in (
                (source[i], linear[f"source.{axis}"], products.get(f"source.{axis}", [])),
                (mount[i], mounts.get(axis, {}), products.get(f"mount:{marker.name}.{axis}", [])),
            ):
                if gain == 0.0:
                    continue
                for state, weight in states.items():
                    terms[state] = terms.get(state, 0.0) + gain * weight
                pairs += [(a, b, gain * weight) for a, b, weight in doubles]
        steps = tuple(s for s in (f"source.{a}.walk" for a in "uv") if s in terms)
        observations.append(Observation(channel.name, tuple(terms.items()), tuple(pairs), step_states=steps))
    return blocks, observations


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


def _covariates(config: Config) -> list[str]:
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


def _outputs(
    pose: ConeBeam,
    linear: dict[str, dict[str, float]],
    products: dict[str, list[tuple[str, str, float]]],
    observations: list[Observation],
    fluxes: list[ChannelSection],
) -> tuple[Observation, ...]:
    out = [
        Observation(f"{b}.{a}", tuple(linear[f"{b}.{a}"].items()), tuple(products.get(f"{b}.{a}", ())))
        for b in BODIES
        for a in AXES
    ]
    m, sod = pose.magnification, pose.source_object_m
    for name, parts in (
        ("shift.u", (("source.u", -(m - 1.0) / pose.pixel_m), ("object.u", m / pose.pixel_m))),
        ("shift.v", (("source.v", -(m - 1.0) / pose.pixel_m), ("object.v", m / pose.pixel_m))),
        ("magnification", (("source.w", (1.0 - 1.0 / m) / sod), ("object.w", -1.0 / sod))),
    ):
        terms: dict[str, float] = {}
        pairs: list[tuple[str, str, float]] = []
        for body, gain in parts:
            for state, weight in linear[body].items():
                terms[state] = terms.get(state, 0.0) + gain * weight
            pairs += [(a, b, gain * weight) for a, b, weight in products.get(body, ())]
        out.append(Observation(name, tuple(terms.items()), tuple(pairs)))
    seen = next((o for o in observations if fluxes and o.channel == fluxes[0].name), None)
    out.append(Observation("flux", seen.linear, (), seen.covariates) if seen else Observation("flux", ()))
    return tuple(out)


def _rearmed(model: StateSpace) -> Array:
    """Prior variance of every warm-up state: what a switch-on adds again."""
    return np.array([model.cov[i, i] if ".warmup." in name else 0.0 for i, name in enumerate(model.names)])


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
    return Gate(config.estimator.gate_sigma, step_var)


def _step_rates(config: Config, model: StateSpace) -> dict[str, tuple[float, float]]:
    rates = {}
    for body in BODIES:
        drift: Drift = getattr(config.drift, body)
        for i, axis in enumerate(AXES):
            name = f"{body}.{axis}.walk"
            if drift.steps_per_day > 0 and name in model.names:
                rates[name] = (drift.steps_per_day / 86400.0, drift.step_sigma_um[i] * 1e-6)
    return rates
