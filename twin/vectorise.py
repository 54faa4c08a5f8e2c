"""Vectors of readings → steps of the model: marker px, log flux, covariates, the angle, tube power, re-armed warm-up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from models.engine import Steps
from models.estimate import Array
from models.flux import log_reading
from models.spot import blur_reading
from models.turning import is_angle, of_angle
from twin.align import Cell, Vector
from twin.assembly import Machine, covariate_value
from twin.flux_channels import BEAM_SHIFT
from twin.scan import Scan
from twin.turning import ScanAngles, stage_angles
from twin.vibration_levels import VibrationLevels

# σ of a reading that brings none and whose channel states none: K, px, fraction of the flux.
DEFAULT_SIGMA = {
    "temperature": 0.05,
    "temperature_difference": 0.05,
    "marker_shift": 0.1,
    "marker_blur": 0.05,
    "flux": 1e-3,
}
REARM_FRACTION = 0.1  # change of tube voltage or power that begins a new warm-up
TUBE_OFF_V = 1e3
USUAL_STEPS = 50  # of readings whose mean is a channel's usual blur


class Vectoriser:
    """Keeps what is held between steps: last covariates, kV and µA, whether the tube is on, and the stage's angle.

    The angle of a step is that of the scan's own projections where a scan is known (:meth:`turn_with`), else that of a
    channel of quantity ``angle``, held until that channel counts as silent. While neither tells the angle, readings that
    depend on it are left out and reported to ``left_out`` (channel, cause, count).
    """

    def __init__(self, machine: Machine, left_out: Callable[[str, str, int], None] = lambda *_: None) -> None:
        self._machine = machine
        self._left_out = left_out
        self._columns = {name: i for i, name in enumerate(machine.model.channels)}
        channels = machine.config.channels
        self._quantity = {c.name: c.quantity for c in channels}
        self._beam = {c.name for c in channels if c.measures == BEAM_SHIFT}
        self._angles = [name for name in machine.model.covariates if is_angle(name)]
        self._turning = {o.channel for o in machine.model.observations if any(is_angle(c) for _, c, _ in o.covariates)}
        self._silent_s = {c.name: c.stale_after_s or math.inf for c in stage_angles(machine.config)}
        self._scan: ScanAngles | None = None
        self._angle: tuple[float, float] | None = None  # value [rad], until when it holds
        self._held: dict[str, float] = {}
        self.vibration = VibrationLevels(machine.config)
        self._blur: dict[str, tuple[float, int]] = {}  # usual blur of a channel [px], steps it is the mean of
        self._operating: tuple[float, float] | None = None

    def steps(self, vectors: Iterable[Vector]) -> Steps:
        """Arrays for the engine, one row per vector."""
        rows = [self._row(vector) for vector in vectors]
        if not rows:
            return Steps.empty(self._machine.model, 0)
        return Steps(*(np.array(part, dtype=float) for part in zip(*rows, strict=True)))

    def _row(self, vector: Vector) -> tuple[list[float], list[float], list[float], list[float], Any]:
        model = self._machine.model
        z, variance = [math.nan] * len(self._columns), [1.0] * len(self._columns)
        self.vibration.take(vector)
        for channel, cell in vector.cells.items():
            quantity = self._quantity.get(channel)
            if channel in self._silent_s:
                self._angle = cell.value, vector.time + self._silent_s[channel]
            if quantity in ("voltage", "current", "detector_shift"):
                self._held[quantity] = cell.value
            if channel in self._beam:
                self._held[f"{BEAM_SHIFT}.{channel}"] = cell.value
            column = self._columns.get(channel)
            if column is not None:
                z[column], variance[column] = self._scaled(channel, quantity or "", cell)
                # a marker's reading tells where everything was during one exposure, and that jitters
                variance[column] += self.vibration.jitter_variance(channel) / cell.count
        opened = self._rearmed()
        turned = self._turned(vector.time)
        if turned is None:
            for channel in self._turning & vector.cells.keys():
                z[self._columns[channel]] = math.nan
                self._left_out(channel, "no angle", vector.cells[channel].count)
        angle = dict(zip(self._angles, self._still() if turned is None else turned, strict=True))
        covariates = [
            float(angle[name]) if name in angle else covariate_value(self._machine.config, name, self._nominal(name))
            for name in model.covariates
        ]
        power = self._nominal("voltage") * self._nominal("current") if self._on() else 0.0
        return z, variance, covariates, [power] * len(model.inputs), opened

    def turn_with(self, scan: Scan) -> None:
        """From here on the angles of a scan's projections are known."""
        self._scan = ScanAngles(scan, self._machine.model.step_s)

    def _turned(self, time: float) -> Array | None:
        """Angle covariates of a step; None where nobody knows the angle."""
        if not self._angles:
            return of_angle([], np.array(0.0))
        known = None if self._scan is None else self._scan.covariates(self._angles, time)
        if known is None and self._angle is not None and time <= self._angle[1]:
            known = of_angle(self._angles, np.array(self._angle[0]))
        return known

    def _still(self) -> Array:
        """Where the angle is unknown outputs stand as at the last one, or at 0."""
        return of_angle(self._angles, np.array(0.0 if self._angle is None else self._angle[0]))

    def _scaled(self, channel: str, quantity: str, cell: Cell) -> tuple[float, float]:
        sigma = cell.sigma
        if not (math.isfinite(sigma) and sigma > 0):
            sigma = DEFAULT_SIGMA.get(quantity, 1.0) * (cell.value if quantity == "flux" else 1.0)
            sigma /= math.sqrt(cell.count)
        if quantity == "flux":
            if cell.value <= 0:
                return math.nan, 1.0
            level, relative = log_reading(cell.value, sigma)
            return level, relative**2
        if quantity == "marker_blur":
            usual, count = self._blur.get(channel, (0.0, 0))
            count = min(count + 1, USUAL_STEPS)
            usual += (cell.value - usual) / count
            self._blur[channel] = usual, count
            return blur_reading(cell.value, sigma, usual)
        return cell.value, sigma**2

    def _nominal(self, quantity: str) -> float:
        if quantity == BEAM_SHIFT:
            return sum(self._held.get(f"{BEAM_SHIFT}.{channel}", 0.0) ** 2 for channel in sorted(self._beam))
        source = self._machine.config.source
        fallback = {"voltage": source.voltage_kv * 1e3, "current": source.current_ua * 1e-6}
        return self._held.get(quantity, fallback.get(quantity, 0.0))

    def _on(self) -> bool:
        return self._nominal("voltage") > TUBE_OFF_V and self._nominal("current") > 0.0

    def _rearmed(self) -> Any:
        """Variance to add when the tube came on or its operating point changed by more than a tenth."""
        n = len(self._machine.model.names)
        now = (self._nominal("voltage"), self._nominal("current")) if self._on() else (0.0, 0.0)
        before, self._operating = self._operating, now
        if before is None or now == (0.0, 0.0):
            return np.zeros(n)
        if before == (0.0, 0.0) or any(abs(a - b) > REARM_FRACTION * b for a, b in zip(now, before, strict=True)):
            return self._machine.rearmed
        self._operating = before  # slow changes add up until they count
        return np.zeros(n)

    def state(self) -> dict[str, Any]:
        """What is held, as JSON-able data."""
        angle = None if self._angle is None else [self._angle[0], self._angle[1] if self._angle[1] < math.inf else None]
        state: dict[str, Any] = {"held": dict(self._held), "operating": self._operating, "angle": angle}
        state["blur"] = {channel: list(usual) for channel, usual in self._blur.items()}
        state["vibration"] = self.vibration.state()
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state` was taken."""
        self._held = dict(state["held"])
        self._blur = {channel: (float(usual), int(n)) for channel, (usual, n) in state.get("blur", {}).items()}
        angle = state.get("angle")
        self._angle = None if angle is None else (float(angle[0]), math.inf if angle[1] is None else float(angle[1]))
        if "vibration" in state:  # a snapshot of before there was any
            self.vibration.restore(state["vibration"])
        operating = state["operating"]
        self._operating = None if operating is None else (float(operating[0]), float(operating[1]))
