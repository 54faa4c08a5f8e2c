"""Where a point of the object appears on the detector, from first principles; shares no code with the product.

Laboratory frame: u right (column), v down (row), w from source to detector, origin where the undisplaced axis meets
the central ray. The object frame coincides with it at angle 0.
"""

from __future__ import annotations

import numpy as np

SOD, SDD, PIXEL = 12.0, 150.0, 0.127  # mm
COLUMNS, ROWS = 161, 121


def turned(point, angle_deg):
    """Right-handed turn about -v (Rodrigues)."""
    axis = np.array([0.0, -1.0, 0.0])
    a = np.deg2rad(angle_deg)
    return point * np.cos(a) + np.cross(axis, point) * np.sin(a) + axis * (axis @ point) * (1 - np.cos(a))


def pixel(point, angle_deg, source, axis, detector):
    """(column, row) of a point of the object [mm], for displacements of source, axis and detector [mm]."""
    place = turned(np.asarray(point, float), angle_deg) + axis
    spot = np.array([0.0, 0.0, -SOD]) + source
    plane = SDD - SOD + detector[2]
    ray = place - spot
    hit = spot + ray * (plane - spot[2]) / ray[2]
    return np.array(
        [(COLUMNS - 1) / 2 + (hit[0] - detector[0]) / PIXEL, (ROWS - 1) / 2 + (hit[1] - detector[1]) / PIXEL]
    )
