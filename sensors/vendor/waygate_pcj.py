"""Second log (``.pcj``) of Waygate phoenix datos|x acquisitions: stage positions and a clock of milliseconds.

A section ``[Info]``, then ``[Data]`` with the table ``;ImgNr XS YS ZS RS XD Warmup VSenCnt TimeStamp ChangeCnt``: stage
positions [mm], angle [deg], detector shuttle [mm], milliseconds since some moment. The first three rows are not stamped (0).
In the demonstration data of xray-imaging/meta-cli the stamps and the wall clock of the ``.pcp`` differ by 0.4–1.0 s,
which is that clock's whole second: both mark the same moments. So stamps set to that clock are times to better than a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensors.images.series import NAN
from sensors.reading import SensorError
from sensors.vendor.small_text import read_small

_COLUMNS = ("ImgNr", "XS", "YS", "ZS", "RS", "XD", "Warmup", "VSenCnt", "TimeStamp", "ChangeCnt")
_TICK_S = 1.1  # whole seconds of a wall clock, and what a computer's two clocks part in a scan


@dataclass(frozen=True, slots=True)
class PcjTable:
    """Rows of a ``.pcj``.

    Attributes
    ----------
    number : (N,) int array
        ``ImgNr``, from 1.
    angle_deg : (N,) array
        ``RS`` [deg].
    position_mm : mapping of str to (N,) array
        ``XS``, ``YS``, ``ZS`` of the stage and ``XD`` of the detector shuttle [mm].
    seconds : (N,) array
        ``TimeStamp`` [s since some moment]; ``nan`` where it is not stamped.
    """

    number: NDArray[np.int64]
    angle_deg: NDArray[np.float64]
    position_mm: Mapping[str, NDArray[np.float64]]
    seconds: NDArray[np.float64]


def read_pcj(path: Path) -> PcjTable:
    """Read a ``.pcj``.

    Raises
    ------
    SensorError
        Naming file, line, what is wrong and the mend.
    """
    rows: list[list[float]] = []
    names: list[str] = []
    for at, line in enumerate(read_small(path).split("\n"), 1):
        words = line.split()
        if not names:
            names = [words[0].lstrip(";"), *words[1:]] if words and words[0].lower() == ";imgnr" else []
            if names and names != list(_COLUMNS):
                raise SensorError(f"{path}, line {at}: columns {' '.join(names)} instead of {' '.join(_COLUMNS)}")
        elif words:
            try:
                rows.append([float(word) for word in words])
                if len(words) != len(_COLUMNS) or not np.isfinite(rows[-1]).all():
                    raise ValueError
            except ValueError:
                raise SensorError(f"{path}, line {at}: {' '.join(words)[:40]!r} is torn; copy the file again") from None
    if not rows:
        raise SensorError(f"{path}: {'no projections' if names else 'no line ;ImgNr XS YS ...; is this a .pcj log?'}")
    table = np.array(rows).T
    stamp = table[8] / 1e3
    return PcjTable(
        table[0].astype(np.int64),
        table[4],
        {name: table[_COLUMNS.index(name)] for name in ("XS", "YS", "ZS", "XD")},
        np.where(stamp > 0, stamp, NAN),
    )


def refined(ticks: NDArray[np.float64], seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], float] | None:
    """Instants from stamps [s since some moment] and a clock of whole seconds, and half the range that is left open [s].

    Stamp plus offset lies in [tick, tick + 1) for every row, so the offset lies between the largest and one more than the
    smallest of tick − stamp; its middle is taken. None where the two don't fit. Rows without stamp keep the middle of
    their second.

    Examples
    --------
    >>> at, half = refined(np.array([10.0, 12.0, 14.0]), np.array([0.3, 1.9, 3.5]))
    >>> at.round(2).tolist(), round(half, 2)
    ([10.9, 12.5, 14.1], 0.1)
    """
    apart = (ticks - seconds)[np.isfinite(seconds)]
    if apart.size == 0 or apart.max() - apart.min() > _TICK_S:
        return None
    low, high = float(apart.max()), float(apart.min()) + 1.0
    times = np.where(np.isfinite(seconds), seconds + (low + high) / 2.0, ticks + 0.5)
    return np.maximum.accumulate(times), abs(high - low) / 2.0


def filled(seconds: NDArray[np.float64]) -> list[float]:
    """Stamps [s] with the rows that are not stamped, at the usual step; empty where there are none.

    Examples
    --------
    >>> filled(np.array([np.nan, np.nan, 11.0, 15.0]))
    [3.0, 7.0, 11.0, 15.0]
    """
    known = np.flatnonzero(np.isfinite(seconds))
    if known.size < 2:
        return []
    step = float(np.median(np.diff(seconds[known]) / np.diff(known)))
    rows = np.arange(seconds.size)
    inside = np.interp(rows, known, seconds[known])
    whole = np.where(rows < known[0], seconds[known[0]] - (known[0] - rows) * step, inside)
    return [float(value) for value in whole]
