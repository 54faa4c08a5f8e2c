"""Fixed-point smoothing: what is known *now*, with all readings so far, about a few instants of the past.

Each anchor is a copy of some outputs taken at its instant and carried on as if it were a state (stochastic cloning,
Roumeliotis & Burdick 2002, ICRA): later readings correct it through its covariance with the present state. So the course of
a scan so far and the covariance of its errors are there at any time, at a cost that does not grow with the scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.engine import Record
from models.estimate import Array

MOST = 32


@dataclass(slots=True)
class Anchors:
    """Outputs (q each) at up to 32 instants; when more come, every second one is dropped and the spacing doubled.

    Attributes
    ----------
    times : list of float
        Instants [s since 1970].
    mean : (K, q) array
    cov : (K, q, K, q) array
    cross : (K, q, n) array
        Covariance with the present state.
    """

    q: int
    n: int
    spacing_s: float
    times: list[float] = field(default_factory=list)
    mean: Array = field(init=False)
    cov: Array = field(init=False)
    cross: Array = field(init=False)

    def __post_init__(self) -> None:
        self.mean = np.zeros((0, self.q))
        self.cov = np.zeros((0, self.q, 0, self.q))
        self.cross = np.zeros((0, self.q, self.n))

    def follow(self, transition: Array, record: Record) -> Array:
        """Carry the anchors through one recorded step (a pass of length 1 that kept its rows and gains).

        Returns by how much each scalar's innovation moved the anchors, (m, K·q).
        """
        count = len(self.times)
        gain = np.zeros((record.spread.shape[1], count * self.q))
        if count == 0:
            return gain
        cross = self.cross.reshape(count * self.q, self.n) @ transition.T
        mean, cov = self.mean.reshape(-1), self.cov.reshape(count * self.q, count * self.q)
        for j, s in enumerate(record.spread[0]):
            if not s > 0:
                continue
            g = cross @ record.row[0, j]
            gain[j] = g / s
            mean = mean + g * (record.innovation[0, j] / s)
            cov = cov - np.outer(g, g) / s
            cross = cross - np.outer(g, record.gain[0, j])
        self.mean, self.cov = mean.reshape(count, self.q), cov.reshape(count, self.q, count, self.q)
        self.cross = cross.reshape(count, self.q, self.n)
        return gain

    def copy(self) -> Anchors:
        """Independent copy; arrays are shared, because they are replaced and never changed."""
        twin = Anchors(self.q, self.n, self.spacing_s, list(self.times))
        twin.mean, twin.cov, twin.cross = self.mean, self.cov, self.cross
        return twin

    def shift(self, mean: Array, cov: Array) -> None:
        """Add a mixture's moments of anchors and state together: mean (K·q + n,), cov (K·q + n, K·q + n)."""
        k = len(self.times)
        a = k * self.q
        self.mean = self.mean + mean[:a].reshape(k, self.q)
        self.cov = self.cov + cov[:a, :a].reshape(k, self.q, k, self.q)
        self.cross = self.cross + cov[:a, a:].reshape(k, self.q, self.n)

    def drop(self, time: float, mean: Array, rows: Array, state_cov: Array) -> None:
        """Drop an anchor at the present instant, if the last one is a spacing away."""
        if self.times and time < self.times[-1] + self.spacing_s * (1.0 - 1e-9):
            return
        if len(self.times) == MOST:
            self._thin()
        new_cross = rows @ state_cov
        count, q = len(self.times), self.q
        cov = np.zeros((count + 1, q, count + 1, q))
        cov[:count, :, :count, :] = self.cov
        between = self.cross @ rows.T
        cov[:count, :, count, :] = between
        cov[count, :, :count, :] = between.transpose(2, 0, 1)
        cov[count, :, count, :] = new_cross @ rows.T
        self.times.append(time)
        self.mean = np.concatenate([self.mean, mean[None]])
        self.cov, self.cross = cov, np.concatenate([self.cross, new_cross[None]])

    def _thin(self) -> None:
        keep = slice(0, None, 2)
        self.times = self.times[keep]
        self.mean, self.cross = self.mean[keep], self.cross[keep]
        self.cov = self.cov[keep][:, :, keep]
        self.spacing_s *= 2.0

    def weights_s(self, now: float) -> Array:
        """Seconds of the past that each anchor stands for (trapezoid; the last one up to now)."""
        t = np.array(self.times)
        if len(t) == 0:
            return t
        edges = np.concatenate([[t[0]], 0.5 * (t[1:] + t[:-1]), [max(now, t[-1])]])
        return np.asarray(np.diff(edges))

    def state(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "spacing_s": self.spacing_s, "times": list(self.times), "mean": self.mean.tolist(), "cov": self.cov.tolist(),
            "cross": self.cross.tolist(),
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state` was taken."""
        k = len(state["times"])
        self.spacing_s, self.times = float(state["spacing_s"]), list(state["times"])
        self.mean = np.array(state["mean"], float).reshape(k, self.q)
        self.cov = np.array(state["cov"], float).reshape(k, self.q, k, self.q)
        self.cross = np.array(state["cross"], float).reshape(k, self.q, self.n)
