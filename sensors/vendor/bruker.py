"""Drift as Bruker SkyScan scanners measure it: shifts per projection against references taken after the scan.

After a scan the scanner takes a few images at coarse angles (the reference series, ``.oog``) and finds by how many
whole pixels the scan's image at each of these angles must be shifted. These **nodes** are the measurements. The file
``*_TS.csv`` holds one row per projection, interpolated linearly between the nodes; reading every row as a measurement
would feed a filter the same 25 numbers 4000 times. Nodes lie ``rotation step of .oog / rotation step of .log`` rows
apart (160 in an 1172 scan, 100 in a 1272 one). A node beyond the last row shapes the end of the curve but has no
projection, so it is no measurement. Newer programs write only the nodes (``*_2DTransform.csv``); the fractions that
stand there beside the whole pixels are not described anywhere and are not used.

References are later than every projection, so the curve is the drift relative to the end of the scan and ends near
zero by construction: an offset is free, and only differences mean something.

**Sign.** ``Y1`` (horizontal) and ``Y2`` (vertical) are the shifts that the program applies to the images, so
the content had moved by their negatives; TIGRE's reader of these files takes them that way. Bruker describes
neither the sign nor the direction of the axes, so values are given as written unless ``sign = "negated"``.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sensors.channel import Channel
from sensors.reading import Reading, SensorError
from sensors.rows import nearest
from sensors.vendor.bruker_log import BrukerLog, ReferenceSeries, read_log, read_references
from sensors.vendor.small_text import read_small

__all__ = [
    "SIGMA_PX",
    "BrukerLog",
    "BrukerSensor",
    "ReferenceSeries",
    "Shifts",
    "interpolated",
    "measured_nodes",
    "node_indices",
    "read_log",
    "read_references",
    "read_shifts",
]

_LOG = logging.getLogger("ctwin.sensors.bruker")
SIGMA_PX = 1.0 / math.sqrt(12.0)  # a whole pixel: uniform within ±0.5 px
_ADDRESSES = ("TS_u", "TS_v")


@dataclass(frozen=True, slots=True)
class Shifts:
    """Shifts of some projections of a scan.

    Attributes
    ----------
    index : (K,) int array
        Projections, from 0.
    shift_px : (K, 2) array
        Horizontal (``Y1``) and vertical (``Y2``) shift, as written [px].
    """

    index: NDArray[np.int64]
    shift_px: NDArray[np.float64]


def read_shifts(path: Path) -> Shifts:
    """Read all rows of a ``*_TS.csv`` (one per projection) or ``*_2DTransform.csv`` (one per node).

    Raises
    ------
    SensorError
        When rows are missing or out of order (a torn file), naming the file, the row and the mend.
    """
    # three of the lines end in CR CR LF
    lines = [line.strip() for line in read_small(path).split("\n") if line.strip()]
    heads = [k for k, line in enumerate(lines) if line.startswith("CURVE")]
    sizes = [line.split(",")[1].split() for line in lines[:3] if line.startswith("Property of the curves,")]
    if not heads or not sizes or len(sizes[0]) < 2 or not sizes[0][1].isdigit():
        raise SensorError(
            f"{path}: lines 'Property of the curves' and 'CURVE' are missing; this is no SkyScan shift file"
        )
    try:
        table = np.array([[float(part) for part in line.split(",")] for line in lines[heads[0] + 1 :]])
        if table.ndim != 2 or table.shape[1] < 3 or not np.isfinite(table).all():
            raise ValueError
    except ValueError:
        raise SensorError(f"{path}: a row is torn or not numeric; export the shifts again") from None
    if len(table) != int(sizes[0][1]):
        raise SensorError(f"{path}: {len(table)} rows instead of the {sizes[0][1]} announced; export the shifts again")
    # in 2DTransform the row's number comes first, then Y1 = projection, Y2 and Y3 = the shifts
    table = table[:, 1:] if table.shape[1] > 3 else table
    index = np.rint(table[:, 0]).astype(np.int64)
    if (np.diff(index) <= 0).any():
        raise SensorError(f"{path}: projections are not in order; export the shifts again")
    return Shifts(index, table[:, 1:3])


def node_indices(projections: int, step_deg: float, references: ReferenceSeries) -> NDArray[np.int64]:
    """Projections that have a reference image at their angle.

    Examples
    --------
    >>> node_indices(1104, 0.2, ReferenceSeries(11, 26.667))
    array([   0,  133,  267,  400,  533,  667,  800,  933, 1067])
    """
    spacing = references.rotation_step_deg / step_deg
    nodes: NDArray[np.int64] = np.rint(np.arange(references.files) * spacing).astype(np.int64)
    return nodes[nodes < projections]


def measured_nodes(log_path: Path, log: BrukerLog) -> Shifts | None:
    """Measured shifts of a scan, at the nodes only; None where the scanner measured none.

    Raises
    ------
    SensorError
        When a file beside the log is missing, or the curve bends between the nodes (files of different scans).
    """
    if not log.shift_measured:
        return None
    path = _shift_file(log_path, log)
    shifts = read_shifts(path)
    if (np.diff(shifts.index) > 1).any():  # 2DTransform: nothing but nodes
        return shifts
    references = log_path.with_suffix(".oog")
    if not references.exists():
        raise SensorError(
            f"{references}: no such file; without the reference series the measured rows of {path.name} "
            "can't be told from the interpolated ones: copy it beside the log"
        )
    nodes = node_indices(len(shifts.index), log.rotation_step_deg, read_references(references))
    bends = 1 + np.flatnonzero(np.abs(np.diff(shifts.shift_px, 2, axis=0)).max(axis=1) > 1e-4)
    apart = np.abs(bends[:, None] - nodes[None, :]).min(axis=1, initial=len(shifts.index))
    if (apart > 1).any():
        raise SensorError(
            f"{path}: bends at projection {bends[apart > 1][0]}, where {references.name} has no reference; "
            "the files belong to different scans"
        )
    return Shifts(shifts.index[nodes], shifts.shift_px[nodes])


def interpolated(shifts: Shifts, projections: int) -> NDArray[np.float64]:
    """Shift of every projection as an (N, 2) array [px]: linear between rows, held beyond the last one."""
    index = np.arange(projections)
    return np.column_stack([np.interp(index, shifts.index, shifts.shift_px[:, k]) for k in (0, 1)])


def _shift_file(log_path: Path, log: BrukerLog) -> Path:
    names = [log.shift_file, f"{log_path.stem}_TS.csv", f"{log_path.stem}_2DTransform.csv"]
    for name in filter(None, names):
        if (log_path.parent / name).exists():
            return log_path.parent / name
    raise SensorError(
        f"{log_path}: its shifts {log.shift_file or names[1]} are not beside it; give the log in the projections' folder"
    )


class BrukerSensor:
    """The measured nodes of a finished scan as marker_shift readings; kind ``bruker``.

    A channel's address is ``TS_u`` (horizontal) or ``TS_v`` (vertical), in px of the camera. Each reading lies at
    the node's mid-exposure, with σ = 1/√12 px. A scan whose log has no line ``TS modified at`` gives no readings,
    which is said in the log.
    """

    class Options(BaseModel):
        """Keys of the kind ``bruker``."""

        model_config = ConfigDict(frozen=True, extra="forbid")
        path: str
        timezone: str = "UTC"
        sign: Literal["as_written", "negated"] = "as_written"

    def __init__(self, options: Options, channels: Sequence[Channel], base: Path) -> None:
        self._options = options
        self._channels = tuple(channels)
        self._path = base / options.path
        self._after: dict[str, float] = {}

    @property
    def channels(self) -> Sequence[Channel]:
        """Channels for the horizontal and the vertical shift."""
        return self._channels

    def resume_after(self, times: Mapping[str, float]) -> None:
        """Skip, per channel, every reading at or before the time given [s since 1970]."""
        self._after.update(times)

    async def open(self) -> None:
        """Check channels and files."""
        for channel in self._channels:
            address = channel.address or channel.name
            if address not in _ADDRESSES:
                raise SensorError(f"channel {channel.name}: address {address!r}; {nearest(address, _ADDRESSES)}")
            if channel.quantity != "marker_shift":
                raise SensorError(f"channel {channel.name}: {address} is a marker_shift in px; set its quantity so")
        log, nodes = await asyncio.to_thread(self._read)
        if nodes is None:
            parts = " (its sub-scans, ~00 and so on, have logs of their own)" if log.connected_scans > 1 else ""
            _LOG.warning("%s: no line 'TS modified at', so no drift was measured%s; no readings", self._path, parts)

    def _read(self) -> tuple[BrukerLog, Shifts | None]:
        log = read_log(self._path, self._options.timezone)
        return log, measured_nodes(self._path, log)

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Give the nodes in the order of time, in one batch."""
        log, nodes = await asyncio.to_thread(self._read)
        if nodes is None:
            return
        sign = -1.0 if self._options.sign == "negated" else 1.0
        batch = [
            channel.admit(time, sign * float(shift[_ADDRESSES.index(channel.address or channel.name)]), SIGMA_PX)
            for time, shift in zip(log.mid_exposure(nodes.index).tolist(), nodes.shift_px, strict=True)
            for channel in self._channels
        ]
        batch = [r for r in batch if r.time > self._after.get(r.channel, -math.inf)]
        if batch:
            yield batch

    async def close(self) -> None:
        """Nothing is held open; harmless at any time."""
