import math
import re
from pathlib import Path

import pytest

from twin.metrics import SourceCounts, exposition, family

LINE = re.compile(r'^(ctwin_[a-z0-9_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\\\|\\"|\\n)*",?)*)\})? (\S+)$')

STATE = {
    "ctwin": "0.1.0", "system": "ct", "site": "lab", "simulated": True, "time_s": 1e9,
    "resolution": {
        "half_pitch10_um": 0.15, "static_half_pitch10_um": 0.12, "corrected_half_pitch10_um": 0.13, "limit_um": 0.2,
        "loss_uncorrected": 0.2, "loss_corrected": 0.08,
    },
    "forecast": None,
    "vibration": [
        {"channel": "acc_v", "axis": "v", "blur_nm": 40.5, "jitter_nm": 0.5},
        {"channel": "acc_w", "axis": "w", "blur_nm": None, "jitter_nm": None},
    ],
    "spot": {"u": {"mean_um": 0.1, "fwhm_um": 0.08}, "w": {"mean_um": 0.1}},
    "alerts": [
        {"state": "active-unacknowledged", "severity": "major"}, {"state": "active-unacknowledged", "severity": "major"},
        {"state": "pending", "severity": "minor"},
    ],
    "sensors": [
        {"name": "lab", "state": "ok", "drops": {"bad_json": 2}, "channels": [
            {"name": "t_tube", "age_s": 4.5, "stale": False, "drops": {"late": 3, "duplicate": 0}},
            {"name": "t_room", "age_s": None, "stale": True, "drops": {}},
        ]},
        {"name": "images", "state": "retrying", "channels": []},
    ],
    "consistency": {"nis_mean": 1.02, "autocorrelation": -0.01, "misfit": 0.4, "said": "", "gated": 4, "channels": [
        {"name": "t_tube", "nis_mean": 1.1, "autocorrelation": 0.2, "misfit": 0.4, "charts": {"high": 0.4, "low": 0.0}},
        {"name": "t_room", "nis_mean": 0.9, "autocorrelation": None, "misfit": 0.0, "charts": {"high": 0.0, "low": 0.0}},
    ]},
    "pipeline": {"journal_rows": 123, "spool_bytes": 42, "spool_oldest_s": 1.5, "step_ms": 0.4},
}  # fmt: skip


def parsed(text: str) -> dict[str, float]:
    values: dict[str, float] = {}
    typed = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in typed, f"{name} is declared twice"
            typed.add(name)
        elif not line.startswith("# HELP "):
            found = LINE.match(line)
            assert found, line
            assert found[1] in typed, line
            key = line.rpartition(" ")[0]
            assert key not in values, f"{key} comes twice"
            values[key] = float(found[3])
    assert text.endswith("\n")
    return values


def test_everything_promised_is_there() -> None:
    values = parsed(exposition(STATE, {"lab": SourceCounts(samples=10, last_time_s=1e9 + 0.25, lag_s=0.5)}))
    assert values['ctwin_info{version="0.1.0",system="ct",site="lab"}'] == 1
    assert values['ctwin_source_samples_total{source="lab"}'] == 10
    assert values['ctwin_source_last_timestamp_seconds{source="lab"}'] == 1e9 + 0.25
    assert values['ctwin_source_lag_seconds{source="lab"}'] == 0.5
    assert values['ctwin_source_up{source="lab",state="ok"}'] == 1
    assert values['ctwin_source_up{source="images",state="retrying"}'] == 0
    assert values['ctwin_channel_drops_total{source="lab",channel="t_tube",cause="late"}'] == 3
    assert values['ctwin_source_drops_total{source="lab",cause="bad_json"}'] == 2
    assert values['ctwin_channel_stale{source="lab",channel="t_room"}'] == 1
    assert 'ctwin_channel_age_seconds{source="lab",channel="t_room"}' not in values
    assert values['ctwin_vibration_nanometres{channel="acc_v",axis="v",of="blur"}'] == 40.5
    assert not any("acc_w" in key for key in values)
    assert values["ctwin_spool_bytes"] == 42
    assert values["ctwin_spool_oldest_age_seconds"] == 1.5
    assert values["ctwin_nis_mean"] == 1.02
    assert values["ctwin_innovation_autocorrelation"] == -0.01
    assert values["ctwin_model_misfit"] == 0.4
    assert values['ctwin_channel_nis_mean{channel="t_tube"}'] == 1.1
    assert values['ctwin_channel_misfit{channel="t_tube",way="high"}'] == 0.4
    assert values['ctwin_channel_innovation_autocorrelation{channel="t_tube"}'] == 0.2
    assert 'ctwin_channel_innovation_autocorrelation{channel="t_room"}' not in values
    assert values["ctwin_gate_rejects_total"] == 4
    assert values['ctwin_alarms{state="active-unacknowledged",severity="major"}'] == 2
    assert values["ctwin_step_seconds"] == pytest.approx(4e-4)
    assert values['ctwin_resolution_loss_ratio{of="corrected"}'] == 0.08
    assert "ctwin_probability_of_loss" not in values


def test_before_the_first_state_there_is_nothing() -> None:
    assert exposition({}) == ""


def test_labels_and_help_are_escaped() -> None:
    text = family("x", "gauge", "back\\slash\nline", [({"name": 'a"b\\c\nd'}, 1)])
    assert text.splitlines() == [
        "# HELP ctwin_x back\\\\slash\\nline", "# TYPE ctwin_x gauge", r'ctwin_x{name="a\"b\\c\nd"} 1',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (0.1, "0.1"), (1e300, "1e+300"), (True, "1")],
)
def test_numbers(value: float, text: str) -> None:
    assert family("x", "gauge", "", [({}, value)]).splitlines()[-1] == f"ctwin_x {text}"


def test_every_metric_is_documented() -> None:
    text = exposition({**STATE, "forecast": {"probability_of_loss": 0.5}}, {"lab": SourceCounts(10, 1e9, 0.5)})
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    page = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text("utf-8")
    assert told == set(re.findall(r"`(ctwin_\w+)`", page))
