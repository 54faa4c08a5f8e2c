"""A phantom of ellipsoids with sharp edges, and markers; attenuation along rays in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.simulate.heat import Array


@dataclass(frozen=True, slots=True)
class Ellipsoid:
    """Centre and half axes (u, v, w) in units of the phantom's radius; ``contrast`` adds to what it lies in."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    contrast: float


# A body with cavities and grains, none on the axis of rotation alone, so that every kind of drift shows somewhere.
BODIES = (
    Ellipsoid((0.0, 0.0, 0.0), (0.92, 0.85, 0.92), 1.0),
    Ellipsoid((0.38, -0.20, 0.10), (0.24, 0.24, 0.24), 1.2),
    Ellipsoid((-0.36, 0.28, -0.18), (0.30, 0.12, 0.20), -0.9),
    Ellipsoid((-0.10, -0.42, 0.40), (0.16, 0.16, 0.16), 2.0),
    Ellipsoid((0.12, 0.44, -0.34), (0.09, 0.09, 0.09), 3.0),
    Ellipsoid((0.02, 0.02, -0.02), (0.06, 0.06, 0.06), -1.0),
)
OPTICAL_DEPTH = 0.9  # of the body across its diameter


def turned(points: Array, angle_deg: float) -> Array:
    """Turn points right-handed about -v (counter-clockwise seen from above).

    Examples
    --------
    >>> turned(np.array([1.0, 0.0, 0.0]), 90.0).round(3).tolist()
    [0.0, 0.0, 1.0]
    """
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    u, v, w = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([c * u - s * w, v, s * u + c * w], axis=-1)


def depth_of_phantom(start_m: Array, toward: Array, centre_m: Array, angle_deg: float, radius_m: float) -> Array:
    """Optical depth of the phantom along rays.

    Parameters
    ----------
    start_m : (3,) array
        Source [m].
    toward : (..., 3) array
        Unit vectors.
    centre_m : (3,) array
        Where the rotation axis stands [m].
    angle_deg : float
    radius_m : float
        Radius of the phantom [m].

    Examples
    --------
    >>> ray = np.array([[0.0, 0.0, 1.0]])
    >>> float(depth_of_phantom(np.zeros(3), ray, np.array([0.95, 0, 5.0]), 0.0, 1.0)[0])
    0.0
    """
    begin = turned(start_m - centre_m, -angle_deg) / radius_m
    along = turned(toward, -angle_deg)
    depth = np.zeros(along.shape[:-1])
    for body in BODIES:
        half = np.array(body.half)
        depth += body.contrast * _chord(along / half, (np.array(body.centre) - begin) / half, 1.0)
    return depth * (OPTICAL_DEPTH / 2.0)


def depth_of_sphere(start_m: Array, toward: Array, centre_m: Array, radius_m: float) -> Array:
    """Optical depth of a marker sphere along rays; 2 through its centre."""
    return _chord(toward, centre_m - start_m, radius_m) / radius_m


def depth_of_wire(start_m: Array, toward: Array, point_m: Array, angle_deg: float, radius_m: float) -> Array:
    """Optical depth of an endless wire through ``point_m`` along (cos, sin) of ``angle_deg``; 3 across its middle."""
    axis = np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg)), 0.0])
    to_wire = point_m - start_m
    across = toward - (toward @ axis)[..., None] * axis
    return 1.5 * _chord(across, to_wire - (to_wire @ axis) * axis, radius_m) / radius_m


def _chord(along: Array, to_centre: Array, radius: float) -> Array:
    """Length of the ray parameter for which ``|t along - to_centre| < radius``."""
    square = np.einsum("...k,...k->...", along, along)
    project = along @ to_centre
    inside = project**2 - square * (to_centre @ to_centre - radius**2)
    return np.asarray(2.0 * np.sqrt(np.maximum(inside, 0.0)) / square)
