"""Finding a marker in a whole image by itself: dark straight lines, where they cross, dark discs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging.cross import crossing
from models.imaging.light import Light
from models.imaging.wire import WireGuess
from models.imaging.wire_fit import WireFit
from models.imaging.wire_frame import Line
from models.imaging.wire_profile import Shape

LARGEST = 256  # pixels per side in which lines are sought first
# σ beyond which a pixel's darkness counts no more: a wire is a little darker everywhere, a sample very here and there
CLIP = 4.0
WIDTHS = (1, 2, 4, 8, 16)
CANDIDATES = 4
LEAST = 8.0  # σ by which a line must stand out


@dataclass(frozen=True, slots=True)
class Region:
    """A window of an image, half open: columns ``u0 … u1 - 1``, rows ``v0 … v1 - 1``.

    Examples
    --------
    >>> Region(10, 74, 0, 100).of(np.zeros((200, 300))).shape
    (100, 64)
    """

    u0: int
    u1: int
    v0: int
    v1: int

    def of(self, image: NDArray[Any]) -> NDArray[Any]:
        """That part of an image."""
        return image[self.v0 : self.v1, self.u0 : self.u1]

    def light(self, light: Light) -> Light:
        """The light of that part."""
        return replace(light, flat=self.of(light.flat), dark=self.of(light.dark), dead=self.of(light.dead))


@dataclass(frozen=True, slots=True)
class FoundWire:
    """A wire in an image: the window that it should be followed in, where it is there, and how far it stands out [σ]."""

    region: Region
    guess: WireGuess
    significance: float


def brightness(image: NDArray[Any], light: Light) -> Array:
    """Counts relative to the light, 1 without anything in the beam; dead pixels take the median of the image."""
    alive = ~light.dead & (light.flat > 0)
    ratio = (image - light.dark) / np.where(alive, light.flat, 1.0)
    alive &= np.isfinite(ratio)
    level = float(np.median(ratio[alive])) if alive.any() else 1.0
    return np.where(alive, ratio, level) / (level or 1.0)


def find_wires(image: NDArray[Any], light: Light) -> list[FoundWire]:
    """Wires in an image, the clearest first.

    Lines of one brightness below their two sides are sought at all slopes and several widths on a coarse image, where
    every pixel counts at most ``CLIP`` σ; the best few are fitted at full resolution, and those that don't look like
    a wire are dropped.

    Parameters
    ----------
    image : (rows, columns) array
        Raw counts.
    light : Light
        Of the whole image.
    """
    found: list[FoundWire] = []
    ratio = brightness(image, light)
    for flat in (False, True):
        turned = ratio.T if flat else ratio
        lit = replace(light, flat=light.flat.T, dark=light.dark.T, dead=light.dead.T) if flat else light
        data = np.ascontiguousarray(image.T if flat else image)
        for line, width in _lines(turned):
            one = _fitted(data, lit, turned, line, width, flat)
            if one is not None and not any(_same(one, other) for other in found):
                found.append(one)
    found.sort(key=lambda f: -f.significance)
    return found[:CANDIDATES]


def find_cross(image: NDArray[Any], light: Light) -> tuple[Region, tuple[WireGuess, WireGuess]] | None:
    """Two wires that cross inside an image: a window around their crossing, and both wires in it; None where there are none.

    The window reaches as far to every side of the crossing as the image allows, at most ``LARGEST`` pixels.
    """
    found = find_wires(image, light)
    steep = next((f for f in found if not f.guess.flat), None)
    level = next((f for f in found if f.guess.flat), None)
    if steep is None or level is None:
        return None
    rows, columns = image.shape
    column = Line(steep.guess.line.place + steep.region.u0, steep.guess.line.slope)
    row = Line(level.guess.line.place + level.region.v0, level.guess.line.slope)
    u, v = crossing(column, row, (rows, columns))
    if not (0 < u < columns - 1 and 0 < v < rows - 1):
        return None
    region = Region(
        max(int(u) - LARGEST, 0), min(int(u) + LARGEST, columns), max(int(v) - LARGEST, 0), min(int(v) + LARGEST, rows)
    )
    middle_v, middle_u = (region.v0 + region.v1 - 1) / 2.0, (region.u0 + region.u1 - 1) / 2.0
    first = Line(column.place + column.slope * (middle_v - (rows - 1) / 2.0) - region.u0, column.slope)
    second = Line(row.place + row.slope * (middle_u - (columns - 1) / 2.0) - region.v0, row.slope)
    return region, (WireGuess(first, steep.guess.shape), WireGuess(second, level.guess.shape, True))


def _same(one: FoundWire, other: FoundWire) -> bool:
    """Whether two finds are one wire."""
    if one.guess.flat != other.guess.flat:
        return False
    side = "v0" if one.guess.flat else "u0"
    apart = one.guess.line.place + getattr(one.region, side) - other.guess.line.place - getattr(other.region, side)
    return bool(abs(apart) < one.guess.shape.radius + other.guess.shape.radius)


def _window(line: Line, reach: float, shape: tuple[int, ...]) -> tuple[int, int]:
    """Columns that hold a line and ``reach`` beside it."""
    at = line.at(shape[0])
    return max(int(at.min() - reach), 0), min(int(at.max() + reach) + 2, shape[1])


def _lines(ratio: Array) -> Iterator[tuple[Line, float]]:
    """Dark lines that cross the rows: line and width [px]; the clearest first."""
    factor = max(1, -(-max(ratio.shape) // LARGEST))
    rows, columns = (size // factor for size in ratio.shape)
    if rows < 8 or columns < 8:
        return
    coarse = ratio[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    slopes = np.linspace(-1.0, 1.0, 2 * rows + 1)
    candidates = []
    for width in WIDTHS:
        if 3 * width > columns:
            break
        dark = _darker(coarse, width)
        spread = 1.4826 * float(np.median(np.abs(dark)))
        if not spread > 0:
            continue
        total = np.zeros((len(slopes), columns))
        _sheared(np.clip(dark / spread, -CLIP, CLIP), slopes, total)
        for _ in range(CANDIDATES):
            k, c = np.unravel_index(int(np.argmax(total)), total.shape)
            if total[k, c] < LEAST:
                break
            candidates.append((float(total[k, c]), float(slopes[k]), float(c), width))
            total[np.abs(slopes - slopes[k]) < 0.1, max(c - 2 * width, 0) : c + 2 * width + 1] = 0.0
    candidates.sort(reverse=True)
    taken: list[Line] = []
    for _, slope, column, width in candidates:
        place = (
            (column + 0.5) * factor
            - 0.5
            + slope * ((ratio.shape[0] - 1) / 2.0 - ((rows - 1) / 2.0 + 0.5) * factor + 0.5)
        )
        if any(abs(place - t.place) < 2 * width * factor + 4 and abs(slope - t.slope) < 0.1 for t in taken):
            continue
        taken.append(Line(place, slope))
        yield taken[-1], float(width * factor)
        if len(taken) == CANDIDATES:
            return


def _darker(coarse: Array, width: int) -> Array:
    """How much darker a stretch of ``width`` columns is than the stretches on both its sides, at its middle."""
    total = np.cumsum(np.pad(coarse, ((0, 0), (1, 0))), axis=1)
    mean = (total[:, width:] - total[:, :-width]) / width  # of columns k … k + width - 1
    out = np.zeros_like(coarse)
    gap = width + max(width // 2, 1)
    inner = mean[:, gap:-gap]
    if inner.shape[1] == 0:
        return out
    # of the two sides the darker one counts: the edge of a large body is dark on one side only
    out[:, gap + width // 2 : gap + width // 2 + inner.shape[1]] = (
        np.minimum(mean[:, : -2 * gap], mean[:, 2 * gap :]) - inner
    )
    return out


@njit(cache=True)
def _sheared(dark, slopes, total):
    """Sum along lines of every slope, in σ of a sum of independent pixels."""
    rows, columns = dark.shape
    for k in range(len(slopes)):
        for r in range(rows):
            shift = math.floor(slopes[k] * (r - (rows - 1) / 2.0) + 0.5)
            for c in range(max(0, -shift), min(columns, columns - shift)):
                total[k, c] += dark[r, c + shift]
    total /= math.sqrt(rows)


def _fitted(data: NDArray[Any], light: Light, ratio: Array, line: Line, width: float, flat: bool) -> FoundWire | None:
    """The line at full resolution, when it looks like a wire."""
    line = _straightened(ratio, line, width)
    low, high = _window(line, 2.0 * width + 16.0, ratio.shape)
    part = Region(low, high, 0, ratio.shape[0])
    shape = Shape(0.5, max(0.1 * width, 1.0), max(width / 2.0, 0.7))
    fit = WireFit(Line(line.place - low, line.slope), shape, part.light(light), known_radius=False)
    found = fit.update(np.ascontiguousarray(part.of(data)))
    if isinstance(found, str) or found.significance < LEAST or found.covered > 0.5 or found.inside < 0.5:
        return None
    if not width / 4.0 < 2.0 * (found.shape.radius + found.shape.blur) < 6.0 * width:
        return None
    exact = Line(found.line.place + low, found.line.slope)
    low, high = _window(exact, found.shape.radius + 5.0 * found.shape.blur + 24.0, ratio.shape)
    region = Region(0, ratio.shape[0], low, high) if flat else Region(low, high, 0, ratio.shape[0])
    guess = WireGuess(Line(exact.place - low, exact.slope), found.shape, flat)
    return FoundWire(region, guess, found.significance / math.sqrt(max(found.dispersion, 1e-9)))


def _straightened(ratio: Array, line: Line, width: float) -> Line:
    """The line through the darkest places of stretches of rows near it."""
    rows, columns = ratio.shape
    reach = int(1.5 * width + 6)
    stretch = max(rows // 48, 4)
    places, heights = [], []
    for begin in range(0, rows - stretch + 1, stretch):
        middle = begin + (stretch - 1) / 2.0
        at = line.place + line.slope * (middle - (rows - 1) / 2.0)
        low, high = int(at) - reach, int(at) + reach + 1
        if low < 0 or high > columns:
            continue
        profile = ratio[begin : begin + stretch, low:high].mean(axis=0)
        dark = np.maximum(np.median(profile) - profile, 0.0) ** 2
        if dark.sum() > 0:
            places.append(low + float(dark @ np.arange(len(dark)) / dark.sum()))
            heights.append(middle - (rows - 1) / 2.0)
    if len(places) < 4:
        return line
    x, y = np.array(places), np.array(heights)
    keep = np.ones(len(x), dtype=bool)
    for _ in range(5):
        slope, place = np.polyfit(y[keep], x[keep], 1)
        apart = np.abs(x - place - slope * y)
        keep = apart <= 2.5 * max(1.4826 * float(np.median(apart)), 0.3)
        if np.count_nonzero(keep) < 4:
            return line
    return Line(float(place), float(np.clip(slope, -1.0, 1.0)))
