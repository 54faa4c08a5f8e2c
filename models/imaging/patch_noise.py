"""Noise that neighbouring pixels share, as a patch's residuals tell it: it shifts a texture more than white noise does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging import patch_kernel
from models.imaging.patch_place import Place, Reading, between
from models.imaging.patch_texture import Texture

MOST_PX = 256  # of each side, in the middle of the window
SIDE_PX = 16  # of a block: larger than what neighbours share
IMAGES = 8  # that are asked
SIGNIFICANT = 3.0  # σ by which it must exceed white noise


class SharedNoise:
    """Variance of a shift over what independent pixels would give.

    A scintillator spreads each photon over several pixels; a texture is larger than that, and sees all of it. The sums of
    template times residual over blocks, which are the parts that a shift is made of, are compared with their expected
    scatter (a sandwich estimate, White 1982, Econometrica 50, 1). Noise of a reference that is left in the model is shared,
    too, and expected.
    """

    def __init__(self) -> None:
        self._found = self._expected = self._spread = 0.0
        self._images = 0

    @property
    def factor(self) -> float:
        """At least 1; more where it is surely more."""
        if not self._expected:
            return 1.0
        ratio = self._found / self._expected
        return ratio if ratio > 1.0 + SIGNIFICANT * math.sqrt(2.0 * self._spread) / self._expected else 1.0

    def ask(self, texture: Texture, place: Place, reading: Reading, image: NDArray[Any]) -> None:
        """Take an image's residuals in, one of the first few."""
        if self._images >= IMAGES:
            return
        rows, columns = (_middle(part) for part in place.overlap)
        if rows.stop - rows.start < 2 * SIDE_PX or columns.stop - columns.start < 2 * SIDE_PX:
            return
        self._images += 1
        at = place.u + reading.du, place.v + reading.dv
        t, qu, qv = _shifted(texture, at, rows, columns)
        window, level = place.window, reading.level
        flat = window.flat[rows, columns].astype(float)
        per_count = texture.variance_per_count if math.isfinite(texture.variance_per_count) else 1.0
        white = per_count * level * flat * np.maximum(1.0 + t, patch_kernel.DIMMEST) + window.read_variance
        rest = image[rows, columns] - window.dark[rows, columns] - level * flat * (1.0 + reading.gain * t)
        weight = np.where(flat > 0, flat / np.maximum(white, 1e-30), 0.0)
        scale = 1.0 if place.stated else reading.misfit
        for q, left in zip((qu, qv), texture.left[2:], strict=True):
            found = _blocks(weight * q * rest) ** 2
            expected = scale * _blocks((weight * q) ** 2 * (white + (level * flat) ** 2 * left))
            share = 1.0 - float(np.square(expected).sum()) / float(expected.sum()) ** 2  # the fit takes one number off
            self._found += float(found.sum())
            self._expected += share * float(expected.sum())
            self._spread += float(np.square(expected).sum())


def _shifted(texture: Texture, at: tuple[float, float], rows: slice, columns: slice) -> tuple[Array, Array, Array]:
    """Texture as known, and the two derivatives of the template."""
    shape = rows.stop - rows.start, columns.stop - columns.start
    where = between(texture, at, rows.start, columns.start, 0)
    t, qu, qv = (np.empty(shape, np.float32) for _ in range(3))
    spare = np.empty(shape, np.float32)
    patch_kernel.shifted(texture.template, *where, t, qu, qv)
    if texture.template is not texture.model:
        patch_kernel.shifted(texture.model, *where, t, spare, np.empty_like(spare))
    return t.astype(float), qu.astype(float), qv.astype(float)


def _middle(part: slice) -> slice:
    length = min(MOST_PX, part.stop - part.start) // SIDE_PX * SIDE_PX
    spare = (part.stop - part.start - length) // 2
    return slice(part.start + spare, part.start + spare + length)


def _blocks(values: Array) -> Array:
    rows, columns = (n // SIDE_PX for n in values.shape)
    return np.asarray(values.reshape(rows, SIDE_PX, columns, SIDE_PX).sum(axis=(1, 3)))
