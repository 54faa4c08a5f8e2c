"""Corrections from the store of a service, which may be running."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from sensors.reading import Reading
from sensors.timestamps import AHEAD_S
from twin.assembly import Machine
from twin.correct import Corrected, correct
from twin.history import StoredBatch, open_to_read, read_batches, read_snapshot
from twin.scan import Scan

RUN_UP_S = 3600.0  # the smoother starts from a snapshot at least so long before the first projection


def correct_stored(
    machine: Machine, folder: Path, scan: Scan, progress: Callable[[float], None] | None = None
) -> Corrected:
    """Corrections of a scan from a store, which may be in use: from the newest snapshot well before the scan.

    With another configuration than the one that the store was filled by (a better calibration), from its first reading on.

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
