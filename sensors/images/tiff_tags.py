"""Tags of a TIFF header: those that matter, and their values."""

from __future__ import annotations

import struct

# TIFF's types of whole numbers and text, as the letters of struct
TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
NAMES = {
    254: "reduced", 256: "columns", 257: "rows", 258: "bits", 259: "compression", 270: "description", 273: "offsets",
    277: "samples", 278: "rows_per_strip", 279: "counts", 306: "taken", 317: "predictor", 322: "tile", 324: "offsets",
    325: "counts", 339: "format",
}  # fmt: skip


class Tags:
    """Values by the names of ``NAMES``."""

    def __init__(self, order: str) -> None:
        self._order = order
        self._values: dict[str, tuple[int, int, bytes]] = {}

    def add(self, name: str, kind: int, length: int, data: bytes) -> None:
        """Keep the bytes of a tag of ``length`` values of this type."""
        self._values[name] = (kind, length, data)

    def has(self, name: str) -> bool:
        """Whether the tag is there."""
        return name in self._values

    def numbers(self, name: str) -> tuple[int, ...]:
        """All values; empty without the tag."""
        if name not in self._values:
            return ()
        kind, length, data = self._values[name]
        return struct.unpack(f"{self._order}{length}{TYPES[kind]}", data)

    def first(self, name: str, default: int) -> int:
        """First value."""
        if name not in self._values:
            return default
        kind, length, data = self._values[name]
        return int(struct.unpack_from(self._order + TYPES[kind], data)[0]) if length else default

    def text(self, name: str) -> str:
        """Text up to its zero; empty without the tag."""
        return self._values[name][2].split(b"\0")[0].decode("latin-1").strip() if name in self._values else ""
