"""What the service tells about itself in Prometheus' text format, version 0.0.4.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Labels = dict[str, str]
Sample = tuple[Labels, float | int | bool | None]


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What one sensor has delivered since the start: readings taken, time of the last one [s], how late it came [s]."""

    samples: int
    last_time_s: float | None = None
    lag_s: float | None = None


def exposition(state: Mapping[str, Any], sources: Mapping[str, SourceCounts] | None = None) -> str:
    """Text of ``/metrics`` from a published state and the counts of each sensor; what is unknown is left out.

    >>> print(exposition({"pipeline": {"spool_bytes": 42}}))
    # HELP ctwin_spool_bytes Bytes waiting in the spool
    # TYPE ctwin_spool_bytes gauge
    ctwin_spool_bytes 42
    <BLANKLINE>
    """
    pipeline = state.get("pipeline") or {}
    consistency = state.get("consistency") or {}
    info = (
        [({"version": str(state["ctwin"]), "system": str(state["system"]), "site": str(state["site"])}, 1)]
        if "ctwin" in state
        else []
    )
    step_ms = pipeline.get("step_ms")
    families = [
        family("info", "gauge", "Which ctwin watches which system", info),
        family("simulated", "gauge", "1 if the readings are simulated", [({}, state.get("simulated"))]),
        family("state_timestamp_seconds", "gauge", "Time of the latest estimate", [({}, state.get("time_s"))]),
        family("step_seconds", "gauge", "Time the last step of the loop took",
               [({}, None if step_ms is None else step_ms / 1e3)]),
        family("journal_rows", "gauge", "Rows in the journal of readings", [({}, pipeline.get("journal_rows"))]),
        family("spool_bytes", "gauge", "Bytes waiting in the spool", [({}, pipeline.get("spool_bytes"))]),
        family("spool_oldest_age_seconds", "gauge", "Age of the oldest line in the spool",
               [({}, pipeline.get("spool_oldest_s"))]),
        family("nis_mean", "gauge", "Mean normalised innovation squared per reading; 1 if the model fits",
               [({}, consistency.get("nis_mean"))]),
        family("gate_rejects_total", "counter", "Readings refused by the gate for outliers",
               [({}, consistency.get("gated"))]),
        family("innovation_autocorrelation", "gauge", "Lag-1 autocorrelation of normalised innovations; 0 if the model fits",
               [({}, consistency.get("autocorrelation"))]),
        family("model_misfit", "gauge", "Highest score of all charts of innovations; 1 and above: the model doesn't fit",
               [({}, consistency.get("misfit"))]),
        *_fits(consistency.get("channels") or ()),
        *_sources(sources or {}),
        *_channels(state.get("sensors") or ()),
        *_judgement(state),
    ]  # fmt: skip
    return "".join(families)


def _sources(sources: Mapping[str, SourceCounts]) -> Iterable[str]:
    rows = [({"source": name}, counts) for name, counts in sources.items()]
    yield family("source_samples_total", "counter", "Readings taken", [(at, row.samples) for at, row in rows])
    yield family("source_last_timestamp_seconds", "gauge", "Time of the last reading",
                 [(at, row.last_time_s) for at, row in rows])  # fmt: skip
    yield family("source_lag_seconds", "gauge", "Arrival minus time of the last reading",
                 [(at, row.lag_s) for at, row in rows])  # fmt: skip


def _fits(channels: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    rows = [({"channel": row["name"]}, row) for row in channels]
    yield family("channel_nis_mean", "gauge", "Mean normalised innovation squared; 1 if the model fits",
                 [(at, row["nis_mean"]) for at, row in rows])  # fmt: skip
    yield family("channel_innovation_autocorrelation", "gauge", "Lag-1 autocorrelation; 0 if the model fits",
                 [(at, row["autocorrelation"]) for at, row in rows])  # fmt: skip
    yield family("channel_misfit", "gauge", "Score of a chart of innovations; 1 and above: the channel doesn't fit",
                 [({**at, "way": way}, score) for at, row in rows for way, score in row["charts"].items()])  # fmt: skip


def _channels(sensors: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    up: list[Sample] = []
    ages: list[Sample] = []
    stale: list[Sample] = []
    drops: list[Sample] = []
    unread: list[Sample] = []
    for sensor in sensors:
        up.append(({"source": sensor["name"], "state": sensor["state"]}, sensor["state"] == "ok"))
        counts = sensor.get("drops") or {}
        unread += [({"source": sensor["name"], "cause": cause}, count) for cause, count in sorted(counts.items())]
        for channel in sensor["channels"]:
            at = {"source": sensor["name"], "channel": channel["name"]}
            ages.append((at, channel["age_s"]))
            stale.append((at, channel["stale"]))
            drops += [({**at, "cause": cause}, count) for cause, count in sorted(channel["drops"].items())]
    yield family("source_up", "gauge", "1 if the sensor delivers", up)
    yield family("channel_age_seconds", "gauge", "Age of the channel's last good reading", ages)
    yield family("channel_stale", "gauge", "1 if the channel has been silent for too long", stale)
    yield family("channel_drops_total", "counter", "Readings not used, by cause", drops)
    yield family("source_drops_total", "counter", "Messages or rows that gave no reading, by cause", unread)


def _judgement(state: Mapping[str, Any]) -> Iterable[str]:
    resolution = state.get("resolution") or {}
    forecast = state.get("forecast") or {}
    spot = state.get("spot") or {}
    alarms = Counter((alert["state"], alert["severity"]) for alert in state.get("alerts") or ())
    counts: list[Sample] = [({"state": at, "severity": level}, n) for (at, level), n in sorted(alarms.items())]
    yield family("alarms", "gauge", "Alarms by state and severity", counts)
    yield family("half_pitch10_micrometres", "gauge", "Half-pitch at 10 % MTF in the object plane", [
        ({"of": "static"}, resolution.get("static_half_pitch10_um")),
        ({"of": "now"}, resolution.get("half_pitch10_um")),
        ({"of": "corrected"}, resolution.get("corrected_half_pitch10_um")),
        ({"of": "limit"}, resolution.get("limit_um")),
    ])  # fmt: skip
    yield family("spot_fwhm_micrometres", "gauge", "Size of the focal spot, where it is estimated", [
        ({"axis": axis}, at.get("fwhm_um")) for axis, at in spot.items()
    ])  # fmt: skip
    yield family("resolution_loss_ratio", "gauge", "1 - f10/f10_static", [
        ({"of": "now"}, resolution.get("loss_uncorrected")),
        ({"of": "corrected"}, resolution.get("loss_corrected")),
    ])  # fmt: skip
    yield family("vibration_nanometres", "gauge", "Rms vibration in the object plane, by accelerometer", [
        ({"channel": one["channel"], "axis": one["axis"], "of": word}, one[f"{word}_nm"])
        for one in state.get("vibration") or () for word in ("blur", "jitter")
    ])  # fmt: skip
    yield family("probability_of_loss", "gauge", "Probability that the limit is passed within the forecast's horizon",
                 [({}, forecast.get("probability_of_loss"))])  # fmt: skip


def family(name: str, kind: Literal["gauge", "counter"], text: str, samples: Iterable[Sample]) -> str:
    r"""One metric with its comment lines, or nothing if no value is known.

    >>> family("drops_total", "counter", "Drops", [({"cause": 'a "late" one'}, 3)]).splitlines()[-1]
    'ctwin_drops_total{cause="a \\"late\\" one"} 3'
    """
    lines = [f"ctwin_{name}{_labelled(labels)} {_number(value)}\n" for labels, value in samples if value is not None]
    if not lines:
        return ""
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP ctwin_{name} {text}\n# TYPE ctwin_{name} {kind}\n{''.join(lines)}"


def _labelled(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float | int | bool) -> str:
    number = float(value)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
