"""Corrections of the scans that a service watches: growing while one runs, final when it is over; off the loop."""

from __future__ import annotations

import asyncio
import logging
import time as wall
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from models.correction import Correction
from models.estimate import ModelError
from twin.assembly import Machine
from twin.atomic import OutputError
from twin.correct import Corrected, predict_resolution
from twin.correct_stored import correct_stored
from twin.export import ExportError, formats
from twin.history import HistoryError, open_to_read, read_scan_records
from twin.pipeline import Pipeline
from twin.scan import Scan, ScanError
from twin.scan_files import write_corrections
from twin.scan_journal import journalled_scan
from twin.scan_record import plain_name, scan_of_text, scan_text
from twin.scan_watch import Watched

_log = logging.getLogger("ctwin.scan")
SHARE = 0.05  # of the time that may be spent on corrections of a scan that isn't over
GROWING = ("table",)  # other formats don't say that rows are still to come, and some programs don't notice


class ScanCorrections:
    """Corrects the scan under way now and then, and every scan once it is over, also one that ended while nobody watched.

    Files are in ``scans/NAME`` of the store's folder. While a scan runs that is ``corrections.csv`` with the projections so
    far, smoothed with everything read until then, every ``estimator.forecast_every_s`` (less often where that would take
    more than :data:`SHARE` of the time). When it is over they are replaced, and all other formats written.
    """

    def __init__(self, pipeline: Pipeline, scan: Scan | None = None) -> None:
        self._pipeline, self._announced = pipeline, scan
        self._task: asyncio.Task[None] | None = None
        self._failed: set[str] = set()
        self._changes = -1  # of scans, when the store was asked last
        self._growing, self._grown, self._grown_at = (
            "",
            0,
            0.0,
        )  # scan, its projections corrected so far, at [s since 1970]
        self._rest_until = 0.0
        if scan is not None:
            with pipeline.history.transaction():
                pipeline.history.add_scan(scan.name, float(scan.only("projection").time[0]), scan_text(scan))

    def look(self) -> None:
        """Begin what is due; from the loop, after each batch."""
        if self._task is not None:
            if not self._task.done():
                return
            self._task, self._changes = None, -1
        if self._changes != self._pipeline.scan_changes:
            self._changes = self._pipeline.scan_changes
            over = self._over()
            if over is not None:
                self._task = asyncio.create_task(self._finish(over), name="end of scan")
                return
        running = self._pipeline.watch.running
        if running is not None and self._due(running):
            self._task = asyncio.create_task(self._grow(running), name="scan so far")

    async def close(self, *, all_over: bool = False) -> None:
        """Wait until what was begun is done; with ``all_over`` every scan that is over is corrected, too."""
        while self._task is not None:
            await self._task
            over = self._over() if all_over else None
            self._task = None if over is None else asyncio.create_task(self._finish(over), name="end of scan")

    def _over(self) -> Scan | None:
        """The first scan whose projections are all taken and which has no final corrections."""
        now, running = self._pipeline.twin.time, self._pipeline.watch.running
        for record in read_scan_records(self._pipeline.history.connection):
            if record.ended is None and record.data and record.name not in self._failed:
                scan = scan_of_text(record.data)
                if now > scan.only("projection").time[-1] and (running is None or running.name != scan.name):
                    return scan
        return None

    def _due(self, running: Watched) -> bool:
        taken, pipeline = self._pipeline.watch.taken, self._pipeline
        if running.name != self._growing:
            self._growing, self._grown, self._grown_at = running.name, 0, running.started
        if taken <= self._grown or wall.monotonic() < self._rest_until:
            return False
        complete = taken >= running.total > self._grown
        return complete or pipeline.twin.time >= self._grown_at + pipeline.config.estimator.forecast_every_s

    async def _finish(self, scan: Scan) -> None:
        folder = self._pipeline.history.path.parent
        target = folder / "scans" / plain_name(scan.name)
        try:
            correction = await asyncio.to_thread(_final, self._pipeline.twin.machine, folder, scan, target)
        except (ModelError, HistoryError, OutputError, ExportError) as error:
            self._failed.add(scan.name)
            _log.error("scan %s is over, but has no corrections yet: %s; see 'ctwin correct'", scan.name, error)
            return
        self._pipeline.publish_correction(correction)
        with self._pipeline.history.transaction():
            self._pipeline.history.end_scan(scan.name, float(scan.time[-1]))
        _log.info("scan %s is over; its corrections are in %s", scan.name, target)

    async def _grow(self, running: Watched) -> None:
        pipeline, begun = self._pipeline, wall.monotonic()
        folder, now, taken = pipeline.history.path.parent, pipeline.twin.time, pipeline.watch.taken
        target = folder / "scans" / plain_name(running.name)
        try:
            await asyncio.to_thread(_so_far, pipeline.twin.machine, folder, self._announced, running, now, target)
        except (ModelError, HistoryError, OutputError, ExportError, ScanError) as error:
            _log.warning("scan %s: no corrections so far: %s", running.name, error)
        self._grown, self._grown_at = taken, now
        took = wall.monotonic() - begun
        self._rest_until = wall.monotonic() + took * (1.0 / SHARE - 1.0)


def _final(machine: Machine, folder: Path, scan: Scan, target: Path) -> Correction:
    result = correct_stored(machine, folder, scan)
    predicted = predict_resolution(machine, result.correction, result.smoothed, result.shaken_m2)
    write_corrections(machine, result, formats(), target, predicted)
    return result.correction


def _so_far(machine: Machine, folder: Path, announced: Scan | None, running: Watched, now: float, target: Path) -> None:
    if announced is not None and announced.name == running.name:
        frames = announced.only("projection")
        taken = frames.time <= now
        scan = Scan(
            frames.name, frames.projection[taken], frames.time[taken], frames.angle_deg[taken],
            frames.kind[: int(taken.sum())],
        )  # fmt: skip
    else:
        with closing(open_to_read(folder)) as connection:
            scan = journalled_scan(connection, machine.config, running.name, running.started, now)
    result = correct_stored(machine, folder, scan)
    write_corrections(machine, _under_way(result, running.total), GROWING, target)


def _under_way(result: Corrected, total: int) -> Corrected:
    said = f"under way, {len(result.correction)} of {total} projections so far; replaced when it is over"
    correction = result.correction
    return replace(result, correction=replace(correction, provenance=(*correction.provenance, ("state", said))))
