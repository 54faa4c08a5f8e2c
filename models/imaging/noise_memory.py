"""The noise of a window as its images tell it: how large against what was stated, and how far neighbours share it."""

from __future__ import annotations

import math

import numpy as np

from models.estimate import Array

LONGEST = 64  # images that are remembered
SIGNIFICANT = 5.0  # σ by which a correlation must stand out before it counts


class NoiseMemory:
    """Dispersion and correlation of residuals, averaged over images.

    Parameters
    ----------
    variance_per_count, read_variance : float
        As in :class:`models.imaging.light.Light`; without the former the dispersion is found from the residuals, and the
        variance is ``dispersion · counts``.
    lags : int
        Columns over which noise may be shared.

    Examples
    --------
    >>> memory = NoiseMemory(float("nan"), 0.0, 1)
    >>> memory.take(300.0, 100, np.zeros(2))
    >>> memory.scale(2.9, 100)
    3.0
    """

    def __init__(self, variance_per_count: float, read_variance: float, lags: int) -> None:
        self.stated = math.isfinite(variance_per_count)
        self.variance = np.array([variance_per_count if self.stated else 1.0, read_variance])
        self.images = 0
        self._chi2 = self._degrees = 0.0
        self._lags = np.zeros(lags + 1)
        self.dispersion = math.nan  # χ² per degree of freedom, averaged over the images taken in
        self.correlation = np.zeros(lags + 1)  # of pixels 0, 1, 2 … columns apart; 0 where it is not significant
        self.correlated = False

    def take(self, chi2: float, degrees: int, lags: Array) -> None:
        """Remember an image: its χ², degrees of freedom, and sums of products of residuals ``lags`` columns apart."""
        fade = 1.0 - 1.0 / LONGEST if self.images >= LONGEST else 1.0
        self._chi2 = fade * self._chi2 + chi2
        self._degrees = fade * self._degrees + degrees
        self._lags = fade * self._lags + lags
        self.images += 1
        self.dispersion = self._chi2 / self._degrees
        rho = self._lags / self._chi2
        self.correlation = np.where(np.abs(rho) > SIGNIFICANT / math.sqrt(self._degrees), rho, 0.0)
        self.correlated = bool(self.correlation.any())

    @property
    def scale_of_mean(self) -> float:
        """Factor on the covariance by what is remembered alone."""
        return 1.0 if self.stated or not self.images else self.dispersion

    def scale(self, misfit: float, degrees: int) -> float:
        """Factor on the covariance that the stated noise gives for an image with this χ² per degree of freedom.

        Without a stated noise the dispersion; with one, 1, or the dispersion where it is significantly larger: flats that
        don't fit, a shape that is not quite the wire's.
        """
        if not self.stated:
            return self.dispersion if self.images else misfit
        factor = 1.0
        if self.images and self.dispersion > 1.0 + SIGNIFICANT * math.sqrt(2.0 / self._degrees):
            factor = self.dispersion
        if misfit > 1.0 + SIGNIFICANT * math.sqrt(2.0 / degrees):
            factor = max(factor, misfit)
        return factor
