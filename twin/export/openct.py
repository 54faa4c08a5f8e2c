"""OpenCT JSON, ``FreeTrajectoryCBCTScan``: a 3x4 matrix from object to detector for each projection.

Layout and conventions are those of ctsimu 1.7.0 (``geometry.create_OpenCT_config``, ``Geometry.projection_matrix`` with
``mode="OpenCT"``): lengths in mm, origin of the image at the detector's centre, v downwards, last entry of each matrix 1,
**(x, y, z) = (-w, u, -v)** at angle 0. (ctsimu inverts the stage's w and adds the source instead of subtracting it: together
a half turn of the stage about w.) With source ``S``, centre of the detector ``D``, unit vectors ``e_u``, ``e_v`` and the
normal ``n``, a matrix is, up to a factor::

    row u = e_u·(S - D) n + n·(D - S) e_u,   row v alike,   last row = n,   last column = -rows·S
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from models.correction import Correction
from models.estimate import Array
from twin.atomic import write_atomic
from twin.export.exporter import Setup, check
from twin.export.poses import MM, Poses, poses
from twin.export.words import about

TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # (u, w, -v) -> (-w, u, -v)
WORDS = {
    "frame": "origin on the displaced rotation axis, turning with the object; (x, y, z) = (-w, u, -v) at angle 0: z is the"
    " axis, up; u, v, w = column, row, source to detector",
    "units": "mm",
    "use": "enter the names of the projections, in the order of the scan, in projections.images.files",
}


class OpenCtExporter:
    """Writes the matrices; the names of the projections, which we don't know, are left to the user."""

    name = "openct"
    filename = "openct.json"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the file; needs a row for every projection of the scan, since they are paired by position."""
        check(correction, self.name, self.setup.projections)
        seen = poses(correction, self.setup.pose, self.name)
        write_atomic(path, json.dumps(_document(correction, self.setup, matrices(seen)), ensure_ascii=False, indent=1))


def matrices(seen: Poses) -> Array:
    """Matrices from the object (x, y, z, 1) [mm] in OpenCT's frame to the detector (u, v, 1) [mm], (N, 3, 4).

    Examples
    --------
    A point 1 mm along u from the axis, with SOD 10 mm and SDD 50 mm, is at y = 1 and lands at u = 5 mm:

    >>> one = [[1.0, 0.0, 0.0]]
    >>> m = matrices(Poses(np.array([[0.0, -10.0, 0.0]]), np.array([[0.0, 40.0, 0.0]]), np.array(one),
    ...                    np.array([[0.0, 0.0, -1.0]])))
    >>> u, v, scale = m[0] @ [0.0, 1.0, 0.0, 1.0]
    >>> float(u / scale)
    5.0
    """
    source, centre, columns, rows, normal = (
        vectors @ TURN.T
        for vectors in (seen.source_mm, seen.detector_mm, seen.columns, seen.rows, np.cross(seen.columns, seen.rows))
    )
    ray = source - centre
    distance = -np.sum(normal * ray, axis=1, keepdims=True)
    linear = np.stack(
        [np.sum(along * ray, axis=1, keepdims=True) * normal + distance * along for along in (columns, rows)]
        + [normal],
        axis=1,
    )
    whole = np.concatenate([linear, -linear @ source[:, :, None]], axis=2)
    return np.asarray(whole / whole[:, 2:, 3:])


def _document(correction: Correction, setup: Setup, matrices: Array) -> dict[str, object]:
    pose, pixel_mm = setup.pose, setup.pose.pixel_m * MM
    voxel_mm = pixel_mm / pose.magnification
    wide, high = setup.columns * voxel_mm, setup.rows * voxel_mm
    images = {"dataType": "Float32", "fileType": "TIFF", "skipBytes": 0, "endianness": "Little"}
    return {
        "version": {"major": 1, "minor": 0},
        "OpenCTJSON": {"versionMajor": 1, "versionMinor": 0, "revisionNumber": 0, "variant": "FreeTrajectoryCBCTScan"},
        "hints": None,
        "ctwin": about(correction, "geometry for OpenCT", WORDS),  # a key of its own; readers pass it over
        "units": {"length": "Millimeter", "angle": "Degree"},
        "volumeName": correction.scan,
        "projections": {
            "numProjections": len(correction),
            "intensityDomain": True,
            "images": {**images, "directory": None, "files": []},
            "detectorCoordinateFrame": "OriginAtDetectorCenter.VerticalAxisRunningDownwards",
            "detectorCoordinateDimension": "Length",
            "matrices": matrices.tolist(),
        },
        "geometry": {
            "detectorPixel": [setup.columns, setup.rows],
            "detectorSize": [setup.columns * pixel_mm, setup.rows * pixel_mm],
            "distanceSourceObject": pose.source_object_m * MM,
            "distanceObjectDetector": (pose.source_detector_m - pose.source_object_m) * MM,
            "mirrorDetectorAxis": "",
            "skipAngle": 0,
            "totalAngle": float(np.ptp(np.asarray(correction.angle_deg, float))),
            "objectBoundingBox": {"centerXYZ": [0, 0, 0], "sizeXYZ": [wide, wide, high]},
        },
        "corrections": None,
    }
