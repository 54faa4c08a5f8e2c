"""Which box of a coarse volume shows the most edges, in as many directions as can be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from models.estimate import Array
from models.imaging.edge_places import FACE, Gradient
from models.imaging.volume import Volume

CHOICES = 3


def edge_regions(
    volume: Volume,
    allowed: NDArray[np.bool_],
    size_px: tuple[float, float],
    margin_px: tuple[float, float],
) -> list[tuple[float, float, float]]:
    """Middles of the best boxes, best first, at least half a box apart.

    A box is worth ``Σ_k sqrt(E_k)`` over the nine orientations, E_k the squares of the clear gradients in it whose patches
    lie in it as a whole: the root prefers many directions to one strong edge.

    Parameters
    ----------
    allowed : (W, V, U) bool array
        Voxels that may be the middle of a box.
    size_px : (float, float)
        Side of the box across and along the axis [px].
    margin_px : (float, float)
        What an edge needs along its normal and across it, to either side.

    Returns
    -------
    list of (u, v, w)
        Empty where no edge is clear of the noise.

    Examples
    --------
    >>> w, v, u = np.mgrid[-30:31, -15:16, -30:31]
    >>> rod = Volume((np.hypot(u - 12.0, w) < 6) * 1.0, (-60.0, -30.0, -60.0), 2.0)
    >>> found = edge_regions(rod, np.ones(rod.values.shape, bool), (50.0, 40.0), (9.0, 8.0))
    >>> bool(abs(found[0][0] - 24.0) <= 8.0 and abs(found[0][2]) <= 8.0)
    True
    """
    gradient = Gradient.of(volume, volume.step)
    score = np.zeros(volume.values.shape, dtype=np.float32)
    for orientation in range(FACE + 1):
        energy = np.where(gradient.orientation == orientation, gradient.length**2, 0.0).astype(np.float32)
        if not energy.any():
            continue
        reach, half = margin_px
        along = reach if orientation == FACE else half
        across = half if orientation == FACE else reach
        window = [_voxels(size_px[0] - 2 * across, volume), _voxels(size_px[1] - 2 * along, volume)]
        mean = uniform_filter(energy, (window[0], window[1], window[0]), mode="constant")
        score += np.sqrt(np.maximum(mean, 0.0) * window[0] ** 2 * window[1])
    score = np.where(allowed, score, 0.0)
    axes = volume.axes()
    found: list[tuple[float, float, float]] = []
    best = float(score.max(initial=0.0))
    # running sums leave dust of their rounding where nothing is
    while len(found) < CHOICES and best > 0:
        k = int(np.argmax(score))
        w, v, u = (int(i) for i in np.unravel_index(k, score.shape))
        if not score[w, v, u] > 0.05 * best:
            break
        found.append((float(axes[0][u]), float(axes[1][v]), float(axes[2][w])))
        score[_near(volume, axes, found[-1], size_px)] = 0.0
    return found


def _voxels(length_px: float, volume: Volume) -> int:
    return max(1, round(length_px / volume.step))


def _near(
    volume: Volume, axes: tuple[Array, Array, Array], at: tuple[float, float, float], size_px: tuple[float, float]
) -> tuple[slice, slice, slice]:
    """Voxels less than half a box away along every axis."""
    cuts = []
    for axis, size in ((2, size_px[0]), (1, size_px[1]), (0, size_px[0])):
        near = np.flatnonzero(np.abs(axes[axis] - at[axis]) < 0.5 * size + 0.5 * volume.step)
        cuts.append(slice(int(near[0]), int(near[-1]) + 1))
    return cuts[0], cuts[1], cuts[2]
