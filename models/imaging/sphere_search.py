"""Where in a window a sphere's shadow stands, to about a pixel: a matched filter; how bright and how noisy the beam is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from models.estimate import Array
from models.imaging.sphere_profile import ATTENUATION, PER_PX

OUTSIDE, INSIDE = -0.5, 1.5  # attenuation beyond which a pixel tells of no shadow (a hot one, a cosmic particle)


def template(table: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Shadow of a sphere on whole pixels about its centre, and the disc on which it is compared."""
    half = int((len(table) - 2) / PER_PX)
    at = np.arange(-half, half + 1)
    radius = np.hypot(at[None, :], at[:, None])
    inside = radius <= half
    nodes = np.minimum((radius * PER_PX + 0.5).astype(np.intp), len(table) - 1)
    return np.where(inside, table[nodes, ATTENUATION], 0.0), inside


def locate(
    taken: Array,
    used: NDArray[np.bool_],
    table: Array,
    expected: float,
    around: tuple[float, float, float] | None = None,
) -> tuple[float, float, float]:
    """Column, row and depth of the shadow that looks most like the one tabulated.

    The score is ``C/√(E + E₀)``: C the correlation of the attenuation with the shadow, its mean over the disc taken off, E
    the energy of what is there, E₀ that of the shadow expected. So neither a deeper shadow of another form wins nor,
    where there is nothing, the noise.

    Parameters
    ----------
    taken : (rows, columns) array
        Attenuation, 1 - counts/free beam.
    used : (rows, columns) bool array
        Pixels to be believed; others count as free beam.
    table : (nodes, ·) array
        From :func:`models.imaging.sphere_profile.profile`.
    expected : float
        Depth of the shadow in the table's [1].
    around : (float, float, float), optional
        Column, row and distance [px] to which the search is limited.
    """
    shadow, disc = template(table)
    count = np.count_nonzero(disc)
    shape = np.where(disc, shadow - shadow[disc].mean(), 0.0)
    energy = float((shape**2).sum())
    image = np.where(used, np.clip(taken, OUTSIDE, INSIDE), 0.0)
    match = fftconvolve(image, shape, mode="same")
    mean = fftconvolve(image, disc.astype(float), mode="same") / count
    there = np.maximum(fftconvolve(image**2, disc.astype(float), mode="same") - count * mean**2, 0.0)
    score = match / np.sqrt(there + energy * expected**2)
    if around is not None:
        u, v, distance = around
        rows, columns = np.ogrid[: score.shape[0], : score.shape[1]]
        score = np.where((rows - v) ** 2 + (columns - u) ** 2 <= distance**2, score, -np.inf)
    row, column = np.unravel_index(int(np.argmax(score)), score.shape)
    return float(column), float(row), float(match[row, column] / energy)


def free_beam(beam: Array, usable: NDArray[np.bool_], u: float, v: float, clear: float) -> float:
    """Counts of the free beam: their median farther than ``clear`` from (u, v); near the brightest where nothing is."""
    rows, columns = np.ogrid[: beam.shape[0], : beam.shape[1]]
    away = usable & ((rows - v) ** 2 + (columns - u) ** 2 > clear**2)
    level = np.median(beam[away]) if np.count_nonzero(away) > 50 else np.quantile(beam[usable], 0.9)
    return max(float(level), 1e-9)


def variance_per_count(beam: Array, usable: NDArray[np.bool_], level: float) -> float:
    """Variance per count, from the median difference of neighbours, which edges don't move."""
    pairs = np.abs(np.diff(beam, axis=1))[usable[:, 1:] & usable[:, :-1]]
    sigma = 1.4826 * float(np.median(pairs)) if pairs.size else 0.0
    return max(0.5 * sigma**2 / level, 1e-8 * level)
