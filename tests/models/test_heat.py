"""The thermal network against closed solutions and heat conduction: where a lump is right, and by how much it is off."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from models.engine import Belief, Gate, Steps, compiled
from models.kalman import output_rows
from models.packing import Packed, Terms
from models.statespace import StateSpace
from models.thermal import DAY_S, ThermalNode, network
from tests.oracles.heat_bar import mean_temperature
from twin.assembly import assemble
from twin.config import validate


def course(block, count, dt, start=None, power=None):
    """States (T, n) from a start, without readings."""
    model = StateSpace.assemble([block], [], dt)
    steps = Steps.empty(model, count)
    if power is not None:
        steps.inputs[:] = power
    belief = Belief.prior(model)
    if start is not None:
        belief.mean[:] = start
    return compiled(model, Packed.of(model), belief, steps, Gate(1e9), True).mean


# --- closed solutions --------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [1.0, 60.0, 3600.0])
def test_step_response_of_a_node_is_exact_for_any_step(dt):
    block = network([ThermalNode("ambient"), ThermalNode("stage", time_constant_s=1200.0)], [])
    t = dt * np.arange(1, 51)
    assert np.abs(course(block, 50, dt, [1.0, 0.0])[:, 1] - (1.0 - np.exp(-t / 1200.0))).max() < 1e-12


def test_two_linked_nodes_have_the_eigenmodes_of_a_coupled_pair():
    """Equal nodes: in phase they know only their tie to the room, 1/τ; against each other it is 1/τ + 2G/C."""
    tau, capacity, conductance = 3600.0, 900.0, 0.5
    nodes = [ThermalNode("ambient"), *(ThermalNode(n, tau, capacity_j_per_k=capacity) for n in "ab")]
    block = network(nodes, [("a", "b", conductance)])
    t = 30.0 * np.arange(1, 401)
    together, against = course(block, 400, 30.0, [0.0, 1.0, 1.0]), course(block, 400, 30.0, [0.0, 1.0, -1.0])
    for mean, sign, rate in ((together, 1.0, 1.0 / tau), (against, -1.0, 1.0 / tau + 2.0 * conductance / capacity)):
        assert np.abs(mean[:, 1] - np.exp(-rate * t)).max() < 1e-12
        assert np.abs(mean[:, 2] - sign * np.exp(-rate * t)).max() < 1e-12


def test_unequal_linked_nodes_share_heat_by_their_capacities():
    """No tie to the room: heat is kept, the difference decays with G (1/C_a + 1/C_b)."""
    nodes = [ThermalNode("ambient"), ThermalNode("a", capacity_j_per_k=300.0), ThermalNode("b", capacity_j_per_k=900.0)]
    mean = course(network(nodes, [("a", "b", 0.4)]), 200, 20.0, [0.0, 2.0, 0.0])
    t = 20.0 * np.arange(1, 201)
    assert np.abs(300.0 * mean[:, 1] + 900.0 * mean[:, 2] - 600.0).max() < 1e-9
    assert np.abs(mean[:, 1] - mean[:, 2] - 2.0 * np.exp(-0.4 * (1 / 300.0 + 1 / 900.0) * t)).max() < 1e-12


@pytest.mark.parametrize("tau_h", [0.3, 2.0, 8.0])
def test_a_daily_swing_reaches_node_and_sensor_damped_and_late(tau_h):
    """Steady state of first-order lags: amplitude 1/√(1 + (ωτ)²) and phase -atan ωτ, one after the other."""
    tau, lag, dt = tau_h * 3600.0, 1800.0, 600.0
    block = network([ThermalNode("ambient", daily_k=0.4), ThermalNode("stage", tau)], [], [("slow", "stage", lag)])
    days = 12
    mean = course(block, round(days * DAY_S / dt), dt, [0.4, 0.0, 0.4, 0.0, 0.0])[-round(DAY_S / dt) :]
    t = dt * np.arange(1, len(mean) + 1)
    omega = 2.0 * np.pi / DAY_S
    phasor = lambda y: 2.0 * np.mean(y * np.exp(-1j * omega * t))  # noqa: E731
    room = phasor(mean[:, 0])
    assert abs(room) == pytest.approx(0.4, rel=1e-9)
    node, sensor = phasor(mean[:, 1]) / room, phasor(mean[:, -1]) / room
    assert abs(node) == pytest.approx(1.0 / np.hypot(1.0, omega * tau), rel=1e-6)
    assert -np.angle(node) == pytest.approx(np.arctan(omega * tau), rel=1e-6)
    assert abs(sensor) == pytest.approx(abs(node) / np.hypot(1.0, omega * lag), rel=1e-6)
    assert -np.angle(sensor) == pytest.approx(np.arctan(omega * tau) + np.arctan(omega * lag), rel=1e-6)


# --- a bar ---------------------------------------------------------------------------------------


def test_the_oracle_is_the_series_of_the_textbook():
    """Carslaw & Jaeger §3.4: mean = 1 - Σ 8/((2k+1)² π²) exp(-((2k+1) π/2)² t) for a foot held at 1."""
    t = np.geomspace(0.01, 3.0, 40)
    odd = 2.0 * np.arange(400) + 1.0
    series = 1.0 - np.exp(-np.outer(t, (odd * np.pi / 2.0) ** 2)) @ (8.0 / (odd * np.pi) ** 2)
    assert np.abs(mean_temperature(t, np.inf) - series).max() < 2e-4


def lump(time, biot, nodes):
    """The product's network for the bar: equal lumps, linked by the conductance between their centres."""
    capacity, between = 1.0 / nodes, float(nodes)
    foot = 1.0 / ((0.0 if np.isinf(biot) else 1.0 / biot) + (1.0 / 3.0 if nodes == 1 else 0.5 / nodes))
    parts = [ThermalNode("ambient"), ThermalNode("n0", capacity / foot, capacity_j_per_k=capacity)]
    parts += [ThermalNode(f"n{k}", capacity_j_per_k=capacity) for k in range(1, nodes)]
    block = network(parts, [(f"n{k}", f"n{k + 1}", between) for k in range(nodes - 1)])
    dt = float(time[1] - time[0])
    return course(block, len(time), dt, [1.0] + [0.0] * nodes)[:, 1:].mean(axis=1)


# Largest error of the mean temperature after a jump of 1, as docs/explanation/model.md states it.
BAR = {(0.1, 1): 0.0002, (1.0, 1): 0.009, (10.0, 1): 0.068, (np.inf, 1): 0.113, (np.inf, 4): 0.044, (np.inf, 8): 0.019}


@pytest.mark.parametrize(("biot", "nodes"), list(BAR))
def test_lumps_stand_for_a_bar_as_well_as_stated(biot, nodes):
    t = 0.005 * np.arange(1, 1201) * (1.0 if np.isinf(biot) else 1.0 + 1.0 / biot)
    error = np.abs(lump(t, biot, nodes) - mean_temperature(t, biot))
    assert error.max() == pytest.approx(BAR[biot, nodes], rel=0.05)


@pytest.mark.parametrize(("ratio", "off"), [(0.1, 0.00022), (1.0, 0.021), (10.0, 0.455)])
def test_a_lump_is_right_for_swings_slower_than_the_bar(ratio, off):
    """Foot swings with ω; the bar's mean answers tanh q/q, q = √(iω L²/D), the lump 1/(1 + iω L²/3D)."""
    q = np.sqrt(1j * ratio)
    bar = np.tanh(q) / q
    block = network([ThermalNode("ambient"), ThermalNode("bar", 1.0 / 3.0)], [])
    lumped = np.linalg.solve(1j * ratio * np.eye(1) - block.drift[1:, 1:], block.drift[1:, :1])[0, 0]
    assert abs(lumped / bar - 1.0) == pytest.approx(off, rel=0.05)


# --- expansion along the mechanical path ------------------------------------------------------------

PATHS = """
ctwin = 1
system = {name = "paths"}
geometry = {source_object_mm = 10.0, source_detector_mm = 200.0, pixel_um = 50.0, columns = 100, rows = 100}
source = {spot_fwhm_um = [1.0, 1.0], voltage_kv = 60.0, current_ua = 10.0}
scan = {projections = 10, exposure_s = 1.0, duration_h = 1.0, resolution_limit_um = 5.0}
node = [{name = "ambient"}, {name = "tube", time_constant_min = 20.0}, {name = "base", time_constant_min = 300.0}]
sensor = [{name = "s", kind = "csv", path = "log.csv"}]
element = [
  {body = "source", node = "tube", material = "aluminium", length_mm = 60.0, direction = [0.2, 1.0, -0.5]},
  {body = "source", node = "base", material = "granite", length_mm = 400.0, direction = [0.0, 1.0, 0.0]},
  {body = "object", node = "base", expansion_per_k = 17e-6, length_mm = 80.0, direction = [-1.0, 0.0, 0.25]},
  {body = "marker:ball", node = "base", material = "invar", length_mm = 50.0, direction = [1.0, -1.0, 0.0]},
]
marker = [{name = "ball", kind = "sphere", source_marker_mm = 20.0}]
channel = [
  {name = "ball_u", sensor = "s", quantity = "marker_shift", unit = "px", marker = "ball", axis = "u"},
  {name = "ball_v", sensor = "s", quantity = "marker_shift", unit = "px", marker = "ball", axis = "v"},
]
"""


def test_bodies_move_along_their_paths_as_by_hand():
    """Tube 3 K and base 2 K above 20 °C, the tube's element 10 % more sensitive than the textbook says.

    source = 23e-6 · 60 mm · 3 K · 1.1 · (0.2, 1, -0.5) + 6.5e-6 · 400 mm · 2 K · (0, 1, 0) = (0.9108, 9.754, -2.277) µm;
    object = 17e-6 · 80 mm · 2 K · (-1, 0, 0.25) = (-2.72, 0, 0.68) µm;
    ball = 1.2e-6 · 50 mm · 2 K · (1, -1, 0) = (0.12, -0.12, 0) µm;
    M = 20, so shift = (-19 s + 20 o)/50 µm; M_m = 10, so the ball is seen at (-9 s + 10 m)/50 µm;
    dM/M = s_w/SOD (1 - 1/M) - o_w/SOD = (-2.277 · 0.95 - 0.68)/10000.
    """
    machine = assemble(validate(tomllib.loads(PATHS), "paths"))
    model = machine.model
    state = np.zeros(len(model.names))
    for name, value in (("temperature.tube", 3.0), ("temperature.base", 2.0), ("sensitivity.1", 0.1)):
        state[model.index(name)] = value

    def seen(observations):
        terms = Terms.of(model, observations)
        rows = np.zeros((len(observations), len(state)))
        values = output_rows(state, np.zeros(len(model.covariates)), terms, rows)
        return dict(zip((o.channel for o in observations), values.tolist(), strict=True))

    outputs, marker = seen(machine.outputs), seen(model.observations)
    by_hand_um = {
        "source.u": 0.9108, "source.v": 9.754, "source.w": -2.277, "object.u": -2.72, "object.v": 0.0, "object.w": 0.68,
    }  # fmt: skip
    for name, value in by_hand_um.items():
        assert outputs[name] * 1e6 == pytest.approx(value, abs=1e-9), name
    assert outputs["shift.u"] == pytest.approx((-19 * 0.9108 + 20 * -2.72) / 50.0, abs=1e-9)
    assert outputs["shift.v"] == pytest.approx(-19 * 9.754 / 50.0, abs=1e-9)
    assert outputs["magnification"] == pytest.approx((-2.277 * 0.95 - 0.68) / 10000.0, abs=1e-12)
    assert marker["ball_u"] == pytest.approx((-9 * 0.9108 + 10 * 0.12) / 50.0, abs=1e-9)
    assert marker["ball_v"] == pytest.approx((-9 * 9.754 + 10 * -0.12) / 50.0, abs=1e-9)
