"""TIGRE's geometry: a source that drifts, said through its centre of rotation and the place of the volume.

TIGRE has no offset of the source. What it has moves source and detector together, ``COR`` along the columns and
``offOrigin`` along the axis, and ``offDetector`` then moves the detector back. By its formulae (``computeDeltas_Siddon`` in
``Siddon_projection.cu``, ``computeDeltasCube`` in ``voxel_backprojection.cu``) this is exact, for points at any depth::

    angles           = -angle_deg                    [rad]
    COR              = s_u - o_u
    offOrigin        = (s_v - o_v, 0, 0)             order z, y, x
    offDetector      = (s_v - d_v, d_u - s_u)        order v, u
    DSO              = SOD - s_w + o_w
    DSD              = SDD + d_w - s_w

Lengths in mm. TIGRE's frame stands on the displaced axis: **(x, y, z) = (-w, u, -v)** at angle 0, z up, right-handed; its
rows run along +z, so projections are given with their rows flipped, as to RTK.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.correction import Correction
from models.estimate import Array
from twin.atomic import write_atomic
from twin.export.archive import npz
from twin.export.exporter import Setup, check
from twin.export.poses import MM, displacements_mm, distances_mm
from twin.export.words import about

WORDS = {
    "frame": "origin on the displaced rotation axis, turning with the object; (x, y, z) = (-w, u, -v) at angle 0: z is the"
    " axis, up; u, v, w = column, row, source to detector; give the projections with their rows flipped: [:, ::-1, :]",
    "units": "mm; angles in rad",
    "use": "setattr(geo, name, array) for all but angles; FDK with dowang=False, for with its default (True) it takes"
    " offDetector as if it were the same for all projections",
    "left over by depth": "nothing: COR and offOrigin move source and detector, offDetector moves the detector back."
    " Only the scale and the cosine weight of FDK take the distances of the first projection",
}


class TigreExporter:
    """Writes attributes of ``tigre.geometry`` by their names, one entry per projection, and ``angles``."""

    name = "tigre"
    filename = "tigre_geometry.npz"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the archive; needs a row for every projection of the scan, since TIGRE pairs them by position."""
        check(correction, self.name, self.setup.projections)
        arrays = attributes(correction, self.setup)
        write_atomic(path, npz(arrays, about(correction, "geometry for TIGRE", WORDS)))


def attributes(correction: Correction, setup: Setup) -> dict[str, Array]:
    """TIGRE's attributes by name; lengths [mm], angles [rad]; the first six have one entry per projection.

    Raises
    ------
    ExportError
        A displacement along w is larger than the distances of the pose.

    Examples
    --------
    A source that moved 1 µm along u and -0.5 µm along v, an object that moved half as far the other way:

    >>> from twin.export import conformance
    >>> geometry = attributes(conformance.correction(2), conformance.setup(2))
    >>> float(geometry["COR"][1]), geometry["offOrigin"][1].tolist()
    (0.0015, [-0.00075, 0.0, 0.0])
    >>> geometry["offDetector"][1].round(9).tolist()
    [-0.00045, -0.0009]
    """
    source, axis, detector = displacements_mm(correction)
    to_axis, to_detector = distances_mm(correction, setup.pose, "tigre")
    zero = np.zeros(len(correction))
    size = np.array([setup.rows, setup.columns])
    pixel_mm = np.full(2, setup.pose.pixel_m * MM)
    return {
        "angles": -np.deg2rad(np.asarray(correction.angle_deg, float)) + 0.0,
        "DSO": to_axis,
        "DSD": to_detector,
        "COR": source[:, 0] - axis[:, 0],
        "offOrigin": np.column_stack([source[:, 1] - axis[:, 1], zero, zero]),
        "offDetector": np.column_stack([source[:, 1] - detector[:, 1], detector[:, 0] - source[:, 0]]),
        "nDetector": size,
        "dDetector": pixel_mm,
        "sDetector": size * pixel_mm,
    }
