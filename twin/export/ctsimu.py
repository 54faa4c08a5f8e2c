"""CTSimU scenario 1.2: the machine with the drifts of source, stage and detector, and their uncertainty.

World: **(x, y, z) = (w, -u, -v)**, right-handed, origin on the undisplaced axis; the detector's ``vector_u`` and
``vector_w`` make its rows and columns ours, the stage turns counter-clockwise about z for rising ``angle_deg``. A
``drifts`` entry is the deviation from frame 0, one value per frame (CTSimU scenarios, *General structures*), known to the
reconstruction. CTSimU's angles are equally spaced from first to last; what the real ones are off that line is a rotation
of the stage about its own w, among ``deviations``.

CTSimU has one uncertainty for a parameter, not one per frame: the largest σ of the scan is written, and none where a σ is
unknown. Flux, temperatures and materials aren't said: this is a geometry, not a scan to simulate.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from models.correction import Correction
from models.estimate import Array
from twin.atomic import write_atomic
from twin.export.exporter import Setup, check
from twin.export.poses import MM, distances_mm
from twin.export.words import about

# world axis -> (component of u, v, w; sign)
WORLD = {"x": (2, 1.0), "y": (0, -1.0), "z": (1, -1.0)}
WORDS = {
    "frame": "world (x, y, z) = (w, -u, -v), origin on the undisplaced rotation axis; the stage turns counter-clockwise"
    " about z; u, v, w = column, row, source to detector",
    "units": "drifts in um, distances in mm, angles in deg",
    "uncertainty": "largest sigma over the scan of the difference to frame 0; absent where unknown",
}
Json = dict[str, object]


class CtsimuExporter:
    """Writes ``file``, ``geometry``, ``detector`` and ``acquisition`` of a scenario; provenance under ``simulation``."""

    name = "ctsimu"
    filename = "ctsimu_scenario.json"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the scenario; needs a row for every projection of the scan, since CTSimU would interpolate."""
        check(correction, self.name, self.setup.projections)
        distances_mm(correction, self.setup.pose, self.name)
        write_atomic(path, json.dumps(scenario(correction, self.setup), ensure_ascii=False, indent=1, allow_nan=False))


def scenario(correction: Correction, setup: Setup) -> Json:
    """The scenario as a dictionary; ``samples`` and ``materials`` are empty."""
    pose = setup.pose
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(correction.time[0]))).date().isoformat()
    acquisition, deviation = _turn(np.asarray(correction.angle_deg, float))
    stage = {**_part(correction, "object", 0.0), **_axes((1, 0, 0), (0, 0, 1)), "deviations": deviation}
    source = {**_part(correction, "source", -pose.source_object_m * MM), **_axes((0, -1, 0), (1, 0, 0))}
    behind_mm = (pose.source_detector_m - pose.source_object_m) * MM
    detector = {**_part(correction, "detector", behind_mm), **_axes((0, -1, 0), (1, 0, 0))}
    pitch = {"value": pose.pixel_m * MM, "unit": "mm"}
    return {
        "file": {
            "name": correction.scan,
            "description": "geometry of a scan with its drifts, written by ctwin; provenance under simulation.ctwin",
            "contact": None,
            "date_created": day,
            "date_changed": day,
            "version": {"major": 1, "minor": 0},
            "file_type": "CTSimU Scenario",
            "file_format_version": {"major": 1, "minor": 2},
        },
        "environment": None,
        "geometry": {
            "detector": {**detector, "deviations": []},
            "source": {"type": "cone", "beam_divergence": None, **source, "deviations": []},
            "stage": stage,
        },
        "detector": {
            "type": "ideal",
            "columns": {"value": setup.columns, "unit": "px"},
            "rows": {"value": setup.rows, "unit": "px"},
            "pixel_pitch": {"u": pitch, "v": pitch},
        },
        "source": None,
        "samples": [],
        "acquisition": {**acquisition, "number_of_projections": len(correction), "frame_average": 1},
        "materials": [],
        "simulation": {"ctwin": about(correction, "scenario for CTSimU", WORDS)},
    }


def _part(correction: Correction, body: str, along_mm: float) -> Json:
    """``center`` of a body [mm] with its drifts and uncertainty [µm]."""
    moved, sigma = (np.asarray(getattr(correction, f"{body}_um{tail}"), float) for tail in ("", "_std"))
    center: Json = {}
    for axis, (component, sign) in WORLD.items():
        drift = sign * moved[:, component] + 0.0
        center[axis] = {
            "value": along_mm if axis == "x" else 0.0,
            "unit": "mm",
            **_uncertainty(sigma[:, component]),
            "drifts": [{"value": drift.tolist(), "unit": "um", "known_to_reconstruction": True}],
        }
    return {"center": center}


def _uncertainty(sigma_um: Array) -> Json:
    largest = float(sigma_um.max())
    return {"uncertainty": {"value": largest, "unit": "um"}} if np.isfinite(largest) else {}


def _axes(along_u: tuple[int, int, int], along_w: tuple[int, int, int]) -> Json:
    return {
        name: {axis: {"value": value} for axis, value in zip("xyz", vector, strict=True)}
        for name, vector in (("vector_u", along_u), ("vector_w", along_w))
    }


def _turn(angle_deg: Array) -> tuple[Json, list[Json]]:
    """Equally spaced angles between the first and the last, and the rotation that the true ones have beyond them.

    CTSimU wants start <= stop and a direction: ``CW`` counts angles in the negative sense.
    """
    sense = 1.0 if angle_deg[-1] >= angle_deg[0] else -1.0
    start, stop = sense * float(angle_deg[0]), sense * float(angle_deg[-1])
    spaced = np.linspace(angle_deg[0], angle_deg[-1], angle_deg.size)
    acquisition: Json = {
        "start_angle": {"value": start + 0.0, "unit": "deg"},
        "stop_angle": {"value": stop + 0.0, "unit": "deg"},
        "direction": "CCW" if sense > 0 else "CW",
        "scan_mode": "stop+go",
        "scan_speed": None,
        "include_final_angle": True,
    }
    beyond = {"value": (angle_deg - spaced).tolist(), "unit": "deg", "known_to_reconstruction": True}
    amount = {"value": 0.0, "unit": "deg", "drifts": [beyond]}
    return acquisition, [{"type": "rotation", "axis": "w", "amount": amount, "known_to_reconstruction": True}]
