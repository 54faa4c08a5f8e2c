"""Edges with known answers: erf integrated over square pixels by Gauss-Legendre nodes; nothing of the product in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

Array = NDArray[np.float64]
Parts = Sequence[tuple[float, float, float]]  # share, offset along the normal [px], σ [px]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)


def rendered(shape: tuple[int, int], normal_deg: float, offset: float, parts: Parts) -> Array:
    """Step from 0 to 1 across a line at ``offset`` from the window's middle, blurred by a sum of Gaussians, on pixels."""
    rows, columns = shape
    nu, nv = np.cos(np.deg2rad(normal_deg)), np.sin(np.deg2rad(normal_deg))
    u = np.arange(columns) - (columns - 1) / 2
    v = np.arange(rows)[:, None] - (rows - 1) / 2
    image = np.zeros(shape)
    for a, wa in zip(NODES / 2, WEIGHTS / 2, strict=True):
        for b, wb in zip(NODES / 2, WEIGHTS / 2, strict=True):
            d = nu * (u + a) + nv * (v + b) - offset
            image += wa * wb * sum(share * ndtr((d - at) / sigma) for share, at, sigma in parts)
    return image


def modulation(f: Array, normal_deg: float, parts: Parts) -> Array:
    """Transfer along the normal: the Gaussians' times the square pixel's, |sinc(f cos) sinc(f sin)|."""
    f = np.asarray(f, dtype=float)
    spread = sum(w * np.exp(-2 * np.pi**2 * s**2 * f**2 - 2j * np.pi * f * d) for w, d, s in parts)
    nu, nv = np.cos(np.deg2rad(normal_deg)), np.sin(np.deg2rad(normal_deg))
    return np.abs(spread * np.sinc(nu * f) * np.sinc(nv * f))


def falls_to(level: float, normal_deg: float, parts: Parts) -> float:
    """First frequency where the modulation is down to a level [cycles/px]."""
    f = np.linspace(0, 1, 2001)
    k = int(np.argmax(modulation(f, normal_deg, parts) < level))
    return float(brentq(lambda x: float(modulation(np.array(x), normal_deg, parts)) - level, f[k - 1], f[k]))


def rise(low: float, high: float, normal_deg: float, parts: Parts) -> float:
    """Distance between two levels of the step [px]."""
    nu, nv = np.cos(np.deg2rad(normal_deg)), np.sin(np.deg2rad(normal_deg))
    away = (nu * NODES[:, None] + nv * NODES[None, :]) / 2
    weight = np.outer(WEIGHTS, WEIGHTS) / 4

    def step(x: float) -> float:
        return float(sum(w * (weight * ndtr((x + away - d) / s)).sum() for w, d, s in parts))

    return float(brentq(lambda x: step(x) - high, -60, 60) - brentq(lambda x: step(x) - low, -60, 60))


def counted(
    rng: np.random.Generator, share: Array, bright: float, dark_level: float = 0.3, per_count: float = 1.0
) -> Array:
    """Poisson counts between ``dark_level · bright`` and ``bright``; ``per_count`` counts a photon."""
    expected = bright * (dark_level + (1 - dark_level) * share)
    return rng.poisson(expected / per_count) * per_count
