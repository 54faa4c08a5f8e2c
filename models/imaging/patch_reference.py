"""References of a textured patch: what it looks like, how well that is known, and at which angle of the object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array, ModelError
from models.imaging.light import Light

LEAST_KNOWN = 0.25  # part of a reference's pixels that must be known


@dataclass(frozen=True, slots=True)
class Reference:
    """A patch as it looks unmoved.

    Attributes
    ----------
    image : (rows, columns) array
        Flat-corrected, above dark, in any unit; any number where nothing is known.
    averaged : (rows, columns) array
        Images averaged per pixel: ``inf`` where the reference has no noise, 0 where nothing is known.
    """

    image: Array
    averaged: Array

    @classmethod
    def measured(cls, counts: NDArray[Any], light: Light, averaged: float = 1.0) -> Reference:
        """Reference from raw counts: one image, or the mean of ``averaged`` images that didn't move.

        Raises
        ------
        ModelError
            Shape differs from that of the flat image, or there is hardly a pixel to believe in.

        Examples
        --------
        >>> light = Light.plain((2, 2), full_scale=100)
        >>> Reference.measured(np.array([[10, 20], [30, 100]]), light).averaged.tolist()
        [[1.0, 1.0], [1.0, 0.0]]
        """
        if counts.shape != light.flat.shape:
            raise ModelError(
                f"the reference has {counts.shape} pixels, the window {light.flat.shape}; give the same region"
            )
        if not averaged > 0:
            raise ModelError(f"a reference is the mean of {averaged} images; give a number above 0")
        raw = np.asarray(counts, dtype=float)
        good = ~light.dead & (light.flat > 0) & np.isfinite(raw) & (raw < light.full_scale)
        image = np.where(good, raw - light.dark, 0.0) / np.where(good, light.flat, 1.0)
        return cls(image, np.where(good, averaged, 0.0)).checked()

    @classmethod
    def computed(cls, image: Array) -> Reference:
        """Reference without noise: a forward projection, as transmission or in any other unit, not a line integral.

        Raises
        ------
        ModelError
            There is hardly a finite pixel, or the image isn't positive on average.

        Examples
        --------
        >>> bool(np.isinf(Reference.computed(np.array([[0.5, 0.7]])).averaged).all())
        True
        """
        known = np.isfinite(image)
        return cls(np.where(known, image, 0.0).astype(float), np.where(known, np.inf, 0.0)).checked()

    def checked(self) -> Reference:
        """Itself, when there is something to compare with."""
        known = self.averaged > 0
        if np.count_nonzero(known) < LEAST_KNOWN * known.size:
            raise ModelError("hardly a pixel of the reference is known (dead, saturated or not a number); take another")
        if not self.image[known].mean() > 0:
            raise ModelError("the reference isn't brighter than dark on average; take another, or another dark image")
        return self

    def with_another(self, other: Reference) -> Reference:
        """Mean of two references of the same pose, each pixel weighed by the images averaged in it.

        Examples
        --------
        >>> one = Reference(np.array([[2.0, 4.0]]), np.array([[1.0, 0.0]]))
        >>> two = Reference(np.array([[4.0, 5.0]]), np.array([[1.0, 1.0]]))
        >>> both = one.with_another(two)
        >>> both.image.tolist(), both.averaged.tolist()
        ([[3.0, 5.0]], [[2.0, 1.0]])
        """
        total = self.averaged + other.averaged
        part = np.divide(other.averaged, total, out=np.zeros_like(total), where=total > 0)
        return Reference(self.image + part * (other.image - self.image), total)


class References(Mapping[float, Reference]):
    """References by angle [deg]; the nearest one within ``tolerance_deg`` serves an image.

    Parameters
    ----------
    known : mapping of float to Reference
        By angle [deg].
    tolerance_deg : float
        How far an image's angle may be from a reference's; angles that differ by whole turns are the same.
    always : Reference, optional
        Serves all images, whatever their angle: for a patch that doesn't turn with the object.

    Examples
    --------
    >>> patch = Reference.computed(np.ones((2, 2)))
    >>> several = References({0.0: patch, 90.0: patch}, tolerance_deg=1.0)
    >>> several.nearest(359.5), several.nearest(45.0), several.nearest(float("nan"))
    (0.0, None, None)
    """

    def __init__(
        self,
        known: Mapping[float, Reference] | None = None,
        tolerance_deg: float = 0.1,
        *,
        always: Reference | None = None,
    ) -> None:
        self._known = dict(known or {})
        self._tolerance_deg = tolerance_deg
        if always is not None:
            self._known[float("inf")] = always

    def __getitem__(self, angle_deg: float) -> Reference:
        return self._known[angle_deg]

    def __iter__(self) -> Iterator[float]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def nearest(self, angle_deg: float) -> float | None:
        """Key of the reference that serves an image at this angle; None where there is none."""
        if float("inf") in self._known:
            return float("inf")
        if not self._known or not np.isfinite(angle_deg):
            return None
        keys = np.array(list(self._known))
        apart = np.abs((keys - angle_deg + 180.0) % 360.0 - 180.0)
        best = int(np.argmin(apart))
        return float(keys[best]) if apart[best] <= self._tolerance_deg else None

    def put(self, angle_deg: float, reference: Reference) -> None:
        """Add or replace the reference at an angle [deg]; without an angle (``nan``) it serves all images."""
        self._known[angle_deg if np.isfinite(angle_deg) else float("inf")] = reference
