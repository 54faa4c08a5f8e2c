"""Size of the focal spot over time, and the blur it gives to the edge of something in the beam."""

from __future__ import annotations

import numpy as np

from twin.config import Config
from twin.simulate.heat import Array
from twin.simulate.scenario import SpotTruth
from twin.simulate.streams import stream

FWHM_PER_SIGMA = 2.3548
TEN_PERCENT_PER_SIGMA = 4.2919


class SpotLaw:
    """FWHM of the spot along u and v at any instant: its size at the start of the scan, growth, random walk.

    ``F(t) = F_0 + growth (1 - exp(-t/tau)) + walk`` after the start of the scan, F_0 before it; at least a tenth of F_0.
    A worn target or a drifting focus grows so; no state-space model does.
    """

    def __init__(self, law: SpotTruth, config: Config, grid: Array, scan_start: float, seed: int) -> None:
        self._law, self._grid, self._start = law, grid, scan_start
        source = config.source
        if law.fwhm_um is not None:
            self._first = np.array(law.fwhm_um)
        elif source.spot_fwhm_um is not None:
            self._first = np.array(source.spot_fwhm_um)
        else:
            self._first = np.full(2, (source.spot_10_percent_um or 0.0) * FWHM_PER_SIGMA / TEN_PERCENT_PER_SIGMA)
        steps = stream(seed, "spot size").standard_normal((len(grid), 2))
        steps[grid <= scan_start] = 0.0
        per_step = np.sqrt((grid[1] - grid[0]) / 3600.0)
        self._walk = np.cumsum(steps, axis=0) * (np.array(law.random_walk_um_per_sqrt_h) * per_step)

    def fwhm_um(self, time: Array) -> Array:
        """FWHM along u and v, (N, 2) [µm]."""
        age = np.maximum(time - self._start, 0.0) / (self._law.growth_h * 3600.0)
        grown = np.outer(-np.expm1(-age), self._law.growth_um)
        walked = np.stack([np.interp(time, self._grid, column) for column in self._walk.T], axis=-1)
        return np.asarray(np.maximum(self._first + grown + walked, 0.1 * self._first))


def penumbra_px(fwhm_um: Array, reach: Array, normal: Array, psf_px: float, pixel_m: float) -> Array:
    """σ of the blur of an edge across ``normal``, (N,) [px].

    Every point of the spot throws its own shadow of the edge, displaced by ``reach`` (distance edge–detector over distance
    spot–edge) times its place; the shadows of a Gaussian spot add up to a Gaussian, and the detector blurs that.

    Examples
    --------
    >>> blur = penumbra_px(np.array([[2.3548, 1.0]]), np.array([50.0]), np.array([1.0, 0.0]), 0.0, 50e-6)
    >>> round(float(blur[0]), 9)
    1.0
    """
    shadow = reach[:, None] * (fwhm_um / FWHM_PER_SIGMA) * 1e-6 / pixel_m
    return np.asarray(np.sqrt(((shadow * normal) ** 2).sum(axis=1) + psf_px**2))
