"""Where an operator says that a scan begins or ends: the word becomes a reading, journalled like all others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sensors.reading import Reading
from sensors.timestamps import iso
from twin.history import ScanRecord, read_scan_records
from twin.pipeline import Pipeline
from twin.scan import Scan
from twin.scan_record import plain_name, scan_of_text
from twin.scan_watch import OPERATOR

LIVE_S = 86400.0  # a machine whose newest reading is older isn't being watched live


class ScanDesk:
    """Scans of a service.

    Parameters
    ----------
    pipeline : Pipeline
    now : callable
        The present [s since 1970].
    told : callable
        Called after a scan was begun or ended.
    """

    def __init__(self, pipeline: Pipeline, now: Callable[[], float], told: Callable[[], None] = lambda: None) -> None:
        self._pipeline, self._now, self._told = pipeline, now, told

    def begin(self, name: str = "") -> dict[str, Any]:
        """Begin a scan now; raises ValueError if one is under way, or has this name already."""
        watch, history = self._pipeline.watch, self._pipeline.history
        if watch.under_way is not None:
            raise ValueError(f"scan {watch.under_way.name!r} is under way; end it first")
        records = read_scan_records(history.connection)
        taken = {plain_name(record.name).lower() for record in records}
        if name and plain_name(name).lower() in taken:
            raise ValueError(f"there is a scan {name!r} already; give it another name")
        now = self._now()
        if name:
            with history.transaction():
                history.set_meta(f"scan.name {now!r}", name)
        self._say(now, 1.0)
        begun = watch.under_way
        if begun is None:
            raise ValueError("the clock stands before the end of the last scan; look at the machine's time")
        return {"name": begun.name, "started": iso(begun.started)}

    def end(self) -> dict[str, Any]:
        """End the scan under way now; raises ValueError if there is none, or if it ends by the times of its own file."""
        begun = self._pipeline.watch.under_way
        if begun is None:
            raise ValueError("no scan is under way")
        if begun.kind == "announced":
            raise ValueError(f"scan {begun.name!r} was given with its projections; it ends with the last of them")
        now = self._now()
        self._say(now, 0.0)
        return {"name": begun.name, "ended": iso(now)}

    def quiet(self, now: float, quiet_s: float) -> None:
        """Nothing has been read for some time: a scan that silence ends is over, though no reading says how late it is.

        Parameters
        ----------
        now : float
            [s since 1970].
        quiet_s : float
            Since the last batch.
        """
        watch, settings = self._pipeline.watch, self._pipeline.config.estimator
        late = settings.late_s + 2.0 * settings.grid_s  # by so much the estimate is behind the newest reading
        # a record of long ago that is being read isn't over because reading it takes a while
        if quiet_s > watch.ends_after_s and late < now - watch.due < LIVE_S:
            self._say(now, 0.0)

    def _say(self, now: float, on: float) -> None:
        self._pipeline.take([Reading(OPERATOR, now, on)], now, now=now)
        self._told()

    def listed(self) -> list[dict[str, Any]]:
        """All scans, in the order they began."""
        connection, folder = self._pipeline.history.connection, self._pipeline.history.path.parent
        return scan_list(read_scan_records(connection), folder, self._pipeline.twin.time)


def scan_list(records: list[ScanRecord], folder: Path, reached: float) -> list[dict[str, Any]]:
    """What is told of scans: name, times, projections, state, and the folder of the corrections once there are any.

    ``reached`` is the instant of the newest estimate [s since 1970]; ``nan`` without any.
    """
    out = []
    for record in records:
        scan = scan_of_text(record.data).only("projection") if record.data else None
        files = folder / "scans" / plain_name(record.name)
        out.append({
            "name": record.name,
            "started": iso(record.started),
            "ended": None if scan is None else iso(float(scan.time[-1])),
            "projections": None if scan is None else len(scan),
            "state": _state(record, scan, reached),
            "corrections": str(files) if (files / "corrections.csv").is_file() else None,
        })  # fmt: skip
    return out


def _state(record: ScanRecord, scan: Scan | None, reached: float) -> str:
    if record.ended is not None:
        return "corrected"
    if not record.started <= reached and scan is not None:
        return "announced"
    return "under way" if scan is None or reached <= scan.time[-1] else "to be corrected"
