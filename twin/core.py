"""Twin: readings in, estimates out. Pure and deterministic: knows no clock, thread, file or network."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.anchors import Anchors
from models.consistency import Consistency
from models.engine import Belief, engine
from models.estimate import Array, Estimate, ModelError
from models.expectation import shared_innovations
from models.kalman import output_curvature, output_rows
from models.packing import Packed, Terms
from models.recognition import Recognition
from models.steps import StepEvent
from sensors.reading import Reading
from twin.align import Aligner, Vector
from twin.assembly import OUTPUTS, Machine, assemble
from twin.config import Config
from twin.stepping import steppings
from twin.turning import still
from twin.vectorise import Vectoriser
from twin.vibration import powers_of

RATE_MEMORY_S = 3600.0
EVENTS = 64  # recognised steps that are remembered
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
        angles = frozenset(c.name for c in config.channels if c.quantity == "angle")  # any: they wrap
        self.aligner = Aligner(config.estimator.grid_s, config.estimator.late_s, angles, powers_of(config))
        self.vectoriser = Vectoriser(self.machine, self._left_out)
        self.belief = Belief.prior(self.machine.model)  # of all branches and hypotheses together
        self.time = math.nan
        self.gated = 0
        self.consistency = Consistency(self.machine.model.channels, self.machine.model.step_s)
        self.scan_started = math.nan
        self.recognised: deque[StepEvent] = deque(maxlen=EVENTS)
        self._packed = Packed.of(self.machine.model)
        self._terms = Terms.of(self.machine.model, self.machine.outputs)
        self._filter = Recognition(
            self.machine.model,
            self._packed,
            self.machine.gate,
            engine(config.estimator.engine),
            steppings(self.machine),
        )
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
            plain = self._filter.plain.copy()
            record, events = self._filter.advance(vector.time, steps)
            self.time = vector.time
            self.recognised.extend(events)
            # judged by what was expected of all branches and hypotheses: a suspected step is no misfit
            self.consistency.take(vector.time, *shared_innovations(self._packed, record, plain, self.belief))
            self.belief = self._filter.belief()
            self._covariates, self._inputs = steps.covariates[0], steps.inputs[0]
            self._anchor()
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
                variance = steps.variances[0, j] + self._packed.floor_var[j]
                self._rates[j] += (1.0 - forget) / (variance * model.step_s)
            mean, cov = self.belief.mean.copy(), self.belief.cov.copy()
            yield Estimate(vector.time, model.names, model.units, mean, cov, innovation, self.model_id)

    def _left_out(self, channel: str, cause: str, count: int) -> None:
        self.aligner.drops[channel, cause] += count

    def begin_scan(self, started: float) -> None:
        """From here on the course of the image content is remembered; called between updates."""
        self.scan_started = started
        self.vectoriser.vibration.watch(started)
        self._filter.watch_past(self._no_anchors())

    def end_scan(self) -> None:
        """Forget the course of the scan."""
        self.scan_started = math.nan
        self.vectoriser.vibration.forget()
        self._filter.watch_past(None)

    def _no_anchors(self) -> Anchors:
        return Anchors(len(SHIFTS), self._packed.n, ANCHOR_S)

    def _anchor(self) -> None:
        anchors = self._filter.anchors
        if anchors is None or self.time < self.scan_started:
            return
        if not anchors.times or self.time >= anchors.times[-1] + anchors.spacing_s:
            outputs = self._outputs(self._filter.plain, turning=False)
            here = list(SHIFTS)
            self._filter.drop_anchor(self.time, outputs.mean[here], outputs.rows[here])

    @property
    def scanning(self) -> bool:
        """Whether the course of a scan is being remembered."""
        return self._filter.anchors is not None

    @property
    def anchors(self) -> Anchors | None:
        """The course of the scan so far as it is known now; None without a scan."""
        return self._filter.past()

    @property
    def nis(self) -> float:
        """Mean normalised innovation squared over the last readings; 1 when the model fits its machine."""
        return self.consistency.nis

    def outputs(self, turning: bool = True) -> Outputs:
        """What is wanted from the present belief; with ``turning=False`` as if the stage stood at angle 0 all the time."""
        return self._outputs(self.belief, turning)

    def _outputs(self, belief: Belief, turning: bool) -> Outputs:
        mean, rows = self.tangent(belief.mean, turning)
        shift, bent = output_curvature(belief.cov, self._seen_at(turning), self._terms)
        return Outputs(mean + shift, rows @ belief.cov @ rows.T + np.diag(bent), rows)

    def tangent(self, mean: Array, turning: bool = True) -> tuple[Array, Array]:
        """Outputs and their rows (q, n) at another state mean, covariates as they are now."""
        rows = np.zeros((len(OUTPUTS), self._packed.n))
        return output_rows(mean, self._seen_at(turning), self._terms, rows), rows

    def _seen_at(self, turning: bool) -> Array:
        return self._covariates if turning else still(self.machine.model, self._covariates)

    @property
    def inputs(self) -> Array:
        """Known inputs as they are now."""
        return self._inputs

    def information_rate(self) -> Array:
        """Information per second that readings have brought over the last hour, (n, n); the stage held at angle 0."""
        n = self._packed.n
        rows = np.zeros((len(self.machine.model.channels), n))
        output_rows(self.belief.mean, self._seen_at(False), self._packed.terms, rows)
        return np.asarray((rows.T * self._rates) @ rows)

    def snapshot(self) -> dict[str, Any]:
        """All that decides what comes next, JSON-able; floats survive exactly (repr round trip)."""
        return {
            "model_id": self.model_id,
            "time": None if math.isnan(self.time) else self.time,
            "filter": self._filter.state(),
            "recognised": [asdict(event) for event in self.recognised],
            "gated": self.gated,
            "consistency": self.consistency.state(),
            "rates": self._rates.tolist(),
            "covariates": self._covariates.tolist(),
            "inputs": self._inputs.tolist(),
            "aligner": self.aligner.state(),
            "vectoriser": self.vectoriser.state(),
            "scan_started": None if math.isnan(self.scan_started) else self.scan_started,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Continue where :meth:`snapshot` was taken; raises SnapshotError for another model's."""
        if snapshot["model_id"] != self.model_id:
            raise SnapshotError(
                f"the stored snapshot belongs to model {snapshot['model_id']}, this configuration makes model "
                f"{self.model_id}; start with an empty store, or restore the configuration it was made with"
            )
        self.time = math.nan if snapshot["time"] is None else float(snapshot["time"])
        self.scan_started = math.nan if snapshot["scan_started"] is None else float(snapshot["scan_started"])
        self._filter.restore(snapshot["filter"], None if math.isnan(self.scan_started) else self._no_anchors())
        self.belief = self._filter.belief()
        self.recognised = deque((StepEvent.restored(event) for event in snapshot["recognised"]), maxlen=EVENTS)
        self.gated = int(snapshot["gated"])
        if "consistency" in snapshot:  # snapshots of older versions have none: it is judged anew
            self.consistency.restore(snapshot["consistency"])
        self._rates = np.array(snapshot["rates"], float)
        self._covariates = np.array(snapshot["covariates"], float)
        self._inputs = np.array(snapshot["inputs"], float)
        self.aligner.restore(snapshot["aligner"])
        self.vectoriser.restore(snapshot["vectoriser"])
