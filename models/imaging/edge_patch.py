"""A patch of an edge in a volume: the surface it lies on, fitted, and every voxel's distance to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import ndtr

from models.estimate import Array
from models.imaging.edge_places import FACE, EdgePlace, smoothed_slope
from models.imaging.volume import Volume

ENDS = 0.66  # of the reach; beyond, values tell the plateaus
SECTIONS = 16  # of a patch, across its normal; their scatter tells the noise
CLUTTER, CLUTTERED = 0.08, 0.2  # of the step; what differs more from a step is another thing, or none
CELL_PX = 2.0  # of the distance, within a section: where it is looked for
CELLS = 64  # more than there are in the longest reach
SEARCH_BINS_PX = 0.5
VOXELS = 8000  # that are fitted; more tell nothing new
STEPS = (0.4, 2.5)  # range of the ratio of the steps of one edge in two reconstructions


@dataclass(frozen=True, slots=True)
class EdgePatch:
    """Voxels about an edge.

    Attributes
    ----------
    place : EdgePlace
    distance : (K,) array
        To the fitted surface, positive on the dense side [px].
    value : (K,) array
        0 on the thin and 1 on the dense plateau; their common slope is taken off.
    section : (K,) int array
        Part of the patch, 0 … ``SECTIONS`` - 1.
    blur : float
        σ of the fitted Gaussian step [px].
    step : float
        From plateau to plateau, in the volume's unit.
    offset_px : float
        Of the surface from the place, along the normal [px].
    clutter : float
        Largest difference between a cell's mean and the step: a section of the patch, 2 px of distance. Corners, neighbours
        and texture make it large; a blur that isn't Gaussian, too.
    """

    place: EdgePlace
    distance: Array
    value: Array
    section: NDArray[np.int64]
    blur: float
    step: float
    offset_px: float
    clutter: float


def edge_patch(volume: Volume, place: EdgePlace, reach_px: float, half_px: float, search_px: float) -> EdgePatch | None:
    """Fit a blurred step on a curved surface, ``low + step Φ((d - q(t, s))/σ)``, q a polynomial of degree 2.

    ``d`` is the distance along the place's normal, ``t`` and ``s`` run across it; where the surface lies obliquely to the
    normal, its own distance is ``(d - q)/√(1 + |∇q|²)``. A surface may be tilted and curved both ways: a rim and a plane
    are measured alike.

    Parameters
    ----------
    reach_px : float
        Distance to either side that is looked at.
    half_px : float
        Half the patch's width across the normal.
    search_px : float
        How far from the place the edge may be (an edge moves between two reconstructions of one scan).

    Returns
    -------
    EdgePatch or None
        None where there is no such edge.
    """
    offset = 0.0
    if search_px > 0:
        local, value = _voxels(volume, place, reach_px + search_px, half_px)
        offset = _sought(local[:, 0], value, search_px)
    centred = EdgePlace(place.orientation, place.place + offset * place.normal, place.normal)
    local, value = _voxels(volume, centred, reach_px, half_px)
    d = local[:, 0]
    sides = [np.count_nonzero(side) for side in (d < -ENDS * reach_px, d > ENDS * reach_px)]
    if min(sides) < 100:
        return None
    scaled = local / np.array([1.0, half_px, half_px])
    shape, blur, stretch = np.zeros(6), 1.0, np.ones(len(d))
    for _ in range(2):  # how oblique the surface lies to the normal is known after the first fit
        fit = _fitted(scaled, value, stretch, reach_px, (shape, blur))
        if fit is None:
            return None
        shape, blur = fit
        stretch = _stretch(scaled, shape, half_px)
    distance = (d - _base(scaled) @ shape) / stretch
    return _levelled(place, distance, value, _sections(local, half_px), blur, offset + float(shape[0]), reach_px)


def alike(one: EdgePatch, other: EdgePatch) -> bool:
    """Whether two patches can be of the same edge: steps of the same order."""
    return STEPS[0] < other.step / one.step < STEPS[1]


def _voxels(volume: Volume, place: EdgePlace, reach_px: float, half_px: float) -> tuple[Array, Array]:
    """Places (d, t, s) of the voxels in a block that lies along the normal, and their values."""
    normal = place.normal
    along = np.array([0.0, 1.0, 0.0]) if place.orientation != FACE else np.array([1.0, 0.0, 0.0])
    along = along - normal * (along @ normal)
    along /= np.linalg.norm(along)
    frame = np.stack([normal, np.cross(along, normal), along])
    half = np.array([reach_px, half_px, half_px])
    value, relative = volume.around(place.place, np.abs(frame).T @ half)
    local = relative @ frame.T
    within = np.all(np.abs(local) <= half, axis=1)
    return local[within], value[within]


def _sought(d: Array, value: Array, search_px: float) -> float:
    """Where the mean profile along the normal rises most, within the search."""
    edges = np.arange(d.min(), d.max() + SEARCH_BINS_PX, SEARCH_BINS_PX)
    if len(edges) < 6:
        return 0.0
    count, _ = np.histogram(d, edges)
    total, _ = np.histogram(d, edges, weights=value)
    middle = 0.5 * (edges[1:] + edges[:-1])
    seen = count > 0
    profile = np.interp(middle, middle[seen], total[seen] / count[seen])
    slope = np.where(np.abs(middle) <= search_px, smoothed_slope(profile, 2.0 / SEARCH_BINS_PX), -np.inf)
    return float(middle[int(np.argmax(slope))])


def _base(local: Array) -> Array:
    t, s = local[:, 1], local[:, 2]
    return np.stack([np.ones_like(t), t, s, t * t, t * s, s * s], axis=1)


def _stretch(local: Array, shape: Array, half_px: float) -> Array:
    """How much longer a way along the normal is than the way to the surface."""
    t, s = local[:, 1], local[:, 2]
    by_t = (shape[1] + 2.0 * shape[3] * t + shape[4] * s) / half_px
    by_s = (shape[2] + shape[4] * t + 2.0 * shape[5] * s) / half_px
    return np.asarray(np.sqrt(1.0 + by_t**2 + by_s**2))


def _fitted(
    local: Array, value: Array, stretch: Array, reach_px: float, start: tuple[Array, float]
) -> tuple[Array, float] | None:
    """Shape of the surface (6,) and σ [px]."""
    every = max(1, len(value) // VOXELS)
    local, value, stretch = local[::every], value[::every], stretch[::every]
    d, base = local[:, 0] / stretch, _base(local) / stretch[:, None]
    low, high = (float(value[side].mean()) for side in (local[:, 0] < -ENDS * reach_px, local[:, 0] > ENDS * reach_px))
    scale = high - low
    if not scale > 0:
        return None
    y = (value - low) / scale

    def parts(p: Array) -> tuple[Array, float, Array]:
        sigma = float(np.exp(p[6]))
        return (d - base @ p[:6]) / sigma, sigma, ndtr((d - base @ p[:6]) / sigma)

    def rest(p: Array) -> Array:
        return np.asarray(p[7] + p[8] * parts(p)[2] - y)

    def slopes(p: Array) -> Array:
        z, sigma, phi = parts(p)
        density = p[8] * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        return np.concatenate(
            [base * (-density / sigma)[:, None], (-density * z)[:, None], np.ones((len(z), 1)), phi[:, None]], axis=1
        )

    begin = np.array([*start[0], np.log(start[1]), 0.0, 1.0])
    found = least_squares(rest, begin, slopes, method="lm", max_nfev=60)
    sigma = float(np.exp(found.x[6]))
    if not (found.status > 0 and 0.02 < sigma < 0.6 * reach_px and abs(found.x[0]) < 0.5 * reach_px and found.x[8] > 0):
        return None
    return np.asarray(found.x[:6]), max(sigma, 0.1)


def _sections(local: Array, half_px: float) -> NDArray[np.int64]:
    """Sixteen parts of the patch, four by four."""
    t, s = (np.clip(((local[:, k] / half_px + 1.0) * 2.0).astype(np.int64), 0, 3) for k in (1, 2))
    return np.asarray(4 * t + s)


def _levelled(
    place: EdgePlace,
    distance: Array,
    value: Array,
    section: NDArray[np.int64],
    blur: float,
    offset: float,
    reach_px: float,
) -> EdgePatch | None:
    """Values relative to the plateaus, whose common slope is taken off."""
    near = np.abs(distance) < reach_px
    distance, value, section = distance[near], value[near], section[near]
    ends = np.abs(distance) > ENDS * reach_px
    side = np.sign(distance[ends])
    base = np.stack([np.ones(side.size), side, distance[ends]], axis=1)
    if side.size < 200 or abs(side.mean()) > 0.9:
        return None
    middle, half, slope = np.linalg.lstsq(base, value[ends], rcond=None)[0]
    if not half > 0:
        return None
    level = 0.5 + (value - middle - slope * distance) / (2.0 * half)
    cell = section * CELLS + np.floor(distance / CELL_PX).astype(int) + CELLS // 2
    clutter = _astray(cell, level - ndtr(distance / blur))
    return EdgePatch(place, distance, level, section, blur, float(2.0 * half), offset, clutter)


def _astray(group: NDArray[np.int64], apart: Array) -> float:
    """Largest mean of a group of voxels that isn't too small to tell."""
    count = np.bincount(group)
    mean = np.bincount(group, apart) / np.maximum(count, 1)
    return float(np.abs(mean[count > 20]).max(initial=0.0))
