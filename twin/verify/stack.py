"""Attenuation of every projection in the rows that are needed, in a file of its own that memory maps."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array, ModelError
from models.imaging.light import Light
from models.imaging.transmission import Transmission
from sensors.images.series import Series
from sensors.reading import SensorError
from twin.atomic import OutputError, cause

DARKEST = 1e-4  # transmission; what counts less is noise about zero, and has no logarithm


@dataclass(frozen=True, slots=True)
class Stack:
    """Attenuation, rows turned over as RTK counts them.

    Attributes
    ----------
    values : (N, R, C) float32 array
        Mapped from a file; the last row of the detector comes first.
    pitch_mm : float
        Of its pixels.
    origin_mm : (float, float)
        Of the first pixel along u and -v from the middle of the detector.
    """

    values: NDArray[np.float32]
    pitch_mm: float
    origin_mm: tuple[float, float]

    def add(self, offset: Array) -> None:
        """Add a number to each projection, in place: the logarithm of its flux."""
        for image, value in zip(self.values, offset.tolist(), strict=True):
            image += np.float32(value)


@contextmanager
def stack_of(
    series: Series,
    light: Light,
    positions: Sequence[int],
    rows: slice,
    pitch_mm: float,
    folder: Path,
    bin_px: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Stack]:
    """Read projections one by one and keep ``-ln((I - D)/F)`` of the rows, in means of ``bin_px`` × ``bin_px`` pixels.

    Parameters
    ----------
    light : Light
        Of the whole detector.
    positions : sequence of int
        Of ``series.contents.frames``.
    folder : Path
        Where the file lies; it has no name and is gone afterwards.

    Raises
    ------
    SensorError
        An image can't be read.
    OutputError
        There is no room.
    """
    height, width = series.contents.shape
    rows = slice(rows.start, rows.start + (rows.stop - rows.start) // bin_px * bin_px)
    tall, wide = (rows.stop - rows.start) // bin_px, width // bin_px
    shape = (len(positions), tall, wide)
    needed, free = 4 * int(np.prod(shape)), shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{folder}: attenuation of {len(positions)} projections needs {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free"
            " there; free some space or write elsewhere"
        )
    part = replace(light, flat=light.flat[rows], dark=light.dark[rows], dead=light.dead[rows])
    transmission = Transmission(part)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            values: NDArray[np.float32] = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
            for k, position in enumerate(positions):
                values[k] = _attenuation(series, position, rows, transmission, (tall, wide, bin_px))[::-1]
                if progress is not None:
                    progress((k + 1) / len(positions))
            # of the first mean's middle, from the middle of the detector
            u = (0.5 * (bin_px - 1) - 0.5 * (width - 1)) * pitch_mm
            lowest = 0.5 * (height - 1) - (rows.stop - 1 - 0.5 * (bin_px - 1))
            yield Stack(values, pitch_mm * bin_px, (u, lowest * pitch_mm))
            del values
    except OSError as error:
        raise OutputError(f"{folder}: not written: {cause(error)}") from None


def _attenuation(
    series: Series, position: int, rows: slice, transmission: Transmission, means: tuple[int, int, int]
) -> Array:
    tall, wide, width = means
    try:
        image = transmission(series.image(position, rows), 1.0)
    except ModelError as error:
        raise SensorError(f"{series.contents.frames[position].place}: {error}") from None
    found = -np.log(np.maximum(image, DARKEST))
    if width > 1:
        found = found[:, : wide * width].reshape(tall, width, wide, width).mean(axis=(1, 3))
    return np.asarray(found)
