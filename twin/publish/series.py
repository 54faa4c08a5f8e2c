"""What ctwin publishes: one builder per measurement, each returning lines of line protocol.

========================  ==================  ==========================================================================
measurement               channel             fields
========================  ==================  ==========================================================================
``ctwin_reading``         channel             value, sigma [SI], quality_code; one in a display unit besides
``ctwin_state``           label of the state  mean, std [unit of the state]
``ctwin_innovation``      channel             value, sigma [SI], nis = (value/sigma)²
``ctwin_consistency``     channel             nis, autocorrelation, misfit; its charts by name
``ctwin_age``             channel             age_s: seconds since its last reading
``ctwin_spot``            u, v, w             mean_um, std_um, correction_um
``ctwin_resolution``      ``scan``            :data:`RESOLUTION_FIELDS`
``ctwin_forecast``        quantity            mean, low, high (±2σ), horizon_s; time = the instant that is forecast
``ctwin_correction``      name of the scan    ``models.correction.Correction`` flattened; time = the projection's
``ctwin_scan``            name of the scan    projections_done, projections_total, done_ratio
``ctwin_alert``           name of the rule    state_code, severity_code, value; transition_code where it changed
``ctwin_step``            what stepped        u_um, v_um, w_um or relative, each with ``_std``; kind_code, probability
========================  ==================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from models.consistency import Consistency
from models.correction import Correction
from models.estimate import Estimate, Forecast
from sensors.reading import Quality, Reading
from twin.publish.line_protocol import LineError, Tags, line

QUALITY_CODES = {Quality.GOOD: 0, Quality.SUSPECT: 1, Quality.INVALID: 2, Quality.SIMULATED: 3}
SEVERITY_CODES = {"info": 0, "minor": 1, "major": 2, "critical": 3}
# The states of an episode (ISA-18.2); an alarm is active where the code is 2 or 3.
STATE_CODES = {
    "normal": 0, "pending": 1, "active_unacknowledged": 2, "active_acknowledged": 3, "returned_unacknowledged": 4,
    "shelved": 5, "suppressed": 6, "out_of_service": 7,
}  # fmt: skip
STEP_CODES = {"step": 0, "breakdown": 1}
RESOLUTION_FIELDS = (
    "f10_lp_per_mm", "half_pitch10_um", "static_half_pitch10_um", "fwhm_um", "loss_uncorrected", "loss_corrected",
    "limit_half_pitch10_um",
)  # fmt: skip

# Quantities that a dashboard shows side by side get a field of their own in a unit people read: InfluxQL can't ask for
# "all channels that are temperatures" when the quantity is no tag, but it can ask for all that have a field.
# Quantity → field, offset, factor.
_DISPLAY = {
    "temperature": ("temperature_degc", -273.15, 1.0), "flux": ("flux_counts", 0.0, 1.0),
    "displacement": ("displacement_nm", 0.0, 1e9), "acceleration": ("acceleration_um_per_s2", 0.0, 1e6),
}  # fmt: skip


def series_lines(tags: Tags, measurement: str, time: float, fields: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Lines of any measurement at one instant: channel → field → value."""
    return _kept(line(tags, measurement, channel, time, values) for channel, values in fields.items())


def reading_lines(tags: Tags, readings: Iterable[Reading], quantities: Mapping[str, str] | None = None) -> list[str]:
    """Readings in SI units, each with its quality as a number (:data:`QUALITY_CODES`).

    Parameters
    ----------
    quantities : mapping of channel to quantity, optional
        With it temperatures also carry ``temperature_degc``, fluxes ``flux_counts``, vibration ``displacement_nm``
        and ``acceleration_um_per_s2``, which the dashboard shows.

    Examples
    --------
    >>> reading_lines(Tags("lab", "ct"), [Reading("t1", 1.0, 293.15, 0.5)], {"t1": "temperature"})[0].split()[1]
    'value=293.15,sigma=0.5,quality_code=0.0,temperature_degc=20.0'
    """
    lines: list[str | None] = []
    for reading in readings:
        fields = {"value": reading.value, "sigma": reading.sigma, "quality_code": QUALITY_CODES[reading.quality]}
        shown = _DISPLAY.get((quantities or {}).get(reading.channel, ""))
        # an invalid value (a sentinel such as -180 °C) would only spoil the picture's scale
        if shown is not None and reading.quality is not Quality.INVALID:
            fields[shown[0]] = (reading.value + shown[1]) * shown[2]
        lines.append(line(tags, "ctwin_reading", reading.channel, reading.time, fields))
    return _kept(lines)


def state_lines(tags: Tags, estimate: Estimate) -> list[str]:
    """Mean and σ of every state, each in the unit the estimate gives it."""
    std = np.sqrt(np.maximum(np.diag(estimate.cov), 0.0))
    return _kept(
        line(tags, "ctwin_state", label, estimate.time, {"mean": mean, "std": sigma})
        for label, mean, sigma in zip(estimate.names, estimate.mean, std, strict=True)
    )


def innovation_lines(tags: Tags, estimate: Estimate) -> list[str]:
    """How far each reading lay from its prediction; in a consistent filter ``nis`` is χ² with one degree of freedom."""
    return _kept(
        line(tags, "ctwin_innovation", channel, estimate.time, _innovation(value, sigma))
        for channel, (value, sigma) in estimate.innovation.items()
    )


def _innovation(value: float, sigma: float) -> dict[str, float]:
    return {"value": value, "sigma": sigma, "nis": (value / sigma) ** 2 if sigma > 0 else float("nan")}


def consistency_lines(tags: Tags, time: float, consistency: Consistency) -> list[str]:
    """How well the model fits each channel; charts in thresholds, ``misfit`` the highest of them."""
    fields = {}
    for channel, fit in consistency.channels.items():
        moments = {"nis": fit.moments.nis, "autocorrelation": fit.moments.autocorrelation}
        if fit.moments.count:
            fields[channel] = {**moments, "misfit": consistency.score(channel), **consistency.charts(channel)}
    return series_lines(tags, "ctwin_consistency", time, fields)


def age_lines(tags: Tags, time: float, ages: Mapping[str, float]) -> list[str]:
    """Seconds since each channel's last reading."""
    return series_lines(tags, "ctwin_age", time, {channel: {"age_s": age} for channel, age in ages.items()})


def spot_lines(tags: Tags, time: float, axes: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Focal spot along ``u``, ``v``, ``w``: ``mean_um``, ``std_um`` and the offset given out, ``correction_um``."""
    _known("spot axis", axes, ("u", "v", "w"))
    for values in axes.values():
        _known("spot field", values, ("mean_um", "std_um", "correction_um"))
    return series_lines(tags, "ctwin_spot", time, axes)


def resolution_lines(tags: Tags, time: float, fields: Mapping[str, float]) -> list[str]:
    """Resolution now; ``limit_half_pitch10_um`` is what the scan must resolve (``scan.resolution_limit_um``)."""
    _known("resolution field", fields, RESOLUTION_FIELDS)
    return series_lines(tags, "ctwin_resolution", time, {"scan": fields})


def forecast_lines(tags: Tags, forecast: Forecast) -> list[str]:
    """A forecast, each point at the instant it is about.

    A later forecast of the same instant overwrites the earlier one wherever their instants coincide (give forecasts a
    common grid), so that the series holds the *last* thing said about each instant, and ``horizon_s`` how long before.
    VictoriaMetrics keeps both points and drops instants more than two days ahead.
    """
    points = zip(forecast.times, forecast.mean, forecast.std, strict=True)
    return _kept(
        line(tags, "ctwin_forecast", forecast.quantity, float(time), {
            "mean": mean, "low": mean - 2.0 * std, "high": mean + 2.0 * std, "horizon_s": time - forecast.made_at,
        })
        for time, mean, std in points
    )  # fmt: skip


def correction_lines(tags: Tags, correction: Correction) -> list[str]:
    """A scan's corrections, one line per projection with the columns of ``corrections.csv``."""
    columns: dict[str, np.ndarray] = {
        "projection": correction.projection, "angle_deg": correction.angle_deg,
        "magnification": correction.magnification, "magnification_std": correction.magnification_std,
        "flux": correction.flux, "flux_std": correction.flux_std,
    }  # fmt: skip
    for body in ("source", "object", "detector"):
        for i, axis in enumerate("uvw"):
            columns[f"{body}_{axis}_um"] = getattr(correction, f"{body}_um")[:, i]
            columns[f"{body}_{axis}_um_std"] = getattr(correction, f"{body}_um_std")[:, i]
    for i, axis in enumerate("uv"):
        columns[f"shift_{axis}_px"] = correction.shift_px[:, i]
        columns[f"shift_{axis}_px_std"] = correction.shift_px_std[:, i]
    return _kept(
        line(
            tags, "ctwin_correction", correction.scan, float(time), {key: column[k] for key, column in columns.items()}
        )
        for k, time in enumerate(correction.time)
    )


def step_lines(
    tags: Tags,
    time: float,
    name: str,
    kind: str,
    sizes: Mapping[str, tuple[float, float]],
    probability: float,
    told: float,
) -> list[str]:
    """A recognised step (``kind_code`` 0) or breakdown (1): size and σ; ``after_s`` is how long recognition took.

    Examples
    --------
    >>> step_lines(Tags("lab", "ct"), 1.0, "source", "step", {"u_um": (0.2, 0.05)}, 0.99, 61.0)[0].split()[1]
    'kind_code=0.0,probability=0.99,after_s=60.0,u_um=0.2,u_um_std=0.05'
    """
    _known("kind of step", (kind,), STEP_CODES)
    fields = {"kind_code": float(STEP_CODES[kind]), "probability": probability, "after_s": told - time}
    for axis, (size, sigma) in sizes.items():
        fields |= {axis: size, f"{axis}_std": sigma}
    return series_lines(tags, "ctwin_step", time, {name: fields})


def scan_lines(tags: Tags, time: float, scan: str, done: int, total: int) -> list[str]:
    """How far a scan has come."""
    ratio = done / total if total > 0 else float("nan")
    fields = {"projections_done": float(done), "projections_total": float(total), "done_ratio": ratio}
    return series_lines(tags, "ctwin_scan", time, {scan: fields})


def alert_lines(
    tags: Tags,
    time: float,
    rule: str,
    state: str,
    severity: str,
    value: float = float("nan"),
    transition: bool = False,
) -> list[str]:
    """State of a rule as numbers (:data:`STATE_CODES`, :data:`SEVERITY_CODES`).

    Write every change of state with ``transition`` (it becomes an annotation in the dashboard), and each rule's state
    once a minute without it: what is active now is then the last point of each rule.

    Parameters
    ----------
    value : float
        What the rule looked at, in its unit.
    """
    state, severity = state.replace("-", "_").lower(), severity.lower()
    _known("alert state", (state,), STATE_CODES)
    _known("severity", (severity,), SEVERITY_CODES)
    code = float(STATE_CODES[state])
    fields = {"state_code": code, "severity_code": float(SEVERITY_CODES[severity]), "value": value}
    return series_lines(tags, "ctwin_alert", time, {rule: fields | ({"transition_code": code} if transition else {})})


def _known(what: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    for key in given:
        if key not in allowed:
            raise LineError(f"no {what} {key!r}; there are {', '.join(allowed)}")


def _kept(lines: Iterable[str | None]) -> list[str]:
    return [text for text in lines if text is not None]
