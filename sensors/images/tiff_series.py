"""A series of images in TIFF files: one per file, or the pages of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sensors.images.series import Contents
from sensors.images.tiff_file import Page, first_page, read_page, read_tiff
from sensors.reading import SensorError

_ALL = slice(None)
Source = tuple[Path, Page | None]  # without page: the file's first image, whatever it is when it is read


class TiffSeries:
    """Implements :class:`sensors.images.series.Series`; holds no file open between images."""

    def __init__(self, contents: Contents, sources: Sequence[Source]) -> None:
        self._contents = contents
        self._sources = sources

    @property
    def contents(self) -> Contents:
        """Frames, shape, streams, notes."""
        return self._contents

    def image(self, position: int, rows: slice = _ALL, columns: slice = _ALL) -> NDArray[Any]:
        """Raw counts of a part of an image; only the rows asked for are read where nothing is compressed.

        Raises
        ------
        UnfinishedError
            The file is cut off or still being written.
        SensorError
            It is no TIFF file, can't be decoded, or has another size than the series.
        """
        path, page = self._sources[position]
        if page is not None:
            return read_page(path, page, rows, columns)
        return read_tiff(path, rows, columns, shape=self._contents.shape)

    def close(self) -> None:
        """Nothing is held open; harmless when repeated."""


def shape_of(paths: Sequence[Path]) -> tuple[tuple[int, int], list[str]]:
    """Size of the first image that can be read, and a note where it is not the first or a file holds more than one.

    Raises
    ------
    SensorError
        None can be read; that of the first one.
    """
    fault: SensorError | None = None
    for path in paths:
        try:
            page = first_page(path)
        except SensorError as error:
            fault = fault or error
            continue
        notes = [str(fault)] if fault is not None else []
        if page.next:
            notes.append(f"{path}: holds more than one image; of each file in a folder the first is used")
        return page.shape, notes
    raise fault or SensorError("there are no images")
