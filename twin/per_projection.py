"""Smoothed outputs at the instants and angles of projections, as differences to the first one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.smoother import Smoothed
from twin.turning import Turned

PART = 4096  # projections worked on at a time
EARLY = 1e-4  # a step: what rounding makes of an instant on the grid


@dataclass(frozen=True, slots=True)
class PerProjection:
    """Outputs of N projections relative to the first.

    Attributes
    ----------
    mean : (N, q) array
        Difference to the first projection.
    variance : (N, q) array
        Of that difference, with the covariance across time; 0 for the first.
    own, common : (N, q) arrays
        Variance of each output, and its covariance with the first projection's.
    """

    mean: Array
    variance: Array
    own: Array
    common: Array


def places(time: Array, reference: int, grid_s: float) -> Array:
    """Where instants lie on a grid of multiples of ``grid_s``, in steps; the first lies in step ``reference``."""
    begin = np.floor(time[0] / grid_s + EARLY)
    return np.asarray(reference + (time / grid_s - begin))


def around(place: Array, last: int) -> NDArray[np.int64]:
    """Steps on both sides of places, each once, from 0 to ``last``.

    Examples
    --------
    >>> around(np.array([0.5, 3.0, 7.9]), 8).tolist()
    [0, 1, 3, 4, 7, 8]
    """
    low = np.floor(place + EARLY).astype(np.int64)
    return np.unique(np.clip(np.concatenate([low, low + 1]), 0, last))


def rows_of(smoothed: Smoothed, time: Array, grid_s: float) -> Array:
    """Where instants lie between the rows of what was smoothed; the first lies in the reference step."""
    return smoothed.row(places(time, int(smoothed.at[smoothed.reference]), grid_s))


def per_projection(smoothed: Smoothed, turned: Turned, place: Array, angle_rad: Array) -> PerProjection:
    """Put the outputs together at each projection's own angle.

    What doesn't know the angle, and the states that the angle multiplies, are smooth in time and interpolated linearly
    between two steps; the angle need not be. The covariance with the first projection is that with the step it lies in.

    Parameters
    ----------
    place : (N,) array
        Rows, as :func:`rows_of` gives them.
    angle_rad : (N,) array
    """
    last = len(smoothed.mean) - 1
    first = turned.weights(angle_rad[:1])[0]
    ref = smoothed.reference
    begin = np.einsum("oi,ij,oj->o", first, smoothed.cov[ref], first)
    parts = []
    for k in range(0, len(place), PART):
        here = place[k : k + PART]
        low = np.clip(np.floor(here + EARLY).astype(int), 0, last)
        high = np.minimum(low + 1, last)
        part = np.clip(here - low, 0.0, None)
        weights = turned.weights(angle_rad[k : k + PART])
        between = part[:, None, None]
        cov = (1.0 - between) * smoothed.cov[low] + between * smoothed.cov[high]
        cross = (1.0 - between) * smoothed.cross[low] + between * smoothed.cross[high]
        values = (1.0 - part[:, None]) * smoothed.mean[low] + part[:, None] * smoothed.mean[high]
        parts.append(
            (
                np.einsum("noi,ni->no", weights, values),
                np.einsum("noi,nij,noj->no", weights, cov, weights, optimize=True),
                np.einsum("oi,nij,noj->no", first, cross, weights, optimize=True),
            )
        )
    mean, own, common = (np.concatenate(column) for column in zip(*parts, strict=True))
    variance = np.maximum(own + begin - 2.0 * common, 0.0)
    variance[0] = 0.0
    return PerProjection(mean - mean[0], variance, own, common)
