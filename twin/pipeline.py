"""One batch of readings through everything: journal, estimate, outlook, rules, store, page and publication.

Synchronous and free of clocks: ``now`` is passed in. The live service, the demo and a replay call the same method.
"""

from __future__ import annotations

import json
import logging
import math
import time as wall
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from alerts.alert import Alert, Event
from alerts.book import Book
from models.correction import Correction
from models.estimate import Estimate
from models.steps import StepEvent
from sensors.channel import Channel
from sensors.reading import Reading
from twin.board import Board
from twin.channels import channels_of, rules_of
from twin.config import Config
from twin.core import Twin
from twin.episodes import EpisodeStore
from twin.history import History, read_scans
from twin.outgoing import Outgoing
from twin.outlook import Outlook, look_ahead
from twin.publish.influx import Publisher
from twin.recognised import described
from twin.scan import Scan, ScanError
from twin.scan_journal import journalled_scan
from twin.scan_record import scan_of_text, scan_text
from twin.scan_watch import ScanWatch, Watched, default_name
from twin.state import Latest, Reference, SourceState, page_state, sample_of, snapshot_of

_log = logging.getLogger("ctwin.scan")
OUTPUT_NAMES = ("source.u", "source.v", "source.w", "flux", "shift.u", "shift.v")


class Pipeline:
    """The machine's state and everybody who is told of it.

    Parameters
    ----------
    config : Config
    history : History
    publisher : Publisher, optional
    scan : Scan, optional
        A scan whose projections are known: it begins and ends by their times. Others by what channels tell.
    """

    def __init__(
        self, config: Config, history: History, *, publisher: Publisher | None = None, scan: Scan | None = None
    ) -> None:
        self.config, self.history, self.publisher = config, history, publisher
        self.channels: dict[str, Channel] = channels_of(config)
        self.twin = Twin(config)
        if scan is not None:
            self.twin.vectoriser.turn_with(scan)
        with history.transaction():
            self.episodes = EpisodeStore(history.connection, [sink.name for sink in config.sinks])
        self.book = Book(rules_of(config), self.episodes)
        self.board = Board()
        self.latest = Latest()
        self.sources: list[SourceState] = []
        self.outlook: Outlook | None = None
        self.reference: Reference | None = None
        self.on_events: Callable[[Sequence[Event]], None] = lambda _: None
        self._outgoing = Outgoing(config, self.channels)
        self._events_told = 0
        self.watch = ScanWatch(config, self._name_of)
        self.scan_changes = 0  # how often scans began and ended
        self._scan = scan
        if scan is not None:
            self.watch.announce(scan)
        self._last_snapshot = -math.inf
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
            self._restore_scan(snapshot)
            self._events_told = int(snapshot["events_told"])
            for channel, last in snapshot["good"].items():
                self.latest.good[channel] = last
        count = 0
        for batch in self.history.batches(after):
            self.take(batch.readings, batch.ingest, now=None, journalled=batch.seq)
            count += 1
        return count

    def _restore_scan(self, snapshot: Mapping[str, Any]) -> None:
        if "watch" not in snapshot:  # of an earlier version: the scan begins anew
            self.twin.end_scan()
            return
        self.watch.restore(snapshot["watch"], self._announced)
        if self._scan is not None and self._scan.only("projection").time[-1] > self.twin.time:
            self.watch.announce(self._scan)
        if self.watch.running is not None:
            self.reference = Reference(self.watch.running, *snapshot["reference"])

    def _announced(self, name: str) -> Scan | None:
        """An announced scan that was under way, also when it isn't announced again."""
        text = read_scans(self.history.connection).get(name)
        if text is None:
            return None
        scan = scan_of_text(text)
        if self._scan is None:
            self.twin.vectoriser.turn_with(scan)
        return scan

    def _name_of(self, started: float) -> str:
        return self.history.meta(f"scan.name {started!r}") or default_name(self.config.system.name, started)

    def take(
        self,
        readings: Sequence[Reading],
        ingest: float | None,
        *,
        now: float | None = None,
        journalled: int | None = None,
    ) -> list[Estimate]:
        """Take a batch; when this returns it is committed and may be acknowledged.

        Readings that the journal holds already are counted and left out.

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
        present = now if now is not None else max((r.time for r in readings), default=self.twin.time)
        lines: list[str] = []
        try:
            with self.history.transaction():
                fresh = list(readings) if journalled is not None else self._fresh(readings)
                if journalled is None and fresh:
                    self.history.append(fresh, ingest)
                self.latest.take(fresh)
                self.watch.take(fresh, ingest)
                lines += self._outgoing.readings(fresh) if self.publisher is not None else ()
                reached = self._follow(self.twin.steps(fresh, ingest), lines)
                events = self._judge(present) if reached else ()
                if reached:
                    self._remember_judged()
        except BaseException:
            self.book.reload()  # memory must not run ahead of a journal that was rolled back
            raise
        self._publish(lines, present)
        self.step_ms = (wall.perf_counter() - begin) * 1e3
        if reached:
            self.show(present)
        if events:
            self.on_events(events)
        if reached and self.twin.time >= self._last_snapshot + self.config.estimator.snapshot_every_s:
            self.save(self.history.rows() if journalled is None else journalled)
        return reached

    def _fresh(self, readings: Sequence[Reading]) -> list[Reading]:
        fresh = self.history.fresh(readings)
        if len(fresh) < len(readings):
            again = Counter(r.channel for r in readings) - Counter(r.channel for r in fresh)
            self.twin.aligner.drops.update({(channel, "again"): count for channel, count in again.items()})
        return fresh

    def _follow(self, steps: Iterator[Estimate], lines: list[str]) -> list[Estimate]:
        """Everything that each step brings, in the caller's transaction; nothing here depends on where batches end."""
        reached = []
        rows: list[tuple[Estimate, dict[str, float | None]]] = []
        recognised: list[StepEvent] = []
        for estimate in steps:
            reached.append(estimate)
            self._follow_scan(estimate.time)
            outputs = self.twin.outputs()
            self._refresh_outlook()
            rows.append((estimate, sample_of(self.twin, outputs, self.outlook, self.reference)))
            if self.publisher is not None:
                lines += self._outgoing.step(estimate, outputs, self.outlook, self.reference, self.twin.consistency)
            recognised += (new := [e for e in self.twin.recognised if e.told == estimate.time])
            if self.publisher is not None:
                lines += self._outgoing.recognised(new)
        self.history.add_estimates(rows)
        self.history.add_steps((e.told, e.name, e.kind, json.dumps(described(e))) for e in recognised)
        return reached

    def finish(self) -> list[Estimate]:
        """Close the steps still open, at the end of a record."""
        lines: list[str] = []
        with self.history.transaction():
            reached = self._follow(self.twin.finish(), lines)
        self._publish(lines, self.twin.time)
        if reached:
            self.show(self.twin.time)
        return reached

    def _publish(self, lines: list[str], now: float) -> None:
        """To the spool, with the changes of alerts that were not told yet and, now and then, what stands."""
        if self.publisher is None:
            return
        changes = list(self.episodes.events(self._events_told))
        lines += self._outgoing.events(changes)
        if not math.isnan(now):
            lines += self._outgoing.standing(now, self.alerts(), self.latest.good)
        self.publisher.write(lines)
        self._events_told = changes[-1].seq if changes else self._events_told

    def publish_correction(self, correction: Correction) -> None:
        """The corrections of a finished scan; when this returns they need not come again."""
        if self.publisher is not None:
            self.publisher.write(self._outgoing.correction(correction))
            self.publisher.sync()

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
                    "reference": None if (r := self.reference) is None else [r.first, r.given, r.done],
                    "watch": self.watch.state(),
                    "events_told": self._events_told,
                },
            )
        self._last_snapshot = self.twin.time

    def _follow_scan(self, time: float) -> None:
        for change in self.watch.reach(time):
            self.scan_changes += 1
            if self.reference is not None:
                self._end_scan(self.reference.scan, change.time)
            if change.scan is not None:
                self._begin_scan(change.scan, time)
        if self.reference is not None:
            self.reference.pass_projections(self.watch.taken, self._outputs_now())

    def _begin_scan(self, scan: Watched, time: float) -> None:
        self.twin.begin_scan(time)
        self.reference = Reference(scan, self._outputs_now())
        self.outlook = None
        if scan.kind != "announced":
            self.history.begin_scan(scan.name, scan.started)

    def _end_scan(self, scan: Watched, time: float) -> None:
        self.twin.end_scan()
        self.reference = None
        if scan.kind == "announced":
            return
        try:
            taken = journalled_scan(self.history.connection, self.config, scan.name, scan.started, time)
        except ScanError as error:
            _log.warning("%s; the scan is forgotten", error)
            self.history.drop_scan(scan.name)
        else:
            self.history.add_scan(scan.name, scan.started, scan_text(taken))

    def _outputs_now(self) -> dict[str, float]:
        outputs = self.twin.outputs()
        return {name: outputs.value(name) for name in OUTPUT_NAMES}

    def _refresh_outlook(self) -> None:
        every = self.config.estimator.forecast_every_s
        if self.outlook is None or self.twin.time >= self.outlook.made_at + every:
            self.outlook = look_ahead(self.twin)

    def judge(self, now: float) -> tuple[Event, ...]:
        """Let the rules look although nothing came (silence is news, too); commits."""
        try:
            with self.history.transaction():
                events = self._judge(now)
                if events:  # silence alone isn't worth a write every second
                    self._remember_judged()
        except BaseException:
            self.book.reload()
            raise
        self._publish([], now)
        if events:
            self.on_events(events)
        return events

    def _judge(self, now: float) -> tuple[Event, ...]:
        if now <= self._judged_until:
            return ()
        if math.isnan(self.latest.since):
            self.latest.since = now
        outputs = self.twin.outputs()
        sample = sample_of(self.twin, outputs, self.outlook, self.reference)
        events = self.book.step(snapshot_of(self.twin, outputs, self.outlook, self.latest, self.channels, sample, now))
        self._judged_until = now
        return events

    def _remember_judged(self) -> None:
        """After a restart rules must not look again at what they have judged; in the caller's transaction."""
        self.history.set_meta("judged_until", repr(self._judged_until))

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
