"""A wire that moves, rendered by direct quadrature of its chord, a Gaussian and the pixel: nothing of the product in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

Array = NDArray[np.float64]


class RenderedWire:
    """Transmission of a round wire of radius R and optical depth κ through its middle, blurred by σ, on pixels [px]."""

    def __init__(self, radius: float, depth: float, sigma: float) -> None:
        # midpoint rule over the chord's angle: equal steps in angle crowd where the chord ends
        angle = (np.arange(4000) + 0.5) / 4000 * np.pi - np.pi / 2
        at = radius * np.sin(angle)
        lost = (1 - np.exp(-depth * np.cos(angle))) * radius * np.cos(angle) * np.pi / 4000
        place = np.arange(-60.0, 60.001, 0.05)
        pixel = ndtr((place[:, None] - at + 0.5) / sigma) - ndtr((place[:, None] - at - 0.5) / sigma)
        self._profile = CubicSpline(place, 1 - pixel @ lost)

    def profile(self, distance: Array) -> Array:
        """Transmission at a distance of a pixel's middle from the wire's."""
        return np.asarray(self._profile(np.clip(distance, -60, 60)))

    def image(self, shape: tuple[int, int], normal: tuple[float, float], place: float) -> Array:
        """Transmission of a window whose wire stands at n·(u, v) = place; small tilts, so that a pixel is 1 px across."""
        v, u = np.mgrid[: shape[0], : shape[1]]
        return self.profile(normal[0] * u + normal[1] * v - place)
