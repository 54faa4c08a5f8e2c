"""Panels of a Grafana dashboard as plain dictionaries, with what all of ours have in common.

The JSON model is Grafana's (documentation, "Dashboard JSON model"); queries are InfluxQL, which InfluxDB 1, 2 and 3
all answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

DATASOURCE: Json = {"type": "influxdb", "uid": "${datasource}"}
SCOPE = "\"site\" = '$site' AND \"system\" = '$system' AND $timeFilter"

# Grafana knows no micrometre; "suffix:" is its way to a unit of one's own.
MICROMETRE = "suffix:µm"
NANOMETRE = "suffix:nm"
ACCELERATION = "suffix:µm/s²"


def select(what: str, measurement: str, where: str = "", group: str = "time($__interval)") -> str:
    """An InfluxQL query over one measurement of one system.

    Examples
    --------
    >>> select('last("x")', "m", group="")
    'SELECT last("x") FROM "m" WHERE "site" = \\'$site\\' AND "system" = \\'$system\\' AND $timeFilter'
    """
    condition = f"{where} AND {SCOPE}" if where else SCOPE
    grouping = f" GROUP BY {group} fill(none)" if group else ""
    return f'SELECT {what} FROM "{measurement}" WHERE {condition}{grouping}'  # noqa: S608 - constants of this package


def target(query: str, alias: str = "$col", letter: str = "A") -> Json:
    """One query of a panel; the alias names its series (``$col`` column, ``$tag_channel`` channel)."""
    return {
        "refId": letter, "datasource": DATASOURCE, "query": query, "rawQuery": True, "alias": alias,
        "resultFormat": "time_series",
    }  # fmt: skip


def panel(
    kind: str,
    title: str,
    description: str,
    unit: str,
    queries: Sequence[tuple[str, str]],
    place: tuple[int, int, int, int],
    options: Json,
    defaults: Json | None = None,
    overrides: Sequence[Json] = (),
) -> Json:
    """A panel of any kind; ``place`` is x, y, width, height on Grafana's 24 columns, ``queries`` (InfluxQL, alias)."""
    x, y, width, height = place
    return {
        "type": kind, "title": title, "description": description, "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": width, "h": height},
        "fieldConfig": {"defaults": {"unit": unit, **(defaults or {})}, "overrides": list(overrides)},
        "options": options,
        "targets": [target(query, alias, chr(ord("A") + i)) for i, (query, alias) in enumerate(queries)],
    }  # fmt: skip


def stat(
    title: str,
    description: str,
    unit: str,
    queries: Sequence[tuple[str, str]],
    place: tuple[int, int, int, int],
    steps: Sequence[tuple[float | None, str]] = ((None, "text"),),
    named: bool = False,
    **defaults: Any,
) -> Json:
    """A tile with the last value of each series, ``named`` or bare; ``steps`` are (from which value, colour)."""
    thresholds = {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}
    options = {
        "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "horizontal",
        "textMode": "value_and_name" if named else "value",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }  # fmt: skip
    return panel("stat", title, description, unit, queries, place, options, {"thresholds": thresholds, **defaults})


def curves(
    title: str,
    description: str,
    unit: str,
    queries: Sequence[tuple[str, str]],
    place: tuple[int, int, int, int],
    overrides: Sequence[Json] = (),
    **custom: Any,
) -> Json:
    """Curves over time with a shared crosshair."""
    options = {
        "tooltip": {"mode": "multi", "sort": "none"},
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull"]},
    }
    # a gap stays a gap: after a disconnect the value is unknown, not the last one
    defaults = {"custom": {"lineWidth": 1, "fillOpacity": 0, "showPoints": "auto", "spanNulls": False, **custom}}
    return panel("timeseries", title, description, unit, queries, place, options, defaults, overrides)


def override(series: str, **properties: Any) -> Json:
    """Properties of one series by its name; ``custom_x`` means ``custom.x``."""
    return {
        "matcher": {"id": "byName", "options": series},
        "properties": [
            {"id": key.replace("custom_", "custom.", 1), "value": value} for key, value in properties.items()
        ],
    }


def band(low: str, high: str, color: str) -> list[Json]:
    """Overrides that draw two series as the edges of a band."""
    fixed: Json = {"mode": "fixed", "fixedColor": color}
    hidden: Mapping[str, bool] = {"legend": True, "tooltip": False, "viz": False}
    return [
        override(high, color=fixed, custom_lineWidth=0, custom_fillBelowTo=low, custom_fillOpacity=20,
                 custom_hideFrom=dict(hidden), custom_showPoints="never"),
        override(low, color=fixed, custom_lineWidth=0, custom_hideFrom=dict(hidden), custom_showPoints="never"),
    ]  # fmt: skip


def line_style(series: str, color: str, dashed: bool = False) -> Json:
    """Override: one series in a fixed colour, dashed for what is a limit or a prediction."""
    style: Json = {"fill": "dash", "dash": [8, 6]} if dashed else {"fill": "solid"}
    return override(
        series, color={"mode": "fixed", "fixedColor": color}, custom_lineStyle=style, custom_showPoints="never",
        custom_lineWidth=2,
    )  # fmt: skip


def row(title: str, y: int, panels: Sequence[Json] = ()) -> Json:
    """A heading; with panels it is collapsed and holds them."""
    return {
        "type": "row", "title": title, "collapsed": bool(panels), "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
        "panels": list(panels),
    }  # fmt: skip
