"""Scans as the store keeps them: one line of JSON each, found by name; and what may be asked about all of them."""

from __future__ import annotations

import difflib
import json
import re
from contextlib import closing
from pathlib import Path

import numpy as np

from twin.history import open_to_read, read_scans
from twin.scan import Scan, ScanError


def recorded_scan(folder: Path, name: str) -> Scan:
    """A scan that the service has watched to its end, by its name.

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
