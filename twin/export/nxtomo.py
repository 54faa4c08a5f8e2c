"""NXtomo with the recorded motion: translations of the sample, and the chains of sample, source and detector.

A record, not a correction, and without images. Coordinate system McStas, **(x, y, z) = (-u, -v, w)**: y up, z along the
beam, origin on the undisplaced axis. ``entry/sample/{x,y,z}_translation`` [m, with ``@units``: readers disagree on what a
missing unit means] is the object's displacement. The groups ``transformations`` (NXtransformations) say the whole geometry: a
point of the sample is turned by ``rotation_angle`` about y, then moved by ``x``, ``y``, ``z``; source and centre of the
detector stand where their chains take the origin; ``detector_module`` has the steps of a column and a row.

No program corrects by these fields. Beside the images of a scan ``y_translation`` is harmful: nabu 2026.1.2 takes it for a
wider field of view and fails, and a range of ``z_translation`` over 10 px for a helix. Copy ``transformations`` only.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import h5py
import numpy as np

from models.correction import Correction
from models.estimate import Array
from twin.atomic import write_atomic
from twin.export.exporter import Setup, check
from twin.export.nexus import group, quantity
from twin.export.poses import displacements_mm, distances_mm
from twin.export.words import about, printable

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
TURN = np.array([-1.0, -1.0, 1.0])  # u, v, w -> x, y, z
WORDS = {
    "frame": "NeXus coordinate system McStas, (x, y, z) = (-u, -v, w): y up, z along the beam; origin on the undisplaced"
    " rotation axis; u, v, w = column, row, source to detector",
    "units": "m, degree, as their @units say; one entry per projection, flats and darks not counted",
    "use": "a record. nabu must not see y_translation beside images (it fails) nor a large z_translation (helix)",
}


class NxTomoExporter:
    """Writes an entry with ``sample``, ``instrument`` and ``process``, without images."""

    name = "nxtomo"
    filename = "nxtomo_motion.nx"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the file; needs a row for every projection of the scan, since frames are known by position."""
        check(correction, self.name, self.setup.projections)
        distances_mm(correction, self.setup.pose, self.name)
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.attrs.update(NX_class="NXroot", default="entry")
            _fill(group(file, "entry", "NXentry"), correction, self.setup)
        write_atomic(path, buffer.getvalue())


def _fill(entry: h5py.Group, correction: Correction, setup: Setup) -> None:
    pose = setup.pose
    source, sample, detector = (TURN * moved * 1e-3 + 0.0 for moved in displacements_mm(correction))
    angle = np.asarray(correction.angle_deg, float)
    entry.attrs["NeXus_Coordinate_System"] = "McStas"
    entry.attrs["version"] = 2.0  # of nxtomo: the first with McStas
    entry["definition"], entry["title"] = "NXtomo", printable(correction.scan)

    body = group(entry, "sample", "NXsample")
    body["name"] = printable(correction.scan)
    quantity(body, "rotation_angle", angle, "degree")
    for i, axis in enumerate(AXES):
        quantity(body, f"{axis}_translation", sample[:, i], "m")
    chain = _chain(body, sample)
    turn = quantity(chain, "rotation_angle", angle, "degree")
    turn.attrs.update(transformation_type="rotation", vector=AXES["y"], depends_on="x")
    body["depends_on"] = "transformations/rotation_angle"

    instrument = group(entry, "instrument", "NXinstrument")
    spot = group(instrument, "source", "NXsource")
    _chain(spot, source - np.array([0.0, 0.0, pose.source_object_m]))
    spot["depends_on"] = "transformations/x"

    panel = group(instrument, "detector", "NXdetector")
    _chain(panel, detector + np.array([0.0, 0.0, pose.source_detector_m - pose.source_object_m]))
    panel["depends_on"] = "transformations/x"
    panel["image_key"] = np.zeros(len(correction), np.int32)
    quantity(panel, "distance", pose.source_detector_m - pose.source_object_m, "m")
    for axis in "xy":
        quantity(panel, f"{axis}_pixel_size", pose.pixel_m, "m")
    _module(panel, setup)

    process = group(entry, "process", "NXprocess")
    process["program"] = "ctwin"
    process["about"] = json.dumps(about(correction, "motion as NXtomo", WORDS))


def _chain(body: h5py.Group, place_m: Array) -> h5py.Group:
    """Translations x, then y, then z, that take the origin to ``place_m`` (N, 3)."""
    chain = group(body, "transformations", "NXtransformations")
    for i, (axis, then) in enumerate(zip(AXES, ("y", "z", "."), strict=True)):
        step = quantity(chain, axis, place_m[:, i], "m")
        step.attrs.update(transformation_type="translation", vector=AXES[axis], depends_on=then)
    return chain


def _module(panel: h5py.Group, setup: Setup) -> None:
    """Steps of a column and of a row, and the way from the detector's centre to the centre of its first pixel."""
    module = group(panel, "detector_module", "NXdetector_module")
    pixel_m = setup.pose.pixel_m
    first = np.array([(setup.columns - 1) / 2, (setup.rows - 1) / 2, 0.0]) * pixel_m
    away = float(np.linalg.norm(first))
    steps = {
        "module_offset": (away, first / away if away else AXES["x"], f"{panel.name}/transformations/x"),
        "fast_pixel_direction": (pixel_m, TURN * AXES["x"] + 0.0, "module_offset"),
        "slow_pixel_direction": (pixel_m, TURN * AXES["y"] + 0.0, "module_offset"),
    }
    for name, (length_m, vector, depends_on) in steps.items():
        step = quantity(module, name, length_m, "m")
        step.attrs.update(transformation_type="translation", vector=vector, depends_on=depends_on)
    module["data_origin"], module["data_size"] = [0, 0], [setup.rows, setup.columns]
