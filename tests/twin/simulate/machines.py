"""Configurations small enough for a test: a nano-CT whose marker rides on the object, and one with a wire on a base."""

from __future__ import annotations

from typing import Any

from twin.config import Config, validate
from twin.simulate.scenario import Scenario, validate_scenario


def nano_config(projections: int = 1000, duration_h: float = 34.0, flat_every: int = 0) -> Config:
    channels: list[dict[str, Any]] = [
        {"name": "t_room", "quantity": "temperature", "unit": "degC", "at": "ambient", "sigma": 0.02, "period_s": 10.0},
        {"name": "t_stage", "quantity": "temperature", "unit": "degC", "at": "stage", "sigma": 0.02, "period_s": 10.0},
        {"name": "sample_u", "quantity": "marker_shift", "unit": "px", "marker": "sample", "axis": "u", "sigma": 1.0},
        {"name": "sample_v", "quantity": "marker_shift", "unit": "px", "marker": "sample", "axis": "v", "sigma": 1.0},
        {"name": "i0", "quantity": "flux", "unit": "counts", "sigma": 3.0},
        {"name": "voltage", "quantity": "voltage", "unit": "kV", "period_s": 60.0},
        {"name": "current", "quantity": "current", "unit": "nA", "period_s": 60.0},
    ]
    return _config(
        geometry={"source_object_mm": 300 / 585, "source_detector_mm": 300.0, "pixel_um": 55.0},
        source={"spot_fwhm_um": [0.08, 0.08], "voltage_kv": 30.0, "current_ua": 0.4},
        scan={"projections": projections, "exposure_s": 100.0, "duration_h": duration_h, "flat_every": flat_every},
        node=[{"name": "ambient"}, {"name": "stage", "time_constant_min": 90.0}],
        marker=[{"name": "sample", "kind": "patch", "source_marker_mm": 300 / 585, "mounted_on": "object"}],
        channel=channels,
    )


def wire_config(projections: int = 60, duration_h: float = 2.0, **channel: Any) -> Config:
    """Sub-micron CT with a slanted wire and a sphere on the base at other magnifications than the object."""
    channels: list[dict[str, Any]] = [
        {"name": "wire_n", "quantity": "marker_shift", "unit": "px", "marker": "wire", "axis": "n", "sigma": 0.05},
        {"name": "ball_u", "quantity": "marker_shift", "unit": "px", "marker": "ball", "axis": "u", "sigma": 0.1},
        {"name": "ball_v", "quantity": "marker_shift", "unit": "px", "marker": "ball", "axis": "v", "sigma": 0.1},
        {"name": "shuttle", "quantity": "detector_shift", "unit": "px"},
        {"name": "beam", "quantity": "tube", "unit": "on", "period_s": 20.0},
        {"name": "power", "quantity": "power", "unit": "mW", "period_s": 20.0},
    ]
    if channel:
        channels.append(channel)
    return _config(
        geometry={"source_object_mm": 10.0, "source_detector_mm": 400.0, "pixel_um": 50.0},
        source={"spot_10_percent_um": 0.9, "voltage_kv": 60.0, "current_ua": 10.0},
        scan={"projections": projections, "exposure_s": 5.0, "frames": 4, "duration_h": duration_h, "flat_every": 25},
        marker=[
            {"name": "wire", "kind": "wire", "source_marker_mm": 12.0, "angle_deg": 80.0},
            {"name": "ball", "kind": "sphere", "source_marker_mm": 25.0, "diameter_um": 60.0},
        ],
        channel=channels,
    )


def _config(geometry: dict[str, Any], scan: dict[str, Any], channel: list[dict[str, Any]], **rest: Any) -> Config:
    data = {
        "ctwin": 1,
        "system": {"name": "test"},
        "geometry": {**geometry, "columns": 600, "rows": 500},
        "scan": {**scan, "resolution_limit_um": 1.0},
        "sensor": [{"name": "machine", "kind": "simulated", "scenario": "none"}],
        "channel": [{**entry, "sensor": "machine"} for entry in channel],
        **rest,
    }
    return validate(data, "test")


def scenario(**tables: Any) -> Scenario:
    """Scenario from tables; nothing happens that isn't named."""
    data: dict[str, Any] = {"ctwin_scenario": 1, "name": "test", "settle_h": 1.0, "lead_h": 1.0, **tables}
    return validate_scenario(data, "test")
