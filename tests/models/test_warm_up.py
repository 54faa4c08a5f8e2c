"""Warm-up found by likelihood: on flux made here with numpy, with and without one."""

from __future__ import annotations

import numpy as np
import pytest

from models.engine import Steps
from models.estimate import ModelError
from models.flux import FluxPrior, flux_blocks, flux_observation
from models.statespace import StateSpace
from models.warm_up import find_warm_up

PRIOR = FluxPrior(2e-4 / 60.0, 0.03, (300.0, 10800.0), 0.0, 3.0)
TAUS = np.geomspace(60.0, 20000.0, 60)


def record(tau, amplitude, seed, count=1300, noise=1.2e-3):
    rng = np.random.default_rng(seed)
    model = StateSpace.assemble(
        flux_blocks(PRIOR, 8.0, ["detector_shift"]),
        [flux_observation("i0", PRIOR, ["detector_shift"])],
        2.0,
        ["detector_shift"],
    )
    steps = Steps.empty(model, count)
    time = 2.0 * np.arange(1, count + 1)
    steps.covariates[:, 0] = rng.integers(-5, 6, count) * 1e-3
    truth = 8.1 - amplitude * np.exp(-time / tau) + 0.23 * steps.covariates[:, 0]
    steps.readings[:, 0] = truth + noise * rng.normal(size=count)
    steps.variances[:] = noise**2
    return model, steps


@pytest.mark.parametrize(("tau", "amplitude"), [(600.0, 0.02), (1170.0, 0.029), (300.0, -0.01)])
def test_a_warm_up_is_found_with_its_figures(tau, amplitude):
    model, steps = record(tau, amplitude, 1)
    found = find_warm_up(model, steps, "i0", "flux.warmup", 0.09, TAUS)
    assert found.found
    assert found.tau_s == pytest.approx(tau, rel=0.12)
    assert found.amplitude == pytest.approx(amplitude, rel=0.08)


def test_its_sigma_is_what_repetition_shows():
    pulls = []
    for seed in range(20):
        model, steps = record(1170.0, 0.029, seed, count=900)
        found = find_warm_up(model, steps, "i0", "flux.warmup", 0.09, np.geomspace(600.0, 2400.0, 120))
        pulls.append((found.amplitude - 0.029) / found.amplitude_sigma)
    assert 0.6 < np.std(pulls) < 1.6


@pytest.mark.parametrize("seed", range(5))
def test_a_warm_tube_has_none(seed):
    model, steps = record(1170.0, 0.0, seed)
    assert not find_warm_up(model, steps, "i0", "flux.warmup", 0.09, TAUS).found


def test_time_constants_far_below_the_span_do_no_harm():
    """exp(span/τ) overflows for τ below span/709; the warm-up is found all the same."""
    model, steps = record(600.0, 0.02, 1, count=2000)
    found = find_warm_up(model, steps, "i0", "flux.warmup", 0.09, np.append(4.0, TAUS))
    assert found.found
    assert found.amplitude == pytest.approx(0.02, rel=0.08)


def test_an_unknown_channel_is_named():
    model, steps = record(600.0, 0.02, 1, count=10)
    with pytest.raises(ModelError, match="no channel 'i1'"):
        find_warm_up(model, steps, "i1", "flux.warmup", 0.09, TAUS)
