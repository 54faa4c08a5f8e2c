"""LEAP's modular beam: float32 arrays under the names of ``set_modularbeam``'s arguments.

``leapct.set_modularbeam`` (``src/leapctype.py``) wants C-contiguous float32 arrays (N, 3) in mm. Its parameter file is not
written: by reading, ``load_param`` makes arrays of one dimension for this geometry, ``set_modularbeam`` turns them down, and
``load_param`` returns True all the same.

The frame is that of :mod:`twin.export.poses` turned by 180° about x, **(x, y, z) = (u, -w, v)**: LEAP reconstructs by
filtered back-projection only where rows run along +z (``parameters::set_sourcesAndModules``: z of rowVectors > 0.9961).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.correction import Correction
from models.estimate import Array
from twin.atomic import write_atomic
from twin.export.archive import npz
from twin.export.exporter import Setup, check
from twin.export.poses import MM, poses
from twin.export.words import about

TURN = np.array([1.0, -1.0, -1.0])  # (u, w, -v) -> (u, -w, v)
WORDS = {
    "frame": "origin on the displaced rotation axis, turning with the object; (x, y, z) = (u, -w, v) at angle 0: z is the"
    " axis, down; u, v, w = column, row, source to detector; rows and columns of the projections as they are, no flip",
    "units": "mm, float32; directions are unit vectors",
    "use": "leapct.set_modularbeam(numAngles, numRows, numCols, pixelHeight, pixelWidth, sourcePositions, moduleCenters,"
    " rowVectors, colVectors); not through a LEAP parameter file; data in (projections, rows, columns)",
}


class LeapExporter:
    """Writes LEAP's nine arguments, and how far float32 has moved source and detector."""

    name = "leap"
    filename = "leap_modularbeam.npz"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the archive; needs a row for every projection of the scan, since LEAP pairs them by position."""
        check(correction, self.name, self.setup.projections)
        seen, pixel_mm = poses(correction, self.setup.pose, self.name), self.setup.pose.pixel_m * MM
        arrays = {
            "numAngles": len(correction),
            "numRows": self.setup.rows,
            "numCols": self.setup.columns,
            "pixelHeight": pixel_mm,
            "pixelWidth": pixel_mm,
            "sourcePositions": (seen.source_mm * TURN).astype(np.float32),
            "moduleCenters": (seen.detector_mm * TURN).astype(np.float32),
            "rowVectors": (seen.rows * TURN + 0.0).astype(np.float32),
            "colVectors": (seen.columns * TURN + 0.0).astype(np.float32),
        }
        rounding = (
            f"the source by up to {rounding_um(seen.source_mm):.2g} um,"
            f" the detector by up to {rounding_um(seen.detector_mm):.2g} um"
        )
        words = {**WORDS, "moved by the rounding to float32": rounding}
        write_atomic(path, npz(arrays, about(correction, "geometry for LEAP modular beam", words)))


def rounding_um(positions_mm: Array) -> float:
    """Largest distance that rounding to float32 moves a position [µm].

    Examples
    --------
    >>> round(rounding_um(np.array([[150.000005, 0.0, 0.0]])), 4)
    0.005
    """
    moved = np.asarray(positions_mm, np.float32).astype(float) - positions_mm
    return float(np.linalg.norm(moved, axis=1).max()) * MM
