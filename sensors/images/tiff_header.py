"""Where the pixels of a TIFF file lie, after the TIFF 6.0 specification (Adobe, 1992) and BigTIFF.

Only the tags that are needed are read, in a few small reads, for a folder of projections is opened file by file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from typing import Any

import numpy as np

from sensors.images.tiff_tags import NAMES, TYPES, Tags
from sensors.images.unfinished import UnfinishedError
from sensors.reading import SensorError

__all__ = ["Header", "Page", "UnfinishedError"]

_MOST_TAG_BYTES = 1 << 26
_KINDS = {1: "u", 2: "i", 3: "f"}  # SampleFormat


@dataclass(frozen=True, slots=True)
class Page:
    """One image in a TIFF file.

    Attributes
    ----------
    number : int
        Among the file's images, from 0.
    shape : (int, int)
        Rows and columns.
    dtype : dtype or None
        Type of a pixel with its byte order; None for one that numpy has none for (12 bits packed).
    samples : int
        Values per pixel.
    offset : int
        Where the pixels begin; -1 unless they lie uncompressed in one piece.
    compression : int
        TIFF's number of the compression; 1 is none.
    taken : str
        Tag DateTime; empty when there is none.
    description : str
    reduced : bool
        A smaller copy of another image.
    next : int
        Where the next image's header lies; 0 after the last.
    """

    number: int
    shape: tuple[int, int]
    dtype: np.dtype[Any] | None
    samples: int
    offset: int
    compression: int
    taken: str
    description: str
    reduced: bool
    next: int


class Header:
    """Reads the headers of one open TIFF file.

    Raises
    ------
    UnfinishedError
        Empty, cut off, or no header yet.
    SensorError
        Not TIFF.
    """

    def __init__(self, file: BufferedReader, size: int, place: str) -> None:
        self._file, self._size, self.place = file, size, place
        start = self._read(0, min(16, size))
        if size == 0:
            raise UnfinishedError(f"{place}: is empty; not written yet, or the disk was full")
        if not start.strip(b"\0"):
            raise UnfinishedError(f"{place}: begins with zeros; not written yet, or no TIFF file")
        self._order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
        version = int.from_bytes(start[2:4], "big" if self._order == ">" else "little")
        if size < (16 if version == 43 else 8):
            raise UnfinishedError(f"{place}: is cut off after {size} bytes; not written yet, or copied in part")
        if not self._order or version not in (42, 43):
            raise SensorError(f"{place}: is no TIFF file (it begins with {start[:4]!r}); remove it or name the images")
        self._big = version == 43
        (self.first,) = struct.unpack_from(self._order + ("Q" if self._big else "I"), start, 8 if self._big else 4)
        if self.first == 0:
            raise UnfinishedError(f"{place}: names no image; not written yet, or its writer has died")

    def page(self, number: int, at: int) -> Page:
        """The image whose header lies at this byte."""
        tags, following = self._tags(at)
        shape = (tags.first("rows", 0), tags.first("columns", 0))
        if min(shape) <= 0:
            raise SensorError(f"{self.place}: an image of {shape[0]} × {shape[1]} px; the file is corrupt")
        samples, compression = tags.first("samples", 1), tags.first("compression", 1)
        dtype = _dtype(self._order, tags.first("format", 1), tags.first("bits", 1))
        plain = dtype is not None and samples == 1 and compression == 1 and tags.first("predictor", 1) == 1
        return Page(
            number=number,
            shape=shape,
            dtype=dtype,
            samples=samples,
            offset=self._offset(tags, shape, dtype.itemsize if plain and dtype is not None else 0),
            compression=compression,
            taken=tags.text("taken"),
            description=tags.text("description"),
            reduced=bool(tags.first("reduced", 0) & 1),
            next=following,
        )

    def _offset(self, tags: Tags, shape: tuple[int, int], itemsize: int) -> int:
        """First byte of the pixels when they lie in one piece, else -1; their end must be inside the file."""
        offsets, counts = tags.numbers("offsets"), tags.numbers("counts")
        whole = shape[0] * shape[1] * itemsize
        if not counts and len(offsets) == 1 and itemsize:
            counts = (whole,)
        if len(counts) != len(offsets) or not offsets:
            raise SensorError(f"{self.place}: doesn't say where its pixels are; the file is corrupt")
        in_one = itemsize > 0 and not tags.has("tile") and sum(counts) >= whole
        if len(offsets) > 1:
            at, size = np.array(offsets, dtype=np.int64), np.array(counts, dtype=np.int64)
            in_one = in_one and bool((at[1:] == at[:-1] + size[:-1]).all())
            end = int((at + size).max())
        else:
            end = offsets[0] + counts[0]
        end = offsets[0] + whole if in_one else end
        if end > self._size or min(offsets) == 0:
            raise UnfinishedError(
                f"{self.place}: has {self._size} of {end} bytes; not written yet, or cut off: copy it again"
            )
        return offsets[0] if in_one else -1

    def _tags(self, at: int) -> tuple[Tags, int]:
        """Tags that matter, and where the next header is."""
        head, entry = (struct.Struct(self._order + "Q"), 20) if self._big else (struct.Struct(self._order + "H"), 12)
        (count,) = head.unpack(self._read(at, head.size))
        if count == 0 or count > 4096:
            raise SensorError(f"{self.place}: a header of {count} tags; the file is corrupt")
        link = struct.Struct(self._order + ("Q" if self._big else "I"))
        table = self._read(at + head.size, count * entry + link.size)
        fields = struct.Struct(self._order + ("HHQ8s" if self._big else "HHI4s"))
        tags = Tags(self._order)
        for tag, kind, length, value in fields.iter_unpack(table[: count * entry]):
            name = NAMES.get(tag)
            if name is None or kind not in TYPES:
                continue
            size = length * struct.calcsize(TYPES[kind])
            tags.add(name, kind, length, value[:size] if size <= link.size else self._read(link.unpack(value)[0], size))
        return tags, int(link.unpack_from(table, count * entry)[0])

    def _read(self, at: int, size: int) -> bytes:
        if size > _MOST_TAG_BYTES:
            raise SensorError(f"{self.place}: a tag of {size} bytes; the file is corrupt")
        if at + size > self._size:
            raise UnfinishedError(
                f"{self.place}: has {self._size} bytes, its header is at {at}; not written yet, or cut off: copy it again"
            )
        self._file.seek(at)
        data = self._file.read(size)
        if len(data) < size:
            raise UnfinishedError(f"{self.place}: was cut while it was read; is it being written again?")
        return data


@cache
def _dtype(order: str, form: int, bits: int) -> np.dtype[Any] | None:
    """Type of a pixel; None for one that numpy doesn't have."""
    known = bits in (8, 16, 32, 64) and form in _KINDS and not (form == 3 and bits == 8)
    return np.dtype(f"{order}{_KINDS[form]}{bits // 8}") if known else None
