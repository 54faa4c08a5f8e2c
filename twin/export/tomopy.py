"""TomoPy's ``shift_images(prj, sx, sy)``: where the content went, in pixels, **rows first**.

``source/tomopy/prep/alignment.py`` warps each projection so that ``out[row, column] = in[row + sx, column + sy]``: ``sx`` is
the motion of the content along the rows' index, ``sy`` along the columns', whatever the names suggest. TomoPy is parallel
beam; what a shift leaves at the edge of the field is stated in the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.correction import Correction
from twin.atomic import write_atomic
from twin.export.exporter import Setup, check
from twin.export.shifts import head, rows


class TomoPyExporter:
    """Writes N rows ``sx sy`` for ``numpy.loadtxt``."""

    name = "tomopy"
    filename = "tomopy_shifts.txt"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the file; needs a row for every projection of the scan, since TomoPy pairs them by position."""
        check(correction, self.name, self.setup.projections)
        shift = np.asarray(correction.shift_px, float)
        lines = head(
            correction, self.setup, "ctwin shifts 1 for TomoPy, tomopy.prep.alignment.shift_images(prj, sx, sy)",
            "columns: sx, sy [detector pixel]; sx = content moved to a larger row, sy = to a larger column",
            'use: sx, sy = numpy.loadtxt("tomopy_shifts.txt", unpack=True)',
        )  # fmt: skip
        text = [*(f"# {line}" for line in lines), *rows([shift[:, 1], shift[:, 0]], " ")]
        write_atomic(path, "\n".join(text) + "\n")
