"""A patch at one place: templates between the pixels, what they answer, and the reading of an image against them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging import patch_kernel
from models.imaging.light import Light
from models.imaging.patch_interpolation import BEFORE, Single
from models.imaging.patch_reference import Reference
from models.imaging.patch_texture import MARGIN, Texture, prepare

SAMPLED = 8192  # pixels whose residuals are looked at
SIZED = 4096  # pixels from which the size of templates is found
THINNED = 65536  # pixels from which the answers beyond the first order are found
BLOCK_PX = 16  # least side of a block of residuals
BLOCK_SAMPLES = 64  # least number of pixels looked at in a block
BLOCKS = 8  # most of them along the shorter side
FEWEST = 64  # px of overlap below which there is nothing to compare
CLIP = 12.0  # a template's largest weight in units of its rms: one bright grain must not cost all others their digits
LOSS = 0.03  # of the information, at the distance from its place up to which an image is read there
REACH_PX = (0.1, 0.5)  # bounds of that distance
INTERPOLATION_PX = (
    1.5e-5  # error left by interpolation, times the texture's mean ω⁴ over ω²: 4e-5 px at a length of 1.5 px
)
SURE_REACH_PX = 0.07  # up to which an answer is believed, however noisy the reference
DOUBTFUL_PX = 0.002  # error of a shift per doubt in the answer to it that is put up with


def between(
    texture: Texture, at: tuple[float, float], row: int, column: int, rim: int
) -> tuple[int, int, Single, Single, Single, Single]:
    """Where a texture moved by ``at`` = (u, v) is sampled for the part of the window that begins at (row, column).

    Row and column of the first sample, weights for value and derivative along rows, and along columns.
    """
    nu, nv = ceil(at[0]), ceil(at[1])
    first = MARGIN - BEFORE - rim
    return (
        row - nv + first,
        column - nu + first,
        *texture.along_v.weights(nv - at[1]),
        *texture.along_u.weights(nu - at[0]),
    )


@dataclass(frozen=True, slots=True)
class Window:
    """Flat (0 where a pixel is left out) and dark image as the compiled passes read them."""

    flat: Single
    dark: Single
    read_variance: float
    stated: bool  # whether the noise is stated

    @classmethod
    def of(cls, light: Light, without: NDArray[np.bool_] | None = None) -> Window:
        """Window of this light, without dead pixels and those given."""
        left_out = light.dead | ~(light.flat > 0)
        if without is not None:
            left_out = left_out | without
        stated = bool(np.isfinite(light.variance_per_count))
        flat = np.where(left_out, 0.0, light.flat).astype(np.float32)
        return cls(flat, np.where(left_out, 0.0, light.dark).astype(np.float32), light.read_variance, stated)


@dataclass(frozen=True, slots=True)
class Reading:
    """An image read at a place.

    Attributes
    ----------
    level : float
        Flat-corrected counts where the texture is at its mean.
    gain : float
        Its texture in units of the reference's.
    du, dv : float
        Distance from the place [px].
    cov : (4, 4) array
        Of level, level · gain, du, dv, for the noise that was stated.
    top : float
        Largest raw count.
    blocks : (down, across) array
        Mean squared residual over its variance, block by block; 0 where no pixel is looked at.
    misfit : float
        The same over all of them, per degree of freedom.
    """

    level: float
    gain: float
    du: float
    dv: float
    cov: Array
    top: float
    blocks: Array
    misfit: float


class Place:
    """Templates for images in which the patch has moved by about (u, v).

    Linear in the shift is not enough to stay at one place while the patch moves by a tenth of a px: the answer of the
    templates is known to the third order.

    Parameters
    ----------
    texture : Texture
    window : Window
    u, v : float
        Place [px].
    level : float
        Flat-corrected counts of the images, for the part of the read noise.
    """

    def __init__(self, texture: Texture, window: Window, u: float, v: float, level: float) -> None:
        self.u, self.v, self.level = u, v, level
        self.window, self._left = window, texture.left
        self.stated = window.stated
        self._per_count = texture.variance_per_count if np.isfinite(texture.variance_per_count) else 1.0
        shape = window.flat.shape
        rows = slice(max(0, ceil(v)), min(shape[0], floor(shape[0] - 1 + v) + 1))
        columns = slice(max(0, ceil(u)), min(shape[1], floor(shape[1] - 1 + u) + 1))
        self.overlap = rows, columns
        self.reach = (0.0, 0.0)
        self.alive = 0
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return
        self._corner = rows.start, columns.start
        self._flat = self._seen(texture)
        if (rows.stop - rows.start) * (columns.stop - columns.start) >= FEWEST:
            self._weigh(texture)

    def _seen(self, texture: Texture) -> Single:
        """Flat image, 0 where the reference isn't known."""
        flat = self.window.flat
        if texture.known.all():
            return flat
        rows, columns = self.overlap
        r = np.clip(np.arange(rows.start, rows.stop) - round(self.v), 0, flat.shape[0] - 1)
        c = np.clip(np.arange(columns.start, columns.stop) - round(self.u), 0, flat.shape[1] - 1)
        out = np.zeros_like(flat)
        out[rows, columns] = flat[rows, columns] * texture.known[np.ix_(r, c)]
        return out

    def _weigh(self, texture: Texture) -> None:
        rows, columns = self.overlap
        shape = rows.stop - rows.start, columns.stop - columns.start
        size = shape[0] * shape[1]
        self._every = max(1, size // SAMPLED)
        read_variance = self.window.read_variance
        ground = np.float32(read_variance / (self._per_count * self.level) if read_variance else 0.0)
        greatest, square = patch_kernel.sizes(
            self.window.flat, texture.model, texture.template, MARGIN, ground, max(1, size // SIZED)
        )
        greatest = np.maximum(np.minimum(greatest, CLIP * np.sqrt(square)), 1e-30)
        count = (shape[0] - self._every // 2 + self._every - 1) // self._every
        self._stored = np.empty((4, *shape), np.int8)
        self._sample = np.empty((patch_kernel.SECOND, count, shape[1]), np.float32)
        self._weight = np.empty((count, shape[1]), np.float32)
        self._answer, self._zero, self._own, lent = patch_kernel.respond(
            self._flat,
            self.window.dark,
            *self._corner,
            texture.model,
            texture.template,
            *between(texture, (self.u, self.v), rows.start, columns.start, patch_kernel.RIM),
            ground,
            (127.0 / greatest).astype(np.float32),
            max(1, size // THINNED),
            self._every,
            np.float32(texture.error * self.level / self._per_count),
            texture.model is texture.template,
            self._stored,
            self._sample,
            self._weight,
        )
        self._lent = lent * np.sqrt(np.outer(self._left, self._left))
        try:
            self._inverse = np.linalg.inv(self._answer[:, :4])
        except np.linalg.LinAlgError:
            return
        self.alive = size - int(np.count_nonzero(self._weight == 0) * (size / self._weight.size))
        self._divide(count, shape[1])
        sharp = -6.0 * np.array([self._answer[2, 7] / self._answer[2, 2], self._answer[3, 10] / self._answer[3, 3]])
        self._between = np.square(INTERPOLATION_PX * np.maximum(sharp, 0.0))
        reach = np.clip(np.sqrt(LOSS / np.maximum(sharp, 1e-9)), *REACH_PX)
        if texture.doubt:
            reach = np.minimum(reach, max(SURE_REACH_PX, DOUBTFUL_PX / texture.doubt))
        self.reach = (float(reach[0]), float(reach[1]))

    def _divide(self, count: int, columns: int) -> None:
        """Blocks of residuals, and how many pixels are looked at in each."""
        side = max(BLOCK_PX, min(count * self._every, columns) // BLOCKS)
        self._high, self._wide = max(1, side // self._every, -(-BLOCK_SAMPLES // side)), side
        alive = (self._weight > 0).astype(float)
        number = np.add.reduceat(
            np.add.reduceat(alive, np.arange(0, count, self._high), axis=0), np.arange(0, columns, self._wide), axis=1
        )
        self.looked_at = number > 0
        self._share = np.divide(1.0, number, out=np.zeros_like(number), where=self.looked_at)
        self._degrees = max(float(number.sum()) * (1.0 - 4.0 / self.alive), 1.0)

    def read(self, image: NDArray[Any]) -> Reading:
        """Shift, brightness and contrast of an image against the texture at this place."""
        total, cov = np.empty_like(self._share), np.empty((4, 4))
        level, amount, du, dv, top = patch_kernel.measure(
            image,
            self.window.dark,
            *self._corner,
            self._stored,
            self._zero,
            self._answer,
            self._inverse,
            self._own,
            self._lent,
            self._per_count,
            self._every,
            self._sample,
            self._weight,
            self._high,
            self._wide,
            total,
            cov,
        )
        cov[2, 2] += self._between[0]
        cov[3, 3] += self._between[1]
        scale = self._per_count * level if level else 1.0
        misfit = float(total.sum()) / (scale * self._degrees)
        total *= self._share / scale
        return Reading(level, amount / level if level else 0.0, du, dv, cov, float(top), total, misfit)

    def block(self, down: int, across: int) -> tuple[slice, slice]:
        """Rows and columns of the window that a block of residuals stands for."""
        rows, columns = self.overlap
        high, left = self._high * self._every, columns.start + across * self._wide
        last = (down + 1) * self._high >= self._weight.shape[0]
        bottom = rows.stop if last else rows.start + (down + 1) * high
        return slice(rows.start + down * high, bottom), slice(left, min(columns.stop, left + self._wide))

    def squares(self, image: NDArray[Any], like: Reading, du: float, dv: float) -> Array:
        """Squared residuals of the rows looked at over their variance, for level and gain of a reading and a shift."""
        rows, columns = self.overlap
        cut = slice(rows.start + self._every // 2, rows.stop, self._every), columns
        powers = np.array([1.0, du, dv, du * du, du * dv, dv * dv])
        net = image[cut].astype(float) - self.window.dark[cut]
        net -= like.level * (self._sample[0] + np.tensordot(like.gain * powers, self._sample[1:], 1))
        return np.asarray(self._weight * net**2 / (self._per_count * like.level))

    def block_means(self, squares: Array) -> Array:
        """Means of such squares in blocks; ``nan`` where none is looked at."""
        count, columns = squares.shape
        down, across = np.arange(0, count, self._high), np.arange(0, columns, self._wide)
        total = np.add.reduceat(np.add.reduceat(squares, down, axis=0), across, axis=1)
        return np.where(self.looked_at, total * self._share, np.nan)


def moved(reference: Reference, light: Light, u: float, v: float) -> Reference:
    """Reference shifted by (u, v) px, unknown where it has nothing to say."""
    known = reference.averaged > 0
    texture = prepare(Reference(reference.image, np.where(known, np.inf, 0.0)), light, 1.0)
    place = Place(texture, Window.of(light), u, v, 1.0)
    rows, columns = place.overlap
    shape = rows.stop - rows.start, columns.stop - columns.start
    value, along_u, along_v = (np.empty(shape, np.float32) for _ in range(3))
    patch_kernel.shifted(
        texture.model, *between(texture, (u, v), rows.start, columns.start, 0), value, along_u, along_v
    )
    image, averaged = np.zeros(known.shape), np.zeros(known.shape)
    image[rows, columns] = (1.0 + value) * texture.mean
    r = np.clip(np.arange(rows.start, rows.stop) - round(v), 0, known.shape[0] - 1)
    c = np.clip(np.arange(columns.start, columns.stop) - round(u), 0, known.shape[1] - 1)
    averaged[rows, columns] = reference.averaged[np.ix_(r, c)]
    return Reference(image, averaged)
