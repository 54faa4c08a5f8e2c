"""What the pixels of a window count when nothing is in the beam, and which of them can't be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from models.estimate import Array, ModelError

DEAD_SIGMA = 8.0  # a pixel's gain this far (robust σ) from its neighbours' is not a gain but a fault


@dataclass(frozen=True, slots=True)
class Light:
    """Illumination and noise of a window.

    Attributes
    ----------
    flat : (rows, columns) array
        Counts above dark with nothing in the beam, to a common factor that doesn't matter.
    dark : (rows, columns) array
        Counts without beam.
    dead : (rows, columns) bool array
        Pixels left out.
    full_scale : float
        Raw counts at which a pixel is saturated.
    variance_per_count : float
        Variance of a pixel's noise per count above dark [counts]: 1 for a photon counter, 1/photons_per_count in
        general; ``nan`` when unknown, then it is found from the residuals.
    read_variance : float
        Variance of a pixel that counts nothing [counts²].

    Examples
    --------
    >>> Light.plain((3, 4)).flat.sum()
    np.float64(12.0)
    """

    flat: Array
    dark: Array
    dead: NDArray[np.bool_]
    full_scale: float = 65535.0
    variance_per_count: float = float("nan")
    read_variance: float = 0.0

    @classmethod
    def plain(
        cls,
        shape: tuple[int, int],
        *,
        full_scale: float = 65535.0,
        variance_per_count: float = float("nan"),
        read_variance: float = 0.0,
    ) -> Light:
        """An even beam on a perfect detector: for images that are flat-corrected already, or where no flat is there."""
        return cls(
            np.ones(shape), np.zeros(shape), np.zeros(shape, dtype=bool), full_scale, variance_per_count, read_variance
        )

    @classmethod
    def of(
        cls,
        flat: Array | None,
        dark: Array | None,
        shape: tuple[int, int],
        *,
        full_scale: float = 65535.0,
        variance_per_count: float = float("nan"),
        read_variance: float = 0.0,
    ) -> Light:
        """Illumination from a mean flat and a mean dark image; pixels that stand out of their neighbours are dead.

        A pixel is dead when it counts nothing in the flat, when its gain is more than ``DEAD_SIGMA`` robust standard
        deviations of all such differences from the median of the 5 × 5 pixels around it, or when it is not a number.

        Raises
        ------
        ModelError
            Shapes differ, or more than half of the pixels are dead.
        """
        for name, image in (("flat", flat), ("dark", dark)):
            if image is not None and image.shape != shape:
                raise ModelError(f"the {name} image has {image.shape} pixels, the window {shape}; give the same region")
        zero = np.zeros(shape) if dark is None else np.asarray(dark, dtype=float)
        gain = np.ones(shape) if flat is None else np.asarray(flat, dtype=float) - zero
        dead = ~np.isfinite(gain) | ~np.isfinite(zero) | (gain <= 0)
        if flat is not None:
            safe = np.where(dead, np.median(gain[~dead]) if (~dead).any() else 1.0, gain)
            apart = safe / median_filter(safe, 5, mode="nearest") - 1.0
            spread = 1.4826 * np.median(np.abs(apart - np.median(apart)))
            dead |= np.abs(apart) > DEAD_SIGMA * max(float(spread), 1e-6)
        if 2 * np.count_nonzero(dead) > dead.size:
            raise ModelError("more than half of the pixels of the flat image count nothing; is it a flat image?")
        return cls(
            np.where(dead, 0.0, gain), np.where(dead, 0.0, zero), dead, full_scale, variance_per_count, read_variance
        )
