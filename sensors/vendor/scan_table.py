"""When and at which angle each projection of a scan was taken, as a vendor's log tells it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ScanTable:
    """Times and angles of the projections of one scan.

    Attributes
    ----------
    name : str
        Name of the scan: the log's file name without its ending.
    projection : (N,) int array
        Index in the scan, from 0.
    time : (N,) array
        Instant [s since 1970]; the log's docstring says of which moment of the exposure.
    angle_deg : (N,) array
        Position of the rotation stage as logged [deg]; the log doesn't tell its sense.
    """

    name: str
    projection: NDArray[np.int64]
    time: NDArray[np.float64]
    angle_deg: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.projection)
