"""What moves source, object and the mounts of markers: thermal network, expansion of their paths, drift of their own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.combination import Combination
from models.focal import bank_names, integrated_walk, ornstein_uhlenbeck, random_walk, warmup_bank
from models.statespace import Block
from models.thermal import AMBIENT, ThermalNode, network, temperature
from models.turning import sample_creep, stage_errors
from twin.config import Config
from twin.sections import Drift, Node

AXES = "uvw"
BODIES = ("source", "object")
ROOM_SIGMA_K, NODE_SIGMA_K = 3.0, 1.0

Motions = dict[str, Combination]  # "body.axis" → displacement [m]; marker mounts as "marker:NAME.axis"


def thermal_blocks(config: Config) -> list[Block]:
    """The thermal network with its lagging sensors; nothing where no node is configured."""
    if not config.nodes:
        return []
    lagged = [(c.name, c.at, c.lag_s) for c in config.channels if c.at is not None and c.lag_s > 0]
    links = [(link.a, link.b, link.conductance_w_per_k) for link in config.links]
    return [network([_node(config, node.name) for node in config.nodes], links, lagged, _room_is_read(config))]


def _room_is_read(config: Config) -> bool:
    return any(c.at == AMBIENT for c in config.channels)


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
        initial_sigma_k(config, node),
    )


def initial_sigma_k(config: Config, node: Node) -> float:
    """σ of a node's temperature before the first reading: of the room about 20 °C, of any other about the room's [K].

    Where none is stated: 3 K for the room; for a node 1 K, and the steady rise that a tube which has long been on would give.
    Where no thermometer reads the room every node is by itself, 3 K about 20 °C.
    """
    if node.initial_sigma_k is not None:
        return node.initial_sigma_k
    watts = config.source.voltage_kv * config.source.current_ua * 1e-3
    alone = node.name == AMBIENT or not _room_is_read(config)
    return ROOM_SIGMA_K if alone else float(np.hypot(NODE_SIGMA_K, node.kelvin_per_watt * watts))


def moving_bodies(config: Config) -> tuple[list[Block], Motions]:
    """Blocks of drift and sensitivity, and each body's displacement along each axis in terms of states."""
    blocks: list[Block] = []
    motions: Motions = {f"{body}.{axis}": Combination() for body in (*BODIES, "detector") for axis in AXES}
    for body in BODIES:
        drift: Drift = getattr(config.drift, body)
        for i, axis in enumerate(AXES):
            for block, terms in _drift_blocks(f"{body}.{axis}", drift, i):
                blocks.append(block)
                for state in terms:
                    motions[f"{body}.{axis}"].put(state)
    blocks += _turning(config, motions)
    blocks += _expansion(config, motions)
    return blocks, motions


def _turning(config: Config, motions: Motions) -> list[Block]:
    """Creep of the sample and repeatable errors of the stage, where configured; both belong to the object."""
    blocks: list[Block] = []
    creep = config.drift.sample.random_walk_um_per_sqrt_h * 1e-6 / 60.0
    if creep > 0:
        sample, turned = sample_creep(creep)
        blocks += sample
        for axis, motion in turned.items():
            motions[f"object.{axis}"].add(motion)
    errors, series = stage_errors([nm * 1e-9 for nm in config.stage.repeatable_nm], config.stage.harmonics)
    for axis, motion in series.items():
        motions[f"object.{axis}"].add(motion)
    return blocks + errors


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


def _expansion(config: Config, motions: Motions) -> Iterator[Block]:
    """Sensitivities and tilts of the direction as states; each element's expansion is added to the motion of its body.

    ``α L T (n_i (1 + ε) + η_i)``: ε scales the whole element, η_i is what its direction differs from the stated one by.
    """
    for k, element in enumerate(config.elements):
        scale = f"sensitivity.{k + 1}"
        if element.sensitivity_sigma > 0:
            yield random_walk(scale, "1", 0.0, element.sensitivity_sigma)
        for i, axis in enumerate(AXES):
            weight = element.metres_per_kelvin * element.direction[i]
            node = temperature(element.node)
            if element.direction_sigma > 0 and (axis != "w" or element.body in BODIES):
                aside = f"direction.{k + 1}.{axis}"
                yield random_walk(aside, "1", 0.0, element.direction_sigma)
                tilted = motions.setdefault(f"{element.body}.{axis}", Combination())
                tilted.products.append((node, aside, element.metres_per_kelvin))
            if weight == 0.0:
                continue
            motion = motions.setdefault(f"{element.body}.{axis}", Combination())
            motion.put(node, weight)
            if element.sensitivity_sigma > 0:
                motion.products.append((node, scale, weight))
