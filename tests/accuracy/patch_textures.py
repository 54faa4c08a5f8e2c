"""Textures known between their pixels, and how well a shift of them can be known; shares no code with the product.

A texture is evaluated at shifted positions, never interpolated; noise is drawn afterwards.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.special import erf


class Pattern(Protocol):
    def at(self, shape: tuple[int, int], u: float, v: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Transmission when the content has moved by (u, v), and its derivatives along columns and rows."""


class Speckle:
    """Sum of random waves: autocovariance contrast² exp(-(r/length)²) on average, nothing beyond 0.9 Nyquist."""

    def __init__(self, rng: np.random.Generator, length: float, contrast: float = 0.15, modes: int = 300) -> None:
        waves = rng.normal(0.0, np.sqrt(2.0) / length, (4 * modes, 2))
        self._waves = waves[np.abs(waves).max(axis=1) < 0.9 * np.pi][:modes]
        self._phase = rng.uniform(0.0, 2.0 * np.pi, len(self._waves))
        self._amplitude = contrast * np.sqrt(2.0 / len(self._waves))

    def at(self, shape: tuple[int, int], u: float, v: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ku, kv = self._waves.T
        along_u = np.exp(1j * np.outer(np.arange(shape[1]) - u, ku))
        along_v = self._amplitude * np.exp(1j * (np.outer(np.arange(shape[0]) - v, kv) + self._phase))

        def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return a.real @ b.real.T - a.imag @ b.imag.T

        return (
            np.maximum(1.0 + product(along_v, along_u), 0.05),
            product(along_v, 1j * ku * along_u),
            product(1j * kv * along_v, along_u),
        )


class Phantom:
    """Blocks of an absorbing thing with blurred edges: a few sharp lines, large even parts."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int], blur: float = 1.2, depth: float = 0.5) -> None:
        count, beyond = 40 * shape[0] // 128, 20
        self._blur = blur
        self._at_u = rng.uniform(-beyond, shape[1] + beyond, count)
        self._at_v = rng.uniform(-beyond, shape[0] + beyond, count)
        self._half = rng.uniform(2.0, 25.0, (count, 2))
        self._depth = depth * rng.uniform(0.02, 0.3, count)

    def at(self, shape: tuple[int, int], u: float, v: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        across, across_slope = self._box(np.arange(shape[1]) - u, self._at_u, self._half[:, 0])
        down, down_slope = self._box(np.arange(shape[0]) - v, self._at_v, self._half[:, 1])
        through = np.exp(-(down * self._depth) @ across.T)
        return (
            through,
            -through * ((down * self._depth) @ across_slope.T),
            -through * ((down_slope * self._depth) @ across.T),
        )

    def _box(self, x: np.ndarray, centre: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = self._blur * np.sqrt(2.0)
        a, b = (x[:, None] - centre + half) / scale, (x[:, None] - centre - half) / scale
        return 0.5 * (erf(a) - erf(b)), (np.exp(-a * a) - np.exp(-b * b)) / (scale * np.sqrt(np.pi))


def bound(
    pattern: Pattern,
    shape: tuple[int, int],
    at: tuple[float, float],
    counts: float,
    averaged: float = np.inf,
    read_variance: float = 0.0,
) -> np.ndarray:
    """Least σ of u and v, brightness and contrast free, over the pixels that image and reference share.

    A reference that is the mean of ``averaged`` images adds its noise to the image's; its texture is then an unknown of
    every pixel, and this is the Cramér–Rao bound with all of them free.
    """
    t, tu, tv = pattern.at(shape, *at)
    variance = (counts * t + read_variance) * (1.0 + 1.0 / averaged)
    rows, columns = np.arange(shape[0])[:, None] - at[1], np.arange(shape[1])[None, :] - at[0]
    shared = (rows >= 0) & (rows <= shape[0] - 1) & (columns >= 0) & (columns <= shape[1] - 1)
    jacobian = counts * np.stack([np.ones_like(t), t, -tu, -tv])[:, shared]
    return np.sqrt(np.diag(np.linalg.inv((jacobian / variance[shared]) @ jacobian.T)))[2:]


def dimmer_bound(length: float, contrast: float, pixels: int, counts: float, averaged: float = 1.0) -> float:
    """The same for a speckle of known spectrum that is seen only through noise: two noisy copies of a Gaussian texture.

    Fisher information Σ ω² S²/(N1 (S + N2) + S N2) (Knapp & Carter 1976, eq. 36 in two dimensions); above the other bound
    where single frequencies drown.
    """
    width = np.sqrt(2.0) / length
    omega = np.linspace(-np.pi, np.pi, 601)
    u, v = np.meshgrid(omega, omega)
    signal = contrast**2 * 2.0 * np.pi / width**2 * np.exp(-(u**2 + v**2) / (2.0 * width**2))
    noise, other = 1.0 / counts, 1.0 / (counts * averaged)
    density = u**2 * signal**2 / (noise * (signal + other) + signal * other)
    return float(1.0 / np.sqrt(pixels * density.sum() * (omega[1] - omega[0]) ** 2 / (4.0 * np.pi**2)))
