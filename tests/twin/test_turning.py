"""The stage's angle live: from a channel or a scan, held, silent, across 360°; without one nothing is silently wrong."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from sensors.reading import Quality, Reading
from tests.accuracy.test_turning_sample import BEGIN, GRID, config, golden, joint, readings, seen
from twin.align import Aligner
from twin.commands.check import notes_of
from twin.config import ConfigError
from twin.core import Twin
from twin.outlook import look_ahead
from twin.preview import preview
from twin.turning import ScanAngles

ANGLE = {"name": "theta", "quantity": "angle", "unit": "deg", "sensor": "file", "stale_after_s": 400.0}


def angles(scan):
    rows = zip(scan.time, scan.angle_deg, strict=True)
    return [Reading("theta", t, math.radians(a), math.nan, Quality.GOOD) for t, a in rows]


def a_scan(seed=4):
    scan, rng = golden(), np.random.default_rng(seed)
    truth = joint(scan).draw(rng)
    return scan, truth, readings(scan, seen(truth, rng))


def in_order(*groups):
    return sorted((r for group in groups for r in group), key=lambda r: r.time)


def run(twin, rows):
    return [*twin.update(rows), *twin.finish()]


def test_channel_and_scan_tell_the_same():
    scan, _, rows = a_scan()
    live, told = Twin(config(channels=[ANGLE])), Twin(config())
    told.vectoriser.turn_with(scan)
    by_channel, by_scan = run(live, in_order(angles(scan), rows)), run(told, rows)
    assert by_channel[-1].std("sample.u") < 0.5 * math.sqrt(0.3**2 * 170 * 59 / 3600) * 1e-6
    assert by_channel[-1].mean == pytest.approx(by_scan[-1].mean, rel=1e-9, abs=1e-15)
    assert live.outputs().mean == pytest.approx(told.outputs().mean, rel=1e-9, abs=1e-15)


def test_without_an_angle_nothing_is_learnt_and_the_loss_is_counted():
    _, _, rows = a_scan()
    twin = Twin(config())
    last = run(twin, rows)[-1]
    # u turns with the angle, v does not
    assert twin.aligner.drops["ball_u", "no angle"] == 60
    assert ("ball_v", "no angle") not in twin.aligner.drops
    walked = math.sqrt(170.0 * 59 + GRID) / 60.0 * 1e-6
    assert last.std("sample.u") == pytest.approx(0.3 * walked)
    assert twin.outputs().std("object.u") == pytest.approx(math.hypot(0.3, 0.05) * walked)


def test_a_silent_angle_is_not_held_for_ever():
    scan, _, rows = a_scan()
    twin = Twin(config(channels=[ANGLE]))
    run(twin, in_order(angles(scan)[:30], rows))
    # 400 s hold for the two projections that follow
    assert twin.aligner.drops["ball_u", "no angle"] == 28


def test_a_restart_keeps_the_angle():
    scan, _, rows = a_scan()
    both = in_order(angles(scan)[::3], rows)
    calm, stopped, again = (Twin(config(channels=[ANGLE])) for _ in range(3))
    calm.update(both)
    stopped.update(both[:41])
    again.restore(json.loads(json.dumps(stopped.snapshot())))
    again.update(both[41:])
    assert json.dumps(again.snapshot()) == json.dumps(calm.snapshot())


def test_angles_of_a_step_are_averaged_across_the_full_turn():
    aligner = Aligner(10.0, 0.0, frozenset({"theta"}))
    rows = [Reading("theta", BEGIN + k, math.radians(a), math.nan, Quality.GOOD) for k, a in ((0, 359.0), (1, 3.0))]
    cell = (aligner.add(rows) + aligner.flush())[0].cells["theta"]
    assert math.degrees(cell.value) % 360.0 == pytest.approx(1.0)


def test_a_step_takes_what_its_projections_saw():
    scan = golden(4, every=4.0)
    got = ScanAngles(scan, 10.0).covariates(["angle.cos", "angle.sin2"], BEGIN)
    angle = np.deg2rad(scan.angle_deg[:2])  # at 0 and 4 s; 8 s belongs to the next step
    assert got == pytest.approx([np.cos(angle).mean(), np.sin(2 * angle).mean()])
    assert ScanAngles(scan, 10.0).covariates(["angle.cos"], BEGIN + 100.0) is None


def test_live_loss_does_not_take_where_the_sample_sits_for_blur():
    """A sample that sits 3 µm off goes round with the stage; seen from the sample it stands still."""
    scan = golden()
    twin = Twin(config(creep=1e-6, drift=0.0))
    twin.vectoriser.turn_with(scan)
    twin._filter.plain.mean[twin.machine.model.index("sample.u")] = 3e-6
    twin.begin_scan(BEGIN)
    shifts = []
    for _ in twin.steps([Reading("ball_v", t, 300.0, 0.5, Quality.GOOD) for t in scan.time]):
        shifts.append(twin.outputs().value("shift.u"))
    assert np.std(shifts) > 1.0, "in the laboratory it moves"
    assert len(twin.anchors.times) > 10
    assert look_ahead(twin).uncorrected.mean[0] < 1e-18


def test_preview_turns_the_stage():
    known = preview(config(), courses=2)
    assert known.posterior["object.u"] < 0.6 * known.prior["object.u"]
    # only the turning tells the creep along the beam
    assert known.posterior["object.w"] < 0.9 * known.prior["object.w"]


def test_check_says_what_happens_without_an_angle():
    assert any("drift.sample" in note and "angle" in note for note in notes_of(config()))
    assert not any("drift.sample" in note for note in notes_of(config(channels=[ANGLE])))
    with pytest.raises(ConfigError, match="random_walk_um_per_sqrt_h"):
        config(creep=-1.0)
