"""Shifts as Zeiss stores them in a ``.txrm``: what is to be **applied** to an image to bring its content back.

``x-shift = -du``, ``y-shift = -dv``: CIL's ``ZEISSDataReader`` and xrmreader roll each projection by +x columns and
+y rows. The sign of y is disputed (dxchange counts it upwards), so the head of the file says it in words. CIL cuts the
shifts to whole pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.correction import Correction
from twin.atomic import write_atomic
from twin.export.exporter import Setup, check
from twin.export.shifts import head, rows


class ZeissExporter:
    """Writes a CSV table with ``projection``, ``x_shift_px``, ``y_shift_px``."""

    name = "zeiss"
    filename = "zeiss_shifts.csv"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the table; needs a row for every projection of the scan, as the streams of a ``.txrm`` have."""
        check(correction, self.name, self.setup.projections)
        shift = -np.asarray(correction.shift_px, float)
        lines = head(
            correction, self.setup, "ctwin shifts 1 as Zeiss Alignment/X-Shifts and Y-Shifts",
            "columns: shift to apply to the image [detector pixel], + = to a larger column, a larger row (down);"
            " programs that count y upwards take -y",
        )  # fmt: skip
        table = rows([shift[:, 0], shift[:, 1]], ",", [int(index) for index in correction.projection])
        text = [*(f"# {line}" for line in lines), "projection,x_shift_px,y_shift_px", *table]
        write_atomic(path, "\n".join(text) + "\n")
