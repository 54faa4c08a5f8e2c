"""Radiographs of cylinders in a cone beam while everything drifts: exact chords; shares no code with the product.

Frame of the laboratory: u right (column), v down (row), w from source to detector, origin where the undisplaced axis
meets the central ray; the object turns right-handed about -v. Lengths in mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

SUBSAMPLES = 4  # rays per pixel and direction


@dataclass(frozen=True)
class Cylinder:
    """Along v: centre (u, w) and radius, from ``top`` to ``bottom`` (top < bottom), and attenuation [1/mm]."""

    u: float
    w: float
    radius: float
    top: float
    bottom: float
    attenuation: float


@dataclass(frozen=True)
class Scanner:
    sod: float
    sdd: float
    pixel: float
    columns: int
    rows: int

    @property
    def magnification(self) -> float:
        return self.sdd / self.sod

    def radiographs(
        self,
        cylinders: list[Cylinder],
        angle_deg: np.ndarray,
        source: np.ndarray,
        axis: np.ndarray,
        detector: np.ndarray,
        blur_px: float = 0.0,
    ) -> np.ndarray:
        """Line integrals (N, rows, columns) for displacements (N, 3) of source, axis and detector.

        ``blur_px`` is the σ of a Gaussian that blurs them: spot and scintillator of a weakly absorbing object.
        """
        shapes = np.array([[c.u, c.w, c.radius, c.top, c.bottom, c.attenuation] for c in cylinders])
        out = np.empty((len(angle_deg), self.rows, self.columns))
        for k, angle in enumerate(np.deg2rad(angle_deg)):
            image = _radiograph(
                shapes, float(angle), source[k], axis[k], detector[k], self.sod, self.sdd, self.pixel, self.rows,
                self.columns, SUBSAMPLES,
            )  # fmt: skip
            out[k] = gaussian_filter(image, blur_px, mode="nearest") if blur_px else image
        return out


@njit(cache=True)
def _radiograph(shapes, angle, source, axis, detector, sod, sdd, pixel, rows, columns, fine):
    """Mean chords over the pixels; rays are turned into the object's frame."""
    cos, sin = np.cos(angle), np.sin(angle)
    # a turn about -v takes (u, w) to (u cos - w sin, u sin + w cos); here its inverse
    su0, sv, sw0 = source[0] - axis[0], source[1] - axis[1], source[2] - sod - axis[2]
    su, sw = su0 * cos + sw0 * sin, -su0 * sin + sw0 * cos
    out = np.zeros((rows, columns))
    for r in range(rows):
        for c in range(columns):
            total = 0.0
            for i in range(fine):
                v = (r + (i + 0.5) / fine - 0.5 - (rows - 1) / 2.0) * pixel + detector[1] - axis[1]
                for j in range(fine):
                    u0 = (c + (j + 0.5) / fine - 0.5 - (columns - 1) / 2.0) * pixel + detector[0] - axis[0]
                    w0 = sdd - sod + detector[2] - axis[2]
                    u, w = u0 * cos + w0 * sin, -u0 * sin + w0 * cos
                    du, dv, dw = u - su, v - sv, w - sw
                    length = np.sqrt(du * du + dv * dv + dw * dw)
                    for k in range(shapes.shape[0]):
                        mu, mw, radius, top, bottom, attenuation = shapes[k]
                        pu, pw = su - mu, sw - mw
                        a = du * du + dw * dw
                        b = pu * du + pw * dw
                        d = b * b - a * (pu * pu + pw * pw - radius * radius)
                        if d <= 0.0:
                            continue
                        first, last = (-b - np.sqrt(d)) / a, (-b + np.sqrt(d)) / a
                        if abs(dv) > 1e-15:
                            one, two = (top - sv) / dv, (bottom - sv) / dv
                            first, last = max(first, min(one, two)), min(last, max(one, two))
                        elif sv < top or sv > bottom:
                            continue
                        if last > first:
                            total += attenuation * (last - first) * length
            out[r, c] = total / (fine * fine)
    return out
