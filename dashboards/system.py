"""The dashboard "System": one CT system, from "is it good enough" down to the single sensor."""

from __future__ import annotations

from dashboards.panels import (
    ACCELERATION,
    DATASOURCE,
    MICROMETRE,
    NANOMETRE,
    SCOPE,
    Json,
    band,
    curves,
    line_style,
    panel,
    row,
    select,
    stat,
)

UID = "ctwin-system"
LOSS_STEPS = ((None, "green"), (0.05, "yellow"), (0.10, "red"))


def system(editable: bool = False) -> Json:
    """The dashboard's JSON model.

    Parameters
    ----------
    editable : bool
        Grafana can't save changes to a provisioned dashboard; an editable copy has a uid of its own beside it.
    """
    panels = [*_tiles(0), row("Focal spot", 5), *_spot(6), row("Machine", 14), *_machine(15),
              row("Vibration", 23), *_vibration(24), row("Resolution and forecast", 32), *_resolution(33),
              row("Alerts", 42), _alerts(43), _details(50)]  # fmt: skip
    for number, item in enumerate(_all(panels), 1):
        item["id"] = number
    return {
        "uid": f"{UID}-editable" if editable else UID,
        "title": "CT system (editable copy)" if editable else "CT system",
        "description": "Focal spot, temperatures, flux, resolution and its forecast, corrections and alerts of one "
        "X-ray CT, as estimated by ctwin.",
        "tags": ["ctwin"], "editable": editable, "graphTooltip": 1, "schemaVersion": 39, "version": 1,
        "timezone": "browser", "refresh": "30s",
        # the forecast lies ahead of now, so the picture does too
        "time": {"from": "now-16h", "to": "now+8h"},
        "timepicker": {"refresh_intervals": ["10s", "30s", "1m", "5m", "15m"]},
        "templating": {"list": _variables()}, "annotations": {"list": [_annotation(), _steps()]},
        "links": [], "panels": panels,
    }  # fmt: skip


def _variables() -> list[Json]:
    def tag(name: str, label: str, where: str = "") -> Json:
        query = f'SHOW TAG VALUES FROM "ctwin_state" WITH KEY = "{name}"{where}'
        return {
            "type": "query", "name": name, "label": label, "datasource": DATASOURCE, "query": query,
            "definition": query, "refresh": 2, "sort": 1, "multi": False, "includeAll": False, "hide": 0, "options": [],
            "current": {}, "regex": "",
        }  # fmt: skip

    return [
        {"type": "datasource", "name": "datasource", "label": "Data source", "query": "influxdb", "refresh": 1,
         "hide": 0, "multi": False, "includeAll": False, "options": [], "current": {}, "regex": ""},
        tag("site", "Site"),
        tag("system", "System", " WHERE \"site\" = '$site'"),
    ]  # fmt: skip


def _annotation() -> Json:
    """Every change of state of a rule; ``transition_code`` exists only at changes."""
    query = f'SELECT "transition_code", "channel" FROM "ctwin_alert" WHERE "transition_code" >= 0 AND {SCOPE}'  # noqa: S608
    columns = {"textColumn": "channel", "tagsColumn": "", "titleColumn": "", "timeEndColumn": ""}
    return {
        "name": "Alerts", "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": "red", "query": query,
        **columns, "target": {"refId": "Alerts", "query": query, "queryType": "tags", "fromAnnotations": True, **columns},
    }  # fmt: skip


def _steps() -> Json:
    """Recognised steps of the machine, at the instant they happened."""
    query = f'SELECT "kind_code", "channel" FROM "ctwin_step" WHERE {SCOPE}'  # noqa: S608
    columns = {"textColumn": "channel", "tagsColumn": "", "titleColumn": "", "timeEndColumn": ""}
    return {
        "name": "Steps", "datasource": DATASOURCE, "enable": True, "hide": False, "iconColor": "orange", "query": query,
        **columns, "target": {"refId": "Steps", "query": query, "queryType": "tags", "fromAnnotations": True, **columns},
    }  # fmt: skip


def _tiles(y: int) -> list[Json]:
    resolution = "ctwin_resolution"
    last = f'SELECT last("state_code") AS "state" FROM "ctwin_alert" WHERE {SCOPE} GROUP BY "channel"'  # noqa: S608
    active = f'SELECT count("state") AS "active" FROM ({last}) WHERE "state" >= 2 AND "state" <= 3'  # noqa: S608
    return [
        stat("Resolution", "Half-pitch at 10 % MTF the system reaches now, and what the scan must resolve. Smaller is "
             "better.", MICROMETRE,
             [(select('last("half_pitch10_um") AS "now", last("limit_half_pitch10_um") AS "limit"', resolution,
                      group=""), "$col")], (0, y, 6, 5), named=True, decimals=2),
        stat("Loss with correction", "Share of resolution lost to drift and vibration if reconstruction uses the "
             "corrections.", "percentunit", [(select('last("loss_corrected")', resolution, group=""), "loss")],
             (6, y, 5, 5), LOSS_STEPS, decimals=1),
        stat("Loss without correction", "Share of resolution lost to drift and vibration if the corrections are not "
             "used.", "percentunit", [(select('last("loss_uncorrected")', resolution, group=""), "loss")],
             (11, y, 5, 5), LOSS_STEPS, decimals=1),
        stat("Active alerts", "Rules whose last known state is active, acknowledged or not. Nothing known counts as "
             "none: see sensor ages below.", "none", [(active, "active")], (16, y, 4, 5),
             ((None, "green"), (1.0, "red")), noValue="0"),
        stat("Scan progress", "Projections taken of those planned.", "percentunit",
             [(select('last("done_ratio")', "ctwin_scan", group=""), "done")], (20, y, 4, 5), min=0, max=1, decimals=0),
    ]  # fmt: skip


def _spot(y: int) -> list[Json]:
    fields = (
        'mean("mean_um") AS "spot", mean("mean_um") - 2 * mean("std_um") AS "low", '
        'mean("mean_um") + 2 * mean("std_um") AS "high", mean("correction_um") AS "correction"'
    )
    meaning = {"u": "along detector columns", "v": "along detector rows", "w": "from source to detector"}
    return [
        curves(f"Focal spot {axis}", f"Displacement of the focal spot {meaning[axis]}: estimate with ±2σ band, and the "
               "offset given out to reconstruction.", MICROMETRE,
               [(select(fields, "ctwin_spot", f"\"channel\" = '{axis}'"), "$col")], (8 * i, y, 8, 8),
               [*band("low", "high", "blue"), line_style("spot", "blue"), line_style("correction", "orange", True)])
        for i, axis in enumerate("uvw")
    ]  # fmt: skip


def _machine(y: int) -> list[Json]:
    def by_channel(field: str) -> list[tuple[str, str]]:
        return [(select(f'mean("{field}")', "ctwin_reading", group='time($__interval), "channel"'), "$tag_channel")]

    return [
        curves("Temperatures", "Readings of all temperature channels, invalid ones left out.", "celsius",
               by_channel("temperature_degc"), (0, y, 12, 8)),
        curves("Flux", "Readings of all flux channels, in counts of the detector.", "short",
               by_channel("flux_counts"), (12, y, 12, 8)),
    ]  # fmt: skip


def _vibration(y: int) -> list[Json]:
    def by_channel(field: str, which: str) -> list[tuple[str, str]]:
        where = f'"channel" =~ /{which}/'
        return [(select(f'mean("{field}")', "ctwin_reading", where, 'time($__interval), "channel"'), "$tag_channel")]

    heat = {
        "calculate": False, "cellGap": 0, "color": {"mode": "scheme", "scheme": "Turbo", "scale": "exponential",
                                                    "exponent": 0.5, "steps": 64},
        "legend": {"show": True}, "rowsFrame": {"layout": "auto"}, "tooltip": {"mode": "single"},
    }  # fmt: skip
    return [
        curves("Vibration over time", "Rms motion in the object plane by accelerometer: blur within an exposure, and "
               "jitter between exposures.", NANOMETRE, by_channel("displacement_nm", "[.](blur|jitter)"), (0, y, 12, 8)),
        panel("heatmap", "Vibration spectrum", "Rms acceleration of the base in third-octave bands, one row per band and "
              "accelerometer, from low frequency (bottom) to high.", ACCELERATION,
              by_channel("acceleration_um_per_s2", "[.]band[.]"), (12, y, 12, 8), heat),
    ]  # fmt: skip


def _resolution(y: int) -> list[Json]:
    def forecast(quantity: str) -> tuple[str, str]:
        fields = 'mean("mean") AS "forecast", mean("low") AS "low", mean("high") AS "high"'
        return select(fields, "ctwin_forecast", f"\"channel\" = '{quantity}'"), "$col"

    now = (
        'mean("half_pitch10_um") AS "now", mean("static_half_pitch10_um") AS "without motion", '
        'mean("limit_half_pitch10_um") AS "limit"'
    )
    loss = 'mean("loss_corrected") AS "with correction", mean("loss_uncorrected") AS "without correction"'
    ahead = [*band("low", "high", "purple"), line_style("forecast", "purple", True)]
    return [
        curves("Resolution over time", "Half-pitch at 10 % MTF: now, what it would be without any motion, the scan's "
               "limit, and the last forecast for each instant with its ±2σ band.", MICROMETRE,
               [(select(now, "ctwin_resolution"), "$col"), forecast("half_pitch10_um")], (0, y, 12, 9),
               [*ahead, line_style("now", "blue"), line_style("without motion", "green"),
                line_style("limit", "red", True)]),
        curves("Resolution loss over time", "Share of resolution lost to motion, with and without the corrections, and "
               "the last forecast of the loss with corrections for each instant (±2σ).", "percentunit",
               [(select(loss, "ctwin_resolution"), "$col"), forecast("loss_corrected")], (12, y, 12, 9),
               [*ahead, line_style("with correction", "blue"), line_style("without correction", "orange")]),
    ]  # fmt: skip


def _alerts(y: int) -> Json:
    words = {
        "0": ("normal", "green"), "1": ("pending", "yellow"), "2": ("active", "red"),
        "3": ("active, acknowledged", "orange"), "4": ("returned, not acknowledged", "yellow"),
        "5": ("shelved", "blue"), "6": ("suppressed", "blue"), "7": ("out of service", "blue"),
    }  # fmt: skip
    options = {code: {"text": text, "color": color, "index": int(code)} for code, (text, color) in words.items()}
    return panel(
        "state-timeline", "Alerts", "State of each rule over time.", "none",
        [(select('last("state_code")', "ctwin_alert", group='time($__interval), "channel"'),
          "$tag_channel")],
        (0, y, 24, 7),
        {"showValue": "never", "mergeValues": True, "rowHeight": 0.8, "legend": {"showLegend": False}},
        {"mappings": [{"type": "value", "options": options}], "custom": {"fillOpacity": 80, "spanNulls": 300_000}},
    )  # fmt: skip


def _details(y: int) -> Json:
    def by_channel(what: str, measurement: str) -> list[tuple[str, str]]:
        return [(select(what, measurement, group='time($__interval), "channel"'), "$tag_channel")]

    return row("Consistency and sensors", y, [
        curves("Normalised innovation squared", "(Reading − prediction)²/σ² per channel, averaged. Near 1 the model "
               "agrees with the sensors; long above 2 it is wrong or a sensor is, long below 0.5 its noise is "
               "overstated.", "none", by_channel('mean("nis")', "ctwin_innovation"), (0, y + 1, 12, 8)),
        curves("Sensor ages", "Time since the last reading of each channel.", "s",
               by_channel('last("age_s")', "ctwin_age"), (12, y + 1, 12, 8)),
        curves("Quality of readings", "Worst quality in each interval: 0 good, 1 suspect, 2 invalid, 3 simulated.",
               "none", by_channel('max("quality_code")', "ctwin_reading"), (0, y + 9, 12, 8), drawStyle="points"),
        curves("Uncertainty of the spot", "σ of the estimated displacement: what the band above is twice of.",
               MICROMETRE, by_channel('mean("std_um")', "ctwin_spot"), (12, y + 9, 12, 8)),
    ])  # fmt: skip


def _all(panels: list[Json]) -> list[Json]:
    """Panels and those inside collapsed rows, in order."""
    return [item for outer in panels for item in (outer, *outer.get("panels", ()))]
