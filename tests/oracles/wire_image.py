"""Images of a wire and the joint Cramér-Rao bound, from numerical integration; shares nothing with the product.

The transmission of a round wire is tabulated finely along its normal, blurred by a discrete Gaussian, and integrated
over each pixel: across the wire by differences of its running integral, along it by several points per row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

FINE = 300  # nodes per pixel of radius; they scale with it, so that derivatives by the radius are smooth
POINTS = 9


@dataclass(frozen=True)
class Wire:
    """A wire across the rows of a window: place [column at the middle row], slope [columns per row], lengths in px."""

    rows: int
    columns: int
    place: float
    slope: float
    radius: float
    depth: float
    blur: float
    counts: float
    across: float = 0.0  # relative change of brightness per column, from the middle
    along: float = 0.0  # per row

    @property
    def cosine(self) -> float:
        return 1.0 / np.hypot(1.0, self.slope)

    @property
    def n(self) -> float:
        """Distance of the wire from the middle of the left edge, along its normal."""
        return self.place * self.cosine

    def expected(self) -> np.ndarray:
        """Expected counts of every pixel."""
        reach = 1.5 * (self.rows + self.columns)
        nodes = FINE * int(self.radius + 1.5)
        step = self.radius / nodes
        count = nodes + int((9.0 * self.blur + 1.0) / step)
        at = np.arange(-count, count + 1) * step
        sharp = np.exp(-self.depth * np.sqrt(np.maximum(1.0 - (at / self.radius) ** 2, 0.0)))
        blurred = gaussian_filter1d(sharp, self.blur / step, mode="nearest", truncate=8.0)
        at = np.concatenate([[-reach], at, [reach]])
        blurred = np.concatenate([[1.0], blurred, [1.0]])
        area = np.concatenate([[0.0], np.cumsum(0.5 * (blurred[1:] + blurred[:-1]) * np.diff(at))])
        u = np.arange(self.columns)[None, :]
        v = np.arange(self.rows)[:, None] - (self.rows - 1) / 2.0
        total = np.zeros((self.rows, self.columns))
        for k in range(POINTS):
            line = self.place + self.slope * (v + (k + 0.5) / POINTS - 0.5)
            high, low = (u + 0.5 - line) * self.cosine, (u - 0.5 - line) * self.cosine
            total += (np.interp(high, at, area) - np.interp(low, at, area)) / (high - low)
        bright = 1.0 + self.across * (u - (self.columns - 1) / 2.0) + self.along * v
        return self.counts * bright * total / POINTS


STEPS = {
    "place": 1e-3, "slope": 1e-5, "blur": 1e-3, "radius": 1e-3, "depth": 1e-3, "counts": 1e-2, "across": 1e-5,
    "along": 1e-5,
}  # fmt: skip


def bound(wire: Wire, *, read_variance: float = 0.0, gain: np.ndarray | None = None) -> dict[str, float]:
    """Least σ of each parameter when all of them are free, of Poisson counts with read noise: ``(J' V⁻¹ J)⁻¹``."""
    light = np.ones((wire.rows, wire.columns)) if gain is None else gain
    mean = (wire.expected() * light).ravel()
    columns = []
    for name, step in STEPS.items():
        h = step * wire.counts if name == "counts" else step
        up = replace(wire, **{name: getattr(wire, name) + h}).expected()
        down = replace(wire, **{name: getattr(wire, name) - h}).expected()
        columns.append(((up - down) * light).ravel() / (2.0 * h))
    jacobian = np.stack(columns, axis=1)
    variance = mean + read_variance
    good = variance > 0
    weighted = jacobian[good] / np.sqrt(variance[good])[:, None]
    information = weighted.T @ weighted
    size = np.sqrt(np.diag(information))
    inverse = np.linalg.inv(information / np.outer(size, size)) / np.outer(size, size)
    return dict(zip(STEPS, np.sqrt(np.diag(inverse)).tolist(), strict=True))
