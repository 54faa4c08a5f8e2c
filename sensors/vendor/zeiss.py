"""Zeiss Xradia scans (``.txrm``, and single images ``.xrm``): OLE2 files with images and a stream for everything else.

Images are ``ImageDataN/ImageK``, 100 in each storage, K from 1; ``ImageInfo/DataType`` is 5 for 16-bit counts and 10 for
32-bit floats. Streams are little-endian: float32 with a value per image, or int32. What they are called and mean is from the
files in dxchange's and txrm2tiff's tests and from the readers dxchange, xrmreader, txrm2tiff and CIL; Zeiss publishes none.

**Shifts** (``Alignment/X-Shifts`` and the like) are in pixels, and to be *applied* to the image, so the content had moved the
other way along columns (xrmreader, CIL); for rows readers disagree. Values are given as written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sensors.images.series import NAN, Contents, Frame
from sensors.images.window import native, window_of
from sensors.reading import SensorError
from sensors.vendor.compound_file import CompoundFile
from sensors.vendor.scan_table import ScanTable
from sensors.vendor.zeiss_dates import CLOCK, times_of
from sensors.vendor.zeiss_streams import applied, streams_of

if TYPE_CHECKING:
    from sensors.images.formats import Request

_ALL = slice(None)
_TYPES = {2: "<i1", 3: "<u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 10: "<f4", 11: "<f8"}


class TxrmSeries:
    """Implements :class:`sensors.images.series.Series` for one file."""

    def __init__(self, file: CompoundFile, contents: Contents, sources: Sequence[tuple[str, np.dtype[Any]]]) -> None:
        self._file = file
        self._contents = contents
        self._sources = sources

    @property
    def contents(self) -> Contents:
        """Frames, shape, streams, notes."""
        return self._contents

    def image(self, position: int, rows: slice = _ALL, columns: slice = _ALL) -> NDArray[Any]:
        """Raw counts of a part of an image; only the rows asked for are read.

        Raises
        ------
        SensorError
            The file was cut, or is corrupt there.
        """
        name, dtype = self._sources[position]
        place = self._contents.frames[position].place
        high, wide = window_of(place, self._contents.shape, dtype.itemsize, rows, columns)
        width = self._contents.shape[1]
        image = np.empty(((high[-1] + 1 - high.start) if len(high) else 0, width), dtype)
        self._file.fill(name, place, high.start * width * dtype.itemsize, image)
        part = image[:: high.step, wide.start : wide.stop : wide.step]
        return part.astype(native(dtype)) if part.size < image.size else image.astype(native(dtype), copy=False)

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        self._file.close()


def open_txrm(path: Path, request: Request) -> TxrmSeries:
    """Images of a ``.txrm`` or ``.xrm``, its own reference as flat, and what else it tells of every image as streams.

    Raises
    ------
    SensorError
        Not such a file, cut off, or without images.
    """
    file = CompoundFile(path)
    try:
        contents, sources = _contents(path, file, request.timezone)
    except BaseException:
        file.close()
        raise
    return TxrmSeries(file, contents, sources)


def read_txrm_scan(path: Path, timezone: str = "UTC") -> ScanTable:
    """Times and angles of the projections of a ``.txrm``; raises SensorError as :func:`open_txrm`."""
    file = CompoundFile(path)
    try:
        contents, _ = _contents(path, file, timezone)
    finally:
        file.close()
    frames = [frame for frame in contents.frames if frame.kind == "projection"]
    index = np.arange(len(frames), dtype=np.int64)
    return ScanTable(contents.name, index, np.array([f.time for f in frames]), np.array([f.angle_deg for f in frames]))


def _contents(path: Path, file: CompoundFile, timezone: str) -> tuple[Contents, list[tuple[str, np.dtype[Any]]]]:
    shape = (_whole(file, "ImageInfo/ImageHeight"), _whole(file, "ImageInfo/ImageWidth"))
    announced = _whole(file, "ImageInfo/NoOfImages")
    kind = _whole(file, "ImageInfo/DataType")
    if min(shape) <= 0 or announced <= 0:
        raise SensorError(
            f"{path}: tells no images ({announced} of {shape[0]} × {shape[1]} px); it is no Zeiss scan, or cut"
        )
    if kind not in _TYPES:
        raise SensorError(f"{path}: pixels of type {kind} are unknown; known are 5 (16-bit counts) and 10 (float)")
    dtype = np.dtype(_TYPES[kind])
    size = shape[0] * shape[1] * dtype.itemsize
    names: list[str] = []
    while len(names) < announced and file.size(_image(len(names))) == size:
        names.append(_image(len(names)))
    count = len(names)
    notes = [f"{path}: {count} of {announced} images are there"] if count < announced else []
    if not count:
        there = max(file.size(_image(0)), 0)
        raise SensorError(f"{path}: {_image(0)} has {there} of {size} bytes; no images, or cut off")
    times, odd = times_of(path, file, announced, count, timezone)
    angles = file.numbers("ImageInfo/Angles", "<f4")
    if len(angles) != announced:
        notes.append(f"{path}: {len(angles)} angles for {announced} images" + ("" if len(angles) else ", so no angles"))
    told = [float(angles[k]) if k < len(angles) else NAN for k in range(count)]
    frames = [Frame(k, "projection", times[k], told[k], f"{path}, image {k + 1}") for k in range(count)]
    sources = [(name, dtype) for name in names]
    reference = _reference(file, shape)
    if reference is not None:
        frames.insert(0, Frame(0, "flat", place=f"{path}, reference"))
        sources.insert(0, ("ReferenceData/Image", reference))
    streams, said = streams_of(file, announced, count)
    clock = CLOCK if any(np.isfinite(times)) else ""
    notes += [*odd, *said, *applied(file)]
    return Contents(path.stem, tuple(frames), shape, tuple(streams), tuple(notes), clock), sources


def _image(k: int) -> str:
    return f"ImageData{k // 100 + 1}/Image{k + 1}"


def _reference(file: CompoundFile, shape: tuple[int, int]) -> np.dtype[Any] | None:
    """Type of the flat that the scan was referenced with, where it has the size of the images."""
    kind = _TYPES.get(_whole(file, "ReferenceData/DataType"))
    fits = kind is not None and file.size("ReferenceData/Image") == shape[0] * shape[1] * np.dtype(kind).itemsize
    return np.dtype(kind) if fits else None


def _whole(file: CompoundFile, name: str) -> int:
    values = file.numbers(name, "<i4")
    return int(values[0]) if values.size else 0
