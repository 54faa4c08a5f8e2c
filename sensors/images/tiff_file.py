"""Images of TIFF files: only the rows that are asked for, at the speed of the disk.

A memory map would be simpler, but a program whose file is cut while it is mapped is killed by the system.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.images.tiff_header import Header, Page
from sensors.images.unfinished import UnfinishedError
from sensors.images.window import MOST_FRAMES, native, window_of
from sensors.reading import SensorError

__all__ = ["Page", "UnfinishedError", "first_page", "pages", "read_page", "read_tiff"]

_BLOCK = 1 << 20  # read so much at a time when only a part of each row is wanted: it stays in the processor's cache
_ALL = slice(None)


def read_tiff(
    path: Path, rows: slice = _ALL, columns: slice = _ALL, *, shape: tuple[int, int] | None = None
) -> NDArray[Any]:
    """Part of the first image of a TIFF file, in its own type.

    Memory is that of the part; of an uncompressed file only the rows asked for are read.

    Parameters
    ----------
    rows, columns : slice
        With positive steps.
    shape : (int, int), optional
        Rows and columns that the image must have.

    Raises
    ------
    UnfinishedError
        Empty or cut off: it may still be being written.
    SensorError
        Not a TIFF file, corrupt, in colour, compressed in a way that needs a further package, too large, or of another
        size.
    """
    with opened(path) as (file, header):
        page = header.page(0, header.first)
        if shape is not None and page.shape != shape:
            size, wanted = (f"{r} × {c} px" for r, c in (page.shape, shape))
            raise SensorError(f"{path}: has {size}, the series {wanted}; it belongs to another scan: move it away")
        return _read(path, file, page, rows, columns)


def first_page(path: Path) -> Page:
    """What the first image of a TIFF file is; raises as :func:`read_tiff`."""
    with opened(path) as (_, header):
        return header.page(0, header.first)


def read_page(path: Path, page: Page, rows: slice = _ALL, columns: slice = _ALL) -> NDArray[Any]:
    """Part of an image found by :func:`pages`; raises as :func:`read_tiff`."""
    with opened(path) as (file, _):
        return _read(path, file, page, rows, columns)


def pages(path: Path) -> list[Page]:
    """All images of a TIFF file; smaller copies (thumbnails) are left out.

    ImageJ writes a stack above 4 GB with the header of its first image only and says so in the description.

    Raises
    ------
    SensorError
        As :func:`read_tiff`, or images of different sizes.
    """
    found: list[Page] = []
    with opened(path) as (_, header):
        at, seen = header.first, set[int]()
        while at and at not in seen and len(seen) < MOST_FRAMES:
            seen.add(at)
            page = header.page(len(seen) - 1, at)
            at = page.next
            if not page.reduced:
                found.append(page)
        size = path.stat().st_size
    if not found:
        raise SensorError(f"{path}: holds thumbnails only; name the images")
    if len({(page.shape, page.dtype) for page in found}) > 1:
        raise SensorError(f"{path}: its images differ in size or type; one series has one size")
    return _imagej(found[0], size) if len(found) == 1 else found


@contextmanager
def opened(path: Path) -> Iterator[tuple[BufferedReader, Header]]:
    """The open file and its header; what the system says of it becomes a SensorError."""
    try:
        with path.open("rb") as file:
            yield file, Header(file, os.fstat(file.fileno()).st_size, str(path))
    except FileNotFoundError:
        raise SensorError(f"{path}: no such file; check the path", retry=True) from None
    except IsADirectoryError:
        raise SensorError(f"{path}: is a folder; name a file in it") from None
    except OSError as error:
        raise SensorError(f"{path}: can't be read: {error.strerror or error}; check the share", retry=True) from None


def _read(path: Path, file: BufferedReader, page: Page, rows: slice, columns: slice) -> NDArray[Any]:
    place = str(path) if page.number == 0 else f"{path}, image {page.number + 1}"
    if page.samples != 1:
        raise SensorError(f"{place}: has {page.samples} values per pixel (colour?); export it as grey values")
    itemsize = 8 if page.dtype is None else page.dtype.itemsize
    high, wide = window_of(place, page.shape, itemsize, rows, columns)
    if page.offset < 0 or page.dtype is None:
        window_of(place, page.shape, itemsize, _ALL, _ALL)  # it is decoded as a whole
        return _decoded(path, place, page)[high.start : high.stop : high.step, wide.start : wide.stop : wide.step]
    return _plain(place, file, page.offset, page.shape[1], page.dtype, high, wide)


def _plain(
    place: str, file: BufferedReader, offset: int, width: int, dtype: np.dtype[Any], high: range, wide: range
) -> NDArray[Any]:
    """Rows from an uncompressed image, in blocks unless they are wanted whole."""
    image = np.empty((len(high), len(wide)), dtype)
    if image.size:
        if len(wide) == width and high.step == 1:
            _fill(place, file, offset + high.start * width * dtype.itemsize, image)
        else:
            at_once = max(_BLOCK // (width * dtype.itemsize), 1)
            block = np.empty((min(at_once, high[-1] + 1 - high.start), width), dtype)
            for first in range(0, len(high), max(at_once // high.step, 1)):
                chosen = high[first : first + max(at_once // high.step, 1)]
                part = block[: chosen[-1] + 1 - chosen[0]]
                _fill(place, file, offset + chosen[0] * width * dtype.itemsize, part)
                image[first : first + len(chosen)] = part[:: high.step, wide.start : wide.stop : wide.step]
    return image if dtype.isnative else image.astype(native(dtype))


def _fill(place: str, file: BufferedReader, at: int, into: NDArray[Any]) -> None:
    file.seek(at)
    if file.readinto(into.view(np.uint8).reshape(-1).data) < into.nbytes:
        raise UnfinishedError(f"{place}: was cut while it was read; is it being written again?")


def _decoded(path: Path, place: str, page: Page) -> NDArray[Any]:
    """A compressed, tiled or packed image as a whole, through tifffile."""
    try:
        tifffile = import_module("tifffile")
    except ImportError:
        raise SensorError(f"{place}: is compressed or tiled; pip install tifffile, or save it uncompressed") from None
    try:
        with tifffile.TiffFile(path) as file:
            image = np.asarray(file.pages[page.number].asarray(maxworkers=1))
    except Exception as error:  # tifffile passes on whatever its decoders raise
        said = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        mend = "pip install imagecodecs" if "imagecodecs" in said else "copy it again"
        raise SensorError(f"{place}: can't be decoded ({said}); {mend}, or save it uncompressed") from None
    if image.shape != page.shape:
        raise SensorError(f"{place}: decodes to {image.shape} instead of {page.shape} px; save it as plain grey values")
    return image if image.dtype.isnative else image.astype(native(image.dtype))


def _imagej(page: Page, size: int) -> list[Page]:
    """A lone image, or the whole stack that ImageJ put behind its one header."""
    count = 1
    if page.description.startswith("ImageJ=") and page.offset >= 0 and page.dtype is not None:
        for line in page.description.splitlines():
            key, _, value = line.partition("=")
            if key == "images" and value.strip().isdigit():
                count = int(value)
        step = page.shape[0] * page.shape[1] * page.dtype.itemsize
        if 1 < count <= MOST_FRAMES and page.offset + count * step <= size:
            return [
                Page(k, page.shape, page.dtype, 1, page.offset + k * step, 1, page.taken, "", False, 0)
                for k in range(count)
            ]
    return [page]
