"""The service: sources in, pipeline, delivery and page around it; starts, supervises and stops them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time as wall
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alerts import registry as sink_registry
from alerts.alert import AlertError
from alerts.sink import Sink
from sensors import registry as sensor_registry
from sensors.channel import Channel
from sensors.reading import Reading, SensorError
from sensors.sensor import Counting, Resumable, Sensor, TakesReducer
from sensors.simulated import SimulatedSensor
from twin.channels import sensor_channels
from twin.config import Config, ConfigError
from twin.delivery import Delivery
from twin.history import History
from twin.http import Health, make_app, serve
from twin.metrics import SourceCounts, exposition
from twin.pipeline import Pipeline
from twin.publish.drain import DrainStatus
from twin.publish.influx import Publisher
from twin.publish.line_protocol import Tags
from twin.scan import Scan
from twin.scan_corrections import ScanCorrections
from twin.scan_desk import ScanDesk
from twin.sections import SensorSection
from twin.simulate.machine import simulate
from twin.simulate.run import Run
from twin.simulate.scenario import load_scenario, shipped_names, shipped_scenario
from twin.state import SourceState
from twin.vibration import reduction_for

_log = logging.getLogger("ctwin.service")
RETRY_S = (1.0, 60.0)
TICK_S = 1.0
STUCK_S = 30.0  # a loop that hasn't turned for so long is not alive


@dataclass(slots=True)
class Source:
    """A sensor under supervision."""

    section: SensorSection
    sensor: Sensor
    state: SourceState


@dataclass(slots=True)
class _Batch:
    source: Source
    readings: Sequence[Reading]
    taken: asyncio.Event = field(default_factory=asyncio.Event)


class Service:
    """A machine under watch.

    Parameters
    ----------
    config : Config
    base : Path
        Folder that relative paths of the configuration start from.
    scan : Scan, optional
        The scan to watch; a simulated source brings its own.
    page : bool
        Whether to serve the status page at ``http.listen``.
    progress : callable, optional
        Called with (newest event time) after each batch.

    Raises
    ------
    ConfigError, HistoryError, SensorError
        One line each, at construction or at the start of :meth:`run`.
    """

    def __init__(
        self,
        config: Config,
        base: Path,
        *,
        scan: Scan | None = None,
        page: bool = True,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.config, self.base, self.page, self.progress = config, base, page, progress
        self.url = ""
        self.on_ready: Callable[[str], None] = lambda _: None
        self.finale: Callable[[], None] | None = None
        self.simulated_run: Run | None = None
        self.sources = [self._source(section) for section in config.sensors]
        if scan is None and self.simulated_run is not None:
            scan = scan_of(self.simulated_run)
        self.scan = scan
        self.scans: ScanCorrections | None = None
        self.history = History(base / config.store.folder)
        try:
            self.publisher = self._publisher()
            self.pipeline = Pipeline(config, self.history, publisher=self.publisher, scan=scan)
            self.delivery = Delivery(
                self.pipeline.episodes,
                self._sinks(),
                system=config.system.name,
                site=config.system.site,
                transaction=self.history.transaction,
            )
            self.pipeline.sources = [source.state for source in self.sources]
            self.pipeline.on_events = lambda _: self.delivery.wake()
        except BaseException:
            self.history.close()
            raise
        self.desk = ScanDesk(self.pipeline, self.now, self._look_at_scans)
        self._inbox: asyncio.Queue[_Batch] = asyncio.Queue(maxsize=1)
        self._stop = asyncio.Event()
        self._turned = self._heard = wall.monotonic()
        self.live = self.simulated_run is None or len(self.sources) > 1

    def _source(self, section: SensorSection) -> Source:
        channels: list[Channel] = sensor_channels(self.config, section.name)
        options = sensor_registry.options_of(section.kind).model_validate(section.options)
        sensor = sensor_registry.make(section.kind, options, channels, self.base)
        if isinstance(sensor, SimulatedSensor):
            self.simulated_run = self._simulate(sensor)
            sensor.play(self.simulated_run.batches(sensor.options.batch_s))
        if isinstance(sensor, TakesReducer):
            sensor.reduce_with(*reduction_for(self.config, section.name))
        return Source(section, sensor, SourceState(section.name, section.kind))

    def _simulate(self, sensor: SimulatedSensor) -> Run:
        name = sensor.options.scenario
        scenario = shipped_scenario(name) if name in shipped_names() else load_scenario(self.base / name)
        return simulate(self.config, scenario, sensor.options.seed)

    def _publisher(self) -> Publisher | None:
        influx = self.config.publish.influx
        if influx is None:
            return None
        tags = Tags(self.config.system.site, self.config.system.name)
        return Publisher(influx, tags, self.base / self.config.store.folder / "spool", self.base, on_problem=_tell)

    def _sinks(self) -> dict[str, Sink]:
        sinks: dict[str, Sink] = {}
        for section in self.config.sinks:
            try:
                options = sink_registry.options_of(section.kind).model_validate(section.options)
            except KeyError:
                raise ConfigError([f"sink[{section.name}].kind: {section.kind!r} is unknown"]) from None
            sinks[section.name] = sink_registry.make(section.kind, options, self.base)
        return sinks

    def now(self) -> float:
        """The present: wall clock, or the newest reading's time when everything is simulated."""
        return wall.time() if self.live else max(self.pipeline.latest.good.values(), default=self.pipeline.twin.time)

    def stop(self) -> None:
        """Ask the service to stop (from its loop)."""
        self._stop.set()

    async def run(self, *, linger: bool = True) -> None:
        """Run until stopped; with ``linger`` off, until every source has ended (SensorError if one ended by a fault).

        Everything acknowledged is journalled when this returns; a snapshot is taken at the end.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self.history.close)
            if self.page:
                host, port = self.config.http.listen.rsplit(":", 1)
                app = make_app(self.pipeline.board, self.metrics, self.health, self.acknowledge, self.desk)
                self.url = await stack.enter_async_context(serve(app, host.strip("[]"), int(port)))
            again = self.pipeline.restore()
            if again:
                _log.info("continued: %d journalled batches taken in again", again)
            self.pipeline.show(self.now())
            if self.publisher is not None:
                self.publisher.start()
                stack.callback(self.publisher.stop)
            self.delivery.start()
            stack.push_async_callback(self.delivery.stop)
            await self._open_required(stack)
            if self.finale is None:  # whoever brings a finale corrects the scan there
                self.scans = ScanCorrections(self.pipeline, self.scan)
                self.scans.look()
                stack.push_async_callback(self._close_scans, linger)
            tasks = [asyncio.create_task(self._read(source), name=source.section.name) for source in self.sources]
            self.on_ready(self.url)
            tasks_end = asyncio.create_task(self._all(tasks), name="all sources")
            ticker = asyncio.create_task(self._tick(), name="ticker")
            stopping = asyncio.create_task(self._stop.wait(), name="stop")
            try:
                await self._work(tasks_end, stopping, ticker, linger)
            finally:
                for task in (*tasks, tasks_end, ticker, stopping):
                    task.cancel()
                await asyncio.gather(*tasks, tasks_end, ticker, stopping, return_exceptions=True)
            self.save()
        failed = [s.state.message for s in self.sources if s.state.state == "failed" and s.section.startup != "ignore"]
        if failed and not linger and not self._stop.is_set():
            raise SensorError("\n".join(failed))

    def save(self) -> None:
        """Take a snapshot of all that was taken in."""
        if not math.isnan(self.pipeline.twin.time):
            self.pipeline.save(self.history.rows())

    async def _open_required(self, stack: contextlib.AsyncExitStack) -> None:
        """Open all sources at once; those with startup = "fail" must succeed, and all failures are told together."""
        after = self.pipeline.twin.aligner.policy.last  # not the newest in the journal: one absurd stamp would blind it
        failures = []
        for source in self.sources:
            if isinstance(source.sensor, Resumable):
                source.sensor.resume_after(after)
            stack.push_async_callback(source.sensor.close)
            if source.section.startup == "fail":
                try:
                    await source.sensor.open()
                    source.state.state = "ok"
                except SensorError as error:
                    failures.append(str(error))
        if failures:
            raise SensorError("\n".join(failures))

    async def _read(self, source: Source) -> None:
        pause = RETRY_S[0]
        while True:
            try:
                if source.state.state != "ok":
                    await source.sensor.open()
                source.state.state, source.state.message = "ok", ""
                async for readings in source.sensor.readings():
                    batch = _Batch(source, readings)
                    await self._inbox.put(batch)
                    await batch.taken.wait()  # asking for the next batch acknowledges this one: not before its commit
                    pause = RETRY_S[0]
                source.state.state = "ended"
                return
            except SensorError as error:
                source.state.message = str(error)
                if not error.retry or source.section.startup == "ignore":
                    source.state.state = "failed"
                    _log.error("%s", error)
                    return
                _log.warning("%s; trying again in %.0f s", error, pause)
            except Exception as error:  # a fault in one sensor's code must not take the others with it
                source.state.message = f"{source.section.name}: {type(error).__name__}: {error}"
                _log.exception("%s; trying again in %.0f s", source.state.message, pause)
            source.state.state = "retrying"
            await asyncio.sleep(pause)
            pause = min(2.0 * pause, RETRY_S[1])

    @staticmethod
    async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
        await asyncio.gather(*tasks)

    async def _work(
        self, ended: asyncio.Task[None], stopping: asyncio.Task[bool], ticker: asyncio.Task[None], linger: bool
    ) -> None:
        while True:
            get = asyncio.create_task(self._inbox.get())
            watched: set[asyncio.Task[Any]] = {get, stopping, ticker}
            if not linger or not ended.done() or self.finale is not None:
                watched.add(ended)
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if get.done():
                self._take(get.result())
                await asyncio.sleep(0)
            else:
                get.cancel()
            if ticker.done():
                ticker.result()
            if stopping.done():
                return
            if ended.done() and self._inbox.empty():
                ended.result()
                if self.finale is not None:
                    finale, self.finale = self.finale, None
                    self.pipeline.finish()
                    self.save()
                    await asyncio.to_thread(finale)
                if not linger:
                    return

    def _take(self, batch: _Batch) -> None:
        source = batch.source
        self._heard = wall.monotonic()
        now = wall.time() if self.live else None
        self.pipeline.take(batch.readings, now, now=now)
        source.state.samples += len(batch.readings)
        if batch.readings:
            source.state.last_time = max(r.time for r in batch.readings)
            source.state.lag_s = None if now is None else now - source.state.last_time
        if isinstance(source.sensor, Counting):
            source.state.drops = dict(source.sensor.drops())
        batch.taken.set()
        self._look_at_scans()
        if self.progress is not None and source.state.last_time is not None:
            self.progress(source.state.last_time)

    async def _close_scans(self, linger: bool) -> None:
        if self.scans is not None:
            await self.scans.close(all_over=not linger and not self._stop.is_set())

    def _look_at_scans(self) -> None:
        if self.scans is not None:
            self.scans.look()

    async def _tick(self) -> None:
        """Silence is news: rules look and the page moves on although nothing comes."""
        pruned = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            self._turned = wall.monotonic()
            if not self.live:
                continue
            now = wall.time()
            self.desk.quiet(now, wall.monotonic() - self._heard)
            self.pipeline.judge(now)
            self.pipeline.show(now)
            newest = min(now, self.pipeline.twin.time)  # a record of last year isn't too old while it is being read
            if now > pruned + 3600.0 and not math.isnan(newest):
                pruned = now
                with self.history.transaction():
                    self.history.prune(newest - self.config.store.keep_readings_days * 86400.0)

    def metrics(self) -> str:
        """Text of ``/metrics``."""
        counts = {
            s.state.name: SourceCounts(
                s.state.samples,
                s.state.last_time,
                s.state.lag_s,
            )
            for s in self.sources
        }
        return exposition(self.pipeline.board.state(), counts)

    def health(self) -> Health:
        """Alive while the loop turns; ready when the journal takes writes and every required source has been seen."""
        stuck_s = wall.monotonic() - self._turned
        reasons = [] if stuck_s < STUCK_S else [f"the loop has not turned for {stuck_s:.0f} s"]
        reasons += self.history.obstacles()
        reasons += [
            f"sensor {s.state.name} is {s.state.state}: {s.state.message}"
            for s in self.sources
            if s.section.startup != "ignore" and s.state.state in ("waiting", "retrying", "failed")
        ]
        return Health(stuck_s < STUCK_S, not reasons, tuple(reasons))

    def acknowledge(self, episode: str, by: str, comment: str) -> dict[str, Any]:
        """Acknowledge an alert for an operator; journalled."""
        try:
            with self.history.transaction():
                event = self.pipeline.book.acknowledge(episode, by, comment, self.now())
        except AlertError as error:
            self.pipeline.book.reload()
            if episode not in {alert.episode for alert in self.pipeline.alerts()}:
                raise LookupError(str(error)) from None
            raise
        self.delivery.wake()
        self.pipeline.show(self.now())
        return {"id": episode, "state": str(event.state), "by": by, "comment": comment}


def scan_of(run: Run) -> Scan:
    """The scan of a simulated run."""
    frames = run.frames
    return Scan(
        f"{run.config.system.name}-{run.seed}",
        frames.index,
        frames.time,
        frames.angle_deg,
        tuple(str(kind) for kind in frames.kind),
    )


def _tell(status: DrainStatus) -> None:
    """Trouble with the database, when it begins, changes or is over; nothing is lost meanwhile, it waits in the spool."""
    if status.state.healthy:
        _log.info("%s: delivers again", status.target)
    else:
        _log.warning("%s: %s: %s; readings wait in the spool", status.target, status.state, status.words)
