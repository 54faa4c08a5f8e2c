"""The box that is reconstructed: its place, what fits into the field of view, and the detector rows that its rays meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.correction import Correction
from models.estimate import Array
from models.geometry import ConeBeam
from twin.export.exporter import Setup
from twin.export.rtk import RtkPose, matrices

STEP = 0.47  # voxel in detector pixels at the axis: no simple fraction, so that voxels lie anywhere between the pixels
SIZE_PX = 96.0  # of a box that nobody asked for otherwise
FLAT = 0.5  # height of a box over its side
BESIDE_PX = 3.0  # beyond a box's own rays: interpolation
LEAST_PX = 20.0  # height below which no face and hardly an edge can be measured


@dataclass(frozen=True, slots=True)
class Box:
    """A box in the frame u, v, w of the object at the stage's angle 0 [detector pixels at the axis].

    Attributes
    ----------
    middle : (float, float, float)
    size : (float, float)
        Side along u and w, and along v.
    step : float
        Voxel.

    Examples
    --------
    >>> Box((0.0, 0.0, 10.0), (4.7, 2.35), 0.47).count
    (11, 5, 11)
    """

    middle: tuple[float, float, float]
    size: tuple[float, float]
    step: float = STEP

    @property
    def count(self) -> tuple[int, int, int]:
        """Voxels along u, v, w; odd."""
        wide, tall = (2 * int(round(s / self.step, 6) // 2) + 1 for s in self.size)
        return wide, tall, wide

    @property
    def first(self) -> tuple[float, float, float]:
        """Place of the first voxel along each axis."""
        u, v, w = (c - (n - 1) / 2 * self.step for c, n in zip(self.middle, self.count, strict=True))
        return u, v, w

    def corners_mm(self, unit_mm: float) -> Array:
        """Corners in RTK's frame (u, -v, -w), homogeneous (4, 8) [mm]."""
        half = 0.5 * np.array([self.size[0], self.size[1], self.size[0]])
        sign = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], dtype=float)
        place = (np.array(self.middle) + sign * half) * np.array([1.0, -1.0, -1.0]) * unit_mm
        return np.concatenate([place, np.ones((8, 1))], axis=1).T


@dataclass(frozen=True, slots=True)
class Field:
    """What the detector sees of the object at every angle.

    Attributes
    ----------
    radius : float
        Of the cylinder about the axis that every projection shows whole [px at the axis].
    pose : ConeBeam
    half_rows : float
        Rows from the middle to the end that may be used [px].
    """

    radius: float
    pose: ConeBeam
    half_rows: float

    @classmethod
    def of(cls, setup: Setup, correction: Correction) -> Field:
        """Less what the content moved."""
        pose = setup.pose
        unit = pose.pixel_m / pose.magnification
        moved = np.abs(correction.shift_px).max(axis=0) + BESIDE_PX
        columns = max(0.5 * setup.columns - float(moved[0]), 0.0)
        half = np.arctan(columns * pose.pixel_m / pose.source_detector_m)
        return cls(float(np.sin(half)) * pose.source_object_m / unit, pose, 0.5 * setup.rows - float(moved[1]))

    def height(self, radius: Array) -> Array:
        """Half the height that all projections show at a distance from the axis [px]: least where it passes the source."""
        sod = self.pose.source_object_m * self.pose.magnification / self.pose.pixel_m
        return np.asarray(self.half_rows * np.maximum(1.0 - radius / sod, 0.0))

    def farthest(self, middle_u: Array, middle_w: Array, side: float) -> Array:
        """Distance of a box's farthest corner from the axis [px]."""
        return np.asarray(np.hypot(np.abs(middle_u) + side / 2, np.abs(middle_w) + side / 2))

    def holds(self, u: Array, v: Array, w: Array, size: tuple[float, float]) -> NDArray[np.bool_]:
        """Whether boxes with these middles are seen whole in every projection."""
        far = self.farthest(u, w, size[0])
        return np.asarray((far <= self.radius) & (np.abs(v) + size[1] / 2 <= self.height(far)))

    def fitting(self, side: float | None) -> tuple[float, float]:
        """Side and height of a box; without a wish as large as there is room for, up to the usual."""
        wide = min(SIZE_PX, 1.3 * self.radius) if side is None else side
        tall = 2.0 * float(self.height(self.farthest(np.zeros(1), np.zeros(1), wide))[0])
        return wide, min(FLAT * wide, 0.9 * tall) if side is None else min(FLAT * wide, tall)


def rows_of(box: Box, poses: list[RtkPose], setup: Setup) -> slice:
    """Detector rows that the box's rays meet in any projection, and some beside them."""
    pixel, unit = setup.pose.pixel_m * 1e3, setup.pose.pixel_m / setup.pose.magnification * 1e3
    low, high = np.inf, -np.inf
    for pose in poses:
        seen = matrices(pose) @ box.corners_mm(unit)
        row = 0.5 * (setup.rows - 1) - seen[:, 1] / seen[:, 2] / pixel  # y goes up, rows go down
        low, high = min(low, float(row.min())), max(high, float(row.max()))
    first, last = max(int(np.floor(low - BESIDE_PX)), 0), min(int(np.ceil(high + BESIDE_PX)) + 1, setup.rows)
    return slice(min(first, setup.rows - 1), max(last, 1))
