"""Nikon (X-Tek) scans: ``_ctdata.txt`` with time and angle of every projection.

It begins with ``Projections Frames Exposure(ms)``, their values, and ``Projection Angle(deg) Time(s)``; then a
row per projection, numbered from 1. It holds one row more than the scan has projections. Times are seconds since a moment
that the file doesn't tell; at 708 ms per projection the first row says 2.83 s. Which moment of the exposure they mark isn't
known either. The console puts a scan into a folder that is named after its beginning, ``NAME [2023-10-18 11.22.08]``, by a
wall clock without zone; that is taken for zero. Nikon publishes no description: what is said here is from the demonstration
data of xray-imaging/meta-cli and from the readers of CIL and TIGRE.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensors.reading import SensorError
from sensors.timestamps import WallClock
from sensors.vendor.scan_table import ScanTable
from sensors.vendor.small_text import read_small

BEGUN = re.compile(r"\[(\d{4}-\d\d-\d\d) (\d\d)\.(\d\d)\.(\d\d)\]")


@dataclass(frozen=True, slots=True)
class CtData:
    """Rows of a ``_ctdata.txt``.

    Attributes
    ----------
    path : Path
    number : (N,) int array
        From 1.
    angle_deg, seconds : (N,) arrays
        Angle as measured [deg]; time since an unknown moment [s].
    projections, frames : int
        As announced; frames averaged per projection.
    exposure_ms : float
        Of a frame [ms].
    """

    path: Path
    number: NDArray[np.int64]
    angle_deg: NDArray[np.float64]
    seconds: NDArray[np.float64]
    projections: int
    frames: int
    exposure_ms: float

    def begun(self, timezone: str) -> float | None:
        """Beginning of the scan after the name of its folder [s since 1970]; None where that has no date."""
        found = BEGUN.search(self.path.resolve().parent.name)
        if found is None:
            return None
        try:
            local = datetime.fromisoformat(f"{found[1]} {found[2]}:{found[3]}:{found[4]}")
        except ValueError:
            return None
        return WallClock(timezone).seconds(local)

    def scan(self, timezone: str) -> ScanTable:
        """Times and angles; raises SensorError where the folder's name doesn't tell when the scan began."""
        begun = self.begun(timezone)
        if begun is None:
            raise SensorError(
                f"{self.path}: tells seconds but not since when; keep it in its folder 'NAME [2023-10-18 11.22.08]'"
            )
        name = BEGUN.sub("", self.path.resolve().parent.name).strip()
        return ScanTable(name, self.number - 1, begun + self.seconds, self.angle_deg)


def read_ctdata(path: Path) -> CtData:
    """Read a ``_ctdata.txt``.

    Raises
    ------
    SensorError
        Naming file, line, what is wrong and the mend.
    """
    lines = [line.split() for line in read_small(path).split("\n")]
    if len(lines) < 3 or [word.lower()[:5] for word in lines[2][:2]] != ["proje", "angle"] or len(lines[2]) != 3:
        raise SensorError(f"{path}: the third line isn't 'Projection Angle(deg) Time(s)'; this is no _ctdata.txt")
    try:
        projections, frames, exposure_ms = int(lines[1][0]), int(lines[1][1]), float(lines[1][2])
    except (ValueError, IndexError):
        raise SensorError(f"{path}, line 2: must hold projections, frames and exposure; copy the file again") from None
    rows = []
    for at, words in enumerate(lines[3:], 4):
        if not words:
            continue
        try:
            number, angle, seconds = int(words[0]), float(words[1]), float(words[2])
        except (ValueError, IndexError):
            raise SensorError(f"{path}, line {at}: {' '.join(words)[:40]!r} is torn; copy the file again") from None
        rows.append((number, angle, seconds))
    if not rows:
        raise SensorError(f"{path}: no projections; the scan has not begun")
    table = np.array(rows)
    return CtData(path, table[:, 0].astype(np.int64), table[:, 1], table[:, 2], projections, frames, exposure_ms)
