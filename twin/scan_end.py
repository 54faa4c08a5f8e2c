"""When a scan is over: smoothed corrections from the store, as files beside it and for publication; off the loop."""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from models.correction import Correction
from models.estimate import ModelError
from sensors.reading import Reading
from sensors.timestamps import AHEAD_S
from twin.assembly import Machine
from twin.atomic import OutputError, make_folder, write_atomic
from twin.correct import Corrected, correct
from twin.export import ExportError, Setup, formats, make
from twin.history import HistoryError, StoredBatch, open_to_read, read_batches, read_scans, read_snapshot
from twin.pictures import correction_svg
from twin.pipeline import Pipeline
from twin.scan import Scan, ScanError

_log = logging.getLogger("ctwin.scan")
RUN_UP_S = 3600.0  # the smoother starts from a snapshot at least so long before the first projection


class ScanEnd:
    """Corrects the scan under watch once it is over; a scan that ended while nobody watched is caught up with."""

    def __init__(self, pipeline: Pipeline, scan: Scan) -> None:
        self._pipeline, self._scan = pipeline, scan
        frames = scan.only("projection")
        self._over = float(frames.time[-1])
        self._task: asyncio.Task[None] | None = None
        with pipeline.history.transaction():
            self._done = pipeline.history.add_scan(scan.name, float(frames.time[0]), scan_text(scan))

    def look(self) -> None:
        """Begin when the time has come; from the loop, after each batch."""
        if not self._done and self._task is None and self._pipeline.twin.time > self._over:
            self._task = asyncio.create_task(self._correct(), name="end of scan")

    async def close(self) -> None:
        """Wait until what was begun is done."""
        if self._task is not None:
            await self._task

    async def _correct(self) -> None:
        history, scan = self._pipeline.history, self._scan
        folder = history.path.parent
        try:
            result = await asyncio.to_thread(correct_stored, self._pipeline.twin.machine, folder, scan)
            await asyncio.to_thread(
                write_files, self._pipeline.twin.machine, result.correction, folder / "scans" / plain_name(scan.name)
            )
        except (ModelError, HistoryError, OutputError, ExportError) as error:
            _log.error("scan %s is over, but has no corrections yet: %s; see 'ctwin correct'", scan.name, error)
            return
        self._pipeline.publish_correction(result.correction)
        with history.transaction():
            history.end_scan(scan.name, self._over)
        self._done = True
        _log.info("scan %s is over; its corrections are in %s", scan.name, folder / "scans" / plain_name(scan.name))


def correct_stored(
    machine: Machine, folder: Path, scan: Scan, progress: Callable[[float], None] | None = None
) -> Corrected:
    """Corrections of a scan from a store, which may be in use: from the newest snapshot well before the scan.

    Raises
    ------
    HistoryError, ModelError
        No store, or no readings that reach the scan.
    """
    begin = float(scan.only("projection").time[0])
    with closing(open_to_read(folder)) as connection:
        snapshot = read_snapshot(connection, begin - RUN_UP_S)
        if snapshot is not None and snapshot[1]["twin"]["model_id"] != machine.model.model_id:
            snapshot = None  # of an earlier configuration; the readings are as good as ever
        after, start = (0, None) if snapshot is None else (snapshot[0], snapshot[1]["twin"])
        return correct(machine, believable(read_batches(connection, after)), scan, start=start, progress=progress)


def believable(batches: Iterator[StoredBatch]) -> Iterator[Sequence[Reading]]:
    """Journalled batches without stamps far ahead of their arrival, which the live estimate refused, too."""
    for batch in batches:
        latest = np.inf if batch.ingest is None else batch.ingest + AHEAD_S
        yield [reading for reading in batch.readings if reading.time <= latest]


def recorded_scan(folder: Path, name: str) -> Scan:
    """A scan that the service has watched, by its name.

    Raises
    ------
    HistoryError, ScanError
        No store, or no scan of that name in it; the nearest is named.
    """
    with closing(open_to_read(folder)) as connection:
        found = read_scans(connection)
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(found)) or 'none'}"
        raise ScanError(f"{name}: neither a file nor a recorded scan of {folder}; {hint}")
    return scan_of_text(found[name])


def scan_text(scan: Scan) -> str:
    """A scan as one line of JSON; every float survives exactly."""
    angles = [angle if np.isfinite(angle) else None for angle in scan.angle_deg.tolist()]
    return json.dumps([scan.name, scan.projection.tolist(), scan.time.tolist(), angles, list(scan.kind)])


def scan_of_text(text: str) -> Scan:
    """The scan that :func:`scan_text` wrote."""
    name, projection, time, angles, kind = json.loads(text)
    return Scan(
        name,
        np.array(projection, np.int64),
        np.array(time, float),
        np.array([np.nan if angle is None else angle for angle in angles], float),
        tuple(kind),
    )


def plain_name(name: str) -> str:
    """Name of a folder, on any system.

    >>> plain_name("Probe 7: Öhr/2")
    'Probe 7_ Öhr_2'
    """
    return re.sub(r"[^\w. ()+-]", "_", name).strip(". ") or "scan"


def write_files(machine: Machine, correction: Correction, folder: Path) -> None:
    """The correction in every format, and its picture."""
    make_folder(folder)
    geometry = machine.config.geometry
    setup = Setup(machine.pose, geometry.columns, geometry.rows, len(correction))
    for name in formats():
        exporter = make(name, setup)
        exporter.write(correction, folder / exporter.filename)
    write_atomic(folder / "corrections.svg", correction_svg(correction))
