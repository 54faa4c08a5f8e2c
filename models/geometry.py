"""Frame, signs and projection of displacements; the only place where a sign of the geometry is written.

Right-handed detector frame: u = increasing detector column, v = increasing row, w = source → detector; the rotation
axis is nominally parallel to v. ``s`` source, ``o`` object (stage and sample), ``d`` detector, ``m`` marker mount.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.estimate import Array, ModelError

CONVENTION = (
    "frame u = +column, v = +row, w = source to detector; differences to the first projection; shift = where the image "
    "content moved, + = larger column/row: [-(M-1) s + M o - d]/pixel; detector is the origin; angle > 0 turns the object "
    "right-handed about -v"
)


@dataclass(frozen=True, slots=True)
class ConeBeam:
    """Reference pose of a cone-beam CT.

    Parameters
    ----------
    source_object_m, source_detector_m : float
        Distances source–axis and source–detector [m].
    pixel_m : float
        Pixel pitch [m].
    """

    source_object_m: float
    source_detector_m: float
    pixel_m: float

    def __post_init__(self) -> None:
        if not 0 < self.source_object_m < self.source_detector_m or self.pixel_m <= 0:
            raise ModelError("need 0 < source_object_m < source_detector_m and pixel_m > 0")

    @property
    def magnification(self) -> float:
        """M = SDD/SOD.

        Examples
        --------
        >>> round(ConeBeam(0.5073e-3, 42.99e-3, 50e-6).magnification, 1)
        84.7
        """
        return self.source_detector_m / self.source_object_m

    def content_shift_px(self, source_m: Array, object_m: Array, detector_m: Array) -> Array:
        """Motion of the image content of a point on the axis [px], (..., 2) for displacements (..., 3) [m].

        ``(du, dv) = [-(M-1) s + M o - d] / p``. First order in the displacements; wrong off the axis plane
        (see :meth:`depth_residual_m`).

        Examples
        --------
        >>> ct = ConeBeam(10e-3, 50e-3, 50e-6)
        >>> ct.content_shift_px(np.array([1e-6, 0, 0]), np.zeros(3), np.zeros(3)).round(3).tolist()
        [-0.08, 0.0]
        """
        m = self.magnification
        return (-(m - 1.0) * source_m[..., :2] + m * object_m[..., :2] - detector_m[..., :2]) / self.pixel_m

    def magnification_ratio(self, source_m: Array, object_m: Array, detector_m: Array) -> Array:
        """Magnification relative to the reference pose, 1 + dM/M; first order.

        ``dM/M = (s_w/SOD)(1 - 1/M) - o_w/SOD + d_w/SDD``
        """
        sod, sdd, m = self.source_object_m, self.source_detector_m, self.magnification
        return np.asarray(
            1.0 + source_m[..., 2] / sod * (1.0 - 1.0 / m) - object_m[..., 2] / sod + detector_m[..., 2] / sdd
        )

    def object_plane_m(self, shift_px: Array) -> Array:
        """A detector shift seen in the object plane: x p / M [m]."""
        return np.asarray(shift_px * self.pixel_m / self.magnification)

    def depth_residual_m(self, source_m: Array, radius_m: float) -> Array:
        """What an iso-depth shift leaves at a point ``radius_m`` nearer to the source, on the detector [m].

        ``M s r/(SOD - r)``; a source drift is not an image shift.

        Examples
        --------
        >>> ct = ConeBeam(10e-3, 50e-3, 50e-6)
        >>> round(float(ct.depth_residual_m(np.array(1e-6), 1e-3)) / (5 * 1e-6), 3)
        0.111
        """
        if not 0 <= radius_m < self.source_object_m:
            raise ModelError("radius_m must lie between 0 and the source–object distance")
        return np.asarray(self.magnification * source_m * radius_m / (self.source_object_m - radius_m))


def marker_row(pose: ConeBeam, source_marker_m: float, normal: tuple[float, float]) -> tuple[Array, Array, Array]:
    """Sensitivity of a marker's position along ``normal`` (u, v) to source, mount and detector [px/m], each (3,).

    A marker at ``SOD_m`` (``M_m = SDD/SOD_m``) moves by ``[-(M_m - 1) s + M_m m - d]/p``. Motion along w changes a
    marker's position only off the optical axis; that is second order here and left out.
    """
    if not 0 < source_marker_m < pose.source_detector_m:
        raise ModelError("source_marker_m must lie between the source and the detector")
    m = pose.source_detector_m / source_marker_m
    unit = np.array([normal[0], normal[1], 0.0])
    return -(m - 1.0) * unit / pose.pixel_m, m * unit / pose.pixel_m, -unit / pose.pixel_m


def wire_normal(angle_deg: float) -> tuple[float, float]:
    """Unit normal (u, v) of a wire at ``angle_deg`` from u; positive towards +u, or +v for a horizontal wire.

    A wire tells only the motion along its normal.

    Examples
    --------
    >>> wire_normal(90.0)
    (1.0, 0.0)
    >>> wire_normal(0.0)
    (0.0, 1.0)
    """
    angle = np.deg2rad(angle_deg)
    normal = np.array([np.sin(angle), -np.cos(angle)])
    normal[np.abs(normal) < 1e-12] = 0.0
    if normal[0] < 0 or (normal[0] == 0 and normal[1] < 0):
        normal = -normal
    return float(normal[0]) + 0.0, float(normal[1]) + 0.0  # no negative zeros
