"""RTK geometry XML: the true pose of source and detector at every projection, as RTK 2 reads it.

RTK's frame stands on the rotation axis and turns the machine round the object: x = u, y = -v, z = -w, origin on the
(displaced) axis. Detector rows run along -y, so a projection is read with its rows flipped (row 0 is the last one) and
with the image centre as origin. Ours → RTK::

    GantryAngle       = -angle_deg
    SourceOffset      = (s_u - o_u, -(s_v - o_v))
    ProjectionOffset  = (d_u - o_u, -(d_v - o_v))
    SourceToIsocenter = SOD - s_w + o_w
    SourceToDetector  = SDD + d_w - s_w

and the matrix from object to detector, both in millimetres, homogeneous (RTK's ``Geometry.md``)::

    M = T2(SourceOffset - ProjectionOffset) · diag3x4(-SDD, -SDD, 1 | -SID) · T3(-SourceOffset) · R_y(-GantryAngle)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.correction import Correction
from models.estimate import Array
from models.geometry import ConeBeam
from twin.atomic import write_atomic
from twin.export.exporter import Setup, check
from twin.export.poses import MM, displacements_mm, distances_mm


@dataclass(frozen=True, slots=True)
class RtkPose:
    """RTK's parameters, one entry per projection; lengths [mm], angles [degree]."""

    SourceToIsocenterDistance: Array
    SourceToDetectorDistance: Array
    SourceOffsetX: Array
    SourceOffsetY: Array
    ProjectionOffsetX: Array
    ProjectionOffsetY: Array
    GantryAngle: Array


PARAMETERS = tuple(RtkPose.__dataclass_fields__)


def rtk_pose(correction: Correction, pose: ConeBeam) -> RtkPose:
    """A correction in RTK's parameters.

    Parameters
    ----------
    correction : Correction
        Displacements [µm] in u, v, w.
    pose : ConeBeam
        Reference pose [m]; it holds at the correction's first projection.

    Raises
    ------
    ExportError
        A displacement along w carries the source through the axis or the axis through the detector.
    """
    source, axis, detector = displacements_mm(correction)
    sid, sdd = distances_mm(correction, pose, "rtk")
    return RtkPose(
        SourceToIsocenterDistance=sid,
        SourceToDetectorDistance=sdd,
        SourceOffsetX=source[:, 0] - axis[:, 0],
        SourceOffsetY=-(source[:, 1] - axis[:, 1]),
        ProjectionOffsetX=detector[:, 0] - axis[:, 0],
        ProjectionOffsetY=-(detector[:, 1] - axis[:, 1]),
        # + 0.0: no "-0" in the file
        GantryAngle=-np.asarray(correction.angle_deg, dtype=float) + 0.0,
    )


def matrices(rtk: RtkPose) -> Array:
    """RTK's projection matrices, (N, 3, 4): object point (x, y, z, 1) [mm] → detector (x, y, 1) [mm], homogeneous.

    Examples
    --------
    The centre of the axis lands where the source offset throws it, -(M - 1) times over:

    >>> one = np.ones(1)
    >>> m = matrices(RtkPose(100 * one, 500 * one, one, 0 * one, 0 * one, 0 * one, 0 * one))[0]
    >>> image = m @ [0.0, 0.0, 0.0, 1.0]
    >>> (image[:2] / image[2] + 0.0).tolist()
    [-4.0, 0.0]
    """
    count = rtk.GantryAngle.size
    angle = np.deg2rad(rtk.GantryAngle)
    to_gantry = np.zeros((count, 4, 4))
    to_gantry[:, 0, 0] = to_gantry[:, 2, 2] = np.cos(angle)
    to_gantry[:, 0, 2], to_gantry[:, 2, 0] = -np.sin(angle), np.sin(angle)
    to_gantry[:, 1, 1] = to_gantry[:, 3, 3] = 1.0
    to_source = np.tile(np.eye(4), (count, 1, 1))
    to_source[:, 0, 3], to_source[:, 1, 3] = -rtk.SourceOffsetX, -rtk.SourceOffsetY
    magnify = np.zeros((count, 3, 4))
    magnify[:, 0, 0] = magnify[:, 1, 1] = -rtk.SourceToDetectorDistance
    magnify[:, 2, 2], magnify[:, 2, 3] = 1.0, -rtk.SourceToIsocenterDistance
    to_detector = np.tile(np.eye(3), (count, 1, 1))
    to_detector[:, 0, 2] = rtk.SourceOffsetX - rtk.ProjectionOffsetX
    to_detector[:, 1, 2] = rtk.SourceOffsetY - rtk.ProjectionOffsetY
    return np.asarray(to_detector @ magnify @ to_source @ to_gantry)


class RtkExporter:
    """Writes RTK's ``RTKThreeDCircularGeometry`` version 3."""

    name = "rtk"
    filename = "rtk_geometry.xml"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the geometry; needs a row for every projection of the scan, since RTK pairs them by position."""
        check(correction, self.name, self.setup.projections)
        write_atomic(path, render(correction, self.setup))


def render(correction: Correction, setup: Setup) -> str:
    """Text of the XML file.

    Parameters that stay are given once, those that change in every projection: RTK silently keeps the value of the
    projection before where one is left out.
    """
    rtk = rtk_pose(correction, setup.pose)
    columns = {name: np.asarray(getattr(rtk, name)) for name in PARAMETERS}
    constant = [name for name in PARAMETERS[:-1] if np.all(columns[name] == columns[name][0])]
    varying = [name for name in PARAMETERS if name not in constant]
    lines = [
        '<?xml version="1.0"?>',
        "<!DOCTYPE RTKGEOMETRY>",
        f"<!-- {_comment(correction, setup)} -->",
        '<RTKThreeDCircularGeometry version="3">',
        *(_tag(name, float(columns[name][0])) for name in constant),
    ]
    for i, matrix in enumerate(matrices(rtk).tolist()):
        lines.append("  <Projection>")
        lines.extend("  " + _tag(name, float(columns[name][i])) for name in varying)
        lines.append("    <Matrix>")
        lines.extend("      " + " ".join(f"{value:22.15g}" for value in row) for row in matrix)
        lines.extend(("    </Matrix>", "  </Projection>"))
    return "\n".join([*lines, "</RTKThreeDCircularGeometry>", ""])


def _tag(name: str, value: float) -> str:
    return f"  <{name}>{value!r}</{name}>"


def _comment(correction: Correction, setup: Setup) -> str:
    pitch = setup.pose.pixel_m * MM
    first = [-(n - 1) / 2 * pitch for n in (setup.columns, setup.rows)]
    words = [
        f"ctwin geometry of scan {correction.scan}, {len(correction)} projections; lengths in mm, angles in degree.",
        "RTK (x, y, z) = detector frame (u, -v, -w), GantryAngle = -angle_deg, origin on the displaced axis.",
        "Read each projection with its detector rows flipped (row 0 becomes the last):",
        f"spacing {pitch!r}, origin {first[0]!r}, {first[1]!r} for {setup.columns} x {setup.rows} pixels.",
        *(f"{key}: {value}." for key, value in correction.provenance),
    ]
    # "--" and control characters would end the comment or the file's validity
    text = "\n     ".join("".join(c if c.isprintable() else "?" for c in line) for line in words)
    while "--" in text:
        text = text.replace("--", "- -")
    return text
