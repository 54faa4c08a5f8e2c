"""What a scan resolves by orientation and radius: edges that look in eight directions, and along the axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.blur import Budget
from models.correction import Correction
from models.disk_rim import axial_f10, rim_f10
from models.estimate import Array
from models.off_axis import shift_costs, shift_costs_faces
from twin.assembly import Machine

FILENAME = "edges.csv"
NORMALS_DEG = np.arange(8) * 45.0
RADII = (0.25, 0.5, 0.75)  # of the field of view's
WHOLE_TURN_DEG = 350.0
COLUMNS = ("normal_deg", "radius_mm", "promised_um", "uncorrected_um", "shifted_um", "corrected_um")


@dataclass(frozen=True, slots=True)
class Edge:
    """Half-pitches at 10 % MTF of one edge, pixel aperture and the reconstruction's interpolation included [µm].

    Attributes
    ----------
    normal_deg : float
        Angle of the stage at which u lies along its normal; ``nan`` for a face across the axis.
    radius_mm : float
        Of the disk whose rim it is; ``nan`` for a face.
    promised_um, uncorrected_um, shifted_um, corrected_um : float
        By the static budget alone, with the drift, with what the image shift leaves of it there (the worse of an edge that
        looks outward and one that looks along the circle), and with what corrections of the true geometry leave.
    """

    normal_deg: float
    radius_mm: float
    promised_um: float
    uncorrected_um: float
    shifted_um: float
    corrected_um: float


def edges(
    machine: Machine, plane: Budget, axial: Budget, moved_m: Array, correction: Correction, left_m2: float
) -> tuple[Edge, ...]:
    """Edges of a scan over a whole turn; none where its angles don't make one.

    Parameters
    ----------
    plane, axial : Budget
        Static blur across and along the axis.
    moved_m : (N, 2) array
        Displacement of the image content in the object plane [m].
    correction : Correction
        Its angles, and what moved by how much, of which a shift can only hold the sum.
    left_m2 : float
        Blur variance of what corrections leave [m²].
    """
    pose, geometry = machine.pose, machine.config.geometry
    half = np.arctan(0.5 * geometry.columns * pose.pixel_m / pose.source_detector_m)
    field_m, found = pose.source_object_m * float(np.sin(half)), []
    angle_deg = correction.angle_deg
    angle = np.deg2rad(angle_deg)
    apart, stretch = (correction.object_um - correction.source_um) * 1e-6, correction.magnification - 1.0
    if np.ptp(angle_deg) >= WHOLE_TURN_DEG:
        still, normals = np.zeros_like(moved_m[:, 0]), np.deg2rad(NORMALS_DEG)
        for part in RADII:
            radius = part * field_m
            promised, moved, left = (
                0.5e6 / rim_f10(plane, x, angle, where, radius, variance, pose.source_object_m)
                for x, where, variance in (
                    (still, normals[:1], 0.0),  # without drift all are alike
                    (moved_m[:, 0], normals, left_m2),
                    (still, normals[:1], left_m2),
                )
            )
            for normal, half_pitch in zip(NORMALS_DEG.tolist(), moved, strict=True):
                costs = shift_costs(
                    plane, pose, apart[:, 0], stretch, angle, float(np.deg2rad(normal)), radius, left_m2
                )
                found.append(
                    Edge(
                        normal,
                        radius * 1e3,
                        float(promised[0]),
                        float(half_pitch),
                        costs * float(left[0]),
                        float(left[0]),
                    )
                )
    if found:
        none = np.zeros(1)
        promised_um, uncorrected_um, corrected_um = (
            0.5e6 / axial_f10(axial, x, left) for x, left in ((none, 0.0), (moved_m[:, 1], left_m2), (none, left_m2))
        )
        shifted_um = corrected_um * shift_costs_faces(axial, pose, apart[:, 1], angle, RADII[-1] * field_m, left_m2)
        found.append(Edge(np.nan, np.nan, promised_um, uncorrected_um, shifted_um, corrected_um))
    return tuple(found)


def edges_csv(found: tuple[Edge, ...]) -> str:
    """As a table; a face has neither normal nor radius.

    Examples
    --------
    >>> print(edges_csv((Edge(45.0, 0.1, 0.5, 0.9, 0.6, 0.55), Edge(np.nan, np.nan, 0.5, 0.6, 0.5, 0.5))), end="")
    # ctwin edges 1; half-pitch at 10 % MTF
    normal_deg,radius_mm,promised_um,uncorrected_um,shifted_um,corrected_um
    45,0.1,0.5,0.9,0.6,0.55
    ,,0.5,0.6,0.5,0.5
    """
    rows = [",".join(f"{v:.5g}" if np.isfinite(v) else "" for v in (getattr(e, c) for c in COLUMNS)) for e in found]
    return "\n".join(["# ctwin edges 1; half-pitch at 10 % MTF", ",".join(COLUMNS), *rows, ""])


def edges_words(found: tuple[Edge, ...]) -> str:
    """The worst edge at half the field's radius and the face, in one line; ``found`` isn't empty."""
    radius = sorted({e.radius_mm for e in found if np.isfinite(e.radius_mm)})[len(RADII) // 2]
    here = [e for e in found if e.radius_mm == radius]
    worst, face = max(here, key=lambda e: e.uncorrected_um), found[-1]
    return (
        f"  edges {radius:.3g} mm off the axis: without correction {worst.uncorrected_um:.3g} um (worst, looking at "
        f"{worst.normal_deg:g} deg), with the shift alone {max(e.shifted_um for e in here):.3g}, with it "
        f"{worst.corrected_um:.3g}; along the axis {face.uncorrected_um:.3g}, {face.shifted_um:.3g} and "
        f"{face.corrected_um:.3g} um"
    )
