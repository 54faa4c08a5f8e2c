"""Shift table beside a SkyScan scan, as TIGRE's ``BrukerDataLoader`` reads it.

It skips five lines, drops the first column and adds ``fliplr(X, Y) * pixel`` to the detector's offsets (v, u): a detector
that moves by +X columns, so content that moved by ``X = -du``, ``Y = -dv``. It divides the pixel by the binning: the values
count pixels of the camera before binning. Provenance stands at the end, as comments, since the head has its five lines.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.correction import Correction
from twin.atomic import write_atomic
from twin.export.exporter import Setup, check
from twin.export.shifts import head, rows


class SkyScanExporter:
    """Writes a CSV table with five lines of head, then ``image, X, Y``."""

    name = "skyscan"
    filename = "skyscan_shifts.csv"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the table; needs a row for every projection of the scan, since TIGRE pairs them by position."""
        check(correction, self.name, self.setup.projections)
        shift = -np.asarray(correction.shift_px, float)
        first = [
            "# ctwin shifts 1 for SkyScan",
            "# X, Y: offset of the detector in pixels before binning, + = to a larger column, a larger row: -content",
            "# written in pixels of the configuration: where those are binned, multiply by the camera's binning",
            "# provenance: at the end of the file",
            "Image,X,Y",
        ]
        table = rows([shift[:, 0], shift[:, 1]], ",", [int(index) for index in correction.projection])
        last = [f"# {line}" for line in head(correction, self.setup, "about these shifts")]
        write_atomic(path, "\n".join([*first, *table, *last]) + "\n")
