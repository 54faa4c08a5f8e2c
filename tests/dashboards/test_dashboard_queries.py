"""Every query of every dashboard, executed by a real InfluxDB 1.6 on what the builders write, returns data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests

from dashboards import build
from models.estimate import Estimate, Forecast
from sensors.reading import Reading
from tests.servers import InfluxDB, influxdb
from twin import publish as p

pytestmark = pytest.mark.slow
TAGS = p.Tags("lab-1", "fxe160-submicron")
OTHER = p.Tags("lab-1", "other")


def written(tags: p.Tags, now: float) -> list[str]:
    """An hour of everything, ending now, with a forecast of an hour ahead."""
    lines: list[str] = []
    quantities = {"t_tube": "temperature", "t_room": "temperature", "i0": "flux", "wire_n": "marker_shift",
                  "acc_v.blur": "displacement", "acc_v.jitter": "displacement", "acc_v.band.0031.2hz": "acceleration",
                  "acc_v.band.0039.4hz": "acceleration", "gauge": "displacement"}  # fmt: skip
    for k in range(60):
        t = now - 3600.0 + 60.0 * k
        values = {"t_tube": 300.0 + 0.01 * k, "t_room": 293.15, "i0": 4000.0 - k, "wire_n": 0.1 * k,
                  "acc_v.blur": 4e-8, "acc_v.jitter": 1e-9, "acc_v.band.0031.2hz": 1e-5, "acc_v.band.0039.4hz": 2e-5,
                  "gauge": 1e-6}  # fmt: skip
        lines += p.reading_lines(tags, [Reading(c, t, v, 0.1) for c, v in values.items()], quantities)
        estimate = Estimate(t, ("tube_head", "source.u.walk"), ("K", "m"), np.array([3.0, 1e-6]), np.diag([0.01, 1e-14]),
                            {"t_tube": (0.01, 0.02)})  # fmt: skip
        lines += p.state_lines(tags, estimate) + p.innovation_lines(tags, estimate)
        lines += p.age_lines(tags, t, {"t_tube": 3.0, "i0": 12.0})
        lines += p.spot_lines(
            tags, t, {a: {"mean_um": 0.1 * k, "std_um": 0.5, "correction_um": -0.1 * k} for a in "uvw"}
        )
        lines += p.resolution_lines(tags, t, {
            "f10_lp_per_mm": 500.0, "half_pitch10_um": 1.0, "static_half_pitch10_um": 0.9, "loss_uncorrected": 0.2,
            "loss_corrected": 0.02, "limit_half_pitch10_um": 1.2,
        })  # fmt: skip
        lines += p.scan_lines(tags, t, "scan_1", k, 60)
        lines += p.alert_lines(tags, t, "hot", "active-unacknowledged" if k > 30 else "normal", "major", 1.0, k == 31)
        lines += p.alert_lines(tags, t, "quiet", "normal", "minor")
    lines += p.step_lines(tags, now - 1800.0, "source", "step", {"u_um": (0.2, 0.05)}, 0.99, now - 1600.0)
    for quantity in ("half_pitch10_um", "loss_corrected"):
        ahead = now + np.arange(1.0, 61.0) * 60.0
        lines += p.forecast_lines(tags, Forecast(quantity, "1", now, ahead, np.linspace(1, 2, 60), np.full(60, 0.1)))
    return lines


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[InfluxDB, float]]:
    with influxdb(tmp_path_factory.mktemp("influxdb")) as it:
        it.create_database("ct")
        now = float(int(time.time() / 60) * 60)
        body = "\n".join(written(TAGS, now) + written(OTHER, now))
        answer = requests.post(
            f"{it.url}/write", params={"db": "ct", "precision": "ns"}, data=body.encode(), timeout=20
        )
        assert answer.status_code == 204, answer.text
        yield it, now


def filled(query: str, now: float, tags: p.Tags = TAGS) -> str:
    """As Grafana fills it in."""
    begin, end = int((now - 7200) * 1000), int((now + 7200) * 1000)
    return (
        query.replace("$timeFilter", f"time >= {begin}ms and time <= {end}ms").replace("$__interval", "2m")
        .replace("$site", tags.site).replace("$system", tags.system)
    )  # fmt: skip


def all_queries() -> list[Any]:
    found = []
    for name, model in build.dashboards().items():
        for outer in model["panels"]:
            for panel in (outer, *outer["panels"]) if outer["type"] == "row" else (outer,):
                for target in panel.get("targets", []):
                    found.append(pytest.param(panel, target["query"], id=f"{name}:{panel['title']}:{target['refId']}"))
        for note in model["annotations"]["list"]:
            found.append(pytest.param({"type": "annotation"}, note["query"], id=f"{name}:annotation:{note['name']}"))
    return found


@pytest.mark.parametrize(("panel", "query"), all_queries())
def test_the_query_returns_data(server, panel, query):
    influx, now = server
    series = influx.query("ct", filled(query, now))
    assert series, "no series"
    for one in series:
        columns = one["columns"][1:]
        for index, column in enumerate(columns, 1):
            values = [row[index] for row in one["values"] if row[index] is not None]
            assert values, f"column {column} is empty"
    if panel["type"] in ("timeseries", "state-timeline"):
        assert all(len(one["values"]) >= 15 for one in series), "a curve, not a point"


@pytest.mark.parametrize(("panel", "query"), all_queries())
def test_the_query_shows_nothing_of_another_system(server, panel, query):
    influx, now = server
    assert influx.query("ct", filled(query, now, p.Tags("lab-1", "absent"))) == []


def test_the_variables_offer_what_was_written(server):
    influx, _ = server
    variables = {v["name"]: v["query"] for v in build.dashboards()["system.json"]["templating"]["list"]}
    (sites,) = influx.query("ct", variables["site"])
    assert [value for _, value in sites["values"]] == ["lab-1"]
    (systems,) = influx.query("ct", variables["system"].replace("$site", "lab-1"))
    assert [value for _, value in systems["values"]] == ["fxe160-submicron", "other"]


def named(title: str) -> str:
    model = build.dashboards()["system.json"]
    return next(p["targets"][0]["query"] for p in model["panels"] if p["title"] == title)


def test_the_tiles_say_what_is_true(server):
    influx, now = server

    def last(title: str) -> list[float]:
        (series,) = influx.query("ct", filled(named(title), now))
        return series["values"][-1][1:]

    assert last("Resolution") == [1.0, 1.2]
    assert last("Loss with correction") == [0.02]
    assert last("Loss without correction") == [0.2]
    assert last("Active alerts") == [1], "one rule is active, one is not"
    assert last("Scan progress") == [59 / 60]


def test_the_band_is_two_sigma_wide(server):
    influx, now = server
    (series,) = influx.query("ct", filled(named("Focal spot v"), now))
    columns = series["columns"]
    for values in series["values"]:
        row = dict(zip(columns, values, strict=True))
        assert row["high"] - row["low"] == pytest.approx(4 * 0.5)
        assert (row["high"] + row["low"]) / 2 == pytest.approx(row["spot"])
        assert row["correction"] == pytest.approx(-row["spot"])


def test_an_annotation_marks_each_change_once(server):
    influx, now = server
    query = build.dashboards()["system.json"]["annotations"]["list"][0]["query"]
    (series,) = influx.query("ct", filled(query, now))
    assert series["columns"] == ["time", "transition_code", "channel"]
    assert series["values"] == [[int(now - 3600 + 31 * 60) * 10**9, 2, "hot"]]


def test_vibration_and_its_spectrum_are_apart(server):
    influx, now = server
    last = {
        title: {one["tags"]["channel"]: one["values"][-1][1] for one in influx.query("ct", filled(named(title), now))}
        for title in ("Vibration over time", "Vibration spectrum")
    }
    assert last["Vibration over time"] == {"acc_v.blur": pytest.approx(40.0), "acc_v.jitter": pytest.approx(1.0)}
    bands = last["Vibration spectrum"]
    assert bands == {"acc_v.band.0031.2hz": pytest.approx(10.0), "acc_v.band.0039.4hz": pytest.approx(20.0)}


def test_only_temperatures_are_among_the_temperatures(server):
    influx, now = server
    series = influx.query("ct", filled(named("Temperatures"), now))
    assert {one["tags"]["channel"] for one in series} == {"t_tube", "t_room"}
    room = next(one for one in series if one["tags"]["channel"] == "t_room")
    assert room["values"][0][1] == pytest.approx(20.0)
