"""What changed between two bright images: the flux, the shading, and structure that only a second spot makes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.estimate import Array
from models.imaging.blocks import beyond_noise
from models.imaging.fix import Fix
from models.imaging.second_spot import SpotChange

UNSEEN = ("spot_growth", "spot_dipole_u", "spot_dipole_v")  # 0 where no second spot has changed
TERMS = ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2))  # orders along u and v of the shading's Legendre polynomials


@dataclass(frozen=True, slots=True)
class BrightChange:
    """One bright image against another: ``image/reference = factor · (1 + shading) · (1 + structure)``.

    Attributes
    ----------
    factor, factor_sigma : float
        Ratio of the flux, mean over the window.
    shading, shading_cov : (5,) and (5, 5) arrays
        Coefficients of Legendre polynomials P_i(u) P_j(v), u and v from -1 to 1 over the window, of the orders in
        ``TERMS``.
    structure : (float, float)
        Rms of what is left, averaged over blocks, beyond the noise; and its σ [1].
    noise : float
        Median σ of a block [1].
    misfit : float
        Variance of the blocks' noise over the one stated; ``nan`` where none was stated.
    spot : SpotChange or None
        Second spot, where one has grown or moved.
    covered : float
        Part of the window's pixels that were used.
    """

    factor: float
    factor_sigma: float
    shading: Array
    shading_cov: Array
    structure: tuple[float, float]
    noise: float
    misfit: float
    spot: SpotChange | None
    covered: float

    @property
    def tilt(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Change of the shading from one end of the window to the other along u and along v, each with its σ [1]."""
        return tuple(  # type: ignore[return-value]
            (2.0 * float(self.shading[k]), 2.0 * math.sqrt(float(self.shading_cov[k, k]))) for k in (0, 1)
        )

    @property
    def shading_rms(self) -> tuple[float, float]:
        """Rms of the shading over the window beyond its noise, and its σ [1]."""
        norm = np.sqrt([1.0 / ((2 * i + 1) * (2 * j + 1)) for i, j in TERMS])
        rms, sigma = beyond_noise(self.shading * norm, np.sqrt(np.diag(self.shading_cov)) * norm)
        root = math.sqrt(len(TERMS))
        return rms * root, sigma * root

    @property
    def shading_range(self) -> float:
        """Largest less smallest value of the shading in the window; noise makes it larger, never smaller [1]."""
        u, v = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41))
        field = np.tensordot(self.shading, shading_shapes(u, v), axes=1)
        return float(field.max() - field.min())

    def fix(self) -> Fix:
        """The change as a fix, for readings.

        ``factor``, ``tilt_u``, ``tilt_v``, ``shading``, ``structure`` [1]; where a second spot is seen, its values as
        in :meth:`models.imaging.second_spot.SpotChange.values`, and words about it as the reason; where none is,
        ``spot_growth``, ``spot_dipole_u`` and ``spot_dipole_v`` are 0 without σ, and nothing else is said of it.
        """
        (tilt_u, sigma_u), (tilt_v, sigma_v) = self.tilt
        shading, structure = self.shading_rms, self.structure
        values = {
            "factor": self.factor,
            "tilt_u": tilt_u,
            "tilt_v": tilt_v,
            "shading": shading[0],
            "structure": structure[0],
        }
        sigma = {
            "factor": self.factor_sigma,
            "tilt_u": sigma_u,
            "tilt_v": sigma_v,
            "shading": shading[1],
            "structure": structure[1],
        }
        if self.spot is None:
            return Fix(values | dict.fromkeys(UNSEEN, 0.0), sigma, self.misfit)
        more, more_sigma = self.spot.values()
        return Fix(values | more, sigma | more_sigma, self.misfit, reason=self.spot.words())


def shading_shapes(u: Array, v: Array) -> Array:
    """Legendre polynomials of the shading at u, v from -1 to 1 over the window; their number comes first."""
    legendre = (np.ones_like, lambda x: x, lambda x: 1.5 * x * x - 0.5)
    return np.stack([legendre[i](u) * legendre[j](v) for i, j in TERMS])
