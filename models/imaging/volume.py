"""A box of a reconstructed volume: voxels with their places in the object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.estimate import Array


@dataclass(frozen=True, slots=True)
class Volume:
    """Voxels on a cubic grid in the frame u, v, w of the object at the stage's angle 0.

    Attributes
    ----------
    values : (W, V, U) array
        Attenuation; any unit.
    first : (float, float, float)
        Place u, v, w of ``values[0, 0, 0]`` from where the axis meets the central ray [detector pixels at the axis].
    step : float
        From a voxel to the next [the same].

    Examples
    --------
    >>> box = Volume(np.zeros((3, 5, 7)), (-1.5, -1.0, -0.5), 0.5)
    >>> box.last, box.inside(np.array([1.0, 0.9, 0.5]))
    ((1.5, 1.0, 0.5), True)
    """

    values: Array
    first: tuple[float, float, float]
    step: float

    @property
    def last(self) -> tuple[float, float, float]:
        """Place u, v, w of the last voxel."""
        w, v, u = ((n - 1) * self.step for n in self.values.shape)
        return self.first[0] + u, self.first[1] + v, self.first[2] + w

    def inside(self, place: Array) -> bool:
        """Whether a place u, v, w lies in the box."""
        return bool(np.all(place >= np.array(self.first)) and np.all(place <= np.array(self.last)))

    def axes(self) -> tuple[Array, Array, Array]:
        """Coordinates along u, v, w."""
        u, v, w = (
            np.asarray(first + np.arange(n) * self.step, dtype=float)
            for first, n in zip(self.first, self.values.shape[::-1], strict=True)
        )
        return u, v, w

    def around(self, place: Array, half: Array) -> tuple[Array, Array]:
        """Voxels within ``half`` (u, v, w) of a place: their values (K,) and places relative to it (K, 3)."""
        cut, parts = [], []
        for axis, coordinate in enumerate(self.axes()):
            near = np.abs(coordinate - place[axis]) <= half[axis]
            cut.append(near)
            parts.append(coordinate[near] - place[axis])
        w, v, u = np.meshgrid(parts[2], parts[1], parts[0], indexing="ij")
        values = self.values[np.ix_(cut[2], cut[1], cut[0])]
        return np.asarray(values, dtype=float).ravel(), np.stack([u.ravel(), v.ravel(), w.ravel()], axis=1)
