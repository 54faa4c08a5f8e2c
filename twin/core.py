"""Twin: readings in, estimates out. Pure and deterministic: knows no clock, thread, file or network."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.anchors import Anchors
from models.engine import Belief, Record, engine
from models.estimate import Array, Estimate, ModelError
from models.kalman import output_rows
from models.packing import Packed, Terms
from sensors.reading import Reading
from twin.align import Aligner, Vector
from twin.assembly import OUTPUTS, Machine, assemble
from twin.config import Config
from twin.turning import still
from twin.vectorise import Vectoriser

NIS_MEMORY = 500  # readings over which the mean normalised innovation is taken
RATE_MEMORY_S = 3600.0
SHIFTS = (OUTPUTS.index("shift.u"), OUTPUTS.index("shift.v"))
ANCHOR_S = 300.0  # spacing of the anchors at the start of a scan; doubles as the scan grows


class SnapshotError(ModelError):
    """A stored snapshot belongs to another model."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Displacements [m], shift [px], magnification and log flux at one instant, with their covariance."""

    mean: Array
    cov: Array
    rows: Array

    def value(self, name: str) -> float:
        """Mean of an output by its name in :data:`twin.assembly.OUTPUTS`."""
        return float(self.mean[OUTPUTS.index(name)])

    def std(self, name: str) -> float:
        """σ of an output."""
        i = OUTPUTS.index(name)
        return math.sqrt(max(float(self.cov[i, i]), 0.0))


class Twin:
    """The believed state of one machine.

    Examples
    --------
    >>> from twin.profiles import load_profile
    >>> twin = Twin(load_profile("xrm2-nanoct"))
    >>> twin.update([Reading("t_room", 1.7e9 + 10.0 * k, 294.15, 0.02) for k in range(20)])[-1].std(
    ...     "temperature.ambient") < 0.02
    True
    """

    def __init__(self, config: Config) -> None:
        self.machine: Machine = assemble(config)
        self.config = config
        self.model_id = self.machine.model.model_id
        angles = frozenset(c.name for c in config.channels if c.quantity == "angle")
        self.aligner = Aligner(config.estimator.grid_s, config.estimator.late_s, angles)
        self.vectoriser = Vectoriser(self.machine, self._left_out)
        self.belief = Belief.prior(self.machine.model)
        self.time = math.nan
        self.gated = 0
        self.scan_started = math.nan
        self.anchors: Anchors | None = None
        self._run = engine(config.estimator.engine)
        self._packed = Packed.of(self.machine.model)
        self._terms = Terms.of(self.machine.model, self.machine.outputs)
        self._nis: deque[float] = deque(maxlen=NIS_MEMORY)
        self._covariates = np.zeros(len(self.machine.model.covariates))
        self._inputs = np.zeros(len(self.machine.model.inputs))
        self._rates = np.zeros(len(self.machine.model.channels))  # Σ 1/variance per second, forgotten over an hour

    def update(self, batch: Sequence[Reading], ingest_time: float | None = None) -> list[Estimate]:
        """Take readings in order of arrival; return an estimate for every grid step they close."""
        return list(self.steps(batch, ingest_time))

    def steps(self, batch: Sequence[Reading], ingest_time: float | None = None) -> Iterator[Estimate]:
        """As :meth:`update`, one step at a time: the twin stands at the instant of the estimate given last.

        The batch counts as taken only when the iterator is used up.
        """
        return self._advance(self.aligner.add(batch, ingest_time))

    def finish(self) -> Iterator[Estimate]:
        """Close the steps still open (at the end of a record), one at a time."""
        return self._advance(self.aligner.flush())

    def _advance(self, vectors: Iterable[Vector]) -> Iterator[Estimate]:
        model = self.machine.model
        forget = math.exp(-model.step_s / RATE_MEMORY_S)
        for vector in vectors:
            steps = self.vectoriser.steps([vector])
            record = self._run(model, self._packed, self.belief, steps, self.machine.gate, True)
            self.time = vector.time
            self._covariates, self._inputs = steps.covariates[0], steps.inputs[0]
            if self.anchors is not None:
                self._anchor(record)
            innovation = {}
            self._rates *= forget
            for j, name in enumerate(model.channels):
                v, s = float(record.innovation[0, j]), float(record.spread[0, j])
                if math.isnan(v):
                    continue
                innovation[name] = (v, math.sqrt(abs(s)))
                if s < 0:
                    self.gated += 1
                    continue
                self._nis.append(v * v / s)
                variance = steps.variances[0, j] + self._packed.floor_var[j]
                self._rates[j] += (1.0 - forget) / (variance * model.step_s)
            mean, cov = self.belief.mean.copy(), self.belief.cov.copy()
            yield Estimate(vector.time, model.names, model.units, mean, cov, innovation, self.model_id)

    def _left_out(self, channel: str, cause: str, count: int) -> None:
        self.aligner.drops[channel, cause] += count

    def begin_scan(self, started: float) -> None:
        """From here on the course of the image content is remembered; called between updates."""
        self.scan_started = started
        self.anchors = Anchors(len(SHIFTS), self._packed.n, ANCHOR_S)

    def end_scan(self) -> None:
        """Forget the course of the scan."""
        self.scan_started, self.anchors = math.nan, None

    def _anchor(self, record: Record) -> None:
        if self.anchors is None or self.time < self.scan_started:
            return
        self.anchors.follow(self.machine.model.transition, record)
        if not self.anchors.times or self.time >= self.anchors.times[-1] + self.anchors.spacing_s:
            outputs = self.outputs(turning=False)
            here = list(SHIFTS)
            self.anchors.drop(self.time, outputs.mean[here], outputs.rows[here], self.belief.cov)

    @property
    def nis(self) -> float:
        """Mean normalised innovation squared over the last readings; 1 when the model fits its machine."""
        return sum(self._nis) / len(self._nis) if self._nis else math.nan

    def outputs(self, turning: bool = True) -> Outputs:
        """What is wanted from the present belief; with ``turning=False`` as if the stage stood at angle 0 all the time."""
        rows = np.zeros((len(OUTPUTS), self._packed.n))
        t = self._terms
        covariates = self._covariates if turning else still(self.machine.model, self._covariates)
        mean = output_rows(
            self.belief.mean, covariates, t.start, t.state, t.other, t.covariate, t.weight, t.constant, rows
        )
        return Outputs(mean, rows @ self.belief.cov @ rows.T, rows)

    @property
    def inputs(self) -> Array:
        """Known inputs as they are now."""
        return self._inputs

    def information_rate(self) -> Array:
        """Information per second that readings have brought over the last hour, (n, n); the stage held at angle 0."""
        n = self._packed.n
        rows = np.zeros((len(self.machine.model.channels), n))
        t = self._packed.terms
        output_rows(
            self.belief.mean,
            still(self.machine.model, self._covariates),
            t.start,
            t.state,
            t.other,
            t.covariate,
            t.weight,
            t.constant,
            rows,
        )
        return np.asarray((rows.T * self._rates) @ rows)

    def snapshot(self) -> dict[str, Any]:
        """All that decides what comes next, JSON-able; floats survive exactly (repr round trip)."""
        return {
            "model_id": self.model_id,
            "time": None if math.isnan(self.time) else self.time,
            "mean": self.belief.mean.tolist(),
            "cov": self.belief.cov.tolist(),
            "gated_run": self.belief.gated_run.tolist(),
            "gated": self.gated,
            "nis": list(self._nis),
            "rates": self._rates.tolist(),
            "covariates": self._covariates.tolist(),
            "inputs": self._inputs.tolist(),
            "aligner": self.aligner.state(),
            "vectoriser": self.vectoriser.state(),
            "scan_started": None if math.isnan(self.scan_started) else self.scan_started,
            "anchors": None if self.anchors is None else self.anchors.state(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continue where :meth:`snapshot` was taken; raises SnapshotError for another model's."""
        if snapshot["model_id"] != self.model_id:
            raise SnapshotError(
                f"the stored snapshot belongs to model {snapshot['model_id']}, this configuration makes model "
                f"{self.model_id}; start with an empty store, or restore the configuration it was made with"
            )
        self.time = math.nan if snapshot["time"] is None else float(snapshot["time"])
        self.belief = Belief(
            np.array(snapshot["mean"], float),
            np.array(snapshot["cov"], float),
            np.array(snapshot["gated_run"], np.int64),
        )
        self.gated = int(snapshot["gated"])
        self._nis = deque(snapshot["nis"], maxlen=NIS_MEMORY)
        self._rates = np.array(snapshot["rates"], float)
        self._covariates = np.array(snapshot["covariates"], float)
        self._inputs = np.array(snapshot["inputs"], float)
        self.aligner.restore(snapshot["aligner"])
        self.vectoriser.restore(snapshot["vectoriser"])
        self.end_scan()
        if snapshot["scan_started"] is not None:
            self.begin_scan(float(snapshot["scan_started"]))
            if self.anchors is not None and snapshot["anchors"] is not None:
                self.anchors.restore(snapshot["anchors"])
