"""A part of an image, as people write it: ``u0:u1,v0:v1``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORDS = re.compile(r"(\d+):(\d+),(\d+):(\d+)")
LEAST_PX = 16


@dataclass(frozen=True, slots=True)
class Region:
    """Columns ``u0`` to ``u1 - 1`` and rows ``v0`` to ``v1 - 1`` of an image.

    Examples
    --------
    >>> region = Region.parse("900:1028,0:2048")
    >>> str(region), region.shape
    ('900:1028,0:2048', (2048, 128))
    """

    u0: int
    u1: int
    v0: int
    v1: int

    @classmethod
    def parse(cls, text: str) -> Region:
        """Region of its words; ValueError in words that begin with the text."""
        found = _WORDS.fullmatch(text.replace(" ", ""))
        if not found:
            raise ValueError(f"{text!r} is no window; write columns and rows as u0:u1,v0:v1, such as 900:1028,0:2048")
        region = cls(*map(int, found.groups()))
        if min(region.shape) < 1 or region.shape[0] * region.shape[1] < LEAST_PX:
            raise ValueError(f"{text!r} has less than {LEAST_PX} px; u1 and v1 are the first ones outside")
        return region

    def __str__(self) -> str:
        return f"{self.u0}:{self.u1},{self.v0}:{self.v1}"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the part."""
        return self.v1 - self.v0, self.u1 - self.u0

    @property
    def rows(self) -> slice:
        """Its rows in the image."""
        return slice(self.v0, self.v1)

    @property
    def columns(self) -> slice:
        """Its columns in the image."""
        return slice(self.u0, self.u1)

    def inside(self, shape: tuple[int, int]) -> bool:
        """Whether an image of so many rows and columns holds all of it."""
        return self.v1 <= shape[0] and self.u1 <= shape[1]

    def moved(self, u: int, v: int) -> Region:
        """The same part, seen from where it is so many columns and rows farther on."""
        return Region(self.u0 + u, self.u1 + u, self.v0 + v, self.v1 + v)

    def grown(self, shape: tuple[int, int]) -> Region:
        """Three times as wide and high, as far as an image of so many rows and columns allows."""
        rows, columns = self.shape
        return Region(
            max(self.u0 - columns, 0),
            min(self.u1 + columns, shape[1]),
            max(self.v0 - rows, 0),
            min(self.v1 + rows, shape[0]),
        )
