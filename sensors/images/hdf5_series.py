"""A series of frames in data sets of HDF5 files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.images.hdf5_file import first_line
from sensors.images.series import Contents
from sensors.images.window import native, window_of
from sensors.reading import SensorError

_ALL = slice(None)
Sources = list[tuple[Any, int]]


class Hdf5Series:
    """Implements :class:`sensors.images.series.Series` for frames in data sets of three dimensions.

    Parameters
    ----------
    contents : Contents
    sources : sequence of (data set, int)
        Where each frame is.
    opened : sequence
        Files to be closed at the end.
    """

    def __init__(self, contents: Contents, sources: Sources, opened: Sequence[Any]) -> None:
        self._contents = contents
        self._sources = sources
        self._opened = opened

    @property
    def contents(self) -> Contents:
        """Frames, shape, streams, notes."""
        return self._contents

    def image(self, position: int, rows: slice = _ALL, columns: slice = _ALL) -> NDArray[Any]:
        """Raw counts of a part of a frame; of chunked data, the chunks that it touches are read.

        Raises
        ------
        SensorError
            The chunk is corrupt, or its file was cut.
        """
        data, k = self._sources[position]
        place = self._contents.frames[position].place
        high, wide = window_of(place, self._contents.shape, data.dtype.itemsize, rows, columns)
        try:
            image = np.asarray(data[k, high.start : high.stop : high.step, wide.start : wide.stop : wide.step])
        except (OSError, RuntimeError, ValueError) as error:
            raise SensorError(f"{place}: can't be read ({first_line(error)}); copy the file again") from None
        return image if image.dtype.isnative else image.astype(native(image.dtype))

    def close(self) -> None:
        """Close the files; harmless when repeated."""
        for file in self._opened:
            file.close()
