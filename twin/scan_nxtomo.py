"""Scans from NXtomo files (HDF5): image_key, rotation_angle and the time of each frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sensors.images import nexus
from sensors.images.hdf5_file import open_hdf5
from sensors.reading import SensorError
from twin.scan import Scan, ScanError, checked


def read_nxtomo(path: Path, zone: str | None = None) -> Scan:
    """Read times and angles of an NXtomo file; the index of a frame counts within its kind.

    Parameters
    ----------
    path : Path
    zone : str, optional
        Zone of a ``start`` that has none of its own.

    Raises
    ------
    ScanError
        Not HDF5, no NXtomo entry, a data set missing or of another length, no time per frame, and what any scan is refused
        for.
    """
    try:
        with open_hdf5(path) as file:
            return _read(path, file, zone)
    except SensorError as error:
        raise ScanError(str(error)) from None


def _read(path: Path, file: Any, zone: str | None) -> Scan:
    entry = nexus.entry_of(path, file)
    detector = nexus.detectors_of(path, entry)[0]
    kinds = nexus.kinds_of(path, detector)
    use = [k for k, kind in enumerate(kinds) if kind]
    scan = Scan(
        name=(nexus.text_of(entry["title"][()]) if "title" in entry else "") or path.stem,
        projection=np.array(nexus.ranks_of(kinds), dtype=np.int64)[use],
        angle_deg=nexus.rotation_of(path, entry, len(kinds))[use],
        time=nexus.times_of(path, detector, len(kinds), zone)[use],
        kind=tuple(kinds[k] for k in use),
    )
    return checked(scan, [f"{path}, frame {k}" for k in use])
