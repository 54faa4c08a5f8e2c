"""Heat in bars against the textbook's series (Carslaw and Jaeger, Conduction of Heat in Solids, ch. 3)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from twin.simulate.heat import Conduction, expansion_m, follow

LENGTH, DIFFUSIVITY = 0.08, 2.0e-5


def step_response(bar: Conduction, seconds: int, dt: float = 1.0) -> np.ndarray:
    around = np.ones((int(seconds / dt) + 1, 3))
    around[0] = 0.0
    # the surroundings rise within one step, linearly: the step's middle is the instant of the ideal jump
    return bar.run(around, dt).mean(axis=1)


def dirichlet_mean(time: np.ndarray) -> np.ndarray:
    odd = np.arange(1, 401, 2)
    return 1 - (8 / (np.pi * odd) ** 2 * np.exp(-np.outer(time, (odd * np.pi / LENGTH) ** 2 * DIFFUSIVITY))).sum(axis=1)


def robin_mean(time: np.ndarray, film_s: float) -> np.ndarray:
    """One end with film, the other insulated: beta tan(beta) = Bi, Bi = L² / (tau D)."""
    biot = LENGTH**2 / (film_s * DIFFUSIVITY)
    beta = np.array(
        [
            brentq(lambda b: b * np.sin(b) - biot * np.cos(b), k * np.pi + 1e-12, k * np.pi + np.pi / 2)
            for k in range(60)
        ]
    )
    weight = 2 * biot**2 / (beta**2 * (beta**2 + biot**2 + biot))
    return 1 - (weight * np.exp(-np.outer(time, beta**2) * DIFFUSIVITY / LENGTH**2)).sum(axis=1)


def test_step_of_a_bar_held_at_both_ends() -> None:
    found = step_response(Conduction(LENGTH, DIFFUSIVITY, 80, 0.0, 0.0, None), 400)
    time = np.arange(20, 401) - 0.5
    np.testing.assert_allclose(found[20:], dirichlet_mean(time), atol=3e-4)


def test_step_of_a_bar_with_a_film_at_its_foot() -> None:
    found = step_response(Conduction(LENGTH, DIFFUSIVITY, 60, 300.0, None, None), 3000)
    time = np.arange(20, 3001) - 0.5
    np.testing.assert_allclose(found[20:], robin_mean(time, 300.0), atol=2e-4)


def test_error_falls_with_the_square_of_the_cell() -> None:
    time = np.array([99.5])
    error = [
        abs(step_response(Conduction(LENGTH, DIFFUSIVITY, cells, 0.0, 0.0, None), 100)[-1] - dirichlet_mean(time)[0])
        for cells in (10, 20, 40)
    ]
    assert 3.2 < error[0] / error[1] < 4.8
    assert 3.2 < error[1] / error[2] < 4.8


def test_steady_expansion_between_two_temperatures_with_a_film() -> None:
    film_s = 150.0
    bar = Conduction(LENGTH, DIFFUSIVITY, 50, 0.0, film_s, None)
    cells = bar.run(np.tile([300.0, 310.0, 0.0], (2, 1)), 10.0)
    # the film is worth a piece of bar of length D tau / L
    inside = 10.0 * LENGTH / (LENGTH + DIFFUSIVITY * film_s / LENGTH)
    assert expansion_m(cells, 23e-6, LENGTH, 300.0)[-1] == pytest.approx(23e-6 * LENGTH * inside / 2, rel=1e-12)


def test_side_alone_is_one_time_constant() -> None:
    bar = Conduction(LENGTH, DIFFUSIVITY, 10, None, None, 600.0)
    found = step_response(bar, 1800, dt=5.0)
    time = 5.0 * np.arange(1, 361)
    exact = 1 - np.exp(-time / 600) * (np.exp(5.0 / 600) - 1) / (5.0 / 600)
    np.testing.assert_allclose(found[1:], exact, atol=5e-6)


def test_heat_stored_is_heat_that_came_in() -> None:
    film_s, dt = 90.0, 0.5
    bar = Conduction(LENGTH, DIFFUSIVITY, 40, film_s, None, None)
    time = np.arange(0, 1200, dt)
    around = np.zeros((len(time), 3))
    around[:, 0] = np.sin(time / 150.0)
    cells = bar.run(around, dt)
    # what crosses the foot per second, in kelvin of the whole bar: half a cell and the film in series
    dx = LENGTH / 40
    rate = (around[:, 0] - cells[:, 0]) / (dx / 2 / DIFFUSIVITY + film_s / LENGTH) / LENGTH
    inflow = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2 * dt)])
    np.testing.assert_allclose(cells.mean(axis=1), inflow, atol=2e-5)


def test_a_sudden_step_on_fine_cells_does_not_ring() -> None:
    bar = Conduction(LENGTH, 1e-4, 200, 0.0, 0.0, None)  # D dt / dx² = 6250
    around = np.ones((40, 3))
    around[0] = 0.0
    cells = bar.run(around, 10.0)
    assert cells.max() < 1.02
    assert cells.min() > -0.02
    assert np.abs(cells[20:] - 1.0).max() < 0.01


@settings(max_examples=25, deadline=None)
@given(
    foot=st.one_of(st.none(), st.floats(0.0, 1e4)),
    head=st.one_of(st.none(), st.floats(0.0, 1e4)),
    side_s=st.floats(10.0, 1e5),
    level=st.floats(-50.0, 50.0),
)
def test_a_bar_at_its_surroundings_temperature_stays(
    foot: float | None, head: float | None, side_s: float, level: float
) -> None:
    cells = Conduction(LENGTH, DIFFUSIVITY, 12, foot, head, side_s).run(np.full((20, 3), level), 30.0)
    np.testing.assert_allclose(cells, level, atol=1e-8)


def test_lag_follows_a_ramp_as_the_textbook_says() -> None:
    time = np.arange(0.0, 500.0, 7.0)
    found = follow(0.01 * time, 60.0, 7.0)
    np.testing.assert_allclose(found, 0.01 * (time - 60.0 + 60.0 * np.exp(-time / 60.0)), atol=1e-12)
