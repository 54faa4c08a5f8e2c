"""Vibration in the twin: through the machine's modes to budget, markers, rules and forecast; and through the command."""

from __future__ import annotations

import json
import math
import tomllib

import numpy as np
import pytest

from models.spectrum import spectrum_of
from sensors.block import admit_block
from sensors.reading import Quality, Reading
from tests.oracles.oscillator import exposed, floor_motion, shaken
from tests.situations import GOOD
from twin.align import Aligner
from twin.assembly import pose_of
from twin.budget import budget_of
from twin.channels import channels_of
from twin.config import ConfigError, validate
from twin.core import Twin
from twin.history import History
from twin.modes import mode_lines, mode_notes
from twin.outlook import look_ahead
from twin.pipeline import Pipeline
from twin.vibration import lever, reducer_of, sights, vibration_state

T0 = 1_772_360_100.0
RATE = 1000.0
EXTRA = """
[[mode]]
frequency_hz = 35.0
damping = 0.02
axis = "v"
[[channel]]
name = "floor_v"
sensor = "logger"
quantity = "acceleration"
unit = "mg"
axis = "v"
address = "1"
full_scale = 500.0
stale_after_s = 60.0
"""


def config_of(extra=EXTRA, *changes):
    text = (GOOD / "good.toml").read_text(encoding="utf-8") + extra
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return validate(tomllib.loads(text), "test")


def floor(seconds, level=2e-3, seed=1):
    return floor_motion(np.random.default_rng(seed), seconds, RATE, level=level)


def readings_of(config, acceleration, start=T0, block_s=10.0):
    """Blocks one after the other through the machine's own reducer."""
    reduce, count = reducer_of(config), int(block_s * RATE)
    channel = channels_of(config)["floor_v"]
    out = []
    for k in range(len(acceleration) // count):
        raw = acceleration[k * count : (k + 1) * count] / 9.80665e-3
        out += reduce(admit_block(channel, start + k * block_s, RATE, raw))
    return out


def run(config, readings):
    twin = Twin(config)
    twin.update(readings)
    for _ in twin.finish():
        pass
    return twin


def marker(k):
    return Reading("ball_v", T0 + 10.0 * k + 3.0, 100.0, 0.2)


# --- geometry ----------------------------------------------------------------------------------


def test_levers_are_those_of_the_geometry():
    """M = 20: a moving object blurs as it moves, the source by 19/20 of it, the detector by 1/20."""
    for body, expected in (("object", 1.0), ("source", -0.95), ("detector", -0.05)):
        config = config_of(EXTRA.replace('axis = "v"\n[[channel]]', f'axis = "v"\nbody = "{body}"\n[[channel]]'))
        assert lever(pose_of(config), config.modes[0]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("body", "mounted", "gain"),
    [
        ("source", "base", -(200 / 12 - 1) / 50e-6),  # [px/m]: the ball hangs still, the source moves
        ("object", "base", None),  # neither moves: the marker sees nothing of it
        ("object", "object", 200 / 12 / 50e-6),
        ("detector", "base", -1 / 50e-6),
    ],
)
def test_a_marker_sees_what_moves_before_it(body, mounted, gain):
    config = config_of(
        EXTRA.replace('axis = "v"\n[[channel]]', f'axis = "v"\nbody = "{body}"\n[[channel]]'),
        ("source_marker_mm = 12.0", f'source_marker_mm = 12.0\nmounted_on = "{mounted}"'),
    )
    seen = {sight.name: sight.modes[0].gain for sight in sights(config, "v")}
    assert seen.get("ball_v") == (None if gain is None else pytest.approx(gain))
    assert sights(config, "u") == ()


def test_a_mode_along_the_beam_is_not_in_the_budget():
    configs = {
        axis: config_of(EXTRA.replace('axis = "v"\n[[channel]]', f'axis = "{axis}"\namplitude_nm = 500\n[[channel]]'))
        for axis in "wu"
    }
    assert sights(configs["w"], "w") == ()
    assert budget_of(configs["w"]).vibration_m == 0.0
    assert budget_of(configs["u"]).vibration_m == pytest.approx(500e-9 / math.sqrt(2))


# --- levels ------------------------------------------------------------------------------------


def test_what_the_twin_says_is_what_an_oscillator_does():
    """Three minutes of floor in blocks of 10 s, against a mode integrated in time and exposed for 20 s: within 3 %."""
    config, moved = config_of(), floor(180)
    w = 2 * np.pi * 35.0
    z = shaken([1.0], [w * w], [2 * 0.02 * w], moved, RATE)[:, 0]
    blur, _ = exposed(z[10_000:], int(20 * RATE))
    twin = run(config, readings_of(config, moved))
    recent = math.sqrt(twin.vectoriser.vibration.ahead("v", np.zeros(1), 3600.0)[0])
    assert recent == pytest.approx(math.sqrt(blur), rel=0.03)
    assert twin.vectoriser.vibration.level("u") is None


def test_the_resolution_sees_it_now_and_ahead_and_the_promise_does_not_change():
    config = config_of()
    still, shaking = (
        run(config, [*readings_of(config, floor(60, level)), *(marker(k) for k in range(6))]) for level in (1e-6, 0.4)
    )
    before, after = look_ahead(still), look_ahead(shaking)
    assert after.static_f10 == before.static_f10
    assert before.values["loss_uncorrected"] < 0.02
    variance = float(shaking.vectoriser.vibration.ahead("v", np.zeros(1), 1.0)[0])
    static = budget_of(config)
    assert variance > 0.3 * static.sigma_m**2
    for forecast in (after.uncorrected, after.corrected):
        assert forecast.mean[0] == pytest.approx(variance, rel=0.01)
        assert (forecast.mean >= variance).all()
    assert after.values["loss_corrected"] > 0.1, "no correction takes it off"


def test_what_is_stated_as_normal_is_no_loss():
    config = config_of(EXTRA.replace('axis = "v"\n[[channel]]', 'axis = "v"\namplitude_nm = 5000.0\n[[channel]]'))
    twin = run(config, readings_of(config, floor(60)))
    assert look_ahead(twin).values["loss_uncorrected"] == pytest.approx(0.0, abs=1e-6)


def test_the_scan_remembers_its_loud_half():
    """A scan that was shaken in its first half and is quiet since has half of that variance so far, and less and less."""
    config = config_of()
    loud, quiet = (readings_of(config, floor(300, level), T0 + start) for level, start in ((0.2, 0.0), (1e-6, 300.0)))
    twin = Twin(config)
    twin.update(loud[:1])
    twin.begin_scan(T0)
    twin.update(loud[1:])
    during = twin.vectoriser.vibration.scan_variance("v")
    twin.update(quiet)
    for _ in twin.finish():
        pass
    levels = twin.vectoriser.vibration
    assert levels.scan_variance("v") == pytest.approx(0.5 * during, rel=0.1)
    ahead = levels.ahead("v", np.array([0.0, 600.0, 6000.0]), 1200.0)
    assert ahead[0] == pytest.approx(levels.scan_variance("v"))
    assert ahead[1] == pytest.approx(ahead[2], rel=0.01), "the scan is over by then"
    twin.end_scan()
    assert levels.scan_variance("v") is None


def test_jitter_widens_what_a_marker_says():
    """A mode of the source and short exposures: the marker's variance grows by the jitter that the marker sees."""
    extra = EXTRA.replace('axis = "v"\n[[channel]]', 'axis = "v"\nbody = "source"\n[[channel]]')
    config = config_of(extra, ("exposure_s = 20.0", "exposure_s = 0.01"))
    twin = run(config, [*readings_of(config, floor(60, 0.2)), marker(2)])
    seen = twin.vectoriser.vibration.jitter_variance("ball_v")
    plane = twin.vectoriser.vibration.level("v")["jitter"]
    assert seen == pytest.approx((plane / 0.95 * (200 / 12 - 1) / 50e-6) ** 2, rel=1e-6)
    assert seen > 0.2**2
    cell = next(v for v in Aligner(config.estimator.grid_s, 0.0).add([marker(0), marker(9)]) if "ball_v" in v.cells)
    row = twin.vectoriser.steps([cell]).variances[0, twin.machine.model.channels.index("ball_v")]
    assert row == pytest.approx(0.2**2 + seen, rel=1e-9)


def test_a_silent_accelerometer_is_believed_no_longer():
    config = config_of()
    twin = run(config, readings_of(config, floor(60)))
    assert twin.vectoriser.vibration.level("v") is not None
    twin.update([Reading("t_tube", T0 + 60 + 20.0 * k, 295.0, 0.05) for k in range(12)])
    for _ in twin.finish():
        pass
    assert twin.vectoriser.vibration.level("v") is None
    assert twin.vectoriser.vibration.jitter_variance("ball_v") == 0.0


def test_clipped_blocks_are_not_used():
    config = config_of()
    wild = np.clip(2e4 * floor(20), -4.9034, 4.9034)  # 500 mg
    readings = readings_of(config, wild)
    assert {r.quality for r in readings} == {Quality.SUSPECT}
    twin = run(config, readings)
    assert twin.vectoriser.vibration.level("v") is None
    assert twin.aligner.drops["floor_v.blur", "suspect"] == 2


def test_several_blocks_within_a_step_are_averaged_as_powers():
    """One loud block in five: the mean of the powers, not the weighted mean in which the loud one hardly counts."""
    aligner = Aligner(10.0, 0.0, frozenset(), frozenset({"a.blur"}))
    batch = [Reading("a.blur", T0 + k, v, 0.1 * v) for k, v in enumerate((1e-9, 1e-9, 1e-8, 1e-9, 1e-9))]
    cell = next(v for v in (*aligner.add(batch), *aligner.flush()) if v.cells).cells["a.blur"]
    assert cell.value == pytest.approx(math.sqrt((4 * 1e-18 + 1e-16) / 5))
    assert 0.05 < cell.sigma / cell.value < 0.1


def test_a_restart_equals_no_restart():
    config = config_of()
    readings = sorted([*readings_of(config, floor(120)), *(marker(k) for k in range(12))], key=lambda r: r.time)
    whole, first = Twin(config), Twin(config)
    for twin in (whole, first):
        twin.update(readings[:60])
        twin.begin_scan(T0 + 20.0)
    snapshot = json.loads(json.dumps(first.snapshot()))
    again = Twin(config)
    again.restore(snapshot)
    for twin in (whole, again):
        twin.update(readings[60:])
    assert again.snapshot() == whole.snapshot()
    assert whole.vectoriser.vibration.scan_variance("v") > 0


# --- page, rules, command ----------------------------------------------------------------------


def test_a_rule_may_name_it_and_the_page_shows_it(tmp_path):
    rule = '\n[[alert]]\nname = "shaken"\nwhen = "vibration_v_nm > 100"\n[[alert]]\nname = "quiet"\nwhen = "stale(floor_v)"\n'
    config = config_of(EXTRA + rule)
    history = History(tmp_path / "state")
    try:
        pipeline = Pipeline(config, history)
        for start in range(0, 120, 10):
            pipeline.take(readings_of(config, floor(10, 0.05, start + 1), T0 + start), None)
        assert [a.rule for a in pipeline.alerts()] == ["shaken"]
        state = pipeline.board.state()
        (shown,) = state["vibration"]
        assert shown["channel"] == "floor_v"
        assert shown["blur_nm"] == pytest.approx(pipeline.sample()["vibration_v_nm"], rel=0.3)  # a block later
        spectrum = shown["spectrum"]
        assert len(spectrum["frequency_hz"]) == len(spectrum["rms_um_per_s2"]) > 15
        assert spectrum["frequency_hz"] == sorted(spectrum["frequency_hz"])
    finally:
        history.close()
    assert vibration_state(config, {})[0]["blur_nm"] is None


def test_bands_say_where_the_power_is():
    config = config_of()
    t = np.arange(10_000) / RATE
    wave = 1e-3 * np.sin(2 * np.pi * 80.0 * t) + 1e-5 * np.random.default_rng(3).standard_normal(t.size)
    found = {r.channel: r for r in readings_of(config, wave)}
    (shown,) = vibration_state(config, found)
    loudest = int(np.argmax(shown["spectrum"]["rms_um_per_s2"]))
    assert shown["spectrum"]["frequency_hz"][loudest] == pytest.approx(78.7, abs=0.1)
    assert shown["spectrum"]["rms_um_per_s2"][loudest] == pytest.approx(1e3 / math.sqrt(2), rel=0.02)
    power = spectrum_of(wave, RATE).density.sum() * 0.5
    assert math.sqrt(sum(v**2 for v in shown["spectrum"]["rms_um_per_s2"])) == pytest.approx(
        1e6 * math.sqrt(power), rel=0.05
    )


def test_check_says_what_a_mode_means(capsys):
    lines = list(mode_lines(config_of()))
    assert lines == [
        "Modes (1 mg rms of the base, seen in the object plane; exposure of a projection 20 s)",
        "  35 Hz, v, object, damping 0.02: 203 nm far below, 5.07e+03 nm at the resonance; all of it blurs; measured by "
        "floor_v",
    ]
    bare = config_of(EXTRA[: EXTRA.index("[[channel]]")])
    assert list(mode_notes(bare)) == [
        "mode: no amplitude_nm is stated and no accelerometer measures along it: 35 Hz (v) adds nothing to the budget"
    ]
    assert list(mode_notes(config_of())) == []
    slow = config_of(EXTRA + '[[sensor]]\nname = "files"\nkind = "blocks"\npath = "."\nblock_s = 100.0\n')
    assert any("would count it as late" in note for note in mode_notes(slow))
    other = config_of(EXTRA.replace('unit = "mg"\naxis = "v"', 'unit = "mg"\naxis = "u"'))
    assert any("no mode along u" in note for note in mode_notes(other))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('unit = "mg"\naxis = "v"', 'unit = "mg"'), "channel[floor_v].axis: an accelerometer needs the axis"),
        (('name = "ball_v"', 'name = "floor_v.blur"'), "those of what floor_v measures"),
        (("sigma = 0.2", "sigma = 0.2\nfull_scale = 3.0"), "belong to an accelerometer"),
        (('axis = "v"\nsigma = 0.2', 'axis = "w"\nsigma = 0.2'), "'w' does not fit a sphere"),
    ],
)
def test_what_an_accelerometer_needs(change, words):
    with pytest.raises(ConfigError) as told:
        config_of(EXTRA, change)
    assert words in str(told.value)
