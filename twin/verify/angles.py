"""What the angles of a scan cover: a whole turn, or enough for a short scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.estimate import Array

GAP_DEG = 20.0  # a gap larger than this makes a short scan; RTK's own threshold


@dataclass(frozen=True, slots=True)
class Turn:
    """Angles of a scan.

    Attributes
    ----------
    covered_deg : float
        A whole turn less the largest gap [deg].
    whole : bool
        Whether there is no gap of more than 20°.
    """

    covered_deg: float
    whole: bool

    @classmethod
    def of(cls, angle_deg: Array) -> Turn:
        """Of the projections' angles, in any order, over any number of turns.

        Examples
        --------
        >>> Turn.of(np.arange(0.0, 220.0, 0.5))
        Turn(covered_deg=219.5, whole=False)
        >>> Turn.of(-np.arange(0.0, 720.0, 0.5)).whole
        True
        """
        place = np.sort(np.mod(angle_deg, 360.0))
        gap = float(np.diff(place, append=place[0] + 360.0).max())
        return cls(360.0 - gap, gap <= GAP_DEG)
