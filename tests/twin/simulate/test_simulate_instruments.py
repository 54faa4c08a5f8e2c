"""What the instruments add to the truth; chance that is repeatable and belongs to its instrument alone."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from sensors.reading import Quality
from tests.twin.simulate.machines import nano_config, scenario, wire_config
from twin.config import Config, ConfigError
from twin.simulate.machine import plan_frames, simulate
from twin.simulate.run import Run
from twin.simulate.scenario import Scenario, shipped_scenario
from twin.simulate.streams import stream


@pytest.fixture(scope="module")
def nano() -> Run:
    return simulate(nano_config(), shipped_scenario("xrm2-nanoct"), seed=1)


def short(**instrument: object) -> Run:
    """Four hours of a room at 20 °C with one thermometer of interest."""
    shown = scenario(room={"mean_degc": 20.0}, mass=STAGE, instrument=[{"channel": "t_stage", **instrument}])
    return simulate(nano_config(60, 3.0), shown, seed=2)


STAGE = [{"name": "stage", "time_constant_min": 30.0}]


def test_34_hours_take_less_than_5_seconds_and_the_same_seed_gives_the_same() -> None:
    began = time.perf_counter()
    first = simulate(nano_config(), shipped_scenario("xrm2-nanoct"), seed=7)
    assert time.perf_counter() - began < 5.0
    second = simulate(nano_config(), shipped_scenario("xrm2-nanoct"), seed=7)
    other = simulate(nano_config(), shipped_scenario("xrm2-nanoct"), seed=8)
    assert np.array_equal(first.record.value, second.record.value)
    assert np.array_equal(first.record.delivered, second.record.delivered)
    assert np.array_equal(first.truth.shift_px, second.truth.shift_px)
    assert np.abs(first.truth.shift_px - other.truth.shift_px).max() > 1.0


def without(config: Config, channel: str) -> Config:
    return config.model_copy(update={"channels": tuple(c for c in config.channels if c.name != channel)})


def test_a_sensor_less_changes_no_other_ones_noise(nano: Run) -> None:
    fewer = simulate(without(nano.config, "t_room"), nano.scenario, seed=1)
    for name in ("t_stage", "sample_u", "i0", "voltage"):
        assert np.array_equal(fewer.record.of(name).value, nano.record.of(name).value)


def test_a_fault_switched_on_leaves_the_other_noise_of_its_instrument() -> None:
    clean, lossy = short().record.of("t_stage"), short(loss=0.3).record.of("t_stage")
    assert 0.6 < len(lossy) / len(clean) < 0.8
    at = np.isin(clean.time, lossy.time)
    assert np.array_equal(clean.value[at], lossy.value)


def test_streams_differ_by_name_and_by_seed() -> None:
    drawn = [stream(seed, name).random() for seed in (1, 2) for name in ("room", "shuttle", "t_room", "t_stage")]
    assert len(set(drawn)) == 8


def test_order_units_and_quality(nano: Run) -> None:
    record, readings = nano.record, nano.readings
    assert np.all(np.diff(record.delivered) >= 0)
    assert np.any(np.diff(record.time) < 0)  # clocks and delays differ, so stamps are out of order
    assert {reading.quality for reading in readings} == {Quality.SIMULATED}
    by_name = {reading.channel: reading for reading in readings}
    assert by_name["t_room"].value == pytest.approx(294.4, abs=3)
    assert by_name["voltage"].value == pytest.approx(30e3, rel=0.01)
    assert by_name["current"].value == pytest.approx(0.4e-6, rel=0.01)
    assert by_name["sample_u"].sigma == pytest.approx(1.27, rel=0.2)
    assert record.time.min() >= nano.begin_s - 2
    assert nano.scan_start_s - nano.begin_s == pytest.approx(6 * 3600)


def test_batches_hold_every_reading_once_in_order(nano: Run) -> None:
    batches = list(nano.batches(60.0))
    assert [r for batch in batches for r in batch] == nano.readings
    assert min(map(len, batches)) > 0
    ends = np.cumsum([len(batch) for batch in batches])
    delivered = nano.record.delivered
    assert all(delivered[b - 1] - delivered[a] <= 60.0 for a, b in pairwise([0, *ends.tolist()]))


def test_quantisation_silence_and_outliers_are_there(nano: Run) -> None:
    stage = nano.record.of("t_stage")
    steps = stage.value / 0.005
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-5)
    hours = (stage.time - nano.scan_start_s) / 3600
    assert not np.any((hours > 12.605) & (hours < 12.945))
    due = (nano.end_s - nano.begin_s) / 10.0
    assert 0.975 < len(stage) / due < 0.99
    marker = nano.record.of("sample_u")
    assert 2 <= marker.wrong.sum() <= 20
    assert nano.record.of("t_room").wrong.any()
    assert len(marker) < 995
    voltage = nano.record.of("voltage")
    np.testing.assert_allclose(voltage.value * 100, np.round(voltage.value * 100), atol=1e-9)


def test_marker_and_flux_are_stamped_mid_exposure_and_come_after_it(nano: Run) -> None:
    shown = nano.frames.is_projection
    for name in ("sample_u", "sample_v", "i0"):
        readings = nano.record.of(name)
        np.testing.assert_array_equal(readings.time, nano.frames.time[shown][readings.projection])
        assert np.all(readings.delivered - readings.time >= 50.0)


def test_sigma_of_a_marker_grows_when_photons_are_few(nano: Run) -> None:
    marker = nano.record.of("sample_u")
    counts = nano.flux_counts[nano.frames.is_projection][marker.projection]
    np.testing.assert_allclose(marker.sigma, 1.25 * np.sqrt(1400.0 / counts))


def test_lag_delays_and_noise_is_what_it_says() -> None:
    door = [{"time_h": 1.0, "depth_k": -4.0, "open_min": 60.0}]
    made = scenario(
        room={"mean_degc": 20.0, "door": door},
        mass=STAGE,
        instrument=[{"channel": "t_room", "lag_s": 300.0, "noise": 0.0}, {"channel": "t_stage", "noise": 0.05}],
    )
    run = simulate(nano_config(60, 3.0), made, seed=2)
    room = run.record.of("t_room")
    truth = np.interp(room.time, run.fine.time, run.fine.temperature_k["room"]) - 273.15
    # 20 min after the door opened the air is at 16 °C, the sensor exp(-1200/300)·(air lag) behind
    late = np.argmin(np.abs(room.time - (run.scan_start_s + 3600 + 300)))
    assert truth[late] == pytest.approx(16.0, abs=0.1)
    # two lags in a row, 60 s of air and 300 s of sensor: 1 - (300 e^-1 - 60 e^-5)/240
    assert room.value[late] == pytest.approx(20 - 4 * (1 - (300 * np.exp(-1) - 60 * np.exp(-5)) / 240), abs=0.06)
    stage = run.record.of("t_stage")
    apart = stage.value - np.interp(stage.time, run.fine.time, run.fine.temperature_k["stage"]) + 273.15
    assert np.std(apart) == pytest.approx(0.05, rel=0.1)
    assert np.mean(apart) == pytest.approx(0.0, abs=0.01)


def test_an_instrument_on_a_bar_feels_its_place() -> None:
    bar = {
        "name": "rod", "body": "object", "direction": [0, 1, 0], "length_mm": 200.0, "expansion_per_k": 1e-5,
        "diffusivity_m2_per_s": 4e-6, "foot": {"to": "hot"}, "head": {"to": "room"},
    }  # fmt: skip
    hot = {"name": "hot", "time_constant_min": 1.0, "kelvin_per_watt": 1000.0}
    for position, expected in ((0.0, 31.9), (0.5, 26.0), (0.25, 29.0), (1.0, 20.1)):
        made = scenario(
            settle_h=20.0,
            room={"mean_degc": 20.0},
            mass=[hot],
            bar=[bar],
            instrument=[{"channel": "t_stage", "reads": "rod", "position": position, "noise": 0.0}],
        )
        run = simulate(nano_config(10, 1.0), made, seed=1)  # 12 mW: 12 K
        assert run.record.of("t_stage").value[-1] == pytest.approx(expected, abs=0.06)


def test_no_beam_no_marker_no_flux() -> None:
    tube = {"event": [{"time_h": 0.5, "on": False}, {"time_h": 1.0, "on": True, "current_ua": 5.0}]}
    run = simulate(wire_config(), scenario(tube=tube, flux={"current_exponent": 1.0}), seed=1)
    hours = (run.truth.time - run.scan_start_s) / 3600
    dark = (hours > 0.5) & (hours < 1.0)
    assert dark.sum() > 5
    assert not run.truth.flux[dark].any()
    np.testing.assert_allclose(run.truth.flux[hours > 1.0], 0.5)
    assert not np.isin(np.flatnonzero(dark), run.record.of("ball_u").projection).any()
    beam, power = run.record.of("beam"), run.record.of("power")
    assert set(beam.value.tolist()) == {0.0, 1.0}
    assert power.value.max() == pytest.approx(600.0, rel=0.01)
    assert power.value.min() == 0.0


def test_warm_up_is_armed_anew_when_the_tube_is_switched_on() -> None:
    tube = {
        "on_at_start": False,
        "event": [{"time_h": h, "on": on} for h, on in ((-0.9, True), (0.8, False), (1.0, True))],
    }
    drift = {"source": {"warmup_um": [4.0, 0.0, 0.0], "warmup_min": 10.0}}
    run = simulate(wire_config(), scenario(tube=tube, drift=drift), seed=1)
    age = run.fine.time - (run.scan_start_s + 3600.0)
    after = age >= 0
    np.testing.assert_allclose(run.fine.moved_m["source"][after, 0], 4e-6 * np.exp(-age[after] / 600.0))
    before = np.searchsorted(run.fine.time, run.scan_start_s + 0.9 * 3600)
    assert run.fine.moved_m["source"][before, 0] < 1e-10


def test_flux_breaks_down_with_a_step_and_where_beam_and_tip_part() -> None:
    step = {"time_h": 1.0, "factor": 0.5, "recovery_min": 20.0}
    broken = simulate(wire_config(), scenario(flux={"step": [step]}), seed=1)
    at = int(np.searchsorted(broken.truth.time, broken.scan_start_s + 3600.0))
    assert broken.truth.flux[at - 1] == pytest.approx(1.0)
    age = broken.truth.time[at:] - broken.scan_start_s - 3600.0
    np.testing.assert_allclose(broken.truth.flux[at:], 1 - 0.5 * np.exp(-age / 1200.0))
    wander = {"source": {"wander_um": [0.3, 0.3, 0.0], "wander_min": 30.0}}
    parted = simulate(wire_config(), scenario(flux={"tip_um": 0.5}, drift=wander), seed=1)
    apart = (parted.parts["source"].wander[:, :2] / 0.5e-6) ** 2
    counts = parted.flux_counts[parted.frames.is_projection]
    np.testing.assert_allclose(counts, 1000.0 * np.exp(-apart.sum(axis=1) / 2))
    assert counts.min() < 800.0


def test_shuttle_changes_the_flux_and_is_reported() -> None:
    run = simulate(wire_config(), scenario(flux={"shuttle_px": 8.0, "percent_per_shuttle_px": 0.5}), seed=1)
    shuttle = run.record.of("shuttle").value
    assert np.ptp(shuttle) > 8
    counts = run.flux_counts[run.frames.is_projection]
    np.testing.assert_allclose(counts, 1000.0 * (1 + 0.005 * shuttle))


def test_frames_are_spread_evenly_and_turn_once() -> None:
    frames = plan_frames(wire_config(), 1000.0)
    assert frames.kind.tolist().count("projection") == 60
    assert np.flatnonzero(~frames.is_projection).tolist() == [25, 51, 62]
    np.testing.assert_allclose(np.diff(frames.time), 7200.0 / 62)
    assert frames.time[0] == 1010.0
    turned = frames.angle_deg[frames.is_projection]
    np.testing.assert_allclose(turned, 6.0 * np.arange(60))
    assert frames.index[frames.is_projection].tolist() == list(range(60))


def complaint(config: Config, made: Scenario) -> str:
    with pytest.raises(ConfigError) as caught:
        simulate(config, made, seed=1)
    return str(caught.value)


def test_what_does_not_fit_together_is_said_in_one_line() -> None:
    assert complaint(nano_config(), scenario()) == (
        "scenario test: nothing says what channel 't_stage' reads; "
        "add [[instrument]] channel = 't_stage', reads = one of room"
    )
    walk = {"random_walk_um_per_sqrt_h": [1.0, 1.0, 1.0]}
    assert "drift: the configuration has no 'marker:wier'; it has" in complaint(
        wire_config(), scenario(drift={"marker:wier": walk})
    )
    assert "drift: 'marker:sample' rides on the object" in complaint(
        nano_config(), scenario(mass=STAGE, drift={"marker:sample": walk})
    )
    assert "marker[ball2]: the configuration has none of that name" in complaint(
        wire_config(), scenario(marker=[{"name": "ball2"}])
    )
    assert "channel[hum].quantity: humidity can't be simulated" in complaint(
        wire_config(name="hum", quantity="humidity", unit="percent"), scenario()
    )
    assert "scan.duration_h: 0.1 h is too short for 60 frames of 100 s" in complaint(
        nano_config(60, 0.1), scenario(mass=STAGE)
    )
    assert "channel[f].sigma: missing" in complaint(wire_config(name="f", quantity="flux", unit="counts"), scenario())
