"""What accelerometers say now and over the scan: levels for rules and budget, noise for the readings of markers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.estimate import Array
from sensors.vibration import QUANTITY
from twin.align import Vector
from twin.config import Config
from twin.sections import ChannelSection
from twin.vibration import AXES, powers_of

HOLD_S = 3600.0  # a silent accelerometer without stale_after_s is believed so long
MEMORY_S = 1800.0  # over which what is expected of the hours ahead is averaged


class VibrationLevels:
    """Last levels of every accelerometer, their mean over the last half hour and over the scan.

    Of several accelerometers along one axis the one counts that says most. One that has been silent for ``stale_after_s`` (an
    hour where none is stated) counts no longer.
    """

    def __init__(self, config: Config) -> None:
        self._grid_s = config.estimator.grid_s
        self._axes = {axis: [c for c in config.channels if c.quantity == QUANTITY and c.axis == axis] for axis in AXES}
        self._wanted = powers_of(config)
        self._held: dict[str, tuple[float, float]] = {}  # channel: time, rms [m, px]
        self._recent: dict[str, float] = {}  # axis: variance [m²]
        self._gathered: dict[str, tuple[float, float]] = {}  # axis: seconds, variance · seconds
        self._now = math.nan
        self.begin, self.end = math.inf, math.inf

    def watch(self, begin: float, end: float = math.inf) -> None:
        """From an instant on (until another) levels are averaged over the scan."""
        self.begin, self.end = begin, end
        self._gathered = {}

    def forget(self) -> None:
        """The scan is over."""
        self.watch(math.inf)

    def take(self, vector: Vector) -> None:
        """Take what accelerometers said around one instant of the grid."""
        if not self._wanted:
            return
        self._now = vector.time
        for name in self._wanted & vector.cells.keys():
            self._held[name] = (vector.time, vector.cells[name].value)
        keep = math.exp(-self._grid_s / MEMORY_S)
        for axis in AXES:
            level = self.level(axis)
            if level is None:
                self._recent.pop(axis, None)
                continue
            variance = level["blur"] ** 2 + level["jitter"] ** 2
            before = self._recent.get(axis, variance)
            self._recent[axis] = keep * before + (1.0 - keep) * variance
            if self.begin <= vector.time <= self.end:
                seconds, product = self._gathered.get(axis, (0.0, 0.0))
                self._gathered[axis] = (seconds + self._grid_s, product + variance * self._grid_s)

    def level(self, axis: str) -> dict[str, float] | None:
        """``blur`` and ``jitter`` along an axis now, rms in the object plane [m]; None when nobody says."""
        found = []
        for channel in self._axes[axis]:
            blur, jitter = (self._fresh(channel, f"{channel.name}.{word}") for word in ("blur", "jitter"))
            if blur is not None and jitter is not None:
                found.append({"blur": blur, "jitter": jitter})
        return max(found, key=lambda one: one["blur"] ** 2 + one["jitter"] ** 2, default=None)

    def jitter_variance(self, channel: str) -> float:
        """Variance that jitter between exposures adds to one reading of a marker's channel [px²]."""
        total = 0.0
        for channels in self._axes.values():
            seen = (self._fresh(c, f"{c.name}.jitter.{channel}") for c in channels)
            total += max((value**2 for value in seen if value is not None), default=0.0)
        return total

    def _fresh(self, channel: ChannelSection, name: str) -> float | None:
        time, value = self._held.get(name, (-math.inf, 0.0))
        return value if self._now - time <= (channel.stale_after_s or HOLD_S) + self._grid_s else None

    def scan_variance(self, axis: str) -> float | None:
        """Mean variance over the scan, blur and jitter together [m²]; None when nobody said."""
        seconds, product = self._gathered.get(axis, (0.0, 0.0))
        return product / seconds if seconds > 0 else None

    def beyond(self, stated_m: float) -> tuple[float, float]:
        """Mean variance over the scan along u and v that a budget with ``stated_m`` rms doesn't hold yet [m²]."""
        u, v = (max((self.scan_variance(axis) or 0.0) - stated_m**2, 0.0) for axis in AXES)
        return u, v

    def ahead(self, axis: str, times: Array, duration_s: float) -> Array | None:
        """Mean variance that the scan will have gathered at instants from now on, if it goes on as lately [m²].

        Parameters
        ----------
        times : (K,) array
            Seconds from now.
        duration_s : float
            Length of the scan.
        """
        if axis not in self._recent:
            found = self.scan_variance(axis)
            return None if found is None else np.full(times.shape, found)
        done, product = self._gathered.get(axis, (0.0, 0.0))
        more = np.minimum(times, max(duration_s - done, 0.0))
        if done == 0.0:
            return np.full(times.shape, self._recent[axis])
        return np.asarray((product + self._recent[axis] * more) / (done + more))

    def state(self) -> dict[str, Any]:
        """Everything that decides what comes next, as JSON-able data."""
        return {
            "held": {name: list(value) for name, value in self._held.items()},
            "recent": dict(self._recent),
            "gathered": {axis: list(value) for axis, value in self._gathered.items()},
            "begin": None if math.isinf(self.begin) else self.begin,
            "now": None if math.isnan(self._now) else self._now,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state` was taken."""
        self.watch(math.inf if state["begin"] is None else float(state["begin"]))
        self._held = {name: (float(t), float(v)) for name, (t, v) in state["held"].items()}
        self._recent = {axis: float(v) for axis, v in state["recent"].items()}
        self._gathered = {axis: (float(s), float(p)) for axis, (s, p) in state["gathered"].items()}
        self._now = math.nan if state["now"] is None else float(state["now"])
