"""Texture between and beyond its pixels: best linear prediction along one axis, from the texture's own autocovariance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging.patch_kernel import TAPS

BEFORE = TAPS // 2 - 1  # samples used before the one at or below the place asked for
RIDGE = 1e-6  # white part added to every texture
INSIDE = 24  # samples that the texture beyond the window is predicted from
MOST_BEYOND = 32  # px: how far
Single = NDArray[np.float32]


class Interpolator:
    """Weights for texture between its samples.

    The weights minimise the mean squared error for the given autocovariance (kriging), so that their error is uncorrelated
    with the texture's derivative: it shifts nothing. Interpolation made for no texture in particular shifts the shortest ones
    by some 0.001 px.

    Parameters
    ----------
    autocovariance : (n,) array
        Along one axis, at lags 0, 1, … n - 1; any unit.

    Examples
    --------
    >>> smooth = Interpolator(np.exp(-((np.arange(64) / 3.0) ** 2)))
    >>> x = np.arange(-9, 11)
    >>> value, slope = smooth.weights(0.25)
    >>> round(float(value @ np.cos(x)), 4), round(float(slope @ np.cos(x)), 4)
    (0.9689, -0.2476)
    """

    def __init__(self, autocovariance: Array) -> None:
        n = len(autocovariance)
        circle = np.concatenate((autocovariance, autocovariance[-2:0:-1]))
        power = np.maximum(np.fft.rfft(circle).real, 0.0)
        power[1:-1] *= 2.0  # both signs of the frequency
        power = power / power.sum()
        white = np.full(n, 2.0 / (2.0 * n - 2.0))
        white[[0, -1]] *= 0.5
        self._power = power + RIDGE * white
        self._omega = np.pi * np.arange(n) / (n - 1)
        whole = np.cos(np.multiply.outer(np.arange(INSIDE + MOST_BEYOND), self._omega)) @ self._power
        self._whole: Array = np.asarray(whole, dtype=float)  # autocovariance at whole lags
        j = np.arange(TAPS)
        self._gram: Array = np.linalg.inv(self._whole[np.abs(j[:, None] - j[None, :])] + 1e-9 * np.eye(TAPS))

    @property
    def cell_px(self) -> float:
        """Length over which the texture is one thing: Σ of the squared autocorrelation [px]."""
        relative = self._whole / self._whole[0]
        return float(2.0 * np.square(relative).sum() - 1.0)

    def weights(self, fraction: float) -> tuple[Single, Single]:
        """Weights of the samples -9…10 for value and derivative at ``fraction`` in [0, 1]."""
        lag = fraction - (np.arange(TAPS) - BEFORE)
        slope = -np.sin(np.multiply.outer(lag, self._omega)) @ (self._omega * self._power)
        return (self._gram @ (np.cos(np.multiply.outer(lag, self._omega)) @ self._power)).astype(np.float32), (
            self._gram @ slope
        ).astype(np.float32)

    def extended(self, samples: Array, beyond: int, noise: float = 0.0) -> Array:
        """Samples along axis 0 and their prediction ``beyond`` both ends; noise relative to the texture's variance."""
        n = min(INSIDE, len(samples))
        i = np.arange(n)
        gram: Array = self._whole[np.abs(i[:, None] - i[None, :])] + (noise + 1e-9) * np.eye(n)
        away: Array = self._whole[i[None, :] + np.arange(beyond, 0, -1)[:, None]]
        ahead = np.asarray(np.linalg.solve(gram, away.T).T, dtype=samples.dtype)
        return np.concatenate((ahead @ samples[:n], samples, (ahead @ samples[::-1][:n])[::-1]))
