"""Lumped thermal network: nodes, room, tube power, and sensors that lag their node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.estimate import ModelError
from models.statespace import Block

REFERENCE_K = 293.15  # 20 °C, the reference temperature of ISO 1; temperatures are states relative to it
AMBIENT = "ambient"
DAY_S = 86400.0
SENSOR_SIGMA_K = 0.5  # of a lagging sensor about its node before the first reading


@dataclass(frozen=True, slots=True)
class ThermalNode:
    """A node of the network; the one named ``ambient`` is the room.

    Parameters
    ----------
    time_constant_s : float, optional
        Of the tie to ambient [s].
    kelvin_per_watt : float
        Steady rise per watt of tube power [K/W].
    capacity_j_per_k : float, optional
        Heat capacity [J/K]; by default time constant / kelvin_per_watt.
    walk_k_per_sqrt_s : float
        Random walk that stands for what the network doesn't know [K/√s].
    daily_k : float
        Prior amplitude of the daily swing (ambient only) [K].
    initial_k, initial_sigma_k : float
        Prior [K]: of the room relative to 20 °C, of another node relative to the room, or to 20 °C, too.
    """

    name: str
    time_constant_s: float | None = None
    kelvin_per_watt: float = 0.0
    capacity_j_per_k: float | None = None
    walk_k_per_sqrt_s: float = 0.0
    daily_k: float = 0.0
    initial_k: float = 0.0
    initial_sigma_k: float = 3.0

    @property
    def capacity(self) -> float | None:
        """Heat capacity [J/K], if it is determined."""
        if self.capacity_j_per_k is not None:
            return self.capacity_j_per_k
        if self.kelvin_per_watt > 0 and self.time_constant_s is not None:
            return self.time_constant_s / self.kelvin_per_watt
        return None


def temperature(node: str) -> str:
    """Label of a node's temperature [K above 20 °C]."""
    return f"temperature.{node}"


def network(
    nodes: Sequence[ThermalNode],
    links: Sequence[tuple[str, str, float]],
    lags: Sequence[tuple[str, str, float]] = (),
    near_room: bool = True,
) -> Block:
    """Linear network ``C_i dT_i/dt = Σ_j G_ij (T_j - T_i) + P_i`` (physics of conduction between lumps, G symmetric).

    Parameters
    ----------
    nodes : sequence of ThermalNode
    links : sequence of (node, node, conductance [W/K])
        Between nodes other than ambient.
    lags : sequence of (label, node, lag [s])
        A sensor that follows its node with a first-order lag becomes a state of its own.
    near_room : bool
        Nodes start near the room's temperature, whatever that is; otherwise each by itself near 20 °C, which is wider and
        leaves the estimator more room where no thermometer reads the room.

    Notes
    -----
    A node's tie to ambient is its time constant: ``dT/dt = (T_ambient - T)/τ``. The room is a random walk plus an
    optional harmonic of one day. Input ``tube_power`` [W]. Wrong where a body is not isothermal: a long bar heated at
    one end has a spectrum of time constants, of which a node takes one.

    Examples
    --------
    >>> block = network([ThermalNode("ambient"), ThermalNode("stage", time_constant_s=7200.0)], [])
    >>> round(float(block.drift[1, 0]) * 7200, 3)
    1.0
    """
    names = [temperature(node.name) for node in nodes]
    by_name = {node.name: i for i, node in enumerate(nodes)}
    if nodes and AMBIENT not in by_name:
        raise ModelError(f"a thermal network needs a node named {AMBIENT!r}")
    daily = bool(nodes) and nodes[by_name[AMBIENT]].daily_k > 0
    labels = names + (["daily.cos", "daily.sin"] if daily else []) + [f"sensor.{label}" for label, _, _ in lags]
    n = len(labels)
    drift, diffusion, cov = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    mean, power = np.zeros(n), np.zeros(n)
    room = by_name[AMBIENT] if nodes else 0
    for i, node in enumerate(nodes):
        mean[i], cov[i, i] = node.initial_k, node.initial_sigma_k**2
        diffusion[i, i] = node.walk_k_per_sqrt_s**2
        if node.name == AMBIENT:
            continue
        if node.time_constant_s is not None:
            drift[i, i] -= 1.0 / node.time_constant_s
            drift[i, by_name[AMBIENT]] += 1.0 / node.time_constant_s
        if node.kelvin_per_watt > 0 and node.capacity is not None:
            power[i] = 1.0 / node.capacity
    if near_room and nodes:
        shared = nodes[room].initial_sigma_k ** 2
        cov[: len(nodes), : len(nodes)] += shared
        cov[room, room] -= shared
    for a, b, conductance in links:
        for here, there in ((by_name[a], by_name[b]), (by_name[b], by_name[a])):
            capacity = nodes[here].capacity
            if capacity is None:
                raise ModelError(
                    f"node {nodes[here].name!r} ends a link but has no heat capacity; give capacity_j_per_k"
                )
            drift[here, here] -= conductance / capacity
            drift[here, there] += conductance / capacity
    if daily:
        c, s, omega = len(nodes), len(nodes) + 1, 2 * np.pi / DAY_S
        drift[c, s], drift[s, c] = -omega, omega
        drift[by_name[AMBIENT], s] = -omega  # the room carries the harmonic's derivative
        cov[c, c] = cov[s, s] = nodes[by_name[AMBIENT]].daily_k ** 2 / 2.0
    for k, (_, node_name, lag_s) in enumerate(lags):
        i, j = n - len(lags) + k, by_name[node_name]
        drift[i, i], drift[i, j] = -1.0 / lag_s, 1.0 / lag_s
        mean[i] = mean[j]
        cov[i, :i] = cov[:i, i] = cov[j, :i]
        cov[i, i] = cov[j, j] + SENSOR_SIGMA_K**2
    inputs = {"tube_power": power} if power.any() else {}
    return Block(tuple(labels), ("K",) * n, drift, diffusion, mean, cov, inputs)
