"""What one image tells of a marker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from numpy.typing import NDArray

SUSPECT_SIGMA_PX = 0.15  # a position known worse than this is no longer at the limit that its counts allow


class Verdict(StrEnum):
    """How far a fix can be believed."""

    GOOD = "good"
    SUSPECT = "suspect"  # there is a value, and a reason to doubt it
    LOST = "lost"  # there is no value


@dataclass(frozen=True, slots=True)
class Fix:
    """Position, size and blur of a marker in one image.

    Attributes
    ----------
    values : mapping of str to float
        By suffix: ``n`` (along the normal of a wire), ``u``, ``v``, ``size``, ``blur`` [px], ``angle`` [deg],
        ``contrast`` [1], ``flux`` [counts]. Empty when the marker is lost; without what an image has nothing to say about.
    sigma : mapping of str to float
        Standard deviations of the same, same units.
    misfit : float
        χ² per degree of freedom of the image against the fitted marker and the noise that was stated; ``nan`` where the
        noise is found from the residuals themselves.
    verdict : Verdict
    reason : str
        Why the verdict is not good, or what else should be told, in a few words; empty otherwise.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    sigma: Mapping[str, float] = field(default_factory=dict)
    misfit: float = float("nan")
    verdict: Verdict = Verdict.GOOD
    reason: str = ""

    @classmethod
    def lost(cls, reason: str) -> Fix:
        """No value, and why.

        Examples
        --------
        >>> Fix.lost("left the window").verdict.value
        'lost'
        """
        return cls(verdict=Verdict.LOST, reason=reason)


class Tracker(Protocol):
    """Follows one marker through the images of a series; remembers where it was last."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Keys of ``Fix.values`` in the order in which they are written."""

    def look(self, window: NDArray[Any], angle_deg: float = float("nan")) -> Fix:
        """Find the marker in the next image.

        Parameters
        ----------
        window : (rows, columns) array
            Raw counts of the window, in the detector's own type.
        angle_deg : float
            Angle of the object in this image, where it is known (patches have a reference per angle).
        """
