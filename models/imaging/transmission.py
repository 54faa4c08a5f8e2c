"""Raw counts become the part of the light that came through."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging.light import Light
from models.imaging.repair import Repair


class Transmission:
    """Divides by what a pixel would count without an object; pixels that can't tell are replaced by their neighbours.

    Parameters
    ----------
    light : Light
        Bright image above dark and dark image. With an even one (ones) the result is counts above dark.

    Examples
    --------
    >>> light = Light.of(np.full((4, 5), 210.0), np.full((4, 5), 10.0), (4, 5))
    >>> float(Transmission(light)(np.full((4, 5), 112.0), flux=1.02)[0, 0])
    0.5
    """

    def __init__(self, light: Light) -> None:
        self._dark = light.dark
        self._gain = np.where(light.dead, np.nan, light.flat)
        self._dead = light.dead
        self._repair = Repair.of(light.dead)

    def __call__(self, raw: NDArray[Any], flux: float) -> Array:
        """``(I - D)/(F flux)``.

        Parameters
        ----------
        raw : (rows, columns) array
            Counts; pixels that are no finite number are replaced as dead ones are.
        flux : float
            Flux relative to that of the bright image.

        Raises
        ------
        ModelError
            No pixel holds a number.
        """
        image = (raw - self._dark) / (self._gain * flux)
        lost = ~np.isfinite(image)
        repair = self._repair if np.array_equal(lost, self._dead) else Repair.of(lost)
        repair(image)
        return np.asarray(image)
