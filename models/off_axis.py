"""What an image shift that is right on the rotation axis leaves away from it: by depth, and by magnification.

A point nearer to the source by d is seen with its own magnification M' = SDD/(SOD - d). In the object plane, at its depth,
its content is left with ``d/SOD (o - s)`` by a shift that is right on the axis, where o and s are the displacements of object
and source (from ``M' o - (M' - 1) s``), and with ``u ΔM/M`` at a distance u from the middle. Spot, detector and pixel have
the size there that M' gives them, so opposite projections, to which the point is near and far, blur an edge differently. And
a point that goes round sees the source from directions that are not the stage's angle: by the angle alone the wrong
projections would be taken for those along an edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.blur import WEDGE_DEG, Budget, crossing
from models.disk_rim import FREQUENCIES
from models.estimate import Array, ModelError
from models.geometry import ConeBeam

DIRECTIONS = 1440  # of rays, evenly over a turn
AROUND = 24  # places along a circle


@dataclass(frozen=True, slots=True)
class Place:
    """A point of the object off the axis, seen by a whole turn of projections.

    Attributes
    ----------
    budget : Budget
        Static blur on the axis.
    pose : ConeBeam
    radius_m : float
        Distance from the axis [m].
    facing_rad : float
        Angle of the stage at which the point is nearest to the source.
    """

    budget: Budget
    pose: ConeBeam
    radius_m: float
    facing_rad: float

    def depth_m(self, angle_rad: Array) -> Array:
        """How much nearer to the source than the axis [m]."""
        return np.asarray(self.radius_m * np.cos(angle_rad - self.facing_rad))

    def direction_rad(self, angle_rad: Array) -> Array:
        """Direction of the ray through the point, as the angle of a stage in a parallel beam."""
        across = self.radius_m * np.sin(angle_rad - self.facing_rad)
        return np.asarray(angle_rad + np.arctan2(across, self.pose.source_object_m - self.depth_m(angle_rad)))

    def seen(self, f: Array, moved_m: Array, depth_m: Array, blur_var_m2: float, axis: int) -> NDArray[np.complex128]:
        """Mean modulation (F,) of edges displaced by ``moved_m`` (N,) at these depths, along u (axis 0) or v.

        By the static blur that the magnification there gives, of all spots, with the interpolation of the backprojection.
        """
        near = 1.0 - depth_m / self.pose.source_object_m
        far = 1.0 / self.pose.magnification
        lever = (1.0 - far * near) / (1.0 - far)  # of source against object, relative to the axis
        total = np.zeros(len(f), complex)
        for part, spot, *beside in self.budget.spots:
            own = (spot.spot_m * lever) ** 2 + (spot.detector_m * near) ** 2
            blur = own + spot.stage_m**2 + spot.vibration_m**2 + blur_var_m2
            phase = 2j * np.pi * np.outer(f, moved_m + beside[axis] * lever)
            total += part * np.mean(
                np.exp(phase - 2.0 * np.pi**2 * np.outer(f**2, blur))
                * np.sinc(np.outer(f, spot.aperture_m * near)) ** 3,
                axis=1,
            )
        return total

    def edge_f10(self, x_m: Array, angle_rad: Array, normal_rad: float, blur_var_m2: float = 0.0) -> float:
        """First frequency at which the modulation of an edge there is 10 % [line pairs/m].

        ``|½ [mean M exp(2πi f x(φ)) + mean M exp(-2πi f x(φ+π))]|``, the means over rays within ±10° of the edge (their
        directions even, as filtered backprojection weighs them), after the sine and cosine of x are taken off.

        Parameters
        ----------
        x_m : (N,) array
            Displacement of the edge in the object plane at its depth, along u [m].
        angle_rad : (N,) array
            Of the projections, over a whole turn.
        normal_rad : float
            Angle of the stage at which u lies along the edge's normal.

        Raises
        ------
        ModelError
            The point lies at the source or beyond.
        """
        if not self.radius_m < self.pose.source_object_m:
            raise ModelError(f"a point {self.radius_m:g} m off the axis lies beyond the source")
        ray = np.arange(DIRECTIONS) * 2.0 * np.pi / DIRECTIONS
        seen = self.direction_rad(angle_rad)
        x = np.interp(ray, seen, x_m, period=2.0 * np.pi)
        depth = np.interp(ray, seen, self.depth_m(angle_rad), period=2.0 * np.pi)
        base = np.column_stack([np.cos(ray), np.sin(ray), np.ones_like(ray)])
        x = x - base[:, :2] @ np.linalg.lstsq(base, x, rcond=None)[0][:2]
        f, parts = self._frequencies(blur_var_m2), []
        for sign, centre in ((1.0, normal_rad), (-1.0, normal_rad + np.pi)):
            near = np.abs((ray - centre + np.pi) % (2.0 * np.pi) - np.pi) <= np.deg2rad(WEDGE_DEG)
            half = self.seen(f, x[near], depth[near], blur_var_m2, 0)
            parts.append(half if sign > 0 else half.conj())
        return crossing(f, np.abs(np.mean(parts, axis=0)), float(f[-1]))

    def face_f10(self, y_m: Array, angle_rad: Array, blur_var_m2: float = 0.0) -> float:
        """The same of a face across the axis, displaced by ``y_m`` (N,) along v: all projections take part in it."""
        f = self._frequencies(blur_var_m2)
        modulation = self.seen(f, y_m, self.depth_m(angle_rad), blur_var_m2, 1)
        return crossing(f, np.abs(modulation), float(f[-1]))

    def _frequencies(self, blur_var_m2: float) -> Array:
        least = 1.0 - self.radius_m / self.pose.source_object_m
        spread = np.sqrt(self.budget.sigma_m**2 + blur_var_m2)
        return np.linspace(0.0, 1.2 / max(self.budget.aperture_m, float(spread)) / least, FREQUENCIES)


def shift_costs(
    budget: Budget,
    pose: ConeBeam,
    apart_m: Array,
    stretch: Array,
    angle_rad: Array,
    normal_rad: float,
    radius_m: float,
    blur_var_m2: float = 0.0,
) -> float:
    """By what factor the half-pitch of an edge off the axis grows when projections are shifted only: the worse of two.

    The edge that looks along the circle is seen from its side, at depth ± radius; the one that looks outward at u = ± radius.

    Parameters
    ----------
    apart_m : (N,) array
        ``o - s`` along u [m].
    stretch : (N,) array
        ``ΔM/M`` of each projection.
    angle_rad : (N,) array
        Over a whole turn.
    normal_rad, radius_m : float
        Direction in which the edge looks, and its distance from the axis [m].

    Examples
    --------
    The spot drifts by 1 µm over the turn; half a millimetre off the axis, 2 mm from the source, an edge of 0.1 µm is blurred:

    >>> angle = np.deg2rad(np.arange(360.0))
    >>> ct, sharp = ConeBeam(2e-3, 0.2, 5e-6), Budget(0.1e-6, 0.0, 0.0, 0.0, 50e-9)
    >>> round(shift_costs(sharp, ct, angle / 6.28e6, 0.0 * angle, angle, 0.0, 0.5e-3), 2)
    1.33
    """
    still, found = np.zeros_like(apart_m), []
    for facing, lever in ((normal_rad, apart_m / pose.source_object_m), (normal_rad + 0.5 * np.pi, stretch)):
        place = Place(budget, pose, radius_m, facing)
        x = radius_m * np.cos(angle_rad - normal_rad) * lever
        lost = place.edge_f10(still, angle_rad, normal_rad, blur_var_m2)
        found.append(lost / place.edge_f10(x, angle_rad, normal_rad, blur_var_m2))
    return max(found)


def shift_costs_faces(
    budget: Budget, pose: ConeBeam, apart_m: Array, angle_rad: Array, radius_m: float, blur_var_m2: float = 0.0
) -> float:
    """The same of faces across the axis, where it is worst along a circle; ``apart_m`` (N,) is ``o - s`` along v [m]."""
    found = []
    for facing in np.arange(AROUND) * 2.0 * np.pi / AROUND:
        place = Place(budget, pose, radius_m, float(facing))
        y = place.depth_m(angle_rad) / pose.source_object_m * apart_m
        still = place.face_f10(np.zeros_like(y), angle_rad, blur_var_m2)
        found.append(still / place.face_f10(y, angle_rad, blur_var_m2))
    return max(found)
