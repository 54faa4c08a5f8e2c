"""Illumination and noise of a window, from the bright and dark images that a series has or that are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from models.estimate import Array, ModelError
from models.imaging.light import Light
from sensors.images.region import Region
from sensors.images.series import NAN, Series
from sensors.reading import SensorError

Open = Callable[[Path], Series]


@dataclass(frozen=True, slots=True)
class Illumination:
    """Where the bright and dark images are.

    Attributes
    ----------
    open : callable
        Opens a file or folder as a series.
    flat, dark : Path, optional
        Image, stack or folder, all of whose images are averaged; otherwise those of the series itself are, if it has any.
    photons_per_count : float
        ``nan`` when unknown: the noise is then found from the images.
    """

    open: Open
    flat: Path | None = None
    dark: Path | None = None
    photons_per_count: float = NAN

    def light(self, series: Series, part: Region, dtype: DTypeLike) -> Light:
        """Light of a part of the images of a series.

        Parameters
        ----------
        dtype : dtype
            Of its images, whose largest value is full scale.

        Raises
        ------
        SensorError
            An image can't be read, or is no bright image of this window.
        """
        full = float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else np.inf
        flat, dark = (self._mean(series, part, kind) for kind in ("flat", "dark"))
        try:
            return Light.of(
                flat, dark, part.shape, full_scale=full, variance_per_count=1.0 / self.photons_per_count
            )  # fmt: skip
        except ModelError as error:
            raise SensorError(f"{self.flat or series.contents.name}, window {part}: {error}") from None

    def _mean(self, series: Series, part: Region, kind: str) -> Array | None:
        path = self.flat if kind == "flat" else self.dark
        if path is None:
            own = [k for k, frame in enumerate(series.contents.frames) if frame.kind == kind]
            return _mean(series, own, part)
        named = self.open(path)
        try:
            if named.contents.shape != series.contents.shape:
                sizes = " and ".join(
                    f"{rows} × {columns}" for rows, columns in (named.contents.shape, series.contents.shape)
                )
                raise SensorError(
                    f"{path}: {kind} and projections differ in size ({sizes} px); give one of the same detector"
                )
            return _mean(named, range(len(named.contents.frames)), part)
        finally:
            named.close()


def _mean(series: Series, positions: Iterable[int], part: Region) -> Array | None:
    total, count = np.zeros(part.shape), 0
    for position in positions:
        total += series.image(position, part.rows, part.columns)
        count += 1
    return total / count if count else None
