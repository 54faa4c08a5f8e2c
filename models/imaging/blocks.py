"""Means over blocks of pixels: where structure is told from noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array


@dataclass(frozen=True, slots=True)
class Blocks:
    """Square blocks of a window, centred in it; what is left over at its border belongs to none.

    Attributes
    ----------
    shape : (int, int)
        Of the window.
    side : int
        Of a block [px].
    """

    shape: tuple[int, int]
    side: int

    @classmethod
    def of(cls, shape: tuple[int, int], side: int) -> Blocks:
        """Blocks of ``side`` pixels, or of the window's shorter side if that is less.

        Examples
        --------
        >>> Blocks.of((10, 21), 5).count
        (2, 4)
        """
        return cls(shape, max(1, min(side, *shape)))

    @property
    def count(self) -> tuple[int, int]:
        """Blocks along v and u."""
        return self.shape[0] // self.side, self.shape[1] // self.side

    @property
    def cut(self) -> tuple[slice, slice]:
        """Rows and columns that belong to blocks."""
        starts = [(n - m * self.side) // 2 for n, m in zip(self.shape, self.count, strict=True)]
        return slice(starts[0], starts[0] + self.count[0] * self.side), slice(
            starts[1], starts[1] + self.count[1] * self.side
        )

    def split(self, values: Array) -> Array:
        """(rows, columns, side²) array: the pixels of every block."""
        rows, columns = self.count
        part = values[self.cut].reshape(rows, self.side, columns, self.side)
        return np.asarray(part.swapaxes(1, 2).reshape(rows, columns, self.side**2))

    def sum(self, values: Array) -> Array:
        """Sum over each block; the window's shape in, blocks' out."""
        rows, columns = self.count
        return np.asarray(values[self.cut].reshape(rows, self.side, columns, self.side).sum(axis=(1, 3)))

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """The blocks' values for all pixels of the window; at its border that of the nearest block."""
        index = [
            np.clip((np.arange(n) - cut.start) // self.side, 0, m - 1)
            for n, cut, m in zip(self.shape, self.cut, self.count, strict=True)
        ]
        return np.asarray(values[np.ix_(*index)])

    def middles(self) -> tuple[Array, Array]:
        """u and v of the blocks' middles [px]."""
        rows, columns = self.cut
        half = (self.side - 1) / 2.0
        u = columns.start + half + self.side * np.arange(self.count[1])
        v = rows.start + half + self.side * np.arange(self.count[0])
        return u.astype(float), v.astype(float)


def beyond_noise(values: Array, sigma: Array, unsure: float = 0.0) -> tuple[float, float]:
    """Rms of values beyond their noise, and its σ.

    Root of the mean square less the noise's, or 0. Its σ is the σ of the mean square over the rms, so that three σ of
    the one are three of the other; half of that is the error of a rms far from 0.

    Parameters
    ----------
    values, sigma : (N,) arrays
    unsure : float
        Relative σ of the noise's variance itself.

    Examples
    --------
    >>> rms, error = beyond_noise(np.array([3.0, -3.0, 3.0, -3.0]), np.full(4, 1.0))
    >>> round(rms, 2), round(error, 2)
    (2.83, 1.03)
    """
    if len(values) == 0:
        return math.nan, math.nan
    square = float(np.mean(values**2 - sigma**2))
    noise, signal = sigma**2, max(square, 0.0)
    spread = math.sqrt(
        float(np.mean(2.0 * noise**2 + 4.0 * noise * signal)) / len(values) + (unsure * float(noise.mean())) ** 2
    )
    rms = math.sqrt(signal)
    return rms, spread / max(rms, math.sqrt(spread), 1e-300)
