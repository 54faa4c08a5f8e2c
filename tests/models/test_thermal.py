"""The thermal network against an ODE solver and simple courses; closed solutions and bars are in test_heat.py."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from models.engine import Belief, Gate, Steps, compiled
from models.estimate import ModelError
from models.packing import Packed
from models.statespace import StateSpace
from models.thermal import ThermalNode, network

WIDE = Gate(1e9)


def run(block, count, dt, power=None, start=None):
    model = StateSpace.assemble([block], [], dt)
    steps = Steps.empty(model, count)
    if power is not None:
        steps.inputs[:] = power
    belief = Belief.prior(model)
    if start is not None:
        belief.mean[:] = start
    return compiled(model, Packed.of(model), belief, steps, WIDE, True).mean


def test_a_node_follows_a_step_of_the_room_exponentially():
    block = network([ThermalNode("ambient"), ThermalNode("stage", time_constant_s=1200.0)], [])
    mean = run(block, 300, 10.0, start=[1.0, 0.0])
    t = 10.0 * np.arange(1, 301)
    assert np.allclose(mean[:, 1], 1.0 - np.exp(-t / 1200.0), atol=1e-12)


def test_tube_power_warms_its_node_by_kelvin_per_watt():
    block = network([ThermalNode("ambient"), ThermalNode("tube", time_constant_s=600.0, kelvin_per_watt=0.8)], [])
    mean = run(block, 2000, 10.0, power=2.5)
    assert mean[-1, 1] == pytest.approx(2.0, rel=1e-6)
    assert mean[59, 1] == pytest.approx(2.0 * (1.0 - np.exp(-1.0)), rel=1e-9)


def test_linked_nodes_equal_an_ode_solver():
    nodes = [
        ThermalNode("ambient"),
        ThermalNode("tube", time_constant_s=1200.0, kelvin_per_watt=0.8),
        ThermalNode("stage", time_constant_s=7200.0, capacity_j_per_k=900.0),
    ]
    block = network(nodes, [("tube", "stage", 0.05)])
    mean = run(block, 600, 30.0, power=3.0, start=[0.4, 0.0, 0.0])
    capacity = 1200.0 / 0.8

    def rates(_, y):
        tube, stage = y
        flow = 0.05 * (stage - tube)
        return [(0.4 - tube) / 1200.0 + flow / capacity + 3.0 / capacity, (0.4 - stage) / 7200.0 - flow / 900.0]

    t = 30.0 * np.arange(1, 601)
    exact = solve_ivp(rates, (0, t[-1]), [0.0, 0.0], t_eval=t, rtol=1e-10, atol=1e-12)
    assert np.allclose(mean[:, 1:], exact.y.T, atol=1e-8)
    assert block.drift[1, 2] * capacity == pytest.approx(block.drift[2, 1] * 900.0)  # conductances are symmetric


def test_a_lagging_sensor_is_a_convolution():
    block = network([ThermalNode("ambient"), ThermalNode("stage", time_constant_s=1200.0)], [], [("t", "stage", 120.0)])
    mean = run(block, 400, 10.0, start=[1.0, 0.0, 0.0])
    t = 10.0 * np.arange(1, 401)
    a, b = 1200.0, 120.0
    assert np.allclose(mean[:, 2], 1.0 - (a * np.exp(-t / a) - b * np.exp(-t / b)) / (a - b), atol=1e-12)


def test_daily_swing_returns_after_a_day_with_its_amplitude():
    block = network([ThermalNode("ambient", daily_k=0.3)], [])
    mean = run(block, 288, 300.0, start=[0.3, 0.3, 0.0])
    assert mean[-1, 0] == pytest.approx(0.3, abs=1e-9)
    assert np.ptp(mean[:, 0]) == pytest.approx(0.6, rel=1e-3)
    assert np.trace(block.cov[1:, 1:]) == pytest.approx(0.3**2)


def test_a_link_needs_heat_capacities():
    with pytest.raises(ModelError, match="capacity_j_per_k"):
        network([ThermalNode("ambient"), ThermalNode("a", 60.0), ThermalNode("b", 60.0)], [("a", "b", 1.0)])
