"""A disk with a face, drifting in a cone beam, reconstructed by RTK with our geometry files: how sharp its edges are."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from models.blur import Budget
from models.correction import Correction
from models.disk_rim import axial_f10, rim_f10
from models.geometry import CONVENTION, ConeBeam
from tests.oracles.cylinders import Cylinder, Scanner
from tests.oracles.edge_mtf import face, rim
from twin.export import Setup, make

SIDE = Path(__file__).parent.parent / "oracles" / "rtk_reconstruct.py"
NORMALS_DEG = np.arange(8) * 45.0
FINE = 0.43  # voxels per detector pixel at the axis: no simple fraction, so that they lie anywhere between the pixels
PIXELS_AROUND = 14.0  # of the rim that are reconstructed


def rtk_python() -> str:
    """An interpreter that has itk-rtk, or skip."""
    python = os.environ.get("CTWIN_RTK_PYTHON")
    if not python and importlib.util.find_spec("itk") is not None:
        python = sys.executable
    if not python:
        pytest.skip("itk-rtk is not installed; set CTWIN_RTK_PYTHON to an interpreter that has itk-rtk==2.7.0")
    return python


@dataclass(frozen=True)
class Sharpness:
    """MTF10 in cycles per detector pixel at the axis: of the rim by its normals, and of the face along the axis."""

    rim: np.ndarray
    face: float

    @property
    def worst(self) -> float:
        return float(min(self.rim.min(), self.face))


@dataclass(frozen=True)
class Bench:
    """A scanner with its disk: upper half of the field of view empty, a cylinder of ``radius_px`` below."""

    scanner: Scanner
    radius_px: float
    blur_px: float

    @property
    def unit(self) -> float:
        """A detector pixel at the axis [mm]."""
        return self.scanner.pixel / self.scanner.magnification

    def radiographs(self, moved: Correction) -> np.ndarray:
        disk = Cylinder(0.0, 0.0, self.radius_px * self.unit, 0.0, 0.3 * self.scanner.rows * self.unit, 1.0)
        um = 1e-3
        return self.scanner.radiographs(
            [disk], moved.angle_deg, moved.source_um * um, moved.object_um * um, moved.detector_um * um, self.blur_px
        )

    @property
    def pose(self) -> ConeBeam:
        s = self.scanner
        return ConeBeam(s.sod * 1e-3, s.sdd * 1e-3, s.pixel * 1e-3)

    def predicted(self, shift_px: np.ndarray, angle_deg: np.ndarray) -> Sharpness:
        """What the product says of displacements of the image content; of the face by all projections at once."""
        unit, angle = self.unit * 1e-3, np.deg2rad(angle_deg)
        budget = Budget(0.0, self.blur_px * unit, 0.0, 0.0, unit)
        rim = rim_f10(
            budget, shift_px[:, 0] * unit, angle, np.deg2rad(NORMALS_DEG), self.radius_px * unit,
            source_object_m=self.scanner.sod * 1e-3,
        )  # fmt: skip
        return Sharpness(rim * unit, axial_f10(budget, shift_px[:, 1] * unit) * unit)

    def jobs(self, folder: Path, name: str, projections: Path, geometry: Correction) -> dict[str, object]:
        """What RTK is asked for: slices through the disk, and a block about its face (x = u, y = -v, z = -w)."""
        s = self.scanner
        exporter = make("rtk", Setup(self.pose, s.columns, s.rows, len(geometry)))
        path = folder / f"{name}.xml"
        exporter.write(geometry, path)
        step, half = FINE * self.unit, self.radius_px + PIXELS_AROUND
        wide = 2 * round(half / FINE) + 1
        tall = 2 * round(PIXELS_AROUND / FINE) + 1
        slices = [
            [-(wide // 2) * step, -6 * self.unit, -(wide // 2) * step],
            [step, step, step],
            [wide, 1, wide],
        ]
        across = 41
        block = [
            [-(across // 2) * step, -(tall // 2) * step, -(across // 2) * step],
            [step] * 3,
            [across, tall, across],
        ]
        return {
            "projections": str(projections), "geometry": str(path), "pixel": s.pixel, "boxes": [slices, block],
            "out": str(folder / f"{name}.npz"),
        }  # fmt: skip

    def sharpness(self, path: Path) -> Sharpness:
        found = np.load(path)
        slices, block = found["box0"], found["box1"]  # z, y, x
        x = (np.arange(slices.shape[2]) - slices.shape[2] // 2) * FINE
        y = (np.arange(block.shape[1]) - block.shape[1] // 2) * FINE
        planes = np.moveaxis(slices, 1, 0)
        # normals by the stage's angle at which u lies along them: (u, w) = (cos, -sin), so (x, z) = (cos, sin)
        return Sharpness(rim(planes, x, x, self.radius_px, NORMALS_DEG), face(block, -y))


def reconstructed(
    bench: Bench, folder: Path, moved: dict[str, Correction], geometries: dict[str, list[tuple[str, Correction]]]
) -> dict[tuple[str, str], Sharpness]:
    """Sharpness for each motion reconstructed with each of its geometries, by (motion, geometry)."""
    jobs, names = [], []
    for name, motion in moved.items():
        path = folder / f"{name}.npy"
        np.save(path, bench.radiographs(motion)[:, ::-1].astype(np.float32))
        for other, geometry in geometries[name]:
            jobs.append(bench.jobs(folder, f"{name} by {other}", path, geometry))
            names.append((name, other))
    todo = folder / "jobs.json"
    todo.write_text(json.dumps(jobs))
    run = subprocess.run([rtk_python(), SIDE, todo], capture_output=True, text=True, timeout=1500)
    assert run.returncode == 0, run.stderr[-2000:]
    return {name: bench.sharpness(Path(str(job["out"]))) for name, job in zip(names, jobs, strict=True)}


def still(count: int, sense: float = 1.0) -> Correction:
    """A full turn of projections in which nothing moves."""
    zero, none = np.zeros((count, 3)), np.zeros(count)
    return Correction(
        "loop", np.arange(count), 1.7e9 + 10.0 * np.arange(count), sense * 360.0 / count * np.arange(count), zero, zero, zero,
        np.zeros((count, 2)), np.ones(count), np.ones(count), zero, zero, zero, np.zeros((count, 2)), none, none, CONVENTION,
    )  # fmt: skip


def moving(
    pose: ConeBeam, base: Correction, source_um: np.ndarray | None = None, object_um: np.ndarray | None = None
) -> Correction:
    """The same projections with source and object displaced (N, 3)."""
    source = base.source_um if source_um is None else source_um
    axis = base.object_um if object_um is None else object_um
    s, o, d = source * 1e-6, axis * 1e-6, base.detector_um * 1e-6
    return replace(
        base,
        source_um=source,
        object_um=axis,
        shift_px=pose.content_shift_px(s, o, d),
        magnification=pose.magnification_ratio(s, o, d),
    )


def as_shift(pose: ConeBeam, correction: Correction) -> Correction:
    """What a program that can only shift images makes of it: the detector moved the other way."""
    detector = np.zeros_like(correction.source_um)
    detector[:, :2] = -correction.shift_px * pose.pixel_m * 1e6
    zero = np.zeros_like(detector)
    return replace(correction, source_um=zero, object_um=zero, detector_um=detector)
