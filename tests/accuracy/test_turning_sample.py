"""What turns with the stage: corrections against the dense joint Gaussian of the scan, and intervals against truth."""

from __future__ import annotations

import numpy as np
import pytest

from sensors.reading import Quality, Reading
from tests.oracles.turning_joint import Turning
from twin.assembly import assemble
from twin.config import validate
from twin.correct import correct, predict_resolution
from twin.scan import Scan

BEGIN = 1.7e9
GRID = 10.0
SIGMA = 0.5
STAGE, CREEP = 0.05, 0.30  # µm/√h


def config(creep=CREEP, channels=(), stage=None, drift=STAGE):
    sighted = [
        {"name": f"ball_{axis}", "quantity": "marker_shift", "unit": "px", "marker": "ball", "axis": axis}
        for axis in "uv"
    ]
    return validate(
        {
            "ctwin": 1,
            "system": {"name": "turning"},
            "geometry": {
                "source_object_mm": 10.0, "source_detector_mm": 500.0, "pixel_um": 50.0, "columns": 900, "rows": 900,
            },
            "source": {"spot_fwhm_um": [0.5, 0.5], "voltage_kv": 60.0, "current_ua": 10.0},
            "scan": {"projections": 60, "exposure_s": 5.0, "duration_h": 3.0, "resolution_limit_um": 2.0},
            "estimator": {"grid_s": GRID},
            "drift": {
                "object": {"random_walk_um_per_sqrt_h": [drift] * 3},
                "sample": {"random_walk_um_per_sqrt_h": creep},
            },
            **({"stage": stage} if stage else {}),
            "marker": [{"name": "ball", "kind": "sphere", "source_marker_mm": 10.0, "mounted_on": "object"}],
            "sensor": [{"name": "file", "kind": "csv", "path": "readings.csv"}],
            "channel": [{**c, "sensor": "file", "sigma": SIGMA} for c in sighted] + list(channels),
        },
        "test",
    )  # fmt: skip


def golden(count=60, every=170.0, on_grid=True):
    """A scan in the order of the golden ratio: the angle jumps by 137.5° from projection to projection."""
    rng = np.random.default_rng(5)
    time = BEGIN + every * np.arange(count)
    if not on_grid:
        time = time + rng.uniform(-4.9, 4.9, count)
    angle = (137.50776 * np.arange(count)) % 360.0
    return Scan("golden", np.arange(count), time, angle, ("projection",) * count)


def joint(scan, **further):
    return Turning(scan.time, scan.angle_deg, scan.time[0] - GRID, STAGE, CREEP, **further)


def readings(scan, value, channels=("ball_u", "ball_v")):
    return [
        Reading(name, t, v, SIGMA, Quality.GOOD)
        for t, row in zip(scan.time, value, strict=True)
        for name, v in zip(channels, row, strict=True)
    ]


def seen(truth, rng):
    return truth[:, :2] * 1.0 + np.array([400.0, 300.0]) + SIGMA * rng.standard_normal((len(truth), 2))


def test_corrections_are_those_of_the_dense_joint_gaussian():
    scan, rng = golden(), np.random.default_rng(1)
    oracle = joint(scan)
    value = seen(oracle.draw(rng), rng)
    got = correct(assemble(config()), [readings(scan, value)], scan).correction
    mean, cov = oracle.posterior(1.0, value, SIGMA)
    wanted = mean.reshape(-1, 3) - mean[:3]
    n = len(scan)
    own = np.diag(cov).reshape(n, 3)
    with_first = np.stack([cov[a, a::3] for a in range(3)], axis=1)
    std = np.sqrt(np.maximum(own + own[0] - 2.0 * with_first, 0.0))
    assert np.abs(got.object_um - wanted).max() < 1e-6
    assert np.abs(got.object_um_std - std).max() < 1e-6
    assert np.ptp(got.object_um[:, 0]) > 0.2, "there is something to correct"
    # in the plane of the object 1 µm is 1 px here; the shift has the object's motion alone
    assert np.abs(got.shift_px - wanted[:, :2]).max() < 1e-6
    assert np.abs(got.shift_px_std - std[:, :2]).max() < 1e-6
    # along the beam the marker sees nothing of the stage, but the creep of a turning sample shows along u
    assert std[-1, 2] < 0.5 * np.sqrt(CREEP**2 + STAGE**2) * np.sqrt(170.0 * 59 / 3600.0)


def test_it_would_be_wrong_to_interpolate_between_angles_or_not_to_turn():
    """What this test guards: the same readings without the turning lose the creep."""
    scan, rng = golden(), np.random.default_rng(1)
    oracle = joint(scan)
    truth = oracle.draw(rng)
    value = seen(truth, rng)
    moved = (truth - truth[0])[:, :2]
    errors = []
    for made in (config(), config(creep=0.0, drift=float(np.hypot(STAGE, CREEP)))):
        got = correct(assemble(made), [readings(scan, value)], scan).correction
        left = got.shift_px - moved
        errors.append(np.sqrt(np.mean((left - left.mean(axis=0)) ** 2, axis=0))[0])
    assert errors[0] < 0.75 * errors[1]


@pytest.mark.parametrize("on_grid", [True, False])
def test_intervals_hold_the_truth(on_grid):
    scan, rng = golden(40, on_grid=on_grid), np.random.default_rng(2)
    oracle, machine = joint(scan), assemble(config())
    inside, apart = [], []
    for _ in range(60):
        truth = oracle.draw(rng)
        got = correct(machine, [readings(scan, seen(truth, rng))], scan).correction
        error = got.object_um - (truth - truth[0])
        inside.append(np.abs(error[1:]) <= 1.96 * got.object_um_std[1:])
        apart.append(error[-1] / got.object_um_std[-1])
    held = np.mean(inside, axis=(0, 1))
    assert np.all((held >= 0.92) & (held <= 0.98)), held
    assert np.mean(np.square(apart)) == pytest.approx(1.0, abs=0.3)


def test_resolution_left_by_what_is_unknown_about_the_sample():
    """A creep that only goes round with the stage is no blur; what is unknown in the sample's frame is."""
    scan, rng = golden(), np.random.default_rng(3)
    oracle = joint(scan)
    machine = assemble(config())
    result = correct(machine, [readings(scan, seen(oracle.draw(rng), rng))], scan)
    predicted = predict_resolution(machine, result.correction, result.smoothed)
    assert predicted.promised_um < predicted.corrected_um < predicted.uncorrected_um
