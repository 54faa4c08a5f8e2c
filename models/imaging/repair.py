"""Pixels that tell nothing, replaced by their neighbours: what has to be done before an image is interpolated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from models.estimate import Array, ModelError

_AROUND = np.array([(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)])


@dataclass(frozen=True, slots=True)
class Repair:
    """Which pixels are replaced, and by which.

    Attributes
    ----------
    place : (2, n) int array
        Rows and columns of the pixels that are replaced.
    source : (2, 8, n) int array
        Rows and columns of those around each.
    weight : (8, n) array
        Sums to 1 for each; 0 for one that is itself replaced or outside.
    """

    place: NDArray[np.intp]
    source: NDArray[np.intp]
    weight: Array

    @classmethod
    def of(cls, dead: NDArray[np.bool_]) -> Repair:
        """Prepare the mean of the living pixels among the eight around each dead one, or, where none lives, the nearest.

        Raises
        ------
        ModelError
            No pixel lives.
        """
        if dead.all():
            raise ModelError("none of the image's pixels holds a number")
        place = np.array(np.nonzero(dead))
        raw = place[:, None, :] + _AROUND.T[:, :, None]
        size = np.array(dead.shape)[:, None, None]
        source = np.clip(raw, 0, size - 1)
        lives = ((raw == source).all(axis=0)) & ~dead[source[0], source[1]]
        alone = ~lives.any(axis=0)
        if alone.any():
            nearest = distance_transform_edt(dead, return_distances=False, return_indices=True)
            source[:, 0, alone] = nearest[:, place[0, alone], place[1, alone]]
            lives[0, alone] = True
        return cls(place, source, lives / lives.sum(axis=0))

    def __call__(self, image: Array) -> None:
        """Replace them in this image, in place.

        Examples
        --------
        >>> image = np.array([[1.0, 2.0, np.nan], [3.0, 4.0, 6.0]])
        >>> Repair.of(np.isnan(image))(image)
        >>> image[0].round(9).tolist()
        [1.0, 2.0, 4.0]
        """
        around = image[self.source[0], self.source[1]]
        image[self.place[0], self.place[1]] = np.where(self.weight > 0, around * self.weight, 0.0).sum(axis=0)
