"""ASTRA ``cone_vec``: twelve numbers per projection, source, centre of the detector, steps of a column and of a row.

One row is ``(source, detector, column step, row step)``, three numbers each, in the frame of :mod:`twin.export.poses`;
this is the layout of astra-toolbox's ``geom_2vec`` (``python/astra/functions.py``), whose unturned geometry is ours
with v turned over. Lengths are in mm: ASTRA counts in whatever the volume does, and its voxel is 1 unless said, so the
vectors are divided by the voxel size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.correction import Correction
from twin.atomic import write_atomic
from twin.export.archive import npz
from twin.export.exporter import Setup, check
from twin.export.poses import FRAME, MM, poses
from twin.export.words import about

WORDS = {
    "frame": FRAME,
    "units": "vectors_mm in mm: divide by the voxel size in mm, or give the volume its extent in mm",
    "use": 'astra.create_proj_geom("cone_vec", rows, columns, vectors_mm / voxel_mm); data in (rows, projections, columns)',
}


class AstraExporter:
    """Writes ``vectors_mm`` (N, 12) with ``rows`` and ``columns``."""

    name = "astra"
    filename = "astra_cone_vec.npz"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the archive; needs a row for every projection of the scan, since ASTRA pairs them by position."""
        check(correction, self.name, self.setup.projections)
        seen, pixel_mm = poses(correction, self.setup.pose, self.name), self.setup.pose.pixel_m * MM
        vectors = np.hstack([seen.source_mm, seen.detector_mm, seen.columns * pixel_mm, seen.rows * pixel_mm])
        arrays = {"vectors_mm": vectors, "rows": self.setup.rows, "columns": self.setup.columns}
        write_atomic(path, npz(arrays, about(correction, "geometry for ASTRA cone_vec", WORDS)))
