"""Where a point in space appears on the detector: exact perspective, no linearisation.

Frame: u = increasing detector column, v = increasing row, w = source → detector; origin at the nominal source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.config import Config
from twin.simulate.heat import Array


@dataclass(frozen=True, slots=True)
class View:
    """Nominal pose: source at the origin, axis at ``axis_m`` and detector plane at ``plane_m`` along w."""

    axis_m: float
    plane_m: float
    pixel_m: float

    @classmethod
    def of(cls, config: Config) -> View:
        """Pose of a configuration."""
        g = config.geometry
        return cls(g.source_object_mm * 1e-3, g.source_detector_mm * 1e-3, g.pixel_um * 1e-6)

    def position_px(self, point_m: Array, source_m: Array, detector_m: Array) -> Array:
        """Detector position of a point, relative to where the nominal optical axis pierces the nominal detector.

        The ray from the displaced source through the point is cut with the displaced detector's plane; columns and
        rows are counted from the detector's own (displaced) origin.

        Parameters
        ----------
        point_m, source_m, detector_m : (..., 3) arrays
            Point in space; displacements of source and detector from their nominal places [m].

        Returns
        -------
        (..., 2) array
            Column and row offsets [px].

        Examples
        --------
        >>> view = View(10e-3, 50e-3, 50e-6)
        >>> view.position_px(np.array([0, 0, 10e-3]), np.array([1e-6, 0, 0]), np.zeros(3)).round(3).tolist()
        [-0.08, 0.0]
        """
        scale = (self.plane_m + detector_m[..., 2] - source_m[..., 2]) / (point_m[..., 2] - source_m[..., 2])
        hit = source_m[..., :2] + scale[..., None] * (point_m[..., :2] - source_m[..., :2])
        return np.asarray((hit - detector_m[..., :2]) / self.pixel_m)

    def point_px(self, depth_m: float, place_m: Array, moved_m: Array, source_m: Array, detector_m: Array) -> Array:
        """Position of something that stands at ``place_m`` (u, v) in the plane ``depth_m`` and has moved [px]."""
        stand = np.array([place_m[0], place_m[1], depth_m])
        return self.position_px(stand + moved_m, source_m, detector_m)

    def magnification(self, source_m: Array, object_m: Array, detector_m: Array) -> Array:
        """Magnification of the plane of the axis."""
        return np.asarray(
            (self.plane_m + detector_m[..., 2] - source_m[..., 2]) / (self.axis_m + object_m[..., 2] - source_m[..., 2])
        )


def wire_normal(angle_deg: float) -> Array:
    """Normal (u, v) of a wire that runs along (cos, sin) of ``angle_deg`` in the frame u, v.

    Of the two it is the one towards larger columns; for a wire along u the one towards larger rows.

    Examples
    --------
    >>> wire_normal(90.0).round(3).tolist(), wire_normal(0.0).round(3).tolist()
    ([1.0, 0.0], [0.0, 1.0])
    """
    along = angle_deg % 180.0
    if along == 0.0:
        return np.array([0.0, 1.0])
    angle = np.deg2rad(along)
    return np.array([np.sin(angle), 0.0 if along == 90.0 else -np.cos(angle)])
