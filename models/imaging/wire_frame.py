"""The frame in which a wire stands still: which sum each row of a window belongs to, and what light fell there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging.light import Light
from models.imaging.wire_kernel import gather

BINS = 8  # sub-pixel phases that are kept apart
STRETCHES = 8  # parts of the wire's length that are kept apart: they know its tilt, and which of them is covered


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through a window whose rows it crosses.

    Attributes
    ----------
    place : float
        Column where it crosses the middle row [px].
    slope : float
        Columns per row, between -1 and 1.
    """

    place: float
    slope: float

    def at(self, rows: int) -> Array:
        """Column at each row."""
        return np.asarray(self.place + self.slope * (np.arange(rows) - (rows - 1) / 2.0), dtype=float)


Sums = tuple[Array, Array, Array, Array, Array, NDArray[np.int64]]


class WireFrame:
    """Sums of a window along a line; made anew only when the wire has left it by more than a pixel or two.

    Parameters
    ----------
    line : Line
        Where the wire is thought to be.
    half : int
        Columns kept on either side of it.
    light : Light
        Of the window.
    """

    def __init__(self, line: Line, half: int, light: Light) -> None:
        rows = light.flat.shape[0]
        self.line, self.half = line, half
        column = line.at(rows)
        whole = np.floor(column)
        part = column - whole
        stretches = max(min(STRETCHES, rows // 8), 1)
        stretch = np.arange(rows) * stretches // rows
        phase = np.minimum((part * BINS).astype(np.int64), BINS - 1)
        self._first = (whole - half).astype(np.int64)
        seen = (self._first < light.flat.shape[1]) & (self._first + 2 * half + 1 > 0)
        kept, group = np.unique((stretch * BINS + phase)[seen], return_inverse=True)
        self._group = np.full(rows, -1)
        self._group[seen] = group
        count = np.bincount(group, minlength=len(kept))
        middle = (np.arange(rows) - (rows - 1) / 2.0) / max((rows - 1) / 2.0, 1.0)
        self.offset: Array = np.bincount(group, part[seen]) / count
        self.along: Array = np.bincount(group, middle[seen]) / count
        variance = np.bincount(group, part[seen] ** 2) / count - self.offset**2
        # rows of a sum do not stand at one phase; a pixel of a tilted wire sees the wire move within its height
        self.smear = float(np.average(variance, weights=count)) + line.slope**2 / 12.0
        self.stretch: NDArray[np.int64] = kept // BINS
        self.stretches = stretches
        shape = (len(kept), 2 * half + 1)
        self._mask = light.dead
        self._dead = np.argwhere(light.dead & (self._group >= 0)[:, None])
        self.light: Array = np.zeros(shape)
        self.pixels: Array = np.zeros(shape)
        self._dark: Array = np.zeros(shape)
        gather(np.ascontiguousarray(light.flat), self._first, self._group, half, self.light)
        gather(np.where(light.dead, 0.0, 1.0), self._first, self._group, half, self.pixels)
        self._has_dark = bool(light.dark.any())
        if self._has_dark:
            gather(np.ascontiguousarray(light.dark), self._first, self._group, half, self._dark)
        self._whole: NDArray[Any] = np.zeros(shape, dtype=np.uint32)
        self._real: NDArray[Any] = np.zeros(shape)

    @property
    def empty(self) -> bool:
        """Whether no row of the window holds any of the frame."""
        return len(self.stretch) == 0

    def sums(self, window: NDArray[Any]) -> tuple[Sums, float]:
        """Counts above dark of a window, with what the fit needs beside them; and the largest count met."""
        whole = window.dtype.kind == "u" and window.dtype.itemsize <= 2
        out = self._whole if whole else self._real
        out[:] = 0
        native = window.dtype.newbyteorder("=") if whole else np.float64
        data = np.ascontiguousarray(window if whole else np.where(self._mask, 0.0, window), dtype=native)
        top = float(gather(data, self._first, self._group, self.half, out))
        counts: Array = np.array(out, dtype=float)
        if whole and len(self._dead):
            r, c = self._dead.T
            k = c - self._first[r]
            inside = (k >= 0) & (k < counts.shape[1])
            np.subtract.at(counts, (self._group[r[inside]], k[inside]), window[r[inside], c[inside]])
        if self._has_dark:
            counts -= self._dark
        return (counts, self.light, self.pixels, self.offset, self.along, self.stretch), top
