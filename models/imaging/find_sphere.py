"""Finding a sphere in a whole image by itself: a dark disc in brighter surroundings, of whatever size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from models.estimate import Array
from models.imaging.find import Region, brightness
from models.imaging.fix import Verdict
from models.imaging.light import Light
from models.imaging.sphere import SphereTracker

LARGEST = 256  # pixels per side in which discs are sought
RADII = tuple(1.5 * 1.25**k for k in range(18))  # of the coarse image
LEAST, CANDIDATES = 8.0, 6


@dataclass(frozen=True, slots=True)
class SphereGuess:
    """Centre in the window, radius and blur of a sphere's shadow [px]."""

    u: float
    v: float
    radius: float
    blur: float


@dataclass(frozen=True, slots=True)
class FoundSphere:
    """A sphere in an image: the window to follow it in, and where it is there."""

    region: Region
    guess: SphereGuess


def find_spheres(image: NDArray[Any], light: Light) -> list[FoundSphere]:
    """Spheres in an image, the clearest first.

    Discs darker than the ring around them are sought on a coarse image; the best few are fitted at full resolution, and
    those that are no sphere are dropped.

    Parameters
    ----------
    image : (rows, columns) array
        Raw counts.
    light : Light
        Of the whole image.
    """
    found: list[FoundSphere] = []
    rows, columns = image.shape
    for u, v, radius in _discs(brightness(image, light)):
        reach = math.ceil(2.2 * radius) + 16
        region = Region(
            max(int(u) - reach, 0),
            min(int(u) + reach + 1, columns),
            max(int(v) - reach, 0),
            min(int(v) + reach + 1, rows),
        )
        tracker = SphereTracker(region.light(light), u - region.u0, v - region.v0, radius, max(0.1 * radius, 0.7))
        fix = tracker.look(region.of(image))
        if fix.verdict is Verdict.LOST:
            continue
        at = fix.values
        guess = SphereGuess(at["u"], at["v"], 0.5 * at["size"], at["blur"])
        if not any(_same(region, guess, other) for other in found):
            found.append(FoundSphere(region, guess))
    return found


def _same(region: Region, guess: SphereGuess, other: FoundSphere) -> bool:
    du = region.u0 + guess.u - other.region.u0 - other.guess.u
    dv = region.v0 + guess.v - other.region.v0 - other.guess.v
    return math.hypot(du, dv) < guess.radius + other.guess.radius


def _discs(ratio: Array) -> Iterator[tuple[float, float, float]]:
    """Column, row and radius of dark discs [px], the clearest first."""
    factor = max(1, -(-max(ratio.shape) // LARGEST))
    rows, columns = (size // factor for size in ratio.shape)
    if min(rows, columns) < 8:
        return
    coarse = ratio[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    candidates = []
    for radius in RADII:
        half = math.ceil(1.6 * radius)
        if 2 * half + 1 > min(rows, columns):
            break
        y, x = np.mgrid[-half : half + 1, -half : half + 1]
        distance = np.hypot(x, y)
        disc, ring = distance <= radius, (distance > 1.15 * radius) & (distance <= 1.6 * radius)
        weights = ring / np.count_nonzero(ring) - disc / np.count_nonzero(disc)
        dark = fftconvolve(coarse, weights, mode="same")
        # what the ring itself holds of structure makes a disc less clear
        mean = fftconvolve(coarse, ring / np.count_nonzero(ring), mode="same")
        square = fftconvolve(coarse**2, ring / np.count_nonzero(ring), mode="same")
        spread = np.sqrt(np.maximum(square - mean**2, 0.0))
        noise = spread / math.sqrt(np.count_nonzero(disc)) + 1e-6
        clear = dark / noise
        clear[:half], clear[-half:], clear[:, :half], clear[:, -half:] = 0.0, 0.0, 0.0, 0.0
        row, column = np.unravel_index(int(np.argmax(clear)), clear.shape)
        if clear[row, column] > LEAST:
            candidates.append((float(clear[row, column]), float(column), float(row), radius))
    candidates.sort(reverse=True)
    for _, u, v, radius in candidates[:CANDIDATES]:
        yield (u + 0.5) * factor - 0.5, (v + 0.5) * factor - 0.5, radius * factor
