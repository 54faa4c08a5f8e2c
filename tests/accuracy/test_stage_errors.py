"""Run-out and wobble that repeat with the angle: against the dense joint Gaussian, kept for the next scan, in the σ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.blur import f10
from models.turning import blur_over_a_turn
from sensors.reading import Quality, Reading
from tests.accuracy.test_turning_sample import BEGIN, CREEP, SIGMA, STAGE, config, golden, joint, readings, seen
from tests.oracles.turning_joint import Turning
from twin.assembly import assemble
from twin.budget import budget_of
from twin.commands.check import notes_of
from twin.core import Twin
from twin.correct import correct, predict_resolution
from twin.outlook import look_ahead
from twin.scan import Scan

RMS_NM, HARMONICS = [400.0, 300.0, 200.0], 3
REPEATS = {"repeatable_nm": RMS_NM, "harmonics": HARMONICS}
ANGLE = {"name": "theta", "quantity": "angle", "unit": "deg", "sensor": "file"}
COEFFICIENT_UM = np.repeat(np.array(RMS_NM)[:, None], HARMONICS, axis=1) * 1e-3 / math.sqrt(HARMONICS)


def test_corrections_are_those_of_the_dense_joint_gaussian():
    scan, rng = golden(), np.random.default_rng(11)
    oracle = joint(scan, coefficient_um=COEFFICIENT_UM)
    value = seen(oracle.draw(rng), rng)
    got = correct(assemble(config(stage=REPEATS)), [readings(scan, value)], scan).correction
    mean, cov = oracle.posterior(1.0, value, SIGMA)
    n = len(scan)
    own = np.diag(cov).reshape(n, 3)
    std = np.sqrt(np.maximum(own + own[0] - 2.0 * np.stack([cov[a, a::3] for a in range(3)], axis=1), 0.0))
    assert np.abs(got.object_um - (mean.reshape(-1, 3) - mean[:3])).max() < 1e-6
    assert np.abs(got.object_um_std - std).max() < 1e-6


def test_intervals_hold_the_truth_with_what_does_not_repeat():
    """Every projection finds the stage 0.3 µm away from where it should be, anew."""
    scan, rng = golden(40, on_grid=False), np.random.default_rng(12)
    oracle = joint(scan, coefficient_um=COEFFICIENT_UM)
    machine = assemble(config(stage={**REPEATS, "nonrepeatable_nm": 300.0}))
    inside = []
    for _ in range(60):
        truth = oracle.draw(rng) + 0.3 * rng.standard_normal((40, 3))
        got = correct(machine, [readings(scan, seen(truth, rng))], scan).correction
        error = got.object_um - (truth - truth[0])
        inside.append(np.abs(error[1:]) <= 1.96 * got.object_um_std[1:])
    held = np.mean(inside, axis=(0, 1))
    assert np.all((held >= 0.92) & (held <= 0.985)), held


def test_what_one_scan_has_calibrated_holds_in_the_next():
    """The second scan has no marker: its run-out is known from the first all the same."""
    rng = np.random.default_rng(13)
    first = golden(80)
    second = Scan(
        "next", np.arange(50), BEGIN + 16000.0 + 170.0 * np.arange(50), 7.2 * np.arange(50), ("projection",) * 50
    )
    both = Turning(
        np.concatenate([first.time, second.time]), np.concatenate([first.angle_deg, second.angle_deg]), BEGIN - 10.0,
        1e-4, 1e-4, COEFFICIENT_UM,
    )  # fmt: skip
    truth = both.draw(rng)
    told = [
        Reading("theta", t, math.radians(a), math.nan, Quality.GOOD)
        for t, a in zip(both.time, both.angle_deg, strict=True)
    ]
    machine = assemble(config(creep=1e-4, drift=1e-4, stage=REPEATS, channels=[ANGLE]))
    rows = sorted([*readings(first, seen(truth[:80], rng)), *told], key=lambda r: r.time)
    got = correct(machine, [rows], second).correction
    moved = (truth - truth[80])[80:]
    left = got.object_um - moved
    assert np.std(moved[:, 0]) > 0.2
    for axis in (0, 1):
        assert np.std(left[:, axis]) < 0.4 * np.std(moved[:, axis])
        assert np.abs(left[1:, axis] / got.object_um_std[1:, axis]).max() < 3.5
    # nobody sees along the beam: σ says so, √2 · rms of a random difference
    assert got.object_um_std[1:, 2].mean() == pytest.approx(math.sqrt(2.0) * 0.2, rel=0.15)


def test_the_first_harmonic_along_u_costs_no_resolution():
    """Where the sample sits is no blur; the same along v is one, live and for the scan."""
    machine = config(creep=0.0, drift=1e-3, stage={"repeatable_nm": [400.0, 400.0, 0.0], "harmonics": 1})
    scan, rng = golden(), np.random.default_rng(14)
    ahead = {}
    for axis in "uv":
        twin = Twin(machine)
        twin.belief.mean[twin.machine.model.index(f"stage.{axis}.cos")] = 1e-6
        twin.belief.cov[:] = 0.0
        ahead[axis] = look_ahead(twin).uncorrected.mean[0]
    assert ahead["v"] == pytest.approx(0.5e-12, rel=0.01)
    assert ahead["u"] < 1e-2 * ahead["v"]
    oracle = Turning(scan.time, scan.angle_deg, BEGIN - 10.0, 1e-3, 0.0, np.array([[0.4], [0.0], [0.0]]))
    result = correct(assemble(machine), [readings(scan, seen(oracle.draw(rng), rng))], scan)
    found = predict_resolution(assemble(machine), result.correction, result.smoothed)
    assert found.uncorrected_um < 1.05 * found.corrected_um < 1.1 * found.promised_um


def test_blur_over_a_turn_against_drawing():
    rng = np.random.default_rng(15)
    mean, root = np.array([1.0, -0.5, 0.3, 0.0]), rng.standard_normal((4, 4)) * 0.3
    drawn = mean + rng.standard_normal((200_000, 4)) @ root.T
    turn = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
    course = np.stack([np.cos(turn), np.sin(turn), np.cos(2 * turn), np.sin(2 * turn)])
    square = np.mean((drawn[:20_000] @ course) ** 2, axis=1)
    got = blur_over_a_turn(mean, root @ root.T)
    assert got[0] == pytest.approx(square.mean(), rel=0.02)
    assert got[1] == pytest.approx(square.var(), rel=0.06)


def test_angle_error_and_what_does_not_repeat_are_in_the_budget():
    plain, rough = budget_of(config()), budget_of(config(stage={"nonrepeatable_nm": 300.0}))
    assert rough.stage_m == pytest.approx(300e-9)
    turned = budget_of(config(stage={"angle_error_urad": 500.0, "sample_radius_um": 400.0}))
    assert turned.stage_m == pytest.approx(200e-9)
    assert f10(turned) < f10(plain)
    assert any("sample_radius_um" in note for note in notes_of(config(stage={"angle_error_urad": 500.0})))
    assert any("besides" in note for note in notes_of(config(stage={**REPEATS, "runout_nm": 50.0})))
    assert CREEP > STAGE
