"""The smoother that knows, against the dense joint Gaussian, against the truth, and against lesser smoothers."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.oracles.known_smoother import expected_rms, known_smoother
from tests.twin.simulate.machines import nano_config, scenario, wire_config
from twin.config import Config, ConfigError
from twin.simulate.machine import simulate
from twin.simulate.scenario import Scenario, shipped_scenario
from twin.simulate.yardstick import residual, rms, yardstick


def eventful(jumps: int = 2) -> Scenario:
    """Walks and wander of everything, jumps (two of them between the same projections), losses and outliers."""
    walk = {"random_walk_um_per_sqrt_h": [0.3, 0.4, 0.0], "wander_um": [0.2, 0.15, 0.0], "wander_min": 25.0}
    times = [0.7, 0.705, 1.4, -0.5][: jumps + 2]
    return scenario(
        drift={
            "source": {**walk, "warmup_um": [1.0, -2.0, 5.0], "warmup_min": 30.0},
            "object": {"random_walk_um_per_sqrt_h": [0.2, 0.1, 0.0], "creep_um": [0.1, 0.3, 0.0]},
            "marker:wire": {"random_walk_um_per_sqrt_h": [0.1, 0.1, 0.0]},
            "marker:ball": {"wander_um": [0.1, 0.1, 0.0]},
            "detector": {"random_walk_um_per_sqrt_h": [3.0, 3.0, 0.0]},
        },
        jump=[{"time_h": hour, "source_um": [1.1, -0.6, 0.0]} for hour in times],
        tube={"on_at_start": False, "event": [{"time_h": -0.9, "on": True}]},
        instrument=[
            {"channel": name, "loss": 0.1, "outliers": 0.05} for name in ("wire_n", "ball_u", "ball_v")
        ],
    )  # fmt: skip


def dense(run: object) -> tuple[np.ndarray, np.ndarray]:
    mean, cov = known_smoother(run)  # type: ignore[arg-type]
    shift = mean.reshape(2, -1).T
    return shift - shift[0], cov


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sparse_information_form_equals_dense_covariance_form(seed: int) -> None:
    run = simulate(wire_config(40, 1.8), eventful(), seed=seed)
    assert run.record.wrong.any()
    assert len(run.record.of("ball_u")) < 40
    shift, _ = dense(run)
    np.testing.assert_allclose(yardstick(run).shift_px, shift, atol=2e-5)
    assert np.ptp(shift, axis=0).min() > 0.5


def test_a_marker_on_the_object_likewise() -> None:
    made = scenario(
        mass=[{"name": "stage", "time_constant_min": 90.0}],
        drift={"source": {"random_walk_um_per_sqrt_h": [0.05, 0.05, 0.0], "wander_um": [0.1, 0.0, 0.0]}},
        jump=[{"time_h": 0.9, "source_um": [0.3, 0.1, 0.0]}],
    )
    run = simulate(nano_config(60, 2.0), made, seed=4)
    np.testing.assert_allclose(yardstick(run).shift_px, dense(run)[0], atol=2e-5)


def test_its_error_is_the_one_its_covariance_promises() -> None:
    """Truth really has the intensities the scenario states, and the smoother is told them: rms over seeds agrees."""
    squares, promised = [], []
    for seed in range(24):
        run = simulate(wire_config(40, 1.8), eventful(jumps=1), seed=seed)
        squares.append(yardstick(run).rms_px ** 2)
        promised.append(expected_rms(dense(run)[1]) ** 2)
    assert np.sqrt(np.mean(squares)) == pytest.approx(np.sqrt(np.mean(promised)), rel=0.12)


def test_nano_ct_far_better_than_the_raw_marker_and_than_any_plain_mean() -> None:
    run = simulate(nano_config(), shipped_scenario("xrm2-nanoct"), seed=1)
    began = time.perf_counter()
    knows = yardstick(run)
    assert time.perf_counter() - began < 2.0
    assert knows.rms_px == pytest.approx(rms(residual(knows.shift_px, run.truth.shift_px)))
    assert knows.rms_px < 0.4
    plain = []
    for width in (5, 11, 21, 41):
        columns = []
        for name in ("sample_u", "sample_v"):
            record = run.record.of(name)
            good = ~record.wrong
            raw = np.interp(np.arange(1000), record.projection[good], record.value[good])
            padded = np.pad(raw, width // 2, mode="edge")
            columns.append(np.convolve(padded, np.full(width, 1 / width), mode="valid"))
        plain.append(rms(residual(np.stack(columns, axis=-1), run.truth.shift_px)))
    assert knows.rms_px < 0.9 * min(plain)


def test_with_nothing_by_chance_it_knows_everything() -> None:
    made = scenario(drift={"source": {"creep_um": [1.0, 2.0, 0.0]}}, jump=[{"time_h": -0.4, "source_um": [9, 9, 0]}])
    run = simulate(wire_config(), made, seed=1)
    assert np.ptp(run.truth.shift_px) > 0.5
    assert yardstick(run).rms_px < 1e-3


def test_without_a_marker_it_says_so() -> None:
    config: Config = wire_config()
    blind = config.model_copy(update={"channels": tuple(c for c in config.channels if c.quantity != "marker_shift")})
    with pytest.raises(ConfigError, match="no marker_shift was read"):
        yardstick(simulate(blind, scenario(), seed=1))
