"""nabu's ``translation_movements_file``: how far the image content moved, horizontal and vertical, in pixels.

A shift moves the image of every depth alike, a source does not: what the shift leaves at the edge of the field of view
is stated in the file. nabu can turn these numbers into a reconstruction only; NXtomo's ``y_translation`` must stay
zero beside them (nabu 2026.1.2 takes it for a wider field and fails).
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from models.correction import Correction
from twin.atomic import write_atomic
from twin.export.exporter import Setup, check
from twin.export.residual import residual_words
from twin.export.words import comments


class NabuExporter:
    """Writes the file for nabu's key ``[reconstruction] translation_movements_file``."""

    name = "nabu"
    filename = "nabu_translations.txt"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the file; a correction shorter than the scan is refused, for nabu would not notice."""
        check(correction, self.name, self.setup.projections)
        write_atomic(path, render(correction, self.setup))


def render(correction: Correction, setup: Setup) -> str:
    """Text of the file: comment lines, then N rows ``horizontal vertical`` [px] as numpy.savetxt writes them."""
    header = [
        "ctwin translations 1 for nabu, [reconstruction] translation_movements_file",
        "columns: horizontal, vertical [detector pixel]; + = image content moved to a larger column, a larger row",
        f"rows: {len(correction)} projections in the order of the scan, flats and darks not counted, no subsampling",
        "keep y_translation of the NXtomo file at zero; it is not needed beside this file and stops nabu",
        residual_words(correction, setup),
        *comments(correction),
    ]
    text = io.StringIO()
    np.savetxt(text, np.asarray(correction.shift_px), fmt="%.9f", header="\n".join(header), encoding="utf-8")
    return text.getvalue()
