"""Where source and detector stand at each projection, seen from the object: what formats of explicit vectors write.

The frame stands on the (displaced) rotation axis and turns with the object: **(x, y, z) = (u, w, -v)** at angle 0, so
z is the axis and points up, and the frame is right-handed. Rows run along -z because the vectors say so: projections
are read as they are. With ``a = angle_deg`` and ``T(u, v, w) = (u cos a + w sin a, w cos a - u sin a, -v)``::

    source   = T( s - o + (0, 0, -SOD) )
    detector = T( d - o + (0, 0, SDD - SOD) )        centre
    columns  = T(1, 0, 0)                            unit vector along increasing column
    rows     = T(0, 1, 0)                            unit vector along increasing row
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.correction import Correction
from models.estimate import Array
from models.geometry import ConeBeam
from twin.export.exporter import ExportError

MM = 1e3  # mm per m
UM = 1e-3  # mm per um
FRAME = (
    "origin on the displaced rotation axis, turning with the object; (x, y, z) = (u, w, -v) at angle 0: z is the axis,"
    " up; u, v, w = column, row, source to detector; rows and columns of the projections as they are, no flip"
)


@dataclass(frozen=True, slots=True)
class Poses:
    """Source and centre of the detector [mm], unit vectors along columns and rows; each (N, 3) in x, y, z."""

    source_mm: Array
    detector_mm: Array
    columns: Array
    rows: Array


def displacements_mm(correction: Correction) -> tuple[Array, Array, Array]:
    """Displacements of source, object and detector [mm], each (N, 3) in u, v, w."""
    s, o, d = (np.asarray(getattr(correction, f"{body}_um"), float) * UM for body in ("source", "object", "detector"))
    return s, o, d


def distances_mm(correction: Correction, pose: ConeBeam, name: str) -> tuple[Array, Array]:
    """Distances source–axis and source–detector at each projection [mm], each (N,).

    ``SOD - s_w + o_w`` and ``SDD + d_w - s_w``.

    Raises
    ------
    ExportError
        A displacement along w carries the source through the axis or the axis through the detector.

    Examples
    --------
    SOD 10 mm, SDD 50 mm; the source 0.25 µm nearer, the object 0.125 µm, the detector 0.025 µm farther:

    >>> from twin.export.conformance import correction
    >>> [round(float(d[1]), 7) for d in distances_mm(correction(2), ConeBeam(10e-3, 50e-3, 50e-6), "mine")]
    [9.999625, 49.999775]
    """
    source, axis, detector = displacements_mm(correction)
    to_axis = pose.source_object_m * MM - source[:, 2] + axis[:, 2]
    to_detector = pose.source_detector_m * MM + detector[:, 2] - source[:, 2]
    if np.any(to_axis <= 0) or np.any(to_detector <= to_axis):
        raise ExportError(
            f"{name}: a displacement along w is larger than the distances of the pose; check the units (um)"
        )
    return to_axis, to_detector


def poses(correction: Correction, pose: ConeBeam, name: str) -> Poses:
    """A correction as explicit positions and directions.

    Parameters
    ----------
    correction : Correction
        Displacements [µm] in u, v, w.
    pose : ConeBeam
        Reference pose [m]; it holds at the correction's first projection.
    name : str
        Name of the format, for messages.

    Raises
    ------
    ExportError
        As :func:`distances_mm`.

    Examples
    --------
    An object that turned by 90° about the axis that points up sees the machine turned the other way, the source at -x:

    >>> from twin.export.conformance import correction
    >>> import dataclasses
    >>> turned = dataclasses.replace(correction(1), angle_deg=np.array([90.0]))
    >>> source = poses(turned, ConeBeam(10e-3, 50e-3, 50e-6), "mine").source_mm
    >>> (source.round(9) + 0.0).tolist()
    [[-10.0, 0.0, 0.0]]
    """
    distances_mm(correction, pose, name)
    source, axis, detector = displacements_mm(correction)
    along = np.array([0.0, 0.0, MM])
    angle = np.deg2rad(np.asarray(correction.angle_deg, float))
    return Poses(
        source_mm=_turned(source - axis - along * pose.source_object_m, angle),
        detector_mm=_turned(detector - axis + along * (pose.source_detector_m - pose.source_object_m), angle),
        columns=_turned(np.array([1.0, 0.0, 0.0]), angle),
        rows=_turned(np.array([0.0, 1.0, 0.0]), angle),
    )


def _turned(vector: Array, angle: Array) -> Array:
    """Laboratory (u, v, w) → object (x, y, z); angle [rad], (N,)."""
    u, v, w = np.broadcast_to(vector, (angle.size, 3)).T
    cos, sin = np.cos(angle), np.sin(angle)
    # + 0.0: no "-0" in the files
    return np.column_stack([u * cos + w * sin, w * cos - u * sin, -v]) + 0.0
