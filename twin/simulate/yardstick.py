"""The yardstick: what a smoother reaches that is told everything but the noise.

No estimator can expect to do better on the marker's readings; how much worse it does is what it has lost by not knowing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.linalg import splu

from twin.config import ConfigError
from twin.simulate.heat import Array
from twin.simulate.instruments import axis_of, mount_of
from twin.simulate.projection import View
from twin.simulate.run import IntArray, Run

JUMP_UM = 100.0  # a jump may be as large as it likes; a proper prior keeps an axis that no marker sees solvable


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Content shift as the smoother that knows sees it, and how far it is from the truth.

    Attributes
    ----------
    shift_px : (N, 2) array
        Shift per projection relative to the first one [px].
    residual_px : (N, 2) array
        ``shift_px`` minus truth, without its mean (a common shift blurs nothing) [px].
    rms_px : float
        Root mean square of the residual over both components and all projections [px].
    """

    shift_px: Array
    residual_px: Array
    rms_px: float


def residual(shift_px: Array, truth_px: Array) -> Array:
    """Difference to the truth without its mean, the one number rule for everybody who is compared, (N, 2) [px].

    Examples
    --------
    >>> residual(np.array([[1.0, 0.0], [3.0, 0.0]]), np.zeros((2, 2))).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    apart = shift_px - truth_px
    return np.asarray(apart - apart.mean(axis=0))


def rms(values: Array) -> float:
    """Root mean square over all entries (both components pooled)."""
    return float(np.sqrt(np.mean(values**2)))


def yardstick(run: Run) -> Yardstick:
    """Smooth the marker readings of a run, knowing the true parameters.

    It knows: the true expansion of every bar (true temperatures, bars, film coefficients), the true warm-up and creep of
    every body; when the spot jumped; the true intensities of random walks and Ornstein-Uhlenbeck wander per body and
    axis, and where the walks began; the σ of every marker reading; which readings are outliers (it leaves them out).
    It does not know: the realisation of walks, wander and noise, the size of the jumps (σ 100 µm: anything), the offset
    of a marker's window.
    It uses no reading but the markers', and of those all of the scan at once.

    Method: the joint Gaussian of all projections in information form. Unknowns are, per projection, every walk and
    wander with a true intensity along u and v, and once for the scan the windows' offsets and the jumps; the precision
    matrix is block tridiagonal with a border and solved by one sparse LU. Linear in the unknown part (first order in
    displacement over distance), exact perspective in the known part.

    Raises
    ------
    ConfigError
        When the run has no marker reading at all.
    """
    problem = _Problem(run)
    shift = problem.solve()
    apart = residual(shift, run.truth.shift_px)
    return Yardstick(shift, apart, rms(apart))


@dataclass(frozen=True, slots=True)
class Chance:
    """One unknown process: which body and axis (0 u, 1 v) it moves and how [µm, s]."""

    body: str
    axis: int
    walk_um2_per_s: float
    wander_um: float
    wander_s: float


@dataclass(frozen=True, slots=True)
class Sight:
    """Readings of one marker channel: when (index of the projection), what, how sure, and what they respond to."""

    at: IntArray
    value: Array
    sigma: Array
    response: dict[tuple[str, int], float]  # px/µm per (body, axis)


def chances(run: Run) -> list[Chance]:
    """All unknown processes with a true intensity, in the plane of the detector."""
    found = []
    for body in run.parts:
        law = run.scenario.walk(body)
        for axis in (0, 1):
            walk = law.random_walk_um_per_sqrt_h[axis]
            if walk > 0:
                found.append(Chance(body, axis, walk**2 / 3600.0, 0.0, 0.0))
            if law.wander_um[axis] > 0:
                found.append(Chance(body, axis, 0.0, law.wander_um[axis], law.wander_min * 60.0))
    return found


def sights(run: Run) -> Iterator[Sight]:
    """Marker readings without outliers, the known motion taken off."""
    view = View.of(run.config)
    markers = {marker.name: marker for marker in run.config.markers}
    places = {marker.name: np.array(marker.position_um) * 1e-6 for marker in run.scenario.markers}
    for section in run.config.channels:
        if section.quantity != "marker_shift":
            continue
        marker = markers[str(section.marker)]
        normal, mount = axis_of(section, marker), mount_of(marker)
        depth = marker.source_marker_mm * 1e-3
        known = view.point_px(
            depth,
            places.get(marker.name, np.zeros(2)),
            run.parts[mount].known,
            run.parts["source"].known,
            run.parts["detector"].known,
        )
        scale = view.plane_m / depth
        gains = (("source", -(scale - 1.0)), (mount, scale), ("detector", -1.0))
        response = {
            (body, axis): gain * float(normal[axis]) * 1e-6 / view.pixel_m for body, gain in gains for axis in (0, 1)
        }
        readings = run.record.of(section.name)
        good = ~readings.wrong
        at = readings.projection[good]
        yield Sight(at, readings.value[good] - (known @ normal)[at], readings.sigma[good], response)


class _Problem:
    """Information form of one run: ``precision · unknown = information``."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._time = run.truth.time
        self._chances = chances(run)
        self._sights = [sight for sight in sights(run) if len(sight.at)]
        if not self._sights:
            raise ConfigError(
                ["channel: no marker_shift was read, so even a smoother that knows sees nothing; add one"]
            )
        # a jump before the first projection is an offset, one after the last is not seen
        starts = np.array([run.scan_start_s + jump.time_h * 3600.0 for jump in run.scenario.jumps])
        before = np.searchsorted(self._time, starts)  # two jumps between the same projections are one
        self._jumps = [int(k) for k in np.unique(before) if 0 < k < len(self._time)]
        # numbering: projection-major states, then one offset per sight, then u and v of each jump
        self._per = len(self._chances)
        self._offset = len(self._time) * self._per
        self._jump = self._offset + len(self._sights)
        self._size = self._jump + 2 * len(self._jumps)
        self._triplets: list[tuple[Any, Any, Any]] = []

    def solve(self) -> Array:
        """Shift relative to the first projection, (N, 2) [px]."""
        information = np.zeros(self._size)
        for index, chance in enumerate(self._chances):
            self._prior(index, chance)
        jumps = np.arange(self._jump, self._size)
        self._triplets.append((jumps, jumps, np.full(len(jumps), JUMP_UM**-2.0)))
        for number, sight in enumerate(self._sights):
            design = self._design(sight.at, sight.response, self._offset + number)
            weighted = design.multiply(1.0 / sight.sigma[:, None] ** 2).tocsc()
            self._take((design.T @ weighted).tocoo())
            information += weighted.T @ sight.value
        row, column, value = (np.concatenate(part) for part in zip(*self._triplets, strict=True))
        precision = csc_matrix((value, (row, column)), shape=(self._size, self._size))
        unknown = splu(precision, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(information)
        return self._content(unknown)

    def _take(self, part: coo_matrix) -> None:
        self._triplets.append((part.row, part.col, part.data))

    def _prior(self, index: int, chance: Chance) -> None:
        """Precision of one process: ``(x_k - a x_k-1)² / q`` summed, and the variance it begins with."""
        at = np.arange(len(self._time)) * self._per + index
        step = np.diff(self._time)
        if chance.wander_um > 0:
            keep = np.exp(-step / chance.wander_s)
            noise, begin = chance.wander_um**2 * (1.0 - keep**2), chance.wander_um**2
        else:
            keep = np.ones_like(step)
            noise, begin = chance.walk_um2_per_s * step, chance.walk_um2_per_s * (self._time[0] - self._run.begin_s)
        own = np.zeros(len(at))
        own[0] = 1.0 / begin
        own[1:] += 1.0 / noise
        own[:-1] += keep**2 / noise
        side = -keep / noise
        self._triplets += [(at, at, own), (at[1:], at[:-1], side), (at[:-1], at[1:], side)]

    def _design(self, at: IntArray, response: dict[tuple[str, int], float], offset: int | None) -> csc_matrix:
        """Rows of the measurement matrix for readings in projections ``at``."""
        rows = np.arange(len(at))
        none = np.arange(0)
        row, column, value = [none], [none], [np.zeros(0)]
        for index, chance in enumerate(self._chances):
            gain = response.get((chance.body, chance.axis), 0.0)
            row.append(rows)
            column.append(at * self._per + index)
            value.append(np.full(len(at), gain))
        for number, start in enumerate(self._jumps):
            after = at >= start
            for axis in (0, 1):
                row.append(rows[after])
                column.append(np.full(int(after.sum()), self._jump + 2 * number + axis))
                value.append(np.full(int(after.sum()), response.get(("source", axis), 0.0)))
        if offset is not None:
            row.append(rows)
            column.append(np.full(len(at), offset))
            value.append(np.ones(len(at)))
        shape = (len(at), self._size)
        return csc_matrix((np.concatenate(value), (np.concatenate(row), np.concatenate(column))), shape=shape)

    def _content(self, unknown: Array) -> Array:
        run, view = self._run, View.of(self._run.config)
        known = view.point_px(
            view.axis_m, np.zeros(2), run.parts["object"].known, run.parts["source"].known, run.parts["detector"].known
        )
        scale = view.plane_m / view.axis_m
        every = np.arange(len(self._time))
        moved = []
        for axis in (0, 1):
            gains = (("source", -(scale - 1.0)), ("object", scale), ("detector", -1.0))
            response = {(body, axis): gain * 1e-6 / view.pixel_m for body, gain in gains}
            moved.append(self._design(every, response, None) @ unknown)
        shift = known + np.stack(moved, axis=-1)
        return np.asarray(shift - shift[0])
