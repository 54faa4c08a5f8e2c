"""What a step of the twin tells the world: lines for InfluxDB and its relatives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from alerts.alert import Alert, Event
from models.consistency import Consistency
from models.correction import Correction
from models.estimate import Estimate, Forecast
from models.steps import StepEvent
from sensors.channel import Channel
from sensors.reading import Reading
from sensors.vibration import band_hz
from twin.config import Config
from twin.core import Outputs
from twin.outlook import Outlook
from twin.publish import series
from twin.publish.line_protocol import Tags
from twin.recognised import axes_of
from twin.state import Reference, correction_now

REPEAT_S = 60.0  # states of the rules and ages of the channels are told that often though nothing changes


class Outgoing:
    """Builds lines; remembers only when it told the standing alerts last."""

    def __init__(self, config: Config, channels: Mapping[str, Channel]) -> None:
        self._config = config
        self._tags = Tags(config.system.site, config.system.name)
        self._quantities = {channel.name: channel.quantity for channel in channels.values()}
        self._told = -math.inf

    def readings(self, readings: Iterable[Reading]) -> list[str]:
        """Readings as they came."""
        return series.reading_lines(self._tags, readings, self._quantities)

    def step(
        self,
        estimate: Estimate,
        outputs: Outputs,
        outlook: Outlook | None,
        reference: Reference | None,
        consistency: Consistency,
    ) -> list[str]:
        """One estimate and what follows from it; a forecast at the step that made it, how the model fits once a minute."""
        tags, time = self._tags, estimate.time
        lines = series.state_lines(tags, estimate) + series.innovation_lines(tags, estimate)
        lines += series.spot_lines(tags, time, {axis: self._spot(outputs, reference, axis) for axis in "uvw"})
        if time % REPEAT_S < self._config.estimator.grid_s:
            lines += series.consistency_lines(tags, time, consistency)
        if outlook is not None:
            values = {"limit_half_pitch10_um" if k == "limit_um" else k: v for k, v in outlook.values.items()}
            values = {k: v for k, v in values.items() if k in series.RESOLUTION_FIELDS}
            lines += series.resolution_lines(tags, time, values)
            if outlook.made_at == time:
                lines += self._forecast(outlook)
        if reference is not None:
            lines += series.scan_lines(tags, time, reference.scan.name, reference.done, reference.total)
        return lines

    @staticmethod
    def _spot(outputs: Outputs, reference: Reference | None, axis: str) -> dict[str, float]:
        name = f"source.{axis}"
        moved = correction_now(reference, name)
        return {
            "mean_um": outputs.value(name) * 1e6,
            "std_um": outputs.std(name) * 1e6,
            "correction_um": math.nan if moved is None else moved * 1e6,
        }

    def _forecast(self, outlook: Outlook) -> list[str]:
        lines = []
        for kind, name, blur in (
            ("uncorrected", "half_pitch10_um", outlook.uncorrected),
            ("corrected", "corrected_half_pitch10_um", outlook.corrected),
        ):
            pitch = blur.half_pitch_um()
            loss = [1.0 - 0.5e6 / curve / outlook.static_f10 for curve in pitch]
            for quantity, unit, (mean, low, high) in ((name, "um", pitch), (f"loss_{kind}", "1", loss)):
                forecast = Forecast(quantity, unit, outlook.made_at, blur.times, mean, (high - low) / 4.0)
                lines += series.forecast_lines(self._tags, forecast)
        return lines

    def recognised(self, events: Iterable[StepEvent]) -> list[str]:
        """Steps of the machine, each at the instant it happened."""
        return [
            text
            for event in events
            for text in series.step_lines(
                self._tags, event.time, event.name, event.kind, axes_of(event), event.probability, event.told
            )
        ]

    def events(self, events: Iterable[Event]) -> list[str]:
        """Changes of alerts."""
        lines = []
        for event in events:
            value = math.nan if event.value is None else event.value
            lines += series.alert_lines(
                self._tags, event.time, event.rule, str(event.state), str(event.severity), value, transition=True
            )
        return lines

    def standing(self, now: float, alerts: Sequence[Alert], good: Mapping[str, float]) -> list[str]:
        """State of every rule and age of every channel, once a minute."""
        if now < self._told + REPEAT_S:
            return []
        self._told = now
        ages = {name: max(now - time, 0.0) for name, time in good.items() if math.isnan(band_hz(name))}
        lines = series.age_lines(self._tags, now, ages)
        by_rule = {alert.rule: alert for alert in alerts}
        for rule in self._config.alerts:
            alert = by_rule.get(rule.name)
            state = str(alert.state) if alert else "normal"
            lines += series.alert_lines(self._tags, now, rule.name, state, rule.severity)
        return lines

    def correction(self, correction: Correction) -> list[str]:
        """Corrections of a finished scan."""
        return series.correction_lines(self._tags, correction)
