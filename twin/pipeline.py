"""One batch of readings through everything: journal, estimate, outlook, rules, store, page and publication.

Synchronous and free of clocks: ``now`` is passed in. The live service, the demo and a replay call the same method.
"""

from __future__ import annotations

import math
import time as wall
from collections.abc import Callable, Sequence
from typing import Any

from alerts.alert import Alert, Event
from alerts.book import Book
from models.estimate import Estimate, Forecast
from sensors.channel import Channel
from sensors.reading import Reading
from twin.board import Board
from twin.channels import channels_of, rules_of
from twin.config import Config
from twin.core import Outputs, Twin
from twin.episodes import EpisodeStore
from twin.history import History
from twin.outlook import Outlook, look_ahead
from twin.publish import series
from twin.publish.influx import Publisher
from twin.publish.line_protocol import Tags
from twin.scan import Scan
from twin.state import Latest, Reference, SourceState, page_state, sample_of, snapshot_of

OUTPUT_NAMES = ("source.u", "source.v", "source.w", "flux", "shift.u", "shift.v")
ALERT_REPEAT_S = 60.0


class Pipeline:
    """The machine's state and everybody who is told of it.

    Parameters
    ----------
    config : Config
    history : History
    publisher : Publisher, optional
    scan : Scan, optional
        The scan that is watched: it begins and ends by the times of its projections.
    """

    def __init__(
        self, config: Config, history: History, *, publisher: Publisher | None = None, scan: Scan | None = None
    ) -> None:
        self.config, self.history, self.publisher = config, history, publisher
        self.channels: dict[str, Channel] = channels_of(config)
        self.twin = Twin(config)
        self.episodes = EpisodeStore(history.connection, [sink.name for sink in config.sinks])
        history.connection.execute("COMMIT")
        self.book = Book(rules_of(config), self.episodes)
        self.board = Board()
        self.latest = Latest()
        self.sources: list[SourceState] = []
        self.outlook: Outlook | None = None
        self.reference: Reference | None = None
        self.on_events: Callable[[Sequence[Event]], None] = lambda _: None
        self._tags = Tags(config.system.site, config.system.name)
        self._scan = scan
        self._span = _span(scan)
        self._last_snapshot = -math.inf
        self._last_alert_lines = -math.inf
        self._judged_until = float(history.meta("judged_until", "-inf"))
        self.step_ms = 0.0

    def restore(self) -> int:
        """Continue from the newest snapshot and the journal behind it; number of batches taken in again."""
        stored = self.history.latest_snapshot()
        after = 0
        if stored is not None:
            after, snapshot = stored
            self.twin.restore(snapshot["twin"])
            self._last_snapshot = self.twin.time
            if snapshot["reference"] is not None and self._scan is not None:
                self.reference = Reference(self._scan, *snapshot["reference"])
            for channel, last in snapshot["good"].items():
                self.latest.good[channel] = last
        count = 0
        for batch in self.history.batches(after):
            self.take(batch.readings, batch.ingest, now=None, journalled=batch.seq)
            count += 1
        return count

    def take(
        self,
        readings: Sequence[Reading],
        ingest: float | None,
        *,
        now: float | None = None,
        journalled: int | None = None,
    ) -> list[Estimate]:
        """Take a batch; when this returns it is committed and may be acknowledged.

        Parameters
        ----------
        ingest : float, optional
            When it arrived [s since 1970]; None for records and simulations.
        now : float, optional
            The present; the newest reading's time by default.
        journalled : int, optional
            Number of a batch that is in the journal already (after a restart).
        """
        begin = wall.perf_counter()
        self.latest.take(readings)
        try:
            reached, outputs, events, present, seq = self._commit(readings, ingest, now, journalled)
        except BaseException:
            self.book.reload()  # memory must not run ahead of a journal that was rolled back
            raise
        if self.publisher is not None:
            self.publisher.write(self._lines(readings, reached, outputs, events, present))
        self.step_ms = (wall.perf_counter() - begin) * 1e3
        if outputs is not None:
            self.show(present)
        if events:
            self.on_events(events)
        if reached and self.twin.time >= self._last_snapshot + self.config.estimator.snapshot_every_s:
            self.save(seq)
        return reached

    def _commit(
        self, readings: Sequence[Reading], ingest: float | None, now: float | None, journalled: int | None
    ) -> tuple[list[Estimate], Outputs | None, tuple[Event, ...], float, int]:
        with self.history.transaction():
            seq = self.history.append(readings, ingest) if journalled is None else journalled
            reached = self.twin.update(readings, ingest)
            for estimate in reached:
                self._follow_scan(estimate.time)
            present = now if now is not None else max((r.time for r in readings), default=self.twin.time)
            outputs: Outputs | None = None
            events: tuple[Event, ...] = ()
            if reached:
                outputs = self.twin.outputs()
                self._refresh_outlook()
                sample = sample_of(self.twin, outputs, self.outlook, self.reference)
                # several steps may close at once; the sample is that of the last
                self.history.add_estimates([(e, sample if e is reached[-1] else {"time_s": e.time}) for e in reached])
                events = self._judge(present)
                self.history.set_meta("judged_until", repr(self._judged_until))
        return reached, outputs, events, present, seq

    def finish(self) -> list[Estimate]:
        """Close the steps still open, at the end of a record."""
        reached = self.twin.finish()
        if reached:
            with self.history.transaction():
                sample = self.sample()
                self.history.add_estimates([(e, sample if e is reached[-1] else {"time_s": e.time}) for e in reached])
            self.show(self.twin.time)
        return reached

    def sample(self) -> dict[str, float | None]:
        """Row of the charts for the present."""
        return sample_of(self.twin, self.twin.outputs(), self.outlook, self.reference)

    def save(self, seq: int) -> None:
        """Snapshot of the filter; what was published before it is on the disk first."""
        if self.publisher is not None:
            self.publisher.sync()
        with self.history.transaction():
            self.history.save_snapshot(
                self.twin.time,
                seq,
                {
                    "twin": self.twin.snapshot(),
                    "good": self.latest.good,
                    "reference": None if self.reference is None else [self.reference.first, self.reference.given],
                },
            )
        self._last_snapshot = self.twin.time

    def _follow_scan(self, time: float) -> None:
        begin, end = self._span
        if self.reference is None and self._scan is not None and begin <= time <= end:
            self.twin.begin_scan(time)
            outputs = self.twin.outputs()
            self.reference = Reference(self._scan, {name: outputs.value(name) for name in OUTPUT_NAMES})
            self.outlook = None
        elif self.reference is not None and time > end:
            self.twin.end_scan()
            self.reference = None
        if self.reference is not None:
            outputs = self.twin.outputs()
            self.reference.pass_projections(time, {name: outputs.value(name) for name in OUTPUT_NAMES})

    def _refresh_outlook(self) -> None:
        every = self.config.estimator.forecast_every_s
        if self.outlook is None or self.twin.time >= self.outlook.made_at + every:
            self.outlook = look_ahead(self.twin)

    def judge(self, now: float) -> tuple[Event, ...]:
        """Let the rules look although nothing came (silence is news, too); commits."""
        if math.isnan(self.twin.time):
            return ()
        try:
            with self.history.transaction():
                events = self._judge(now)
        except BaseException:
            self.book.reload()
            raise
        if events:
            self.on_events(events)
        return events

    def _judge(self, now: float) -> tuple[Event, ...]:
        if now <= self._judged_until:
            return ()
        outputs = self.twin.outputs()
        sample = sample_of(self.twin, outputs, self.outlook, self.reference)
        events = self.book.step(snapshot_of(self.twin, outputs, self.outlook, self.latest, self.channels, sample, now))
        self._judged_until = now
        return events

    def show(self, now: float) -> None:
        """Publish the state to the page."""
        if math.isnan(self.twin.time):
            return
        outputs = self.twin.outputs()
        row = sample_of(self.twin, outputs, self.outlook, self.reference)
        state = page_state(
            self.twin,
            outputs,
            self.outlook,
            self.latest,
            self.channels,
            self.sources,
            self.alerts(),
            self.reference,
            self._pipeline_state(),
            now,
        )
        self.board.publish(state, row)

    def alerts(self) -> tuple[Alert, ...]:
        """Alerts that stand."""
        return self.book.active()

    def _pipeline_state(self) -> dict[str, Any]:
        status = self.publisher.status() if self.publisher is not None else None
        return {
            "journal_rows": self.history.rows(),
            "step_ms": self.step_ms,
            "spool_bytes": status.spool.bytes if status else 0,
            "spool_oldest_s": status.spool.oldest_age_s if status else None,
        }

    def _lines(
        self,
        readings: Sequence[Reading],
        reached: Sequence[Estimate],
        outputs: Outputs | None,
        events: Sequence[Event],
        now: float,
    ) -> list[str]:
        tags = self._tags
        lines = series.reading_lines(tags, readings, {c.name: c.quantity for c in self.channels.values()})
        for estimate in reached:
            lines += series.state_lines(tags, estimate) + series.innovation_lines(tags, estimate)
        if outputs is not None:
            lines += series.spot_lines(
                tags,
                self.twin.time,
                {
                    axis: {
                        "mean_um": outputs.value(f"source.{axis}") * 1e6,
                        "std_um": outputs.std(f"source.{axis}") * 1e6,
                        "correction_um": (
                            self.reference.given[f"source.{axis}"] - self.reference.first[f"source.{axis}"]
                        )
                        * 1e6
                        if self.reference
                        else math.nan,
                    }
                    for axis in "uvw"
                },
            )
            lines += series.age_lines(tags, self.twin.time, {n: max(now - t, 0.0) for n, t in self.latest.good.items()})
        if self.outlook is not None and reached:
            values = dict(self.outlook.values)
            values["limit_half_pitch10_um"] = values.pop("limit_um")
            values = {k: v for k, v in values.items() if k in series.RESOLUTION_FIELDS}
            lines += series.resolution_lines(tags, self.twin.time, values)
            if self.outlook.made_at == self.twin.time:
                lines += self._forecast_lines(self.outlook)
        if self.reference is not None and reached:
            frames = self.reference.scan.only("projection")
            done = int((frames.time <= self.twin.time).sum())
            lines += series.scan_lines(tags, self.twin.time, self.reference.scan.name, done, len(frames))
        for event in events:
            value = math.nan if event.value is None else event.value
            lines += series.alert_lines(
                tags, event.time, event.rule, str(event.state), str(event.severity), value, transition=True
            )
        if reached and now >= self._last_alert_lines + ALERT_REPEAT_S:
            self._last_alert_lines = now
            standing = {alert.rule: alert for alert in self.alerts()}
            for rule in self.config.alerts:
                alert = standing.get(rule.name)
                lines += series.alert_lines(
                    tags, now, rule.name, str(alert.state) if alert else "normal", rule.severity
                )
        return lines

    def _forecast_lines(self, outlook: Outlook) -> list[str]:
        lines = []
        for name, blur in (("half_pitch10_um", outlook.uncorrected), ("corrected_half_pitch10_um", outlook.corrected)):
            mean, low, high = blur.half_pitch_um()
            lines += series.forecast_lines(
                self._tags, Forecast(name, "um", outlook.made_at, blur.times, mean, (high - low) / 4.0)
            )
        return lines


def _span(scan: Scan | None) -> tuple[float, float]:
    if scan is None:
        return math.inf, -math.inf
    frames = scan.only("projection")
    return float(frames.time[0]), float(frames.time[-1])
