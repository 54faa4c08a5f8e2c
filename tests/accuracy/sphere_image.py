"""A sphere's shadow by brute force, and what its image can tell at best: shares no code with the tracker.

A pixel's value is the double integral of the transmission with a response that is the square pixel smeared by a Gaussian,
``[Φ((x + ½)/σ) - Φ((x - ½)/σ)]`` along each axis. It is taken as a sum over a fine square grid; derivatives are differences
of two such images.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

import numpy as np
from scipy.special import ndtr

FINER = 10  # subdivisions of a cell of the grid that the edge crosses


@dataclass(frozen=True)
class Sphere:
    """Truth of an image: position, radius and blur [px], attenuation coefficient [1/px], counts and their gradient [1/px]."""

    u: float
    v: float
    radius: float
    blur: float
    kappa: float
    counts: float
    slope_u: float = 0.0
    slope_v: float = 0.0

    @classmethod
    def of_contrast(cls, u, v, radius, blur, contrast, counts, **slopes) -> Sphere:
        """With the attenuation 0…1 in its centre."""
        return cls(u, v, radius, blur, -np.log1p(-contrast) / (2.0 * radius), counts, **slopes)


def _taken(truth: Sphere, square: np.ndarray) -> np.ndarray:
    return -np.expm1(-2.0 * truth.kappa * np.sqrt(np.maximum(truth.radius**2 - square, 0.0)))


def _response(at: np.ndarray, pixels: int, blur: float) -> np.ndarray:
    apart = at[None, :] - np.arange(pixels)[:, None]
    return ndtr((apart + 0.5) / blur) - ndtr((apart - 0.5) / blur)


def render(truth: Sphere, shape: tuple[int, int], per_px: int = 0) -> np.ndarray:
    """Expected counts (rows, columns) of a perfect detector."""
    per_px = per_px or max(20, int(200 / truth.radius))
    side = 2 * int(np.ceil(truth.radius * per_px)) + 2
    grid = (np.arange(side) + 0.5 - side / 2) / per_px
    square = grid[None, :] ** 2 + grid[:, None] ** 2
    taken = _taken(truth, square) / per_px**2
    rows, columns = np.nonzero(
        np.abs(np.sqrt(square) - truth.radius) < 1.5 / per_px
    )  # the root at the edge: finer there
    part = (np.arange(FINER) + 0.5 - FINER / 2) / (FINER * per_px)
    inside = (grid[columns][:, None, None] + part[None, None, :]) ** 2 + (
        grid[rows][:, None, None] + part[None, :, None]
    ) ** 2
    taken[rows, columns] = _taken(truth, inside).mean(axis=(1, 2)) / per_px**2
    shadow = _response(grid + truth.v, shape[0], truth.blur) @ taken @ _response(grid + truth.u, shape[1], truth.blur).T
    x, y = np.arange(shape[1]) - (shape[1] - 1) / 2, np.arange(shape[0]) - (shape[0] - 1) / 2
    return truth.counts * (1.0 + truth.slope_u * x[None, :] + truth.slope_v * y[:, None]) * (1.0 - shadow)


def bound(truth: Sphere, shape: tuple[int, int], gain: np.ndarray | float = 1.0, read_variance: float = 0.0) -> dict:
    """Joint Cramér–Rao bound (σ) of u, v, diameter and blur, all eight quantities being unknown; Poisson and read noise.

    ``gain`` multiplies the counts of a pixel; 0 is a dead one.
    """
    steps = (0.01, 0.01, 0.01, 0.01, 0.01 * truth.kappa, 0.01 * truth.counts, 1e-4, 1e-4)
    names = ("u", "v", "radius", "blur", "kappa", "counts", "slope_u", "slope_v")
    jacobian = []
    for name, step, value in zip(names, steps, astuple(truth), strict=True):
        high, low = (render(replace(truth, **{name: value + s * step}), shape) for s in (1, -1))
        jacobian.append(((high - low) * gain / (2.0 * step)).ravel())
    rows = np.array(jacobian)
    variance = np.maximum((render(truth, shape) * gain).ravel() + read_variance, 1e-12)
    information = (rows / variance) @ rows.T
    scale = 1.0 / np.sqrt(np.diag(information))
    sigma = np.sqrt(np.diag(np.linalg.inv(information * scale * scale[:, None]))) * scale
    return {"u": sigma[0], "v": sigma[1], "size": 2.0 * sigma[2], "blur": sigma[3]}
