"""Oracle: readings of a machine that is what its configuration says, all unknowns drawn from the configuration's prior.

Written from docs/explanation/model.md with the keys of the configuration; it shares no code with the product but reads the
same file. Sensitivities multiply temperatures (no linearisation), conduction is solved by the matrix exponential of the whole
network, its noise by quadrature. A :class:`Fault` makes it another machine than the one configured.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import expm

HOUR_S, DAY_S = 3600.0, 86400.0


@dataclass(frozen=True)
class Fault:
    """What the configuration doesn't say, from ``at_s`` after the start.

    ``heat_k_per_h``: heat into nodes, as the rate at which they begin to warm; ``slower``: factor on the time constants
    of nodes (all the time); ``noise``: factor on a channel's noise; ``drift_per_h``: a channel's own drift [SI unit/h].
    """

    at_s: float = 0.0
    heat_k_per_h: dict[str, float] = field(default_factory=dict)
    slower: dict[str, float] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)
    drift_per_h: dict[str, float] = field(default_factory=dict)


def readings(
    config, seed, hours, step_s, every_s, *, fault=None, tube_on_s=0.0, tube_hours=np.inf, settled=False, quantum_k=0.0
):
    """Times (T,) from 0 and channel → values (T,) in SI units, nan where there is no reading; σ per channel.

    ``every_s``: channel → interval of its readings (a multiple of ``step_s``). ``tube_on_s``: the tube is switched on then,
    and off and on again every ``tube_hours``; while off, there is no flux. ``settled``: all nodes begin at the room's
    temperature, else anywhere within their prior.
    ``quantum_k``: thermometers give multiples of it.
    """
    rng, fault = np.random.default_rng(seed), fault or Fault()
    time = np.arange(0.0, hours * HOUR_S, step_s)
    on = tube_is_on(time, tube_on_s, tube_hours)
    heat = _temperatures(config, rng, time, on, fault, settled)
    moved = _bodies(config, rng, time, on, heat)
    sigma, out = {}, {}
    for channel in config.channels:
        if channel.name not in every_s:
            continue
        noise = rng.normal(size=len(time)) * np.where(time >= fault.at_s, fault.noise.get(channel.name, 1.0), 1.0)
        if channel.at is not None:
            true, sigma[channel.name] = 293.15 + heat[channel.name], channel.sigma or 0.05
        elif channel.marker is not None:
            true, sigma[channel.name] = _marker(config, channel, rng, moved), channel.sigma or 0.1
        else:
            true, sigma[channel.name] = _flux(config, rng, time, on), 1e-3
            noise *= np.hypot(1.0, config.flux.floor_percent * 1e-2 / 1e-3)
        value = true + sigma[channel.name] * noise
        value = value + fault.drift_per_h.get(channel.name, 0.0) / HOUR_S * np.maximum(time - fault.at_s, 0.0)
        if channel.at is not None and quantum_k > 0.0:
            value = np.round((value - 273.15) / quantum_k) * quantum_k + 273.15
        if channel.quantity == "flux":
            value = np.where(on, np.exp(value), np.nan)
        read = np.isclose(np.remainder(time + 0.5 * step_s, every_s[channel.name]), 0.5 * step_s)
        out[channel.name] = np.where(read, value, np.nan)
    return time, out, sigma


def tube_is_on(time, on_s, hours):
    """Whether the tube is on (T,)."""
    return (time >= on_s) & (np.floor((time - on_s) / (hours * HOUR_S)) % 2 == 0)


def _temperatures(config, rng, time, on, fault, settled):
    """Nodes and lagging sensors [K above 20 °C] by name (T,)."""
    nodes = {n.name: i for i, n in enumerate(config.nodes)}
    lagged = [c for c in config.channels if c.at is not None and c.lag_s > 0]
    n = len(nodes) + len(lagged)
    rate, density, gain = np.zeros((n, n)), np.zeros(n), np.zeros((n, 2))
    watts = config.source.voltage_kv * 1e3 * config.source.current_ua * 1e-6
    for node in config.nodes:
        i = nodes[node.name]
        density[i] = node.random_walk_k_per_sqrt_h**2 / HOUR_S
        if node.name == "ambient":
            continue
        tau = (node.time_constant_min or np.inf) * 60.0 * fault.slower.get(node.name, 1.0)
        rate[i, i] -= 1.0 / tau
        rate[i, nodes["ambient"]] += 1.0 / tau
        gain[i, 1] = fault.heat_k_per_h.get(node.name, 0.0) / HOUR_S
        if node.kelvin_per_watt > 0 or node.capacity_j_per_k:
            capacity = node.capacity_j_per_k or tau / node.kelvin_per_watt
            gain[i, 0] = watts / capacity if node.kelvin_per_watt > 0 else 0.0
            for link in config.links:
                if node.name in (link.a, link.b):
                    other = nodes[link.b if node.name == link.a else link.a]
                    rate[i, i] -= link.conductance_w_per_k / capacity
                    rate[i, other] += link.conductance_w_per_k / capacity
    for k, channel in enumerate(lagged):
        i = len(nodes) + k
        rate[i, i], rate[i, nodes[channel.at]] = -1.0 / channel.lag_s, 1.0 / channel.lag_s
    dt = time[1] - time[0]
    points, weights = np.polynomial.legendre.leggauss(16)
    grown = [expm(rate * 0.5 * dt * (1.0 + p)) for p in points]
    cov = sum(0.5 * dt * w * g @ np.diag(density) @ g.T for g, w in zip(grown, weights, strict=True))
    push = sum(0.5 * dt * w * g @ gain for g, w in zip(grown, weights, strict=True))
    size, axes = np.linalg.eigh(cov)
    shocks = rng.normal(size=(len(time), n)) @ (axes * np.sqrt(np.maximum(size, 0.0))).T
    shocks += np.stack([on, time > fault.at_s], axis=1) @ push.T
    # the room's daily swing is drawn; it reaches the other nodes through the same network, from the values of the steps
    room = next(node for node in config.nodes if node.name == "ambient")
    c, s = rng.normal(size=2) * room.daily_k / np.sqrt(2.0)
    swing = c * np.cos(2 * np.pi * time / DAY_S) + s * np.sin(2 * np.pi * time / DAY_S)
    fine = expm(rate * dt)
    swing_push = sum(
        0.5 * dt * w * np.outer((g @ rate)[:, nodes["ambient"]], np.ones(1))
        for g, w in zip(grown, weights, strict=True)
    )[:, 0]
    x = np.empty((len(time), n))
    x[0] = np.concatenate(
        [rng.normal(size=len(nodes)) * [_initial_sigma(config, n) for n in config.nodes], np.zeros(len(lagged))]
    )
    others = np.arange(len(nodes)) != nodes["ambient"]
    x[0, : len(nodes)][others] += x[0, nodes["ambient"]]
    if settled:
        x[0, : len(nodes)] = x[0, nodes["ambient"]]
    for k, channel in enumerate(lagged):
        x[0, len(nodes) + k] = x[0, nodes[channel.at]] + 0.5 * rng.normal()
    middle = 0.5 * (swing[1:] + swing[:-1]) - swing[0]
    for t in range(1, len(time)):
        x[t] = fine @ x[t - 1] + shocks[t] + swing_push * middle[t - 1]
    found = {name: x[:, i] for name, i in nodes.items()}
    found["ambient"] = found["ambient"] + swing - swing[0]
    own = {c.name: found[c.at] for c in config.channels if c.at is not None and c.lag_s == 0}
    return found | own | {c.name: x[:, len(nodes) + k] for k, c in enumerate(lagged)}


def _walk(rng, time, per_sqrt_h):
    return (
        np.concatenate([[0.0], np.cumsum(rng.normal(size=len(time) - 1))])
        * per_sqrt_h
        * np.sqrt((time[1] - time[0]) / HOUR_S)
    )


def _warm_up(rng, time, on, sigma, minutes):
    """Six exponentials whose amplitudes at the start add up to σ; drawn anew when the tube comes on later."""
    total = np.zeros(len(time))
    begins = [0.0, *time[1:][on[1:] & ~on[:-1]]]
    for begin in begins:
        for tau in np.exp(np.linspace(np.log(minutes[0]), np.log(minutes[1]), 6)) * 60.0:
            age = time - begin
            total += np.where(age >= 0, sigma / np.sqrt(6.0) * rng.normal() * np.exp(-np.maximum(age, 0.0) / tau), 0.0)
    return total


def _bodies(config, rng, time, on, heat):
    """Displacements [m] by body, (T, 2) along u and v; mounts of markers without what they stand on."""
    moved = {}
    for body in ("source", "object"):
        drift = getattr(config.drift, body)
        parts = [
            _walk(rng, time, drift.random_walk_um_per_sqrt_h[a])
            + _warm_up(rng, time, on, drift.warmup_um[a], drift.warmup_min)
            for a in (0, 1)
        ]
        moved[body] = np.stack(parts, axis=1) * 1e-6
        jumps = np.flatnonzero(rng.random(len(time)) < drift.steps_per_day * (time[1] - time[0]) / DAY_S)
        for k in jumps:
            moved[body][k:] += rng.normal(size=2) * np.array(drift.step_um[:2]) * 1e-6
    for marker in config.markers:
        walk = marker.mount_random_walk_um_per_sqrt_h
        moved[f"marker:{marker.name}"] = np.stack([_walk(rng, time, walk), _walk(rng, time, walk)], axis=1) * 1e-6
    per_k = {"aluminium": 23e-6, "brass": 19e-6, "stainless-304": 17e-6, "carbon-steel": 11.5e-6, "granite": 6.5e-6,
             "tungsten": 4.5e-6, "invar": 1.2e-6}  # fmt: skip
    for element in config.elements:
        alpha = element.expansion_per_k if element.expansion_per_k is not None else per_k[element.material]
        along = np.array(element.direction[:2]) * (1.0 + element.sensitivity_sigma * rng.normal())
        along = along + element.direction_sigma * rng.normal(size=2)
        if element.body in moved:
            moved[element.body] += np.outer(alpha * element.length_mm * 1e-3 * heat[element.node], along)
    return moved


def _marker(config, channel, rng, moved):
    marker = next(m for m in config.markers if m.name == channel.marker)
    g = config.geometry
    scale, pixel = g.source_detector_mm / marker.source_marker_mm, g.pixel_um * 1e-6
    angle = np.deg2rad(marker.angle_deg)
    along = {"u": [1.0, 0.0], "v": [0.0, 1.0], "n": [np.sin(angle), -np.cos(angle)]}[channel.axis]
    mount = moved[f"marker:{marker.name}"] + (moved["object"] if marker.mounted_on == "object" else 0.0)
    return 100.0 * rng.normal() + (scale * mount - (scale - 1.0) * moved["source"]) @ along / pixel


def _flux(config, rng, time, on):
    f = config.flux
    level = np.log(config.detector.full_scale_counts / 2.0) + 0.5 * rng.normal()
    warm = _warm_up(rng, time, on, f.warmup_percent, f.warmup_min)
    return level + 1e-2 * (_walk(rng, time, f.random_walk_percent_per_sqrt_h) + warm)


def _initial_sigma(config, node) -> float:
    """Of the room about 20 °C, of other nodes about the room (docs/reference/configuration.md)."""
    if node.initial_sigma_k is not None:
        return node.initial_sigma_k
    watts = config.source.voltage_kv * config.source.current_ua * 1e-3
    return 3.0 if node.name == "ambient" else (1.0 + (node.kelvin_per_watt * watts) ** 2) ** 0.5
