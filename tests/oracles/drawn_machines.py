"""Machines whose every parameter is drawn from what a configuration states as its prior, simulated by explicit steps.

Written from physics.md and the meaning of the configuration's keys alone; shares no code with the product. Heat balance,
walks and warm-ups go forward in Euler steps of 6 s (a hundredth of the fastest node, thermometers apart), all machines of a
batch at once.

What is drawn: temperatures at the start, the room's daily swing and walk, sensitivities and directions of the elements, one
time constant of warm-up per body and for the flux (log-uniform over the stated range; the estimator knows only the range),
amplitudes, walks, the instants and sizes of steps (Poisson), offsets, levels, noise. The tube is switched on at time 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SUBSTEP_S, LATTICE_S = 6.0, 60.0
AXES = "uvw"
EXPANSION = {"aluminium": 23e-6, "stainless-304": 17e-6, "granite": 6.5e-6, "invar": 1.2e-6, "tungsten": 4.5e-6}


@dataclass
class Drawn:
    """One machine: its parameters, its course on the lattice (K instants), what its sensors would read without noise."""

    time: np.ndarray
    outputs: dict[str, np.ndarray]  # (K,): metres, px, ratio, log flux
    clean: dict[str, np.ndarray]  # (K,) per channel: kelvin, px, log counts
    sensitivity: np.ndarray  # (E,) relative to stated
    direction: np.ndarray  # (E, 3) added to stated
    tau_s: dict[str, float]
    steps: list[tuple[float, dict[str, float]]]  # instant, body.axis → metres


def draw(config: object, hours: float, count: int, seed: int) -> list[Drawn]:
    """``count`` machines over ``hours`` hours from switching on."""
    rng = np.random.default_rng(seed)
    c = config
    per = int(LATTICE_S / SUBSTEP_S)
    instants = int(hours * 3600 / LATTICE_S) + 1
    time = np.arange(instants) * LATTICE_S
    temperature = _heat(c, count, instants, per, rng)
    elements = c.elements
    scale = 1.0 + rng.normal(size=(count, len(elements))) * [e.sensitivity_sigma for e in elements]
    aside = rng.normal(size=(count, len(elements), 3)) * np.array([e.direction_sigma for e in elements])[:, None]
    moved = {f"{b}.{a}": np.zeros((count, instants)) for b in ("source", "object") for a in AXES}
    moved |= {f"marker:{m.name}.{a}": np.zeros((count, instants)) for m in c.markers for a in AXES}
    for k, e in enumerate(elements):
        per_kelvin = (
            (e.expansion_per_k if e.expansion_per_k is not None else EXPANSION[e.material]) * e.length_mm * 1e-3
        )
        for i, a in enumerate(AXES):
            gain = e.sensitivity * per_kelvin * (e.direction[i] * scale[:, k] + aside[:, k, i])
            moved[f"{e.body}.{a}"] += gain[:, None] * temperature[e.node]
    taus: list[dict[str, float]] = [{} for _ in range(count)]
    happened: list[list[tuple[float, dict[str, float]]]] = [[] for _ in range(count)]
    for body in ("source", "object"):
        drift = getattr(c.drift, body)
        low, high = (60.0 * t for t in drift.warmup_min)
        tau = np.exp(rng.uniform(math.log(low), math.log(high), count))
        for i, a in enumerate(AXES):
            walk = drift.random_walk_um_per_sqrt_h[i] * 1e-6 / 60.0 * math.sqrt(LATTICE_S)
            moved[f"{body}.{a}"][:, 1:] += np.cumsum(walk * rng.normal(size=(count, instants - 1)), axis=1)
            amplitude = drift.warmup_um[i] * 1e-6 * rng.normal(size=count)
            moved[f"{body}.{a}"] += amplitude[:, None] * np.exp(-time / tau[:, None])
        for k in range(count):
            taus[k][body] = float(tau[k])
            for _ in range(rng.poisson(drift.steps_per_day * hours / 24.0)):
                at = rng.uniform(0.0, hours * 3600.0)
                sizes = drift.step_um
                jump = {f"{body}.{a}": sizes[i] * 1e-6 * rng.normal() for i, a in enumerate(AXES) if sizes[i] > 0}
                for name, size in jump.items():
                    moved[name][k, time >= at] += size
                happened[k].append((at, jump))
    flux, flux_tau = _flux(c, time, count, rng)
    for m in c.markers:
        walk = m.mount_random_walk_um_per_sqrt_h * 1e-6 / 60.0 * math.sqrt(LATTICE_S)
        for a in "uv":
            own = moved[f"marker:{m.name}.{a}"]
            own[:, 1:] += np.cumsum(walk * rng.normal(size=(count, instants - 1)), axis=1)
            if m.mounted_on == "object":
                own += moved[f"object.{a}"]
    outputs, clean = _seen(c, moved, temperature, flux, rng)
    made = []
    for k in range(count):
        taus[k]["flux"] = float(flux_tau[k])
        made.append(
            Drawn(
                time, {n: v[k] for n, v in outputs.items()}, {n: v[k] for n, v in clean.items()}, scale[k], aside[k],
                taus[k], sorted(happened[k], key=lambda item: item[0]),
            )
        )  # fmt: skip
    return made


def _heat(c, count, instants, per, rng):
    """Temperatures above 20 °C of nodes and lagging sensors on the lattice."""
    names = [n.name for n in c.nodes]
    lagged = [(ch.name, ch.at, ch.lag_s) for ch in c.channels if ch.at is not None and ch.lag_s > 0]
    n = {name: k for k, name in enumerate(names)}
    watts = c.source.voltage_kv * c.source.current_ua * 1e-3
    apart = [x.initial_sigma_k or math.hypot(1.0, x.kelvin_per_watt * watts) for x in c.nodes]
    apart[n["ambient"]] = c.nodes[n["ambient"]].initial_sigma_k or 3.0
    state = rng.normal(size=(count, len(names))) * apart
    state[:, np.arange(len(names)) != n["ambient"]] += state[:, [n["ambient"]]]
    probe = np.stack([state[:, n[at]] + 0.5 * rng.normal(size=count) for _, at, _ in lagged], -1) if lagged else None
    swing = rng.normal(size=(2, count)) * c.nodes[n["ambient"]].daily_k / math.sqrt(2.0)

    def capacity(node):
        if node.capacity_j_per_k is not None:
            return node.capacity_j_per_k
        return node.time_constant_min * 60.0 / node.kelvin_per_watt

    rate = np.zeros((len(names), len(names)))  # dT = T @ rate'
    power = np.zeros(len(names))
    for x in c.nodes:
        if x.time_constant_min is not None:
            rate[n[x.name], n[x.name]] -= 1.0 / (60.0 * x.time_constant_min)
            rate[n[x.name], n["ambient"]] += 1.0 / (60.0 * x.time_constant_min)
        if x.kelvin_per_watt > 0:
            power[n[x.name]] = watts / capacity(x)
    for link in c.links:
        for a, b in ((link.a, link.b), (link.b, link.a)):
            flow = link.conductance_w_per_k / capacity(c.nodes[n[a]])
            rate[n[a], n[a]] -= flow
            rate[n[a], n[b]] += flow
    walk = np.array([x.random_walk_k_per_sqrt_h for x in c.nodes]) / 60.0 * math.sqrt(SUBSTEP_S)
    kept = np.zeros((count, instants, len(names) + len(lagged)))
    now, omega = 0.0, 2.0 * math.pi / 86400.0
    for t in range(instants):
        if t:
            for _ in range(per):
                change = state @ rate.T * SUBSTEP_S + power * SUBSTEP_S + walk * rng.normal(size=state.shape)
                before = swing[0] * math.cos(omega * now) + swing[1] * math.sin(omega * now)
                now += SUBSTEP_S
                after = swing[0] * math.cos(omega * now) + swing[1] * math.sin(omega * now)
                change[:, n["ambient"]] += after - before
                for k, (_, at, lag) in enumerate(lagged):
                    probe[:, k] += (state[:, n[at]] - probe[:, k]) * SUBSTEP_S / lag
                state = state + change
        kept[:, t, : len(names)] = state
        if lagged:
            kept[:, t, len(names) :] = probe
    found = {name: kept[:, :, k] for name, k in n.items()}
    return found | {f"probe:{name}": kept[:, :, len(names) + k] for k, (name, _, _) in enumerate(lagged)}


def _flux(c, time, count, rng):
    low, high = (60.0 * t for t in c.flux.warmup_min)
    tau = np.exp(rng.uniform(math.log(low), math.log(high), count))
    level = math.log(c.detector.full_scale_counts / 2.0) + 0.2 * rng.normal(size=(count, 1))
    walk = c.flux.random_walk_percent_per_sqrt_h * 1e-2 / 60.0 * math.sqrt(LATTICE_S)
    flux = level + np.concatenate(
        [np.zeros((count, 1)), np.cumsum(walk * rng.normal(size=(count, len(time) - 1)), axis=1)], axis=1
    )
    amplitude = c.flux.warmup_percent * 1e-2 * rng.normal(size=(count, 1))
    return flux + amplitude * np.exp(-time / tau[:, None]), tau


def _seen(c, moved, temperature, flux, rng):
    """Outputs as the product names them, and what each channel would read without noise."""
    sod, sdd, pixel = (
        c.geometry.source_object_mm * 1e-3,
        c.geometry.source_detector_mm * 1e-3,
        c.geometry.pixel_um * 1e-6,
    )
    m = sdd / sod
    outputs = {f"{b}.{a}": moved[f"{b}.{a}"] for b in ("source", "object") for a in AXES}
    for a in "uv":
        outputs[f"shift.{a}"] = (-(m - 1.0) * moved[f"source.{a}"] + m * moved[f"object.{a}"]) / pixel
    outputs["flux"] = flux
    clean = {}
    for ch in c.channels:
        if ch.at is not None:
            clean[ch.name] = temperature[f"probe:{ch.name}" if ch.lag_s > 0 else ch.at] + 293.15
        elif ch.quantity == "flux":
            clean[ch.name] = flux
        elif ch.marker is not None:
            marker = next(x for x in c.markers if x.name == ch.marker)
            big = sdd / (marker.source_marker_mm * 1e-3)
            angle = math.radians(marker.angle_deg)
            normal = {"u": (1.0, 0.0), "v": (0.0, 1.0), "n": (math.sin(angle), -math.cos(angle))}[ch.axis]
            if normal[0] < 0:
                normal = (-normal[0], -normal[1])
            total = 30.0 * rng.normal(size=(len(flux), 1)) + np.zeros_like(flux)
            for i, a in enumerate("uv"):
                total += (
                    normal[i] * (-(big - 1.0) * moved[f"source.{a}"] + big * moved[f"marker:{marker.name}.{a}"]) / pixel
                )
            clean[ch.name] = total
    return outputs, clean
