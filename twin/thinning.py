"""Long records reduced to what a chart can show, without losing their peaks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.float64]]


def thin(columns: Columns, points: int) -> Columns:
    """Reduce columns to at most about ``points`` rows that show the same envelope.

    Rows are gathered in bins of equal size; each bin leaves two rows with every column's smallest and largest value,
    in the order in which they came, at the times of its first and last sample. So a spike of one sample stays visible
    however long the record, at an error in time of less than a bin. The newest row stays as it is.

    >>> thin({"time_s": np.arange(9.0), "x": np.array([0, 0, 7.0, 0, 0, 0, 0, 0, 1])}, 5)["x"].tolist()
    [0.0, 7.0, 0.0, 0.0, 1.0]
    """
    length = len(next(iter(columns.values())))
    bins = max((points - 1) // 2, 1)
    size = -(-(length - 1) // bins)
    bins = -(-(length - 1) // size)
    pick = np.arange(bins)
    thinned = {}
    for name, column in columns.items():
        padded = np.full(bins * size, math.nan)
        padded[: length - 1] = column[:-1]
        grid = padded.reshape(bins, size)
        gap = np.isnan(grid)
        low = np.argmin(np.where(gap, math.inf, grid), axis=1)
        high = np.argmax(np.where(gap, -math.inf, grid), axis=1)
        pair = np.stack([grid[pick, np.minimum(low, high)], grid[pick, np.maximum(low, high)]], axis=1)
        thinned[name] = np.append(pair.ravel(), column[-1])
    return thinned
