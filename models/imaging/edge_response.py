"""Edge response: the profile across an edge on a scale finer than the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.imaging.edge_kernel import step_profile

TAPER = 0.6  # part of the reach where the taper of the line spread begins
FINE = 8  # points per bin where a crossing is looked for: a straight line between them is exact enough
KERNEL = 0.35  # σ of the kernel that smooths residuals where a level is crossed, in standard deviations of the spread


@dataclass(frozen=True, slots=True)
class EdgeResponse:
    """Response to a unit step, in bins along the normal.

    The fitted Gaussian step is kept as a formula and only what differs from it is binned: so bins neither blur the
    step nor shift it when pixels fill them unevenly.

    Attributes
    ----------
    distance : (K,) array
        Middle of each bin, from the fitted line towards the bright side [px].
    rest : (K,) array
        Mean of the bin minus the fitted step, relative to the step; 0 where no pixel fell.
    sigma : (K,) array
        Its standard deviation; ``inf`` where no pixel fell.
    variance : float
        Of the fitted Gaussian beside the aperture [px²].
    aperture : (float, float)
        The pixel projected on the normal: a box of the first convolved with a box of the second [px].
    oversampling : int
        Bins per pixel.
    levels : (2, 2) array
        Covariance of dark level and step, relative to the step.
    noise_power : float
        How much more the mean of 16 neighbouring pixels scatters than if their noise were independent; in σ already.
    clutter : float
        What else the window shows: scatter of such means beyond the noise, relative to the step.
    """

    distance: Array
    rest: Array
    sigma: Array
    variance: float
    aperture: tuple[float, float]
    oversampling: int
    levels: Array
    noise_power: float = 1.0
    clutter: float = 0.0

    @property
    def width(self) -> float:
        """Width of a bin [px]."""
        return 1.0 / self.oversampling

    @property
    def reach(self) -> float:
        """Distance on either side that the bins cover [px]."""
        return float(self.distance[-1]) + 0.5 * self.width

    @property
    def spread_px(self) -> float:
        """Standard deviation of the fitted line spread with its aperture [px]."""
        return math.sqrt(self.variance + (self.aperture[0] ** 2 + self.aperture[1] ** 2) / 12.0)

    def step(self, distance: Array) -> tuple[Array, Array]:
        """Fitted step and its slope [1/px] at any distance."""
        return step_profile(np.ascontiguousarray(distance, dtype=float), math.sqrt(self.variance), *self.aperture)  # type: ignore[no-any-return]

    @property
    def values(self) -> Array:
        """The response itself: 0 on the dark, 1 on the bright side."""
        return np.asarray(self.step(self.distance)[0] + self.rest)

    def taper(self, distance: Array) -> Array:
        """Weight of the line spread: 1 near the edge, a cosine to 0 at the ends (Tukey): nothing is cut off sharply."""
        part = np.clip((np.abs(distance) / self.reach - TAPER) / (1.0 - TAPER), 0.0, 1.0)
        return np.asarray(0.5 + 0.5 * np.cos(np.pi * part))

    def smoothed(self, distance: Array) -> tuple[Array, Array]:
        """Residuals smoothed by a narrow Gaussian, at any distances, and their σ."""
        seen = np.isfinite(self.sigma)
        weight = np.exp(-0.5 * ((distance[:, None] - self.distance[seen]) / self.kernel) ** 2)
        total = np.maximum(weight.sum(axis=1), 1e-300)
        return weight @ self.rest[seen] / total, np.sqrt(weight**2 @ self.sigma[seen] ** 2) / total

    @property
    def kernel(self) -> float:
        """σ of the Gaussian that smooths residuals where a level is crossed [px]; the fitted step isn't smoothed."""
        return max(KERNEL * self.spread_px, self.width)

    def crossing(self, level: float) -> tuple[float, float, float]:
        """Where the response reaches a level [px], its σ from the bins, the slope there [1/px]; ``nan`` where it doesn't.

        Of several crossings in noise the one nearest to the fitted step's counts.
        """

        fine = np.linspace(self.distance[0], self.distance[-1], FINE * (len(self.distance) - 1) + 1)
        fitted, _ = self.step(fine)
        rest, noise = self.smoothed(fine)
        away = fitted + rest - level
        up = np.flatnonzero((away[:-1] < 0) & (away[1:] >= 0))
        if up.size == 0:
            return math.nan, math.nan, math.nan
        k = int(up[np.argmin(np.abs(up - np.argmin(np.abs(fitted - level))))])
        x = float(fine[k] - away[k] / (away[k + 1] - away[k]) * (fine[k + 1] - fine[k]))
        low, high = np.interp([x - self.kernel, x + self.kernel], fine, away)
        slope = float(high - low) / (2.0 * self.kernel)
        return x, float(noise[k]) / slope if slope > 0 else math.nan, slope

    def rise(self, low: float, high: float) -> tuple[float, float]:
        """Distance between two levels of the rise, and its σ [px]; the levels' own errors count."""
        x, noise_x, slope_x = self.crossing(low)
        y, noise_y, slope_y = self.crossing(high)
        if not (slope_x > 0 and slope_y > 0):
            return math.nan, math.nan
        by_levels = np.array([1.0, high]) / slope_y - np.array([1.0, low]) / slope_x
        return y - x, float(np.sqrt(noise_x**2 + noise_y**2 + by_levels @ self.levels @ by_levels))
