"""What a simulation gives: the readings an outsider sees, the scan, and the truth nobody sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sensors.channel import Channel
from sensors.reading import Quality, Reading
from twin.config import Config
from twin.simulate.heat import Array
from twin.simulate.motion import Parts
from twin.simulate.scenario import Scenario

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Record:
    """All readings as columns, in order of delivery.

    Attributes
    ----------
    channels : tuple of Channel
    channel : (n,) int array
        Index into ``channels``.
    time, delivered : (n,) arrays
        Stamp of the reading and when it arrives [s since 1970].
    value, sigma : (n,) arrays
        In the channel's own unit; σ is nan where the instrument states none.
    projection : (n,) int array
        Projection it was measured in; -1 for instruments that know no projections.
    wrong : (n,) bool array
        Whether the value is one of the outliers put in on purpose (truth, not shown to anybody).
    """

    channels: tuple[Channel, ...]
    channel: IntArray
    time: Array
    delivered: Array
    value: Array
    sigma: Array
    projection: IntArray
    wrong: BoolArray

    def of(self, name: str) -> Record:
        """Readings of one channel only."""
        at = [c.name for c in self.channels].index(name)
        keep = self.channel == at
        columns = (self.channel, self.time, self.delivered, self.value, self.sigma, self.projection, self.wrong)
        return Record(self.channels, *(column[keep] for column in columns))

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class Frames:
    """The scan: one row per frame; ``index`` counts within its kind (projection, flat), time is mid-exposure."""

    index: IntArray
    time: Array
    angle_deg: Array
    kind: NDArray[np.str_]

    @property
    def is_projection(self) -> BoolArray:
        """Mask of the projections."""
        return np.asarray(self.kind == "projection")


@dataclass(frozen=True, slots=True)
class Truth:
    """Truth per projection: differences (ratios) to the first one, the detector being the origin.

    Attributes
    ----------
    source_um, object_um, detector_um : (N, 3) arrays
        Displacements [µm]; the detector's are zero by the choice of origin.
    shift_px : (N, 2) array
        Where the image of the rotation axis moved (exact perspective); + = larger column / row.
    magnification, flux : (N,) arrays
        Ratios to the first projection.
    """

    projection: IntArray
    time: Array
    angle_deg: Array
    source_um: Array
    object_um: Array
    detector_um: Array
    shift_px: Array
    magnification: Array
    flux: Array

    def columns(self) -> dict[str, Array | IntArray]:
        """Columns of ``truth.csv`` in order, by name."""
        found: dict[str, Array | IntArray] = {
            "projection": self.projection, "time": self.time, "angle_deg": self.angle_deg,
        }  # fmt: skip
        for body, values in (("source", self.source_um), ("object", self.object_um), ("detector", self.detector_um)):
            for k, axis in enumerate("uvw"):
                found[f"{body}_{axis}_um"] = values[:, k]
        found["shift_u_px"], found["shift_v_px"] = self.shift_px[:, 0], self.shift_px[:, 1]
        found["magnification"], found["flux"] = self.magnification, self.flux
        return found


@dataclass(frozen=True, slots=True)
class FineTruth:
    """Absolute truth on the simulation's grid: displacements (K, 3) [m] by body, temperatures [K] by name, flux."""

    time: Array
    moved_m: dict[str, Array]
    temperature_k: dict[str, Array]
    flux_counts: Array


@dataclass(frozen=True)
class Run:
    """A simulated run, from the beginning of the lead-in to the end of the scan.

    ``parts`` holds the absolute displacement of every body per projection [m], ``flux_counts`` the expected counts per
    frame of ``frames``, ``shuttle_px`` the detector's shuttle and ``spot_fwhm_um`` (…, 2) the spot's size per frame.
    """

    config: Config
    scenario: Scenario
    seed: int
    begin_s: float
    scan_start_s: float
    end_s: float
    record: Record
    frames: Frames
    truth: Truth
    fine: FineTruth
    parts: dict[str, Parts] = field(repr=False)
    frame_moved_m: dict[str, Array] = field(repr=False)
    flux_counts: Array = field(repr=False)
    shuttle_px: Array = field(repr=False)
    spot_fwhm_um: Array = field(repr=False)

    @cached_property
    def readings(self) -> list[Reading]:
        """All readings in SI units, quality *simulated*, in order of delivery."""
        r = self.record
        return [
            r.channels[c].admit(t, v, s, Quality.SIMULATED)
            for c, t, v, s in zip(r.channel.tolist(), r.time.tolist(), r.value.tolist(), r.sigma.tolist(), strict=True)
        ]

    def batches(self, batch_s: float = 60.0) -> Iterator[list[Reading]]:
        """Readings in groups that arrive within the same ``batch_s`` of simulated time; no group is empty."""
        group = np.floor((self.record.delivered - self.begin_s) / batch_s)
        edges = np.flatnonzero(np.diff(group)) + 1
        bounds = [0, *edges.tolist(), len(group)]
        for first, last in pairwise(bounds):
            if last > first:
                yield self.readings[first:last]
