"""The seam through which corrections leave, what an exporter is told, and what every exporter may rely on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from models.correction import Correction
from models.estimate import Array
from models.geometry import ConeBeam
from twin.atomic import OutputError


class ExportError(OutputError):
    """A correction can't be written for this consumer; nothing was written; the message says why and the mend."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What an exporter knows of the machine and of the scan, beside the correction itself.

    Attributes
    ----------
    pose : ConeBeam
        Reference pose; lengths in metres.
    columns, rows : int
        Detector pixels along u and v.
    projections : int
        Projections of the scan, flats and darks not counted; 0 where unknown. Consumers that can't say
        "this projection is missing" get a correction only when it covers them all.
    """

    pose: ConeBeam
    columns: int
    rows: int
    projections: int = 0


class Exporter(Protocol):
    """Writes a correction for one consumer; a class is called with a :class:`Setup`."""

    @property
    def name(self) -> str:
        """Name of the format on the command line."""

    @property
    def filename(self) -> str:
        """Name that the file has in a folder of corrections."""

    def write(self, correction: Correction, path: Path) -> None:
        """Write the file whole or not at all.

        Raises
        ------
        ExportError
            The correction can't be said in this format (not finite, too short, out of order).
        OutputError
            The file can't be written (folder, rights, space).
        """


VECTORS = ("source_um", "object_um", "detector_um")
VALUES = ("time", "angle_deg", *VECTORS, "shift_px", "magnification", "flux")


def check(correction: Correction, name: str, projections: int = 0) -> None:
    """Refuse what no consumer can use: no rows, wrong shapes, not finite, out of order, fewer rows than the scan has.

    Parameters
    ----------
    correction : Correction
    name : str
        Name of the format, for the message.
    projections : int
        Rows that must be there; 0 = any number.
    """
    count = len(correction)
    if count == 0:
        raise ExportError(f"{name}: the correction of {correction.scan!r} has no projection; nothing written")
    if projections and count != projections:
        raise ExportError(
            f"{name}: the correction of {correction.scan!r} has {count} rows, the scan {projections} projections;"
            " readings must cover the whole scan, or give the scan file that belongs to them"
        )
    for field in VALUES:
        values = _shaped(correction, field, name)
        bad = np.flatnonzero(~np.isfinite(values).reshape(count, -1).all(axis=1))
        if bad.size:
            where = int(correction.projection[bad[0]])
            raise ExportError(
                f"{name}: {field} of projection {where} is not a finite number ({bad.size} such projections);"
                " nothing written, since an unknown correction is not a zero one"
            )
    for field in (*VECTORS, "shift_px", "magnification", "flux"):
        _shaped(correction, f"{field}_std", name)
    if np.any(np.diff(correction.projection) <= 0):
        raise ExportError(f"{name}: projections must be in rising order, each once; sort the scan file")


def _shaped(correction: Correction, field: str, name: str) -> Array:
    """Values of a field, refused unless there is one entry (of 1, 2 or 3 components) per projection."""
    values = np.asarray(getattr(correction, field), dtype=float)
    width = {"source": (3,), "object": (3,), "detector": (3,), "shift": (2,)}.get(field.split("_")[0], ())
    if values.shape != (len(correction), *width):
        raise ExportError(
            f"{name}: {field} has shape {values.shape}, needs {(len(correction), *width)}; nothing written"
        )
    return values
