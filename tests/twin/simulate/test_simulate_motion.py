"""Chance has the size the scenario states; the room does what the scenario says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.twin.simulate.machines import scenario, wire_config
from twin.simulate.machine import START_S, simulate
from twin.simulate.scenario import Room
from twin.simulate.surroundings import room_k


def paths(**walk: object) -> np.ndarray:
    """Displacement of the source in 60 runs, (runs, instants every 10 s from the lead-in's begin, 3) [µm]."""
    made = scenario(drift={"source": walk}, settle_h=0.5, lead_h=0.5)
    runs = [simulate(wire_config(20, 1.5), made, seed=seed) for seed in range(60)]
    return np.stack([run.fine.moved_m["source"] for run in runs]) * 1e6


def test_random_walk_begins_at_zero_and_grows_with_the_root_of_time() -> None:
    moved = paths(random_walk_um_per_sqrt_h=[0.3, 0.6, 0.0])
    # the lead-in's begin lies between two steps of the grid, so at most one step has been made
    assert np.abs(moved[:, 0]).max() < 5 * 0.6 * np.sqrt(10 / 3600)
    steps = np.diff(moved[:, ::36], axis=1)  # 6 min apart: independent, 60 runs × 20
    assert np.sqrt((steps[..., 0] ** 2).mean()) == pytest.approx(0.3 * np.sqrt(0.1), rel=0.08)
    assert np.sqrt((steps[..., 1] ** 2).mean()) == pytest.approx(0.6 * np.sqrt(0.1), rel=0.08)
    assert not moved[..., 2].any()
    assert abs(np.corrcoef(steps[..., 0].ravel(), steps[..., 1].ravel())[0, 1]) < 0.1
    assert np.sqrt((moved[:, -1, 0] ** 2).mean()) == pytest.approx(0.3 * np.sqrt(2.0), rel=0.3)


def test_wander_is_stationary_with_its_sigma_and_correlation() -> None:
    moved = paths(wander_um=[0.4, 0.0, 0.2], wander_min=5.0)
    for k, sigma in ((0, 0.4), (2, 0.2)):
        assert np.sqrt((moved[..., k] ** 2).mean()) == pytest.approx(sigma, rel=0.08)
    assert np.sqrt((moved[:, 0, 0] ** 2).mean()) == pytest.approx(0.4, rel=0.3)
    u = moved[..., 0]
    assert (u[:, :-30] * u[:, 30:]).mean() / (u**2).mean() == pytest.approx(np.exp(-1.0), abs=0.07)
    assert not moved[..., 1].any()


def air(**room: object) -> tuple[np.ndarray, np.ndarray]:
    hours = np.arange(-12.0, 36.0, 1 / 360)
    return hours, room_k(Room.model_validate({"mean_degc": 20.0, **room}), START_S + hours * 3600, START_S, 1) - 293.15


def test_daily_swing_is_warmest_at_its_hour() -> None:
    hours, value = air(daily_k=0.5, warmest_utc_h=15.0)
    assert (hours[np.argmax(value)] + 18.0) % 24 == pytest.approx(15.0, abs=0.05)  # the scan starts at 18:00 UTC
    assert (value.max(), value.min()) == pytest.approx((0.5, -0.5), abs=1e-4)


def test_conditioning_is_a_sawtooth_of_its_period() -> None:
    hours, value = air(conditioning_k=0.2, conditioning_min=30.0)
    assert (value.max(), value.min()) == pytest.approx((0.2, -0.2), abs=0.01)
    crossings = np.count_nonzero((value[1:] > 0) & (value[:-1] <= 0))
    assert crossings == pytest.approx(48 / 0.5, rel=0.12)
    assert (np.diff(value) > 0).mean() == pytest.approx(0.7, abs=0.06)
    assert len(hours) == len(value)


def test_a_door_falls_to_its_depth_and_recovers() -> None:
    hours, value = air(door=[{"time_h": 2.0, "depth_k": -1.5, "open_min": 10.0, "recovery_min": 20.0}])
    assert not value[hours < 1.999].any()
    assert value.min() == pytest.approx(-1.5, abs=0.01)
    later = np.argmin(np.abs(hours - (2.0 + 30.0 / 60)))
    assert value[later] == pytest.approx(-1.5 * np.exp(-1), abs=0.01)
    assert abs(value[-1]) < 1e-6


def test_slow_walk_is_zero_where_the_scan_starts_and_has_its_size() -> None:
    hours = np.arange(0.0, 9.0, 1 / 360)
    room = Room(random_walk_k_per_sqrt_h=0.2)
    ends = [room_k(room, START_S + hours * 3600, START_S, seed)[[0, -1]] for seed in range(80)]
    moved = np.array(ends) - 294.15
    np.testing.assert_allclose(moved[:, 0], 0.0, atol=1e-9)
    assert np.sqrt((moved[:, 1] ** 2).mean()) == pytest.approx(0.2 * 3.0, rel=0.2)
