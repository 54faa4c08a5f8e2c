"""Blurred shadow of a wire, and its derivatives, tabulated for sub-pixel evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit

from models.estimate import Array

PHASES = 16  # table rows per pixel of offset
MARGIN = 6  # columns beyond the frame, so that a frame may be some pixels beside its wire
VALUE, SLOPE, BY_DEPTH, BY_BLUR, BY_RADIUS = range(5)


@dataclass(frozen=True, slots=True)
class Shape:
    """Shape of a wire's shadow, in pixels across.

    Attributes
    ----------
    depth : float
        Optical depth κ through the middle of the wire.
    blur : float
        σ of the Gaussian blur beside the pixel aperture [px].
    radius : float
        Radius of the geometric shadow [px].
    """

    depth: float
    blur: float
    radius: float


def shadow(at: Array, shape: Shape) -> Array:
    """Transmission of a blurred wire and its derivatives.

    ``T(t) = 1 - ∫ (1 - exp(-κ cos φ)) K(t - R sin φ) R cos φ dφ`` over φ from -π/2 to π/2: Lambert-Beer through the
    chords of a homogeneous round wire, convolved with ``K``, a Gaussian of σ and the pixel's aperture of 1 px: ``K(x)
    = Φ((x + ½)/σ) - Φ((x - ½)/σ)``. Blur of spot and detector acts on intensity, so on T, not on its logarithm.

    Parameters
    ----------
    at : (N,) array
        Distance of a pixel's centre from the wire's middle [px].
    shape : Shape

    Returns
    -------
    (5, N) array
        T, dT/dt [1/px], dT/d ln κ, dT/d ln σ, dT/d ln R.

    Notes
    -----
    One energy: a polychromatic beam makes the shadow flatter in its middle. Symmetric, so it moves no position; the
    blur that is fitted takes up some of it.

    Examples
    --------
    >>> T = shadow(np.array([0.0, 30.0]), Shape(1.0, 0.5, 20.0))[0]
    >>> T.round(4).tolist()
    [0.368, 1.0]
    """
    nodes, weights = _gauss_legendre(int(min(24 + 4.0 * shape.radius / max(min(shape.blur, 0.5), 0.1), 600)))
    angle, w = nodes * (math.pi / 2.0), weights * (math.pi / 2.0) * shape.radius * np.cos(nodes * (math.pi / 2.0))
    passed = np.exp(-shape.depth * np.cos(angle))
    out = np.empty((5, len(at)))
    _integrate(
        np.ascontiguousarray(at, dtype=float), shape.blur, shape.radius * np.sin(angle), (1.0 - passed) * w,
        shape.depth * np.cos(angle) * passed * w, out,
    )  # fmt: skip
    return out


@lru_cache(maxsize=64)
def _gauss_legendre(count: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights


@njit(cache=True)
def _integrate(at, blur, place, absorbed, by_depth, out):
    root = 1.0 / math.sqrt(2.0)
    norm = 1.0 / math.sqrt(2.0 * math.pi)
    reach = 0.5 + 7.0 * blur
    for i in range(len(at)):
        out[:, i] = 0.0
        out[0, i] = 1.0
        first, last = np.searchsorted(place, at[i] - reach), np.searchsorted(place, at[i] + reach)
        for k in range(first, last):
            x = at[i] - place[k]
            p, q = (x + 0.5) / blur, (x - 0.5) / blur
            density_p, density_q = norm * math.exp(-0.5 * p * p), norm * math.exp(-0.5 * q * q)
            kernel = 0.5 * (math.erf(p * root) - math.erf(q * root))
            along = (density_p - density_q) / blur  # dK/dx
            out[0, i] -= absorbed[k] * kernel
            out[1, i] -= absorbed[k] * along
            out[2, i] -= by_depth[k] * kernel
            out[3, i] -= absorbed[k] * (q * density_q - p * density_p)  # dK/d ln σ
            out[4, i] -= absorbed[k] * (kernel - along * place[k])


def table(shape: Shape, half: int) -> Array:
    """Shadow at all whole pixels of a frame of ``2 half + 1`` columns and ``PHASES`` sub-pixel offsets between them.

    Returns
    -------
    (5, PHASES + 1, 2 (half + MARGIN) + 1) array
        ``[q, p, j]``: quantity q of :func:`shadow` at ``j - half - MARGIN - p/PHASES``.
    """
    reach = half + MARGIN
    # all these places are multiples of a phase, and the shadow is even: half of them do
    fine = shadow(np.arange((reach + 1) * PHASES + 1) / PHASES, shape)
    step = (np.arange(2 * reach + 1)[None, :] - reach) * PHASES - np.arange(PHASES + 1)[:, None]
    out = np.ascontiguousarray(fine[:, np.abs(step)])
    out[SLOPE] *= np.sign(step)
    return out
