"""Edge response and modulation transfer of several patches of edges that look the same way, with σ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.imaging.edge_patch import SECTIONS, EdgePatch
from models.imaging.edge_response import EdgeResponse
from models.imaging.mtf import Transfer, transfer

OVERSAMPLING = (8, 4, 2)  # bins per pixel: as many as are filled
CORE_PX = 3.0  # where they must be
REACH_SPREADS, LEAST_REACH_PX = 7.0, 5.0  # what lies farther out is left to the plateaus
NO_APERTURE = (1e-6, 0.0)  # voxels are samples: what blurs them belongs to what is measured
LEVEL = 0.1
VAGUE = 0.3  # a frequency known to this part of itself is none: a curve that touches the level twice, or noise


@dataclass(frozen=True, slots=True)
class StackedEdge:
    """What edges of one orientation say together.

    Attributes
    ----------
    patches : tuple of EdgePatch
    response : EdgeResponse
        Distances in detector pixels at the axis.
    transfer : Transfer
    mtf10 : (float, float)
        First frequency of 10 % modulation and its σ [cycles/px]; ``nan`` where it
        is not told to 30 %: in noise, or where the curve of an edge that is drawn double touches 10 % twice.
    width_10_90 : float
        From 10 % to 90 % of the rise [px].
    """

    patches: tuple[EdgePatch, ...]
    response: EdgeResponse
    transfer: Transfer
    mtf10: tuple[float, float]
    width_10_90: float


def stacked_edge(patches: Sequence[EdgePatch], reach_px: float) -> StackedEdge:
    """Edge response in fine bins, its derivative, its Fourier modulus (ASTM E1695; oversampled edge as in ISO 12233).

    All voxels of all patches are binned by their distance to their own surface. σ is the jackknife's over ``SECTIONS``
    parts of each patch: noise that voxels share, streaks and what differs from place to place are in it. What noise adds to
    the modulus is taken off.

    Parameters
    ----------
    patches : sequence of EdgePatch
        At least one.

    Examples
    --------
    A rod blurred by σ = 1.2 px; 0.3415/σ is 10 % modulation of a Gaussian:

    >>> from models.imaging.edge_places import Gradient, edge_places
    >>> from models.imaging.edge_patch import edge_patch
    >>> from models.imaging.volume import Volume
    >>> from scipy.special import ndtr
    >>> w, v, u = np.mgrid[-30:31, -10:11, -30:31] * 0.9
    >>> rod = Volume(ndtr((15.0 - np.hypot(u, w)) / 1.2), (-27.0, -9.0, -27.0), 0.9)
    >>> place = edge_places(rod, Gradient.of(rod), 1, 9.0, 6.0)[0]
    >>> found = stacked_edge([edge_patch(rod, place, 9.0, 6.0, 0.0)], 9.0)
    >>> [round(x, 2) for x in (found.mtf10[0], 0.3415 / 1.2, found.width_10_90)]
    [0.28, 0.28, 3.08]
    """
    distance = np.concatenate([p.distance for p in patches])
    variance = float(np.mean([p.blur**2 for p in patches]))
    reach_px = min(reach_px, max(REACH_SPREADS * float(np.sqrt(variance)), LEAST_REACH_PX))
    group = np.concatenate([k * SECTIONS + p.section for k, p in enumerate(patches)])
    for oversampling in OVERSAMPLING:
        half = int(reach_px * oversampling)
        bins = np.floor(distance * oversampling).astype(int) + half
        seen = np.bincount(bins[(bins >= 0) & (bins < 2 * half)], minlength=2 * half) > 0
        core = slice(half - int(CORE_PX * oversampling), half + int(CORE_PX * oversampling))
        if seen[core].all():
            break
    inside = (bins >= 0) & (bins < 2 * half)
    middle = (np.arange(2 * half) - half + 0.5) / oversampling
    none = np.zeros(2 * half)
    empty = EdgeResponse(middle, none, none, variance, NO_APERTURE, oversampling, np.zeros((2, 2)))
    rest = np.concatenate([p.value for p in patches]) - empty.step(distance)[0]
    groups = len(patches) * SECTIONS
    flat = group[inside] * (2 * half) + bins[inside]
    count = np.asarray(np.bincount(flat, minlength=groups * 2 * half).reshape(groups, -1), dtype=float)
    total = np.asarray(np.bincount(flat, rest[inside], groups * 2 * half).reshape(groups, -1), dtype=float)
    whole = _response(total.sum(axis=0), count.sum(axis=0), empty)
    curve = transfer(whole)
    without = np.array([
        transfer(_response(total.sum(axis=0) - total[g], count.sum(axis=0) - count[g], empty)).value
        for g in np.flatnonzero(count.any(axis=1))
    ])  # fmt: skip
    noise, n = _jackknife(without), len(without)
    curve = Transfer(curve.frequency, _less_noise(curve.value, noise), np.sqrt(noise))
    at = _falls(curve.frequency, curve.value)
    ends = np.array([_falls(curve.frequency, _less_noise(value, noise * n / (n - 1))) for value in without])
    told = np.isfinite(ends)
    sigma = float(np.sqrt(_jackknife(ends[told][:, None])[0])) if told.sum() > n / 2 else np.inf
    if not sigma < VAGUE * at:
        at = sigma = np.nan
    return StackedEdge(tuple(patches), whole, curve, (at, sigma), whole.rise(0.1, 0.9)[0])


def _response(total: Array, count: Array, empty: EdgeResponse) -> EdgeResponse:
    """Bins that nothing fell into take what lies between their neighbours: only the residuals, not the step, are bridged."""
    seen = count > 0
    rest = np.interp(empty.distance, empty.distance[seen], total[seen] / count[seen])
    return EdgeResponse(
        empty.distance, rest, empty.sigma, empty.variance, empty.aperture, empty.oversampling, empty.levels
    )


def _falls(frequency: Array, value: Array) -> float:
    return Transfer(frequency, value, np.zeros_like(value)).falls_to(LEVEL)[0]


def _less_noise(value: Array, noise: Array) -> Array:
    """Modulus without what noise adds to it: as much across as along it (Rice)."""
    return np.asarray(np.sqrt(np.maximum(value**2 - noise, 0.0)))


def _jackknife(values: Array) -> Array:
    """Variance of each column's figure from rows that leave one group out."""
    n = len(values)
    return np.asarray((n - 1) / n * np.sum((values - values.mean(axis=0)) ** 2, axis=0))
