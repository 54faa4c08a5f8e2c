"""A synthetic but realistic scan of 34 hours for looking at the status page; needs nothing of the product's physics."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

START = dt.datetime(2026, 3, 3, 7, 30, tzinfo=dt.UTC)
STEP_S = 60.0
STEPS = 2040
LIMIT_UM = 0.150
STATIC_UM = 0.118
HORIZON_S = 8 * 3600.0


def iso(time_s: float) -> str:
    return dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Feeder:
    """States and samples of the scan, one per minute of machine time."""

    def __init__(self, seed: int = 7) -> None:
        random = np.random.default_rng(seed)
        hours = np.arange(STEPS) * STEP_S / 3600
        self.time = START.timestamp() + np.arange(STEPS) * STEP_S
        room = 21.4 + 0.45 * np.sin(2 * np.pi * (hours - 5) / 24) + 0.06 * np.sin(2 * np.pi * hours / 0.7)
        for opened in (2.2, 6.8, 9.5, 25.1, 30.0):
            room -= 0.5 * np.exp(-np.clip(hours - opened, 0, None) / 0.25) * (hours >= opened)
        self.room = room + 0.01 * random.standard_normal(STEPS)
        self.stage = _lag(room, 2.0)
        self.column = _lag(room, 0.6) + 3.1 * (1 - np.exp(-hours / 1.5))
        walk = np.cumsum(random.standard_normal((STEPS, 3)), axis=0) * np.sqrt(STEP_S / 3600) * (0.015, 0.02, 0.05)
        thermal = np.outer(self.stage - self.stage[0], (0.10, 0.32, 0.05)) + np.outer(
            self.column - self.column[0], (0.012, -0.02, 0.1)
        )
        self.spot = walk + thermal
        self.std = 0.006 + 0.004 * np.abs(np.sin(hours))[:, None] * (1, 1, 4)
        self.correction = self.spot + 0.3 * self.std * np.sin(np.arange(STEPS) / 40)[:, None]
        self.flux = 1 + 0.03 * np.exp(-hours / 1.2) - 0.0012 * hours + 0.0006 * random.standard_normal(STEPS)
        self.flux[hours > 21.3] -= 0.02
        blur = np.array([self.spot[: i + 1, :2].std(axis=0).max() for i in range(STEPS)])
        self.half_pitch = np.hypot(STATIC_UM, 1.05 * blur)
        self.corrected = np.hypot(STATIC_UM, 0.02 + 0.12 * blur)

    def sample(self, i: int) -> dict[str, float | None]:
        row: dict[str, float | None] = {"time_s": float(self.time[i])}
        for k, axis in enumerate("uvw"):
            row[f"spot_{axis}_um"] = self.spot[i, k]
            row[f"spot_{axis}_std_um"] = self.std[i, k]
            row[f"correction_{axis}_um"] = self.correction[i, k]
        row["shift_u_px"], row["shift_v_px"] = (float(self.spot[i, k] / 0.094) for k in (0, 1))
        row["flux_relative"] = None if 700 < i < 725 else self.flux[i]
        row["half_pitch10_um"], row["corrected_half_pitch10_um"] = self.half_pitch[i], self.corrected[i]
        row["loss_uncorrected"] = 1 - STATIC_UM / self.half_pitch[i]
        row["loss_corrected"] = 1 - STATIC_UM / self.corrected[i]
        row |= {
            "temperature.room": self.room[i],
            "temperature.stage": self.stage[i],
            "temperature.column": self.column[i],
        }
        return {name: None if value is None else float(value) for name, value in row.items()}

    def state(self, i: int, alerts: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        now, sample = float(self.time[i]), self.sample(i)
        return {
            "ctwin": "0.1.0", "system": "xrm2-nanoct", "site": "lab-1", "simulated": True,
            "time": iso(now), "time_s": now,
            "scan": {
                "name": "cement-07", "projection": 1 + i * 1000 // STEPS, "projections": 1000, "started": iso(self.time[0]),
                "fraction": i / STEPS,
            },
            "spot": {
                axis: {"mean_um": sample[f"spot_{axis}_um"], "std_um": sample[f"spot_{axis}_std_um"],
                       "correction_um": sample[f"correction_{axis}_um"]}
                for axis in "uvw"
            },
            "shift": {axis: {"mean_px": sample[f"shift_{axis}_px"], "std_px": 0.06} for axis in "uv"},
            "temperatures": [
                {"name": name, "mean_degc": sample[f"temperature.{name}"], "std_k": 0.01}
                for name in ("room", "stage", "column")
            ],
            "flux": {"relative": float(self.flux[i]), "std": 0.0005, "counts": float(3400 * self.flux[i])},
            "resolution": {
                "convention": "half-pitch at 10 % MTF in the object plane, on the axis",
                "half_pitch10_um": float(self.half_pitch[i]),
                "static_half_pitch10_um": STATIC_UM, "corrected_half_pitch10_um": float(self.corrected[i]),
                "limit_um": LIMIT_UM, "f10_lp_per_mm": float(500 / self.half_pitch[i]),
                "loss_uncorrected": sample["loss_uncorrected"], "loss_corrected": sample["loss_corrected"],
            },
            "forecast": self._forecast(i),
            "alerts": [] if alerts is None else alerts,
            "sensors": self._sensors(i),
            "consistency": {"nis_mean": 1.03, "misfit": 0.42, "gated": 4},
            "pipeline": {"journal_rows": 6 * i, "spool_bytes": 18_432, "spool_oldest_s": 3.2, "step_ms": 0.41},
        }  # fmt: skip

    def _forecast(self, i: int) -> dict[str, Any]:
        made = self.time[i - i % 10]
        ahead = np.arange(1, 49) * HORIZON_S / 48
        slope = max(float(self.half_pitch[i] - self.half_pitch[max(i - 120, 0)]) / 7200, 0.0)
        curves = {}
        for name, base, rate, width in (
            ("uncorrected", self.half_pitch[i], slope, 0.006),
            ("corrected", self.corrected[i], 0.1 * slope, 0.0015),
        ):
            mean = base + rate * ahead * np.exp(-ahead / 3e4)
            spread = width * np.sqrt(ahead / 3600)
            curves[f"{name}_half_pitch10_um"] = {
                "mean": mean.tolist(), "low": (mean - 1.6 * spread).tolist(), "high": (mean + 2 * spread).tolist()
            }  # fmt: skip
        end = curves["uncorrected_half_pitch10_um"]
        risk = float(1 / (1 + np.exp(-(end["mean"][-1] - LIMIT_UM) / 0.006)))
        return {
            "made_at_s": float(made), "time_s": (made + ahead).tolist(), **curves, "limit_um": LIMIT_UM,
            "probability_of_loss": risk,
        }  # fmt: skip

    def _sensors(self, i: int) -> list[dict[str, Any]]:
        def channel(name: str, quantity: str, unit: str, value: float | None, **more: Any) -> dict[str, Any]:
            return {
                "name": name, "quantity": quantity, "unit": unit, "value": value, "sigma": None, "quality": "simulated",
                "age_s": 4.0 + i % 7, "stale": False, "drops": {}, **more,
            }  # fmt: skip

        return [
            {"name": "lab", "kind": "mqtt", "state": "ok", "message": "connected to mqtt://127.0.0.1:1883", "channels": [
                channel("t_room", "temperature", "degC", float(self.room[i]), sigma=0.02),
                channel("t_stage", "temperature", "degC", float(self.stage[i]), sigma=0.02,
                        drops={"late": 3, "duplicate": 1}),
                channel("t_column", "temperature", "degC", float(self.column[i]), sigma=0.05, age_s=214.0, stale=True),
            ]},
            {"name": "projections", "kind": "images", "state": "ok", "message": "", "channels": [
                channel("cross_u", "marker_shift", "px", float(self.spot[i, 0] / 0.094), sigma=0.08),
                channel("cross_v", "marker_shift", "px", float(self.spot[i, 1] / 0.094), sigma=0.08),
                channel("i0", "flux", "counts", float(3400 * self.flux[i]), sigma=2.0),
            ]},
            {"name": "door", "kind": "modbus", "state": "retrying",
             "message": "connection refused by 10.0.0.7:502; next attempt in 30 s", "channels": [
                channel("t_door", "temperature", "degC", None, age_s=None, stale=True, quality="invalid"),
            ]},
        ]  # fmt: skip


def alert(i: int = 0, **more: Any) -> dict[str, Any]:
    """An active alert such as the service publishes."""
    return {
        "id": "resolution-about-to-be-lost:1", "name": "resolution-about-to-be-lost", "state": "active-unacknowledged",
        "severity": "major", "since": iso(START.timestamp() + STEP_S * i),
        "message": "Resolution after correction passes 10 % loss within 120 min with probability 0.94.",
        "guidance": "Pause after the current projection, take reference images, or accept corrections only.",
        "acknowledged": False, "simulated": True, **more,
    }  # fmt: skip


def _lag(values: np.ndarray, hours: float) -> np.ndarray:
    out = np.empty_like(values)
    out[0] = values[0]
    gain = STEP_S / 3600 / hours
    for i in range(1, len(values)):
        out[i] = out[i - 1] + gain * (values[i - 1] - out[i - 1])
    return out
