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
from models.estimate import ModelError
from models.geometry import ConeBeam
from twin.atomic import write_atomic
from twin.export.exporter import Setup, check


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
    depth_um, scale_um, radius_mm = residual_um(correction, setup)
    left = "without bound (the field of view reaches the source)" if np.isnan(depth_um) else f"up to {depth_um:.3g} um"
    header = [
        "ctwin translations 1 for nabu, [reconstruction] translation_movements_file",
        f"scan: {''.join(c if c.isprintable() else '?' for c in correction.scan)}",
        "columns: horizontal, vertical [detector pixel]; + = image content moved to a larger column, a larger row",
        f"rows: {len(correction)} projections in the order of the scan, flats and darks not counted, no subsampling",
        "keep y_translation of the NXtomo file at zero; it is not needed beside this file and stops nabu",
        "right for points on the rotation axis. Left over at the edge of the field of view "
        f"({radius_mm:.4g} mm from the axis), in the object: {left} by depth, up to {scale_um:.3g} um by magnification",
        *("".join(c if c.isprintable() else "?" for c in f"{key}: {value}") for key, value in correction.provenance),
    ]
    text = io.StringIO()
    np.savetxt(text, np.asarray(correction.shift_px), fmt="%.9f", header="\n".join(header), encoding="utf-8")
    return text.getvalue()


def residual_um(correction: Correction, setup: Setup) -> tuple[float, float, float]:
    """What a shift leaves at the edge of the field of view, worst projection: by depth [µm], by magnification [µm].

    The field's half width in the object is ``r = columns p / (2 M)`` [mm], given third. By depth: ``|s - o| r/(SOD -
    r)``, with the motion of the source against the object, for a motion that both share leaves nothing; ``nan`` where
    r reaches the source. By magnification: ``r |ratio - 1|``. Both in the object plane.
    """
    pose: ConeBeam = setup.pose
    radius_m = setup.columns * pose.pixel_m / pose.magnification / 2
    relative_m = (np.asarray(correction.source_um) - np.asarray(correction.object_um))[:, :2] * 1e-6
    scale_um = float(np.abs(correction.magnification - 1.0).max()) * radius_m * 1e6
    try:
        on_detector_m = pose.depth_residual_m(np.hypot(relative_m[:, 0], relative_m[:, 1]), radius_m)
    except ModelError:
        return float("nan"), scale_um, radius_m * 1e3
    return float(on_detector_m.max()) / pose.magnification * 1e6, scale_um, radius_m * 1e3
