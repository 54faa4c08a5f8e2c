"""One maximum-likelihood fit of a sphere to the counts of a window; its table of the profile is made anew when it must."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.imaging import sphere_kernel as kernel
from models.imaging import sphere_sums as sums
from models.imaging.sphere_profile import profile

MOST_TABLES = 30
FEW_FAR = 200  # pixels in the free beam below which they tell no variance per count
STEADY = 0.05  # relative change of the variance per count that calls for another fit
SHAPING = 5.0  # quantities that noise can use to make a shadow steeper: u, v, R, σ², ln κ


@dataclass(frozen=True, slots=True)
class Shape:
    """A profile's table and where it was made: R [px], σ² [px²], ln κ."""

    at: Array
    table: Array

    @property
    def unit(self) -> Array:
        """By how much each changes the profile about equally."""
        edge = math.sqrt(max(float(self.at[1]), 0.0) + 0.1)
        return np.array([edge, edge**2, 1.0])

    @classmethod
    def of(cls, at: Array) -> Shape:
        """Make the table at R, σ², ln κ."""
        return cls(at.copy(), profile(at[0], at[1], np.exp(at[2])))


@dataclass(frozen=True, slots=True)
class Noise:
    """Variance of a pixel: ``per_count`` times its expected counts, and ``read``; ``known`` where it was stated."""

    per_count: float
    read: float
    known: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """What a fit found.

    Attributes
    ----------
    point : (8,) array
        u, v, R [px], σ² [px²], ln κ, b₀, b₁, b₂ [counts].
    cov : (8, 8) array
    told : (TOLD,) array
        Named in :mod:`models.imaging.sphere_sums`.
    outcome : int
        One of its outcomes.
    shape : Shape
        The table used last.
    noise : Noise
    """

    point: Array
    cov: Array
    told: Array
    outcome: int
    shape: Shape
    noise: Noise

    @property
    def radius(self) -> float:
        """R [px]."""
        return float(self.point[sums.RADIUS])

    @property
    def variance(self) -> float:
        """σ² of the blur [px²]; noise may bring it below 0."""
        return float(self.point[sums.VARIANCE])

    @property
    def radius_sigma(self) -> float:
        """σ of R, relative to it."""
        return math.sqrt(self.cov[sums.RADIUS, sums.RADIUS]) / self.radius

    @property
    def position_sigma(self) -> float:
        """The larger σ of u and v [px]."""
        return math.sqrt(max(self.cov[sums.U, sums.U], self.cov[sums.V, sums.V]))

    @property
    def near_pixels(self) -> float:
        """Pixels that the shadow reaches, those left out included."""
        return float(self.told[sums.PIXELS] + self.told[sums.GATED])

    @property
    def near_chi2(self) -> float:
        """χ² of them; one that was left out counts as much as the gate lets pass."""
        return float(self.told[sums.CHI2] + sums.GATE**2 * self.told[sums.GATED])

    @property
    def near_misfit(self) -> float:
        """χ² per near pixel."""
        return self.near_chi2 / max(self.near_pixels, 1.0)

    @property
    def misfit(self) -> float:
        """χ² per degree of freedom of all pixels that were used, near ones that were left out included."""
        free = self.near_pixels + float(self.told[sums.FAR_PIXELS]) - sums.SIZE
        return (self.near_chi2 + float(self.told[sums.FAR_CHI2])) / max(free, 1.0)

    @property
    def unlike(self) -> float:
        """What the noise doesn't explain of the residuals, as a share (rms) of the shadow itself."""
        excess = max(self.near_chi2 - self.near_pixels, 0.0)
        return math.sqrt(excess / max(self.told[sums.SIGNAL], 1e-12))

    @property
    def unevenness(self) -> tuple[float, float]:
        """Structure of the free beam that no gradient explains, rms as a share of the beam, and how many σ it stands out by.

        From the correlation of residuals some pixels apart, to which noise and the noise of a flat image add nothing.
        """
        lagged, pairs = max(float(self.told[sums.FAR_LAGGED]), 0.0), float(self.told[sums.FAR_PAIRS])
        if pairs < FEW_FAR * sums.STRIP:
            return 0.0, 0.0
        level = float(self.point[sums.LIGHT])
        noise = math.sqrt(self.noise.per_count * level + self.noise.read) / level
        return noise * math.sqrt(lagged / pairs), lagged / math.sqrt(pairs)

    @property
    def visibility(self) -> float:
        """How many σ of the noise the whole shadow amounts to."""
        return math.sqrt(self.told[sums.SIGNAL])


def fit(
    counts: Array, flat: Array, start: Array, shape: Shape, prior: Array, noise: Noise, usual: float | None
) -> Sight:
    """Fit from ``start``: where the sphere was, with its ``usual`` χ² per near pixel; ``None``: where it may be.

    Where the variance per count isn't known it is that of the pixels in the free beam (of all, where those are few).
    """
    expected, loose = (np.inf, True) if usual is None else (usual, False)
    sight = _fit(counts, flat, start, shape, prior, noise, expected, loose)
    for _ in range(4):
        if noise.known or sight.outcome != kernel.DONE:
            break
        told = sight.told
        alone = told[sums.FAR_PIXELS] >= FEW_FAR
        ratio = told[sums.FAR_CHI2] / told[sums.FAR_PIXELS] if alone else sight.misfit
        per_count = sight.noise.per_count * max(float(ratio), 1e-6)
        if abs(ratio - 1.0) < STEADY:
            break
        noise = Noise(per_count, noise.read, False)
        sight = _fit(counts, flat, sight.point, sight.shape, prior, noise, np.inf, False)
    return sight


def _fit(
    counts: Array, flat: Array, start: Array, shape: Shape, prior: Array, noise: Noise, usual: float, loose: bool
) -> Sight:
    point, information, told = start.copy(), np.empty((sums.SIZE, sums.SIZE)), np.zeros(sums.TOLD)
    outcome, share, before = kernel.BENT, 1.0, np.zeros(3)
    for _ in range(MOST_TABLES):
        outcome = kernel.score(
            counts,
            flat,
            shape.table,
            shape.at,
            point,
            prior,
            noise.per_count,
            noise.read,
            usual,
            loose,
            information,
            told,
        )
        if outcome != kernel.BENT:
            break
        # Where R, σ² and ln κ hardly differ in what they do, the best by one table may lie on the far side of the best by the
        # next, and so for ever: then only a part of the way is gone.
        way = point[sums.RADIUS : sums.LIGHT] - shape.at
        share = 0.5 * share if (way * before / shape.unit**2).sum() < 0.0 else min(1.0, 1.5 * share)
        point[sums.RADIUS : sums.LIGHT] = shape.at + share * way
        before, shape, usual = way, Shape.of(point[sums.RADIUS : sums.LIGHT]), np.inf
    if outcome != kernel.DONE:
        cov = np.full_like(information, np.inf)
    else:
        # The shadow fitted holds a part of the noise: its energy (in σ²) is expected to exceed the true one by 1 per quantity
        # that shapes it, and by as much, relatively, does the information that it promises.
        energy = told[sums.SIGNAL]
        cov = _inverse(information) / max(1.0 - SHAPING / max(energy, 1e-12), 0.5)
    return Sight(point, cov, told, int(outcome), shape, noise)


def _inverse(information: Array) -> Array:
    scale = 1.0 / np.sqrt(np.diag(information))
    inverse: Array = np.linalg.inv(information * scale * scale[:, None]) * scale * scale[:, None]
    return inverse
