"""The builders: which measurement, channel and fields each thing becomes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.consistency import Consistency
from models.correction import Correction
from models.estimate import Estimate, Forecast
from sensors.reading import Quality, Reading
from twin.publish import LineError, Tags
from twin.publish import series as s

TAGS = Tags("lab", "ct")


def body(text: str) -> tuple[str, dict[str, float], int]:
    head, fields, time = text.split(" ")
    return head, {k: float(v) for k, v in (pair.split("=") for pair in fields.split(","))}, int(time)


def test_readings_carry_quality_as_a_number():
    readings = [
        Reading("t1", 1.5, 293.15, 0.02),
        Reading("t1", 2.5, math.nan, quality=Quality.INVALID),
        Reading("i0", 3.5, 4000.0, quality=Quality.SUSPECT),
        Reading("t2", 4.5, 93.15, quality=Quality.INVALID),
    ]
    lines = s.reading_lines(TAGS, readings, {"t1": "temperature", "t2": "temperature", "i0": "flux"})
    assert [body(text) for text in lines] == [
        ("ctwin_reading,channel=t1,site=lab,system=ct",
         {"value": 293.15, "sigma": 0.02, "quality_code": 0.0, "temperature_degc": 20.0}, 1_500_000_000),
        # the value is unknown, that it came is known
        ("ctwin_reading,channel=t1,site=lab,system=ct", {"quality_code": 2.0}, 2_500_000_000),
        ("ctwin_reading,channel=i0,site=lab,system=ct",
         {"value": 4000.0, "quality_code": 1.0, "flux_counts": 4000.0}, 3_500_000_000),
        # a sentinel is kept as it came, but not drawn among the temperatures
        ("ctwin_reading,channel=t2,site=lab,system=ct", {"value": 93.15, "quality_code": 2.0}, 4_500_000_000),
    ]  # fmt: skip


def test_every_quality_severity_and_state_has_a_number_of_its_own():
    assert set(s.QUALITY_CODES) == set(Quality)
    for codes in (s.QUALITY_CODES, s.SEVERITY_CODES, s.STATE_CODES):
        assert sorted(codes.values()) == list(range(len(codes)))


def test_states_have_their_label_as_channel():
    estimate = Estimate(10.0, ("a", "b"), ("K", "um"), np.array([1.0, 2.0]), np.diag([4.0, 9.0]), {"t1": (0.3, 0.1)})
    assert [body(t)[:2] for t in s.state_lines(TAGS, estimate)] == [
        ("ctwin_state,channel=a,site=lab,system=ct", {"mean": 1.0, "std": 2.0}),
        ("ctwin_state,channel=b,site=lab,system=ct", {"mean": 2.0, "std": 3.0}),
    ]
    (head, fields, _) = body(s.innovation_lines(TAGS, estimate)[0])
    assert head == "ctwin_innovation,channel=t1,site=lab,system=ct"
    assert fields["nis"] == pytest.approx(9.0)


def test_consistency_has_one_line_per_channel_that_was_read():
    fit = Consistency(["t1", "t2"], 10.0)
    fit.take(0.0, np.array([0.02, math.nan]), np.array([0.02**2, math.nan]))
    (line,) = s.consistency_lines(TAGS, 10.0, fit)
    head, fields, _ = body(line)
    assert head == "ctwin_consistency,channel=t1,site=lab,system=ct"
    assert set(fields) == {"nis", "misfit", "high", "low", "scatter", "swings", "outliers"}, (
        "no correlation of one reading"
    )
    assert fields["nis"] == pytest.approx(1.0)
    assert fields["misfit"] == fields["high"] > 0.0


def test_a_forecast_lies_at_the_instants_it_is_about():
    forecast = Forecast("loss", "1", 100.0, np.array([160.0, 220.0]), np.array([0.1, 0.2]), np.array([0.01, 0.02]))
    bodies = [body(text) for text in s.forecast_lines(TAGS, forecast)]
    assert [time for *_, time in bodies] == [160 * 10**9, 220 * 10**9]
    assert bodies[1][1] == pytest.approx({"mean": 0.2, "low": 0.16, "high": 0.24, "horizon_s": 120.0})


def test_a_correction_has_the_columns_of_the_file():
    n = 3
    rng = np.random.default_rng(1)
    arrays = {
        key: rng.normal(size=(n, 3)) for key in ("source_um", "object_um", "detector_um")
    } | {"shift_px": rng.normal(size=(n, 2)), "magnification": np.ones(n), "flux": np.ones(n)}  # fmt: skip
    correction = Correction(
        scan="scan 1", projection=np.arange(n), time=np.arange(n) + 5.0, angle_deg=np.arange(n) * 1.0,
        **arrays, **{f"{key}_std": np.abs(value) for key, value in arrays.items()}, convention="",
    )  # fmt: skip
    lines = s.correction_lines(TAGS, correction)
    assert len(lines) == n
    text = lines[2].replace("\\ ", "_")
    head, fields, time = body(text)
    assert head == "ctwin_correction,channel=scan_1,site=lab,system=ct"
    assert time == 7 * 10**9
    # DESIGN: source, object, detector × u v w; shift × u v; magnification; flux; each with _std; projection, angle_deg
    assert len(fields) == 2 * (9 + 2 + 2) + 2
    assert fields["object_w_um"] == arrays["object_um"][2, 2]
    assert fields["shift_v_px_std"] == abs(arrays["shift_px"][2, 1])


def test_a_scan_without_projections_has_no_ratio():
    assert "done_ratio" not in s.scan_lines(TAGS, 1.0, "scan", 0, 0)[0]
    assert "done_ratio=0.25" in s.scan_lines(TAGS, 1.0, "scan", 1, 4)[0]


def test_alerts_are_numbers():
    (text,) = s.alert_lines(TAGS, 1.0, "rule", "active-unacknowledged", "major", 0.12)
    assert body(text)[1] == {"state_code": 2.0, "severity_code": 2.0, "value": 0.12}


def test_unknown_words_are_refused_with_those_that_are_known():
    for make in (
        lambda: s.alert_lines(TAGS, 1.0, "r", "burning", "major"),
        lambda: s.alert_lines(TAGS, 1.0, "r", "normal", "fatal"),
        lambda: s.resolution_lines(TAGS, 1.0, {"mtf": 1.0}),
        lambda: s.spot_lines(TAGS, 1.0, {"x": {"mean_um": 1.0}}),
        lambda: s.spot_lines(TAGS, 1.0, {"u": {"mean": 1.0}}),
    ):
        with pytest.raises(LineError, match="there are"):
            make()
