"""Flux of a needle source that falls when beam and tip part: against the simulator's truth and plain least squares."""

from __future__ import annotations

import numpy as np
import pytest

from tests.twin.simulate.machines import scenario
from twin.assembly import assemble
from twin.commands.check import notes_of
from twin.config import validate
from twin.core import Twin
from twin.correct import correct
from twin.service import scan_of
from twin.simulate.machine import simulate

SPOT_UM, TIP_UM, WANDER_UM = 0.08, 0.06, 0.05
OFF_NM = (30.0, -20.0)  # where on their scales the displacement meters read the tip


def config(covariates=("beam_shift",)):
    meters = [
        {
            "name": f"beam_{axis}", "quantity": "displacement", "unit": "nm", "axis": axis, "sigma": 0.5,
            "period_s": 2.5, "measures": "beam_shift",
        }
        for axis in "uv"
    ]  # fmt: skip
    flux = {"name": "i0", "quantity": "flux", "unit": "counts", "sigma": 3.0, "covariates": list(covariates)}
    return validate(
        {
            "ctwin": 1,
            "system": {"name": "needle"},
            "geometry": {
                "source_object_mm": 0.5, "source_detector_mm": 300.0, "pixel_um": 55.0, "columns": 600, "rows": 500,
            },
            "source": {"spot_fwhm_um": [SPOT_UM, SPOT_UM], "voltage_kv": 30.0, "current_ua": 0.4},
            "scan": {"projections": 300, "exposure_s": 30.0, "duration_h": 5.0, "resolution_limit_um": 0.2},
            "estimator": {"grid_s": 5.0},
            "drift": {"source": {"random_walk_um_per_sqrt_h": [0.03, 0.03, 0.0]}},
            "flux": {"random_walk_percent_per_sqrt_h": 0.5, "floor_percent": 0.7},
            "sensor": [{"name": "machine", "kind": "simulated", "scenario": "none"}],
            "channel": [{**entry, "sensor": "machine"} for entry in [flux, *meters]],
        },
        "test",
    )  # fmt: skip


def run(made, seed):
    happens = scenario(
        lead_h=0.5, flux={"level_counts": 20000.0, "tip_um": TIP_UM, "random_walk_percent_per_sqrt_h": 0.3},
        drift={"source": {"wander_um": [WANDER_UM, WANDER_UM, 0.0], "wander_min": 600.0}},
        instrument=[
            {"channel": "beam_u", "bias": OFF_NM[0]}, {"channel": "beam_v", "bias": OFF_NM[1]},
            {"channel": "i0", "noise": 60.0},
        ],
    )  # fmt: skip
    return simulate(made, happens, seed)


@pytest.fixture(scope="module")
def needle():
    made = config()
    return made, [run(made, seed) for seed in range(1, 5)]


def errors(made, runs):
    left, held = [], []
    for each in runs:
        got = correct(assemble(made), each.batches(60.0), scan_of(each)).correction
        miss = got.flux / each.truth.flux - 1.0
        left.append(np.std(miss))
        held.append(np.abs(miss[1:]) <= 1.96 * got.flux_std[1:] / got.flux[1:])
    return np.array(left), float(np.mean(held))


def test_the_covariate_takes_the_misalignment_out_of_the_flux(needle):
    made, runs = needle
    swing = [np.std(np.log(each.truth.flux)) for each in runs]
    assert min(swing) > 0.05, "beam and tip do part"
    left, held = errors(made, runs)
    plain, _ = errors(config(covariates=()), runs)
    assert np.all(left < 0.06 * np.array(swing))
    assert np.all(left < 0.4 * plain)
    assert 0.9 <= held <= 0.99


def test_beta_is_the_width_of_the_beam_on_the_tip(needle):
    """And its intervals hold it; plain least squares on the same readings says the same."""
    made, runs = needle
    true = -(SPOT_UM**2) / (2.0 * TIP_UM**2)
    apart = []
    for each in runs:
        twin = Twin(made)
        for batch in each.batches(60.0):
            for _ in twin.steps(batch):
                pass
        i = twin.machine.model.index("flux.beta.beam_shift")
        mean, sigma = float(twin.belief.mean[i]), float(np.sqrt(twin.belief.cov[i, i]))
        apart.append((mean - true) / sigma)
        assert sigma < 0.02 * abs(true)
        assert mean == pytest.approx(least_squares(each), abs=4.0 * sigma + 0.02 * abs(true))
        # where the meters read the tip follows from the linear parts: d0 = -beta1 F / (2 beta2)
        for name, off in zip(("beam_u", "beam_v"), OFF_NM, strict=True):
            one = float(twin.belief.mean[twin.machine.model.index(f"flux.beta.beam_shift.{name}")])
            assert -one / (2.0 * mean) * SPOT_UM * 1e3 == pytest.approx(off, abs=3.0)
    assert np.abs(apart).max() < 3.5


def least_squares(each):
    """log counts on 1, t, d², d_u, d_v with d interpolated between the meters' readings, in spot FWHM."""
    flux = each.record.of("i0")
    d = []
    for name in ("beam_u", "beam_v"):
        meter = each.record.of(name)
        order = np.argsort(meter.time)
        d.append(np.interp(flux.time, meter.time[order], meter.value[order]) * 1e-3 / SPOT_UM)
    hours = (flux.time - flux.time[0]) / 3600.0
    base = np.column_stack([np.ones_like(hours), hours, hours**2, d[0] ** 2 + d[1] ** 2, *d])
    return float(np.linalg.lstsq(base, np.log(flux.value), rcond=None)[0][3])


def test_check_says_when_nobody_measures_the_beam():
    made = config()
    assert not any("beam_shift" in note for note in notes_of(made))
    bare = made.model_copy(update={"channels": tuple(c for c in made.channels if c.quantity == "flux")})
    assert any("no channel delivers beam_shift" in note for note in notes_of(bare))
    assert "flux.beta.beam_shift" not in assemble(bare).model.names
