"""Textures that can be shifted exactly: sums of waves; and the bound of a shift between two noisy images of one."""

from __future__ import annotations

import numpy as np


class Texture:
    """Random waves of a correlation length [px] and an rms contrast about a mean of 1."""

    def __init__(self, rng: np.random.Generator, length: float, contrast: float = 0.25, modes: int = 300) -> None:
        self._waves = rng.normal(0.0, 1.0 / length, (modes, 2))
        self._phase = rng.uniform(0.0, 2.0 * np.pi, modes)
        self._amplitude = contrast * np.sqrt(2.0 / modes)

    def image(self, shape: tuple[int, int], du: float, dv: float, counts: float) -> np.ndarray:
        """Expected counts when the content has moved by (du, dv)."""
        v, u = np.mgrid[: shape[0], : shape[1]]
        out = np.ones(shape)
        for (ku, kv), phase in zip(self._waves, self._phase, strict=True):
            out += self._amplitude * np.cos(ku * (u - du) + kv * (v - dv) + phase)
        return counts * np.maximum(out, 0.02)

    def bound(self, shape: tuple[int, int], counts: float, *, both_noisy: bool) -> np.ndarray:
        """Least σ of u and v with brightness and offset free; noise in the reference counts like that in the image."""
        h, mean = 1e-3, self.image(shape, 0.0, 0.0, counts).ravel()
        by_u = (self.image(shape, h, 0.0, counts) - self.image(shape, -h, 0.0, counts)).ravel() / (2.0 * h)
        by_v = (self.image(shape, 0.0, h, counts) - self.image(shape, 0.0, -h, counts)).ravel() / (2.0 * h)
        jacobian = np.stack([by_u, by_v, mean, np.ones_like(mean)], axis=1)
        weights = 1.0 / (mean * (2.0 if both_noisy else 1.0))
        return np.sqrt(np.diag(np.linalg.inv(jacobian.T @ (jacobian * weights[:, None]))))[:2]
