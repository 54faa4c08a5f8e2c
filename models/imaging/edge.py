"""A straight edge in a window: its line, its blur, its contrast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.geometry import wire_normal


@dataclass(frozen=True, slots=True)
class StraightEdge:
    """Line and blur of an edge.

    Attributes
    ----------
    p : (7,) array
        Offset from ``centre`` along the normal [px], direction of the normal from u towards v [rad] (it points from
        dark to bright), blur variance beside the pixel aperture [px²], level of the dark side and step to the bright
        one [counts of an average pixel], relative gradients along u and v [1/px].
    cov : (7, 7) array
        Their covariance.
    centre : (float, float)
        Pixel (u, v) from which the offset is counted and where the gradients are 0.
    noise : (float, float)
        Variance of an average pixel: ``noise[0] + noise[1] · expected``.
    misfit : float
        χ² per degree of freedom; ``nan`` where the noise was found from the residuals.
    """

    p: Array
    cov: Array
    centre: tuple[float, float]
    noise: tuple[float, float]
    misfit: float

    @property
    def normal(self) -> tuple[float, float]:
        """Unit vector (u, v) from dark to bright."""
        return math.cos(self.p[1]), math.sin(self.p[1])

    @property
    def angle_deg(self) -> float:
        """Direction of the edge from u towards v, 0 to 180: 90 runs along v, as a marker's ``angle_deg`` counts."""
        return float((math.degrees(self.p[1]) + 90.0) % 180.0)

    @property
    def slant_deg(self) -> float:
        """Direction of the edge from the vertical, clockwise on the screen, 0 to 180: as sfrmat5 prints it (ISO 12233)."""
        return float((self.angle_deg + 90.0) % 180.0)

    @property
    def angle_sigma_deg(self) -> float:
        """σ of the angle [deg]."""
        return math.degrees(math.sqrt(self.cov[1, 1]))

    @property
    def aperture(self) -> tuple[float, float]:
        """The two boxes whose convolution is a pixel projected on the normal, the wider first [px]."""
        nu, nv = (abs(n) for n in self.normal)
        return max(nu, nv), min(nu, nv)

    @property
    def blur(self) -> tuple[float, float]:
        """σ of the Gaussian blur beside the pixel aperture, and its σ [px]: half the interval of ±1 σ of the variance."""
        variance, spread = float(self.p[2]), math.sqrt(self.cov[2, 2])
        high = math.sqrt(variance + spread)
        return math.sqrt(variance), 0.5 * (high - math.sqrt(max(variance - spread, 0.0)))

    @property
    def spread_px(self) -> float:
        """Standard deviation of the line spread as fitted, pixel aperture included [px]."""
        return math.sqrt(float(self.p[2]) + 1.0 / 12.0)

    @property
    def contrast(self) -> tuple[float, float]:
        """Step over the bright level, and its σ."""
        low, step = float(self.p[3]), float(self.p[4])
        slope = np.array([-step, low]) / (low + step) ** 2
        return step / (low + step), float(np.sqrt(slope @ self.cov[3:5, 3:5] @ slope))

    def place(self, shape: tuple[int, int], along_deg: float | None = None) -> tuple[float, float]:
        """Position along the normal from the middle of the window's left edge, and its σ [px].

        For an edge that is closer to the rows' direction (within 45°), from the middle of the upper edge. Positive
        towards larger columns (an edge along u: rows), as :func:`models.geometry.wire_normal` counts; ``along_deg``
        fixes the direction whose normal that is, by default the edge's own.
        """
        nu, nv = wire_normal(self.angle_deg if along_deg is None else along_deg)
        flat = abs(nv) > abs(nu)
        start = ((shape[1] - 1) / 2.0, 0.0) if flat else (0.0, (shape[0] - 1) / 2.0)
        sign = math.copysign(1.0, nu * self.normal[0] + nv * self.normal[1])
        away = sum(n * (c - s) for n, c, s in zip((nu, nv), self.centre, start, strict=True))
        return float(away + sign * self.p[0]), math.sqrt(self.cov[0, 0])
