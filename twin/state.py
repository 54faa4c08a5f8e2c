"""What is known now, for the page, the rules and the store: one place where estimates get their display units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alerts.alert import Alert
from alerts.rule import Snapshot
from models.blur import CONVENTION
from models.thermal import REFERENCE_K, temperature
from sensors.channel import Channel
from sensors.reading import Quality, Reading
from sensors.timestamps import iso
from sensors.vibration import band_hz
from twin import __version__
from twin.core import Outputs, Twin
from twin.misfit import describe
from twin.outlook import Outlook
from twin.recognised import largest, page_list
from twin.scan_watch import Watched
from twin.spot import spot_size
from twin.vibration import vibration_state

AXES = "uvw"


@dataclass(slots=True)
class SourceState:
    """How a sensor is doing: ok, waiting, retrying, failed or ended; and what it had to drop."""

    name: str
    kind: str
    state: str = "waiting"
    message: str = ""
    samples: int = 0
    last_time: float | None = None
    lag_s: float | None = None
    drops: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Latest:
    """Last readings by channel; ``good`` is the time of the last one an estimator could use."""

    reading: dict[str, Reading] = field(default_factory=dict)
    good: dict[str, float] = field(default_factory=dict)
    simulated: bool = False
    since: float = math.nan  # when rules looked first: a channel that never spoke is silent from then on

    def age(self, channel: Channel, now: float) -> float:
        """Seconds since the last good reading; for one that never came since the watch began; at least 0."""
        if channel.name not in self.good and not math.isfinite(channel.stale_after_s):
            return math.inf
        return max(now - self.good.get(channel.name, self.since), 0.0)

    def take(self, readings: Sequence[Reading]) -> None:
        """Take readings in order of arrival."""
        for reading in readings:
            self.reading[reading.channel] = reading
            if reading.quality.usable:
                self.good[reading.channel] = max(reading.time, self.good.get(reading.channel, -math.inf))
            if reading.quality is Quality.SIMULATED:
                self.simulated = True


@dataclass(slots=True)
class Reference:
    """The scan under way: outputs at its first projection, and at the last one a correction was given out for."""

    scan: Watched
    first: dict[str, float]
    given: dict[str, float] = field(default_factory=dict)
    done: int = 0

    @property
    def total(self) -> int:
        """Number of projections planned."""
        return self.scan.total

    def pass_projections(self, done: int, outputs: Mapping[str, float]) -> None:
        """Give out a correction for every projection that has been taken by now: the position it stands for is kept."""
        if done > self.done or not self.given:
            self.done, self.given = done, dict(outputs)


def correction_now(reference: Reference | None, name: str) -> float | None:
    """Correction given out for the last projection, relative to the scan's first; None without a scan."""
    return None if reference is None else reference.given[name] - reference.first[name]


def sample_of(
    twin: Twin, outputs: Outputs, outlook: Outlook | None, reference: Reference | None
) -> dict[str, float | None]:
    """Row of the charts."""
    row: dict[str, float | None] = {"time_s": twin.time}
    for axis in AXES:
        row[f"spot_{axis}_um"] = outputs.value(f"source.{axis}") * 1e6
        row[f"spot_{axis}_std_um"] = outputs.std(f"source.{axis}") * 1e6
        # drawn at the position it stands for, so that it lies on the estimate it was made from
        row[f"correction_{axis}_um"] = None if reference is None else reference.given[f"source.{axis}"] * 1e6
    size = spot_size(twin.machine.model, twin.belief.mean, twin.belief.cov)
    for k, axis in enumerate("uv"):
        if size is not None:
            row[f"spot_fwhm_{axis}_um"], row[f"spot_fwhm_{axis}_std_um"] = size.fwhm_um[k], size.std_um[k]
        row[f"shift_{axis}_px"] = outputs.value(f"shift.{axis}")
        row[f"shift_{axis}_std_px"] = outputs.std(f"shift.{axis}")
    if twin.machine.has_flux and outputs.std("flux") < 1.0:
        row["flux_relative"] = math.exp(
            outputs.value("flux") - (reference.first["flux"] if reference else outputs.value("flux"))
        )
    if outlook is not None:
        values = outlook.values
        for name in ("half_pitch10_um", "corrected_half_pitch10_um", "loss_uncorrected", "loss_corrected"):
            row[name] = values[name]
    row |= vibration_values(twin)
    mean = twin.belief.mean
    for node in twin.config.nodes:
        row[f"temperature.{node.name}"] = (
            float(mean[twin.machine.model.index(temperature(node.name))]) + REFERENCE_K - 273.15
        )
    return row


def vibration_values(twin: Twin) -> dict[str, float]:
    """Rms blur within an exposure, as rules and charts name it; nothing along an axis of which no accelerometer tells."""
    levels = {axis: twin.vectoriser.vibration.level(axis) for axis in "uv"}
    return {f"vibration_{axis}_nm": level["blur"] * 1e9 for axis, level in levels.items() if level is not None}


def snapshot_of(
    twin: Twin,
    outputs: Outputs,
    outlook: Outlook | None,
    latest: Latest,
    channels: Mapping[str, Channel],
    sample: Mapping[str, float | None],
    now: float,
) -> Snapshot:
    """What rules may look at, in display units; before the first estimate that is the channels' silence only."""
    ages = {name: latest.age(channel, now) for name, channel in channels.items()}
    limits = {name: channel.stale_after_s for name, channel in channels.items()}
    if math.isnan(twin.time):
        return Snapshot(now, {}, {}, ages, limits, {}, latest.simulated)
    # an operator's word has no channel, nor has what is in the journal of one that was configured once
    told = {name: r for name, r in latest.reading.items() if name in channels and r.quality.usable}
    values = {name: channels[name].raw(r.value) for name, r in told.items()}
    values |= {name: v for name, v in sample.items() if v is not None and name.startswith("temperature.")}
    sigmas: dict[str, float] = {}
    for axis in AXES:
        values[f"source_{axis}_um"] = outputs.value(f"source.{axis}") * 1e6
        sigmas[f"source_{axis}_um"] = outputs.std(f"source.{axis}") * 1e6
    for axis in "uv":
        values[f"shift_{axis}_px"] = outputs.value(f"shift.{axis}")
        sigmas[f"shift_{axis}_px"] = outputs.std(f"shift.{axis}")
        if (width := sample.get(f"spot_fwhm_{axis}_um")) is not None:
            values[f"spot_fwhm_{axis}_um"] = width
            sigmas[f"spot_fwhm_{axis}_um"] = float(sample.get(f"spot_fwhm_{axis}_std_um") or 0.0)
    if sample.get("flux_relative") is not None:
        values["flux_relative"] = float(sample["flux_relative"] or 0.0)
    values |= vibration_values(twin)
    values["scanning"] = 1.0 if twin.scanning else 0.0
    values |= {name: value for name, value in _consistency(twin).items() if value is not None}
    misfit = twin.consistency.worst()
    values |= largest(twin.recognised, now)
    if outlook is not None:
        values |= outlook.values
    return Snapshot(
        now, values, sigmas,
        ages,
        limits,
        {} if outlook is None else {"loss_uncorrected": outlook.uncorrected, "loss_corrected": outlook.corrected},
        latest.simulated,
        {} if misfit is None else {"model_misfit": describe(misfit, channels[misfit.channel].quantity)},
    )  # fmt: skip


def _consistency(twin: Twin) -> dict[str, float | None]:
    """How well the model fits its machine, as rules name it."""
    fit = twin.consistency
    found = {"nis": fit.nis, "innovation_autocorrelation": fit.autocorrelation, "model_misfit": fit.misfit}
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def page_state(
    twin: Twin,
    outputs: Outputs,
    outlook: Outlook | None,
    latest: Latest,
    channels: Mapping[str, Channel],
    sources: Sequence[SourceState],
    alerts: Sequence[Alert],
    reference: Reference | None,
    pipeline: Mapping[str, Any],
    now: float,
) -> dict[str, Any]:
    """The JSON behind ``/api/state`` (docs/reference/http.md)."""
    config, model = twin.config, twin.machine.model
    spot = {}
    for axis in AXES:
        moved = correction_now(reference, f"source.{axis}")
        spot[axis] = {
            "mean_um": outputs.value(f"source.{axis}") * 1e6,
            "std_um": outputs.std(f"source.{axis}") * 1e6,
            "correction_um": 0.0 if moved is None else moved * 1e6,
        }
    size = spot_size(model, twin.belief.mean, twin.belief.cov)
    if size is not None:
        for k, axis in enumerate("uv"):
            spot[axis] |= {"fwhm_um": size.fwhm_um[k], "fwhm_std_um": size.std_um[k]}
    temperatures = []
    for node in config.nodes:
        i = model.index(temperature(node.name))
        temperatures.append(
            {
                "name": node.name,
                "mean_degc": float(twin.belief.mean[i]) + REFERENCE_K - 273.15,
                "std_k": math.sqrt(max(float(twin.belief.cov[i, i]), 0.0)),
            }
        )
    flux = None
    if twin.machine.has_flux and outputs.std("flux") < 1.0:
        first = reference.first["flux"] if reference else outputs.value("flux")
        flux = {
            "relative": math.exp(outputs.value("flux") - first),
            "std": outputs.std("flux"),
            "counts": math.exp(outputs.value("flux")),
        }
    return {
        "ctwin": __version__,
        "system": config.system.name,
        "site": config.system.site,
        "simulated": latest.simulated,
        "time": iso(now),
        "time_s": now,
        "scan": _scan(reference),
        "spot": spot,
        "shift": {a: {"mean_px": outputs.value(f"shift.{a}"), "std_px": outputs.std(f"shift.{a}")} for a in "uv"},
        "temperatures": temperatures,
        "flux": flux,
        "vibration": vibration_state(config, latest.reading),
        "resolution": None if outlook is None else {"convention": CONVENTION, **outlook.values},
        "forecast": None if outlook is None else outlook.page,
        "alerts": [_alert(a) for a in alerts],
        "steps": page_list(list(twin.recognised)),
        "sensors": [_sensor(s, latest, channels, twin, now) for s in sources],
        "consistency": _consistency_page(twin, channels),
        "pipeline": dict(pipeline),
    }


def _consistency_page(twin: Twin, channels: Mapping[str, Channel]) -> dict[str, Any]:
    found, worst = _consistency(twin), twin.consistency.worst()
    rows = []
    for name, fit in twin.consistency.channels.items():
        if fit.moments.count:
            correlation = fit.moments.autocorrelation
            rows.append({
                "name": name,
                "nis_mean": fit.moments.nis,
                "autocorrelation": None if math.isnan(correlation) else correlation,
                "misfit": twin.consistency.score(name),
                "charts": twin.consistency.charts(name),
            })  # fmt: skip
    return {
        "nis_mean": found["nis"],
        "autocorrelation": found["innovation_autocorrelation"],
        "misfit": found["model_misfit"],
        "said": describe(worst, channels[worst.channel].quantity) if worst is not None and worst.score >= 1.0 else "",
        "gated": twin.gated,
        "channels": rows,
    }


def _scan(reference: Reference | None) -> dict[str, Any] | None:
    if reference is None:
        return None
    scan, done = reference.scan, reference.done
    return {
        "name": scan.name,
        "projection": done,
        "projections": scan.total,
        "started": iso(scan.started),
        "fraction": min(done / scan.total, 1.0),
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.episode,
        "name": alert.rule,
        "state": str(alert.state),
        "severity": str(alert.severity),
        "since": iso(alert.raised or alert.started),
        "message": alert.message,
        "guidance": alert.guidance,
        "acknowledged": alert.acknowledged is not None,
        "simulated": alert.simulated,
    }


def _sensor(
    source: SourceState, latest: Latest, channels: Mapping[str, Channel], twin: Twin, now: float
) -> dict[str, Any]:
    rows = []
    for channel in channels.values():
        if channel.sensor != source.name or not math.isnan(band_hz(channel.name)):  # bands are drawn as a spectrum
            continue
        reading = latest.reading.get(channel.name)
        age = now - latest.good[channel.name] if channel.name in latest.good else None
        drops = {cause: n for (name, cause), n in twin.aligner.drops.items() if name == channel.name}
        scale = channel.raw(1.0) - channel.raw(0.0)
        rows.append(
            {
                "name": channel.name,
                "quantity": channel.quantity,
                "unit": channel.unit,
                "value": None if reading is None else channel.raw(reading.value),
                "sigma": None if reading is None or math.isnan(reading.sigma) else reading.sigma * scale,
                "quality": "" if reading is None else str(reading.quality),
                "age_s": None if age is None else max(age, 0.0),
                "stale": age is None or age > channel.stale_after_s,
                "drops": drops,
            }
        )
    return {
        "name": source.name,
        "kind": source.kind,
        "state": source.state,
        "message": source.message,
        "drops": dict(source.drops),
        "channels": rows,
    }
