"""Which part of an image is asked for, whether it can be held in memory, and in which type it is given."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from sensors.reading import SensorError

MOST_FRAMES = 1_000_000  # of a series; more is a corrupt header
MOST_BYTES = 1 << 30  # the largest flat panels and line scans have 0.3 GB per image


def window_of(place: str, shape: tuple[int, int], itemsize: int, rows: slice, columns: slice) -> tuple[range, range]:
    """Rows and columns meant by two slices.

    Parameters
    ----------
    place : str
        File, and frame in it, for messages.
    shape : (int, int)
        Rows and columns of the image.
    itemsize : int
        Bytes per pixel.
    rows, columns : slice
        As for an array; steps must be positive.

    Raises
    ------
    SensorError
        The window holds more than ``MOST_BYTES``: such a file is no projection, or its header is corrupt.

    Examples
    --------
    >>> window_of("a.tif", (2000, 2000), 2, slice(100, 200, 2), slice(None))
    (range(100, 200, 2), range(0, 2000))
    """
    high, wide = range(*rows.indices(shape[0])), range(*columns.indices(shape[1]))
    if high.step < 0 or wide.step < 0:
        raise ValueError("rows and columns run forwards")
    size = len(high) * len(wide) * itemsize
    if size > MOST_BYTES:
        raise SensorError(
            f"{place}: {shape[0]} × {shape[1]} px are no projection ({size / 1e9:.1f} GB asked for); "
            "is it a volume, or corrupt? Ask for a smaller window"
        )
    return high, wide


def native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same type in this machine's byte order, which compiled code needs.

    Examples
    --------
    >>> native(np.dtype(">u2")) == np.dtype("u2")
    True
    """
    return dtype.newbyteorder("<" if sys.byteorder == "little" else ">")
