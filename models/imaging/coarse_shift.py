"""Where a patch has gone, to a fraction of a px, when nothing is known: correlation by Fourier transforms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.ndimage import uniform_filter

from models.estimate import Array
from models.imaging import patch_kernel
from models.imaging.patch_interpolation import Single
from models.imaging.patch_place import Window
from models.imaging.patch_texture import MARGIN, Texture

REACH = 0.25  # of the window, in both directions
BINNED_FROM = 64  # px of the shorter side from which 2 × 2 pixels are taken together
SMOOTHED = 5  # frequencies over which the image's spectrum is smoothed


@dataclass(frozen=True, slots=True)
class Coarse:
    """A shift [px], how far its correlation stands out of all others in their σ, and the image's flat-corrected counts."""

    u: float
    v: float
    significance: float
    level: float


class CoarseSearch:
    """Correlation of an image with a reference over all shifts up to a quarter of the window.

    The matched filter for a known texture at an unknown place, in noise that has the spectrum of the image itself
    (smoothed): its peak is sharp however red the texture is, and frequencies that hold noise only count little.

    Parameters
    ----------
    texture : Texture
    window : Window
    """

    def __init__(self, texture: Texture, window: Window) -> None:
        self._window = window
        rows, columns = window.flat.shape
        self._step = 2 if min(rows, columns) >= BINNED_FROM else 1
        self._shape = rows // self._step, columns // self._step
        inner = texture.template[MARGIN : MARGIN + rows, MARGIN : MARGIN + columns]
        self._taper = np.outer(*(_taper(n) for n in self._shape)).astype(np.float32)
        even = Window(np.ones_like(window.flat), np.zeros_like(window.dark), 0.0, False)
        binned, _ = self._binned(np.where(texture.known, inner, np.float32(0)), even)
        self._reference = np.conj(rfft2(binned * self._taper))

    def _binned(self, image: NDArray[Any], window: Window) -> tuple[Single, Single]:
        """Counts and flat summed over bins."""
        counts, flat = np.empty(self._shape, np.float32), np.empty(self._shape, np.float32)
        patch_kernel.binned(image, window.flat, window.dark, self._step, counts, flat)
        return counts, flat

    def find(self, image: NDArray[Any]) -> Coarse:
        """Shift of an image."""
        counts, flat = self._binned(image, self._window)
        total = float(flat.sum(dtype=float))
        level = float(counts.sum(dtype=float)) / total if total else 0.0
        if not level > 0:
            return Coarse(0.0, 0.0, 0.0, level)
        counts /= np.float32(level)
        relative = np.divide(counts - flat, flat, out=np.zeros_like(flat), where=flat > 0)
        bands = rfft2(relative * self._taper)
        power = uniform_filter(bands.real**2 + bands.imag**2, SMOOTHED, mode=("wrap", "nearest"))
        power += 1e-6 * power.max() + 1e-30
        u, v, significance = _peak(irfft2(bands * self._reference / power, s=self._shape))
        return Coarse(self._step * u, self._step * v, significance, level)


def _peak(surface: Array) -> tuple[float, float, float]:
    """Shift along columns and rows of the highest correlation within reach, and its height in σ of all."""
    half_v, half_u = (max(1, round(REACH * n)) for n in surface.shape)
    v, u = np.arange(-half_v, half_v + 1), np.arange(-half_u, half_u + 1)
    near = surface[np.ix_(v, u)]
    r, c = np.unravel_index(int(np.argmax(near)), near.shape)
    spread = 1.4826 * float(np.median(np.abs(near[::2, ::2])))
    at_v, at_u = int(v[r]), int(u[c])
    rows, columns = surface.shape
    along_v = [float(surface[(at_v + k) % rows, at_u]) for k in (-1, 0, 1)]
    along_u = [float(surface[at_v, (at_u + k) % columns]) for k in (-1, 0, 1)]
    return at_u + _vertex(*along_u), at_v + _vertex(*along_v), along_u[1] / spread if spread > 0 else 0.0


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
