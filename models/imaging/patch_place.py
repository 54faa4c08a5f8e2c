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
from models.imaging.patch_texture import MARGIN, Texture

SAMPLED = 16384  # pixels whose residuals are looked at
BLOCKS_ALONG = 8  # blocks of residuals along the shorter side
FEWEST = 64  # px of overlap below which there is nothing to compare
LOSS = 0.05  # of the information, at the distance from its place up to which an image is read there
REACH_PX = (0.15, 0.5)  # bounds of that distance
NOISY_REACH_PX = 0.1  # the same where the texture, and with it the answer to a shift, isn't known exactly


def shifted(
    texture: Texture, canvas: Single, at: tuple[float, float], rows: slice, columns: slice, rim: int
) -> tuple[Single, Single, Single]:
    """Texture moved by ``at`` = (u, v), and its derivatives along u and v, in a part of the window and ``rim`` px around."""
    nu, nv = ceil(at[0]), ceil(at[1])
    ku, du = texture.along_u.weights(nu - at[0])
    kv, dv = texture.along_v.weights(nv - at[1])
    shape = (rows.stop - rows.start + 2 * rim, columns.stop - columns.start + 2 * rim)
    out = tuple(np.empty(shape, np.float32) for _ in range(3))
    first = MARGIN - BEFORE - rim
    patch_kernel.shifted(canvas, rows.start - nv + first, columns.start - nu + first, kv, dv, ku, du, *out)
    return out  # type: ignore[return-value]


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
    chi2 : (blocks, blocks) array
        Mean squared residual over its variance, ``nan`` where no pixel was looked at.
    misfit : float
        The same over all of them.
    """

    level: float
    gain: float
    du: float
    dv: float
    cov: Array
    top: float
    chi2: Array
    misfit: float


class Place:
    """Templates for images in which the patch has moved by about (u, v).

    Linear in the shift is not enough to stay at one place while the patch moves by a tenth of a px: the answer of the
    templates is known to the third order.

    Parameters
    ----------
    texture : Texture
    light : Light
    u, v : float
        Place [px].
    level : float
        Flat-corrected counts of the images, for the part of the read noise.
    without : (rows, columns) bool array, optional
        Pixels left out beside the dead ones.
    """

    def __init__(
        self,
        texture: Texture,
        light: Light,
        u: float,
        v: float,
        level: float,
        without: NDArray[np.bool_] | None = None,
    ) -> None:
        self.u, self.v, self.level = u, v, level
        self._left, self._error = texture.left, texture.error
        self._per_count = texture.variance_per_count if np.isfinite(texture.variance_per_count) else 1.0
        rows = slice(max(0, ceil(v)), min(light.flat.shape[0], floor(light.flat.shape[0] - 1 + v) + 1))
        columns = slice(max(0, ceil(u)), min(light.flat.shape[1], floor(light.flat.shape[1] - 1 + u) + 1))
        self._rows, self._columns = rows, columns
        self.overlap = rows, columns
        self.alive = 0
        self.reach = (0.0, 0.0)
        if rows.stop - rows.start < 1 or columns.stop - columns.start < 1:
            return
        flat = np.where(self._seen(texture, light, without), light.flat[rows, columns], 0.0).astype(np.float32)
        self.alive = int(np.count_nonzero(flat))
        if self.alive < FEWEST:
            return
        self._dark = np.ascontiguousarray(light.dark[rows, columns], dtype=np.float32)
        self._weigh(texture, light, flat)

    def _seen(self, texture: Texture, light: Light, without: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Pixels of the overlap that are alive, and known in the reference."""
        rows, columns = self._rows, self._columns
        seen: NDArray[np.bool_] = (light.flat[rows, columns] > 0) & ~light.dead[rows, columns]
        if without is not None:
            seen = seen & ~without[rows, columns]
        if not texture.known.all():
            nv, nu = round(self.v), round(self.u)
            shape = light.flat.shape
            r = np.clip(np.arange(rows.start, rows.stop) - nv, 0, shape[0] - 1)
            c = np.clip(np.arange(columns.start, columns.stop) - nu, 0, shape[1] - 1)
            seen = seen & texture.known[np.ix_(r, c)]
        return seen

    def _weigh(self, texture: Texture, light: Light, flat: Single) -> None:
        rim = patch_kernel.RIM
        model = shifted(texture, texture.model, (self.u, self.v), self._rows, self._columns, rim)
        same = texture.template is texture.model
        template = model if same else shifted(texture, texture.template, (self.u, self.v), self._rows, self._columns, rim)
        ground = np.float32(light.read_variance / (self._per_count * self.level) if light.read_variance else 0.0)
        h = np.empty((4, *flat.shape), np.float32)
        top, square = patch_kernel.weigh(flat, model[0], *template, ground, h)
        top = np.minimum(np.maximum(top, 1e-30), patch_kernel.CLIP * np.sqrt(np.maximum(square, 1e-60)))
        every = max(1, flat.size // SAMPLED)
        first = every // 2
        count = (flat.shape[0] - first + every - 1) // every
        self._stored = np.empty((4, *flat.shape), np.int8)
        self._sample = np.empty((7, count, flat.shape[1]), np.float32)
        self._sample_var = np.empty((count, flat.shape[1]), np.float32)
        self._answer, zero, own, lent = patch_kernel.respond(
            flat,
            self._dark,
            *model,
            ground,
            h,
            (127.0 / top).astype(np.float32),
            first,
            every,
            self._stored,
            self._sample,
            self._sample_var,
        )
        share = flat.shape[0] / count
        self._zero = zero
        self._own, self._lent = own * share, lent * share * np.sqrt(np.outer(self._left, self._left))
        self._inverse = np.linalg.inv(self._answer[:, :4])
        self._first, self._every = first, every
        self._high = max(1, -(-count // BLOCKS_ALONG)) if flat.shape[0] <= flat.shape[1] else max(1, count // 32)
        self._wide = max(1, -(-flat.shape[1] // BLOCKS_ALONG))
        sharp = -6.0 * np.array([self._answer[2, 7] / self._answer[2, 2], self._answer[3, 10] / self._answer[3, 3]])
        reach = np.clip(np.sqrt(LOSS / np.maximum(sharp, 1e-9)), *REACH_PX)
        if texture.error:
            reach = np.minimum(reach, NOISY_REACH_PX)
        self.reach = (float(reach[0]), float(reach[1]))

    def read(self, window: NDArray[Any]) -> Reading:
        """Shift, brightness and contrast of an image against the texture at this place."""
        *answers, top = patch_kernel.read(window, self._rows.start, self._columns.start, self._stored)
        s = np.array(answers) - self._zero
        table = self._answer
        z = self._inverse @ s
        du = dv = 0.0
        for _ in range(8):
            before = du, dv
            du, dv = (float(np.clip(x / z[1], -1.0, 1.0)) if z[1] else 0.0 for x in z[2:])
            if abs(du - before[0]) + abs(dv - before[1]) < 1e-7:
                break
            z = self._inverse @ (s - z[1] * (table[:, 4:] @ _powers(du, dv)))
        level, amount = float(z[0]), float(z[1])
        slope_u, slope_v = _slopes(du, dv)
        jacobian = np.column_stack(
            (
                table[:, 0],
                table[:, 1:] @ np.concatenate(((1.0, du, dv), _powers(du, dv))),
                amount * (table[:, 2] + table[:, 4:] @ slope_u),
                amount * (table[:, 3] + table[:, 4:] @ slope_v),
            )
        )
        try:
            inverse = np.linalg.inv(jacobian)
        except np.linalg.LinAlgError:
            inverse = np.full((4, 4), np.nan)
        noise = self._per_count * level * self._own + level**2 * self._lent
        chi2, misfit = self._residuals(window, level, amount, du, dv)
        return Reading(
            level, amount / level if level else 0.0, du, dv, inverse @ noise @ inverse.T, float(top), chi2, misfit
        )

    def _residuals(self, window: NDArray[Any], level: float, amount: float, du: float, dv: float) -> tuple[Array, float]:
        coefficient = np.concatenate(((level,), amount * np.concatenate(((1.0, du, dv), _powers(du, dv)[:3]))))
        count, columns = self._sample_var.shape
        out = np.zeros((2, -(-count // self._high), -(-columns // self._wide)))
        patch_kernel.residuals(
            window,
            self._rows.start,
            self._columns.start,
            self._first,
            self._every,
            self._dark,
            self._sample,
            self._sample_var,
            coefficient.astype(np.float32),
            np.float32(self._per_count * level),
            np.float32(amount**2 * self._error),
            self._high,
            self._wide,
            out,
        )
        total, number = out
        chi2 = np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
        return chi2, float(total.sum() / max(number.sum() * (1.0 - 4.0 / self.alive), 1.0))


def _powers(du: float, dv: float) -> Array:
    return np.array([du * du, du * dv, dv * dv, du**3, du * du * dv, du * dv * dv, dv**3])


def _slopes(du: float, dv: float) -> tuple[Array, Array]:
    """Derivatives of the powers along u and v."""
    return (
        np.array([2 * du, dv, 0.0, 3 * du * du, 2 * du * dv, dv * dv, 0.0]),
        np.array([0.0, du, 2 * dv, 0.0, du * du, 2 * du * dv, 3 * dv * dv]),
    )
