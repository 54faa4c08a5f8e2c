"""CIL's ``Cone3D_Flex``: positions and directions of each projection, under the names of its keywords.

Keywords as in ``AcquisitionGeometry.create_Cone3D_Flex`` of CIL (``cil/framework/acquisition_geometry.py``); the panel's
origin stays at CIL's ``bottom-left``, which leaves signs alone: ``right`` and ``top`` would turn them over
(``convert_geometry_to_astra_vec_3D.py``).
"""

from __future__ import annotations

from pathlib import Path

from models.correction import Correction
from twin.atomic import write_atomic
from twin.export.archive import npz
from twin.export.exporter import Setup, check
from twin.export.poses import FRAME, MM, poses
from twin.export.words import about

WORDS = {
    "frame": FRAME,
    "units": "mm; directions are unit vectors",
    "use": "AcquisitionGeometry.create_Cone3D_Flex(the four sets, units='mm').set_panel(num_pixels, pixel_size);"
    " leave the panel's origin at bottom-left; data in (projection, vertical, horizontal)",
}


class CilExporter:
    """Writes the four sets (N, 3) and the panel: ``num_pixels`` and ``pixel_size``, columns first."""

    name = "cil"
    filename = "cil_cone3d_flex.npz"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the archive; needs a row for every projection of the scan, since CIL pairs them by position."""
        check(correction, self.name, self.setup.projections)
        seen, pixel_mm = poses(correction, self.setup.pose, self.name), self.setup.pose.pixel_m * MM
        arrays = {
            "source_position_set": seen.source_mm,
            "detector_position_set": seen.detector_mm,
            "detector_direction_x_set": seen.columns,
            "detector_direction_y_set": seen.rows,
            "num_pixels": [self.setup.columns, self.setup.rows],
            "pixel_size": [pixel_mm, pixel_mm],
        }
        write_atomic(path, npz(arrays, about(correction, "geometry for CIL Cone3D_Flex", WORDS)))
