"""Where a patch has gone, to a fraction of a px, when nothing is known: correlation by Fourier transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.ndimage import uniform_filter

from models.estimate import Array
from models.imaging.light import Light
from models.imaging.patch_texture import Texture, Single

REACH = 0.25  # of the window, in both directions
BINNED_FROM = 64  # px of the shorter side from which 2 × 2 pixels are taken together


@dataclass(frozen=True, slots=True)
class Coarse:
    """A shift [px] and how far its correlation stands out of all others, in their σ."""

    u: float
    v: float
    significance: float


class CoarseSearch:
    """Correlation of an image with a reference over all shifts up to a quarter of the window.

    Both are weighed with the inverse of the image's own spectrum (smoothed): the texture's peak is sharp however red the
    texture is, and frequencies that hold noise only count little. A matched filter for an unknown place, in noise whose
    spectrum is the image's.

    Parameters
    ----------
    texture : Texture
    light : Light
    """

    def __init__(self, texture: Texture, light: Light) -> None:
        shape = light.flat.shape
        self._bin = 2 if min(shape) >= BINNED_FROM else 1
        self._shape = (shape[0] // self._bin, shape[1] // self._bin)
        margin = (texture.template.shape[0] - shape[0]) // 2
        inner = texture.template[margin : margin + shape[0], margin : margin + shape[1]]
        self._alive = (light.flat > 0) & ~light.dead
        self._flat = np.where(self._alive, light.flat, 0.0).astype(np.float32)
        self._dark = light.dark.astype(np.float32)
        self._total = self._binned(self._flat)
        self._taper = np.outer(*(_taper(n) for n in self._shape)).astype(np.float32)
        self._reference = np.conj(rfft2(self._binned(np.where(texture.known, inner, 0.0)) * self._taper))

    def _binned(self, image: NDArray[Any]) -> Single:
        n = self._bin
        rows, columns = self._shape
        cut = image[: rows * n, : columns * n]
        if n == 1:
            return np.asarray(cut, dtype=np.float32)
        return np.asarray(
            cut[0::2, 0::2] + cut[1::2, 0::2] + cut[0::2, 1::2] + cut[1::2, 1::2], dtype=np.float32
        )

    def find(self, window: NDArray[Any]) -> tuple[Coarse, float]:
        """Shift of an image, and its mean flat-corrected counts."""
        net = np.where(self._alive, window, self._dark) - self._dark
        binned = self._binned(net)
        level = float(binned.sum(dtype=float) / self._total.sum(dtype=float))
        relative = np.divide(binned, level * self._total, out=np.ones_like(binned), where=self._total > 0) - 1.0
        bands = rfft2(relative * self._taper)
        power = bands.real**2 + bands.imag**2
        power = uniform_filter(power, 5, mode=("wrap", "nearest"))
        power += 1e-6 * power.max() + 1e-30
        surface = irfft2(bands * self._reference / power, s=self._shape)
        return self._peak(surface), level

    def _peak(self, surface: Array) -> Coarse:
        half = tuple(max(1, round(REACH * n)) for n in self._shape)
        near = np.roll(surface, half, axis=(0, 1))[: 2 * half[0] + 1, : 2 * half[1] + 1]
        spread = 1.4826 * float(np.median(np.abs(near - np.median(near))))
        r, c = np.unravel_index(int(np.argmax(near)), near.shape)
        top = float(near[r, c])
        dv, du = (
            _vertex(*(float(surface[tuple(np.array(at) + k * np.array(step))[0] % surface.shape[0],
                                    tuple(np.array(at) + k * np.array(step))[1] % surface.shape[1]]) for k in (-1, 0, 1)))
            for at in [(r - half[0], c - half[1])]
            for step in [(1, 0), (0, 1)]
        )  # fmt: skip
        scale = float(self._bin)
        significance = top / spread if spread > 0 else 0.0
        return Coarse(scale * (c - half[1] + du), scale * (r - half[0] + dv), significance)


def _taper(n: int) -> Array:
    """Edge of an eighth of the window on both sides: what enters or leaves there doesn't jump."""
    edge = max(1, n // 8)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    out = np.ones(n)
    out[:edge], out[n - edge :] = ramp, ramp[::-1]
    return out


def _vertex(before: float, top: float, after: float) -> float:
    """Place of a parabola's vertex through three neighbouring values, in steps from the middle one."""
    bend = before - 2.0 * top + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
