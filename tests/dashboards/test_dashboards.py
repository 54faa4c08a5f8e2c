"""The dashboards obey the rules of grafana/dashboard-linter, and the committed files are what the code makes.

Rules for PromQL and its job and instance labels don't apply; in their place each query must ask for one site and system.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dashboards import build
from dashboards.panels import ACCELERATION, DATASOURCE, MICROMETRE, NANOMETRE

HERE = Path(build.__file__).parent
# Grafana's units that are used (packages/grafana-data/src/valueFormats/categories.ts), and one of our own: it has no µm
UNITS = {"none", "short", "percentunit", "celsius", "s", MICROMETRE, NANOMETRE, ACCELERATION}
# What the builders of twin.publish.series write; test_dashboard_queries executes every query on data made by them
MEASUREMENTS = {"reading", "state", "innovation", "age", "spot", "resolution", "forecast", "scan", "alert", "step"}

ALL = [*build.dashboards().items(), *build.dashboards(editable=True).items()]
each = pytest.mark.parametrize("dashboard", [model for _, model in ALL], ids=[f"{n} {m['uid']}" for n, m in ALL])


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    outer = dashboard["panels"]
    return [p for o in outer for p in (o, *o.get("panels", []))]


def charts(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [p for p in panels(dashboard) if p["type"] != "row"]


def queries(dashboard: dict[str, Any]) -> list[str]:
    return [t["query"] for p in charts(dashboard) for t in p["targets"]] + [
        a["query"] for a in dashboard["annotations"]["list"]
    ]


@pytest.mark.parametrize("name", sorted(build.files()))
def test_the_committed_file_is_what_the_code_makes(name):
    assert (HERE / name).read_text(encoding="utf-8") == build.files()[name], "run: python -m dashboards.build"


def test_nothing_else_is_committed_beside_them():
    found = {p.relative_to(HERE).as_posix() for part in ("grafana", "provisioning") for p in (HERE / part).rglob("*.*")}
    assert found - {"grafana/.lint"} == set(build.files())


@each
def test_template_datasource_rule(dashboard):
    (source,) = [v for v in dashboard["templating"]["list"] if v["type"] == "datasource"]
    assert (source["name"], source["label"], source["query"]) == ("datasource", "Data source", "influxdb")


@each
def test_panel_datasource_rule(dashboard):
    for panel in charts(dashboard):
        assert panel["datasource"] == DATASOURCE
        assert all(target["datasource"] == DATASOURCE for target in panel["targets"])
    assert all(a["datasource"] == DATASOURCE for a in dashboard["annotations"]["list"])
    assert all(v["datasource"] == DATASOURCE for v in dashboard["templating"]["list"] if v["type"] == "query")
    assert "${datasource}" in DATASOURCE["uid"]


@each
def test_panel_title_description_rule(dashboard):
    titles = [panel["title"] for panel in charts(dashboard)]
    assert all(titles)
    assert len(set(titles)) == len(titles)
    for panel in charts(dashboard):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["description"].endswith("."), panel["title"]


@each
def test_panel_units_rule(dashboard):
    for panel in charts(dashboard):
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]


@each
def test_panel_no_targets_rule(dashboard):
    for panel in charts(dashboard):
        assert panel["targets"], panel["title"]
        assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"])
        assert all(t["rawQuery"] and t["query"].strip() and t["alias"] for t in panel["targets"])


@each
def test_template_on_time_change_reload_rule(dashboard):
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["refresh"] == 2, variable["name"]


@each
def test_uneditable_dashboard_rule(dashboard):
    """The provisioned one can't be saved in Grafana, so it must not pretend to; the copy can."""
    assert dashboard["editable"] is dashboard["uid"].endswith("-editable")


@each
def test_template_variables_are_used_and_known(dashboard):
    known = {v["name"] for v in dashboard["templating"]["list"]}
    text = json.dumps(dashboard)
    used = set(re.findall(r"\$\{?([A-Za-z_]+)", text)) - {"__interval", "timeFilter", "col", "tag_channel"}
    assert used == known == {"datasource", "site", "system"}


@each
def test_every_query_asks_for_one_system_and_the_shown_time(dashboard):
    for query in queries(dashboard):
        assert "\"site\" = '$site' AND \"system\" = '$system' AND $timeFilter" in query, query
        (measurement,) = set(re.findall(r'FROM "ctwin_(\w+)"', query))
        assert measurement in MEASUREMENTS
        assert query.count('"') % 2 == 0
        assert query.count("(") == query.count(")")


@each
def test_uid_ids_crosshair_and_time(dashboard):
    assert re.fullmatch(r"ctwin-[a-z-]+", dashboard["uid"]), "stable, never numeric"
    ids = [panel["id"] for panel in panels(dashboard)]
    assert sorted(ids) == list(range(1, len(ids) + 1))
    assert dashboard["graphTooltip"] == 1, "shared crosshair"
    assert dashboard["time"]["to"].startswith("now+"), "the forecast lies ahead"
    assert len({model["uid"] for _, model in ALL}) == len(ALL)


@each
def test_tiles_first_and_details_collapsed(dashboard):
    kinds = [panel["type"] for panel in dashboard["panels"]]
    assert kinds[0] == "stat"
    assert "stat" not in kinds[kinds.index("row") :]
    last = dashboard["panels"][-1]
    assert last["type"] == "row"
    assert last["collapsed"]
    assert last["panels"]
    assert all(not p["panels"] for p in dashboard["panels"][:-1] if p["type"] == "row")


@each
def test_panels_fill_24_columns_and_do_not_overlap(dashboard):
    taken: dict[tuple[int, int], str] = {}
    for panel in panels(dashboard):
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} over {taken.get((x, y))}"
                taken[x, y] = panel["title"]


@each
def test_overrides_name_series_that_exist(dashboard):
    for panel in charts(dashboard):
        columns = {c for t in panel["targets"] for c in re.findall(r'AS "([^"]+)"', t["query"])}
        for item in panel["fieldConfig"]["overrides"]:
            assert item["matcher"]["options"] in columns, panel["title"]
            for prop in item["properties"]:
                assert re.fullmatch(r"color|custom\.[a-zA-Z]+", prop["id"])


def test_export_is_ready_for_grafana(tmp_path):
    written = build.export(tmp_path / "out", "http://db:8086", "mine", with_token=True)
    assert {p.relative_to(tmp_path / "out").as_posix() for p in written} == set(build.files())
    source = (tmp_path / "out/provisioning/datasources/ctwin.yml").read_text()
    entry = json.loads(source.split("  - ", 1)[1])
    assert source.startswith("apiVersion: 1\ndatasources:\n  - {")
    assert entry["url"] == "http://db:8086"
    assert entry["jsonData"]["dbName"] == "mine"
    assert entry["secureJsonData"] == {"httpHeaderValue1": "Token ${CTWIN_INFLUX_TOKEN}"}, "no secret in a file"
    provider = json.loads((tmp_path / "out/provisioning/dashboards/ctwin.yml").read_text().split("  - ", 1)[1])
    folder = Path(provider["options"]["path"])
    assert folder == (tmp_path / "out" / "grafana").resolve()
    assert json.loads((folder / "system.json").read_text())["uid"] == "ctwin-system"


def test_no_committed_file_names_a_machine():
    for name, text in build.files().items():
        assert "/home" not in text, name
        assert str(HERE.parent) not in text, name
