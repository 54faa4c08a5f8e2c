"""A reading beyond the gate forks the filter: left out as an outlier, or taken as the first after a large step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from models.anchors import Anchors
from models.engine import Belief, Record
from models.estimate import Array

OUTLIERS = 1e-3  # share of readings that are wrong, or see what is gone with the next one
UNEXPECTED = 0.1 / 86400.0  # steps per second [1/s] of what is not expected to step, when a reading says so


@dataclass(slots=True)
class Fork:
    """The second filter and its odds.

    Attributes
    ----------
    belief : Belief
    anchors : Anchors or None
        Of the filter that was opened.
    log_odds : float
        Against the filter that left the reading out.
    since, time : float
        Last reading before the step and the first after it [s since 1970].
    channels, states : tuple of int
        That were gated, and that were opened.
    rows : (R, n) array
        How the readings of the first instant see the states.
    first : tuple of (float, float)
        Size and σ of each state's step as it looked at first.
    confirmed : int
        Instants since at which its channels were read.
    ahead : bool
        The last reading of a channel that must be followed at once (patience 1) fitted this filter only.
    """

    belief: Belief
    anchors: Anchors | None
    log_odds: float
    since: float
    time: float
    channels: tuple[int, ...]
    states: tuple[int, ...]
    rows: Array
    first: tuple[tuple[float, float], ...] = ()
    confirmed: int = 0
    ahead: bool = False

    def chance(self, others: float) -> float:
        """Probability of this filter; ``others`` is the share of "no small step" in the plain one."""
        return float(expit(self.log_odds + np.log(max(others, 1e-300))))

    def sizes(self, plain: Belief) -> tuple[tuple[float, float], ...]:
        """What lies between the two filters, per opened state: the step, and its σ.

        Taken along the row that sees the state best; a state that no row sees by its own mean and σ.
        """
        found = []
        for i in self.states:
            sees = np.abs(self.rows[:, i])
            row = (
                np.eye(len(plain.mean))[i] if not sees.any() else self.rows[sees.argmax()] / self.rows[sees.argmax(), i]
            )
            variance = row @ (self.belief.cov + plain.cov) @ row
            found.append((float(row @ (self.belief.mean - plain.mean)), float(np.sqrt(max(variance, 0.0)))))
        return tuple(found)

    def state(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "mean": self.belief.mean.tolist(), "cov": self.belief.cov.tolist(),
            "gated_run": self.belief.gated_run.tolist(), "anchors": None if self.anchors is None else self.anchors.state(),
            "log_odds": self.log_odds, "since": self.since, "time": self.time, "channels": list(self.channels),
            "states": list(self.states), "rows": self.rows.tolist(), "first": [list(pair) for pair in self.first],
            "confirmed": self.confirmed, "ahead": self.ahead,
        }  # fmt: skip

    @classmethod
    def restored(cls, state: Mapping[str, Any], anchors: Anchors | None) -> Fork:
        """Continue where :meth:`state` was taken; ``anchors`` are empty ones of the right kind."""
        belief = Belief(
            np.array(state["mean"], float), np.array(state["cov"], float), np.array(state["gated_run"], np.int64)
        )
        if anchors is not None:
            anchors.restore(state["anchors"])
        return cls(
            belief, anchors, float(state["log_odds"]), float(state["since"]), float(state["time"]),
            tuple(state["channels"]), tuple(state["states"]), np.array(state["rows"], float),
            tuple((float(a), float(b)) for a, b in state["first"]), int(state["confirmed"]), bool(state["ahead"]),
        )  # fmt: skip


def log_evidence(record: Record, gate_sigma: float) -> float:
    """Log-likelihood of a recorded step; a gated reading is an outlier: Cauchy about its prediction, as wide as the gate."""
    gated = record.spread[0] < 0
    wide = gate_sigma**2 * -record.spread[0, gated]
    outlier = np.log(OUTLIERS / np.pi) - 0.5 * np.log(wide) - np.log1p(record.innovation[0, gated] ** 2 / wide)
    return float(record.loglik + outlier.sum())
