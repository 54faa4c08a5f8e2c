"""Where a volume has edges, by the direction in which they look: eight directions in the plane, and along the axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, uniform_filter

from models.estimate import Array
from models.imaging.volume import Volume

FACE = 8  # orientation of an edge that looks along the axis; 0 … 7 look at 0°, 45°, … of the stage's angle
SMOOTH = 1.5  # σ of the gradient's Gaussian [px], not less than a voxel
OBLIQUE_DEG = 20.0  # an edge tilted more out of the plane (a face: out of the axis) is neither
CLEAR = 6.0  # σ of the gradient's noise
STRONG = 0.2  # of the strongest gradient of that orientation
PREFER = 20.0  # how much edges in the middle of their 45° come first: 13° off count for 0.6
MOST = 12  # candidates of an orientation
MAXWELL = 1.538  # median of the length of a vector of three unit normal numbers


@dataclass(frozen=True, slots=True)
class EdgePlace:
    """A place on an edge.

    Attributes
    ----------
    orientation : int
        0 … 7, or :data:`FACE`.
    place : (3,) array
        u, v, w [px].
    normal : (3,) array
        Unit vector from thin to dense; the edge looks the other way.
    """

    orientation: int
    place: Array
    normal: Array

    @property
    def looks_deg(self) -> float:
        """The stage's angle at which u lies along the outward normal, 0 … 360; ``nan`` for a face."""
        if self.orientation == FACE:
            return float("nan")
        return float(np.rad2deg(np.arctan2(self.normal[2], -self.normal[0])) % 360.0)


@dataclass(frozen=True, slots=True)
class Gradient:
    """Gradient of a volume, smoothed.

    Attributes
    ----------
    components : (3, W, V, U) array
        Along u, v, w, per voxel.
    length : (W, V, U) array
    orientation : (W, V, U) int array
        0 … 7, :data:`FACE`, or -1 where the gradient is oblique or not clear of the noise.
    """

    components: Array
    length: Array
    orientation: NDArray[np.int8]

    @classmethod
    def of(cls, volume: Volume, smooth_px: float = SMOOTH) -> Gradient:
        """Gradient by the derivatives of a Gaussian.

        The noise is told by the median length: most of a volume is no edge.
        """
        sigma = max(smooth_px / volume.step, 1.0)
        values = np.asarray(volume.values, dtype=np.float32)
        parts = []
        for axis in (2, 1, 0):  # u, v, w
            order = [0, 0, 0]
            order[axis] = 1
            parts.append(gaussian_filter(values, sigma, order, mode="nearest"))
        components = np.stack(parts)
        length = np.sqrt((components**2).sum(axis=0))
        clear = length > CLEAR * float(np.median(length)) / MAXWELL
        safe = np.maximum(length, 1e-30)
        upward = np.abs(components[1]) / safe
        looks = np.rad2deg(np.arctan2(components[2], -components[0]))  # of the outward normal
        orientation = (np.rint(looks / 45.0) % 8).astype(np.int8)
        orientation[upward > np.sin(np.deg2rad(OBLIQUE_DEG))] = -1
        orientation[upward > np.cos(np.deg2rad(OBLIQUE_DEG))] = FACE
        orientation[~clear] = -1
        return cls(components, length, orientation)

    @property
    def energy(self) -> float:
        """Sum of squares where it is clear: the more, the sharper are the volume's edges."""
        return float((self.length[self.orientation >= 0].astype(float) ** 2).sum())


def edge_places(
    volume: Volume, gradient: Gradient, orientation: int, reach_px: float, half_px: float
) -> list[EdgePlace]:
    """Places on the strongest edges of one orientation, apart from each other, strongest first.

    Parameters
    ----------
    reach_px, half_px : float
        How far the volume must go on from a place along the normal and across it.

    Examples
    --------
    A rod along the axis is seen to look at 90° where w is smallest:

    >>> w, v, u = np.mgrid[-20:21, -10:11, -20:21].astype(float)
    >>> rod = Volume(gaussian_filter((np.hypot(u, w) < 8) * 1.0, 1.0), (-20.0, -10.0, -20.0), 1.0)
    >>> found = edge_places(rod, Gradient.of(rod), 2, 6.0, 4.0)[0]
    >>> float(found.place[2]), round(found.looks_deg)
    (-8.0, 90)
    """
    mine = gradient.orientation == orientation
    length = np.where(mine & _margin(volume, orientation, reach_px, half_px), gradient.length, 0.0)
    if not length.any():
        return []
    if orientation != FACE:
        u, w = gradient.components[0][mine], gradient.components[2][mine]
        length[mine] *= np.exp(PREFER * (np.cos(np.arctan2(w, -u) - np.deg2rad(45.0 * orientation)) - 1.0))
    # how much of such an edge there is all about: away from corners and ends
    length *= uniform_filter(mine.astype(np.float32), 2 * round(half_px / volume.step) + 1, mode="constant")
    strongest = float(length.max(initial=0.0))
    axes = volume.axes()
    found: list[EdgePlace] = []
    while len(found) < MOST and strongest > 0:
        at = np.unravel_index(int(np.argmax(length)), length.shape)
        if not length[at] >= STRONG * strongest:
            break
        w, v, u = (int(k) for k in at)
        place = np.array([axes[0][u], axes[1][v], axes[2][w]])
        vector = np.asarray(gradient.components[:, w, v, u], dtype=float)
        found.append(EdgePlace(orientation, place, vector / np.linalg.norm(vector)))
        apart = max(1, round(2.0 * half_px / volume.step))
        length[tuple(slice(max(k - apart, 0), k + apart + 1) for k in (w, v, u))] = 0.0
    return found


def _margin(volume: Volume, orientation: int, reach_px: float, half_px: float) -> NDArray[np.bool_]:
    """Voxels from which the volume goes on far enough."""
    if orientation == FACE:
        need = (half_px, reach_px, half_px)
    else:
        # within 22.5° of the direction either component of the normal may be nearly the whole of it
        off = np.deg2rad(45.0 * orientation)
        along_u, along_w = (reach_px * min(1.0, abs(float(n)) + 0.4) for n in (np.cos(off), np.sin(off)))
        need = (along_u, half_px, along_w)
    inside = []
    for coordinate, first, last, least in zip(volume.axes(), volume.first, volume.last, need, strict=True):
        inside.append((coordinate - first >= least) & (last - coordinate >= least))
    u, v, w = inside
    return np.asarray(w[:, None, None] & v[None, :, None] & u[None, None, :])


def smoothed_slope(profile: Array, sigma: float) -> Array:
    """Derivative of a profile per sample, by a Gaussian of ``sigma`` samples.

    Examples
    --------
    >>> round(float(smoothed_slope(np.arange(9.0), 1.0)[4]), 3)
    1.0
    """
    return np.asarray(gaussian_filter1d(np.asarray(profile, dtype=float), sigma, order=1, mode="nearest"))
