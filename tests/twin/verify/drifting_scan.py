"""A scan with drift, noise, flats and readings, on disk as a user has it; radiographs by the independent projector."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import tifffile

from tests.oracles.cylinders import Cylinder, Scanner

SCANNER = Scanner(0.5073, 42.99, 0.05, 224, 64)
UNIT_MM = SCANNER.pixel / SCANNER.magnification  # a pixel at the axis
BLUR_PX = 1.0
RADIUS_PX = 85.0
BORE_PX = (10.0, 6.0, 26.0)  # u, w, radius
START, CADENCE_S = 1772438400.0, 60.0
COUNTS, DARK = 45000.0, 100.0
FLUX_RISE = 0.03
MARKER_NOISE_PX, MARKER_MM = 0.3, 0.5

CONFIG = f"""ctwin = 1
[system]
name = "bench"
[geometry]
source_object_mm = {SCANNER.sod}
source_detector_mm = {SCANNER.sdd}
pixel_um = 50.0
columns = {SCANNER.columns}
rows = {SCANNER.rows}
[source]
spot_fwhm_um = [0.03, 0.03]
voltage_kv = 60.0
current_ua = 10.0
[detector]
psf_sigma_px = {BLUR_PX}
[scan]
projections = 360
exposure_s = 50.0
duration_h = 6.0
resolution_limit_um = 3.0
[[node]]
name = "ambient"
[drift.source]
random_walk_um_per_sqrt_h = [1.0, 1.0, 0.01]
[[marker]]
name = "ball"
kind = "sphere"
source_marker_mm = {MARKER_MM}
[[sensor]]
name = "logger"
kind = "csv"
path = "readings.csv"
[[channel]]
name = "ball_u"
sensor = "logger"
quantity = "marker_shift"
unit = "px"
marker = "ball"
axis = "u"
sigma = {MARKER_NOISE_PX}
[[channel]]
name = "ball_v"
sensor = "logger"
quantity = "marker_shift"
unit = "px"
marker = "ball"
axis = "v"
sigma = {MARKER_NOISE_PX}
[[channel]]
name = "i0"
sensor = "logger"
quantity = "flux"
unit = "counts"
"""


@dataclass(frozen=True)
class Drifting:
    """Files of a scan, and what really happened.

    ``source_um`` is the true displacement of the source (N, 3), ``line`` its noise-free line integrals (N, rows, columns).
    """

    folder: Path
    angle_deg: np.ndarray
    source_um: np.ndarray
    line: np.ndarray

    @property
    def projections(self) -> Path:
        nx = self.folder / "scan.nx"
        return nx if nx.exists() else self.folder / "images"

    def command(self, *more: str) -> list[str]:
        f = self.folder
        return [
            "verify", str(f / "bench.toml"), "--scan", str(f / "scan.csv"), "--readings", str(f / "readings.csv"),
            "--projections", str(self.projections), "--out", str(f / "out"), *more,
        ]  # fmt: skip


def cylinders() -> list[Cylinder]:
    """A disk with a bore and a face at the height of the source: edges in every direction."""
    u = UNIT_MM
    below = 0.3 * SCANNER.rows * u
    return [
        Cylinder(4.0 * u, -6.0 * u, RADIUS_PX * u, 0.0, below, 10.0),
        Cylinder(*(c * u for c in BORE_PX), 0.0, below, -10.0),
    ]


def drift_px(count: int, size: float, walking: float, seed: int = 4) -> np.ndarray:
    """Motion of the content (N, 2): an exponential that dies away, and a random walk."""
    t = np.arange(count) / count
    walk = np.cumsum(np.random.default_rng(seed).normal(size=(count, 2)), axis=0) / np.sqrt(count)
    warm = (1.0 - np.exp(-t / 0.3))[:, None] * np.array([3.0, -2.0])
    moved = size * (warm + walking * walk)
    return np.asarray(moved - moved[0])


def make(
    folder: Path,
    *,
    count: int = 360,
    range_deg: float = 360.0,
    size: float = 1.0,
    walking: float = 0.8,
    nxtomo: bool = False,
    sign: float = 1.0,
) -> Drifting:
    """Write a scan; ``sign`` -1 gives readings of a marker that claims the opposite."""
    rng = np.random.default_rng(7)
    angle = np.arange(count) * range_deg / count
    moved = drift_px(count, size, walking)
    source = np.zeros((count, 3))
    source[:, :2] = -moved * SCANNER.pixel / (SCANNER.magnification - 1.0)  # mm
    zero = np.zeros_like(source)
    line = SCANNER.radiographs(cylinders(), angle, source, zero, zero, BLUR_PX)
    flux = 1.0 + FLUX_RISE * np.arange(count) / count
    gain = rng.uniform(0.8, 1.2, (SCANNER.rows, SCANNER.columns))
    raw = rng.poisson(COUNTS * gain * flux[:, None, None] * np.exp(-line)) + DARK
    flats = rng.poisson(COUNTS * gain, (20, *gain.shape)) + DARK
    darks = np.full((2, *gain.shape), DARK)
    frames = np.concatenate([darks, flats, raw]).astype(np.uint16)
    key = [2] * len(darks) + [1] * len(flats) + [0] * count
    (folder / "bench.toml").write_text(CONFIG)
    time = START + CADENCE_S * np.arange(count)
    stamps = [datetime.fromtimestamp(t, UTC).isoformat() for t in time]
    rows = [f"{k},{stamps[k]},{angle[k]},projection" for k in range(count)]
    (folder / "scan.csv").write_text("\n".join(["# ctwin scan 1", "projection,time,angle_deg,kind", *rows, ""]))
    marker = -(SCANNER.sdd / MARKER_MM - 1.0) * source[:, :2] / SCANNER.pixel * sign
    seen = marker + MARKER_NOISE_PX * rng.normal(size=(count, 2))
    lines = []
    for k in range(count):
        lines += [f"{stamps[k]},ball_u,{seen[k, 0]:.4f}", f"{stamps[k]},ball_v,{seen[k, 1]:.4f}"]
        lines.append(f"{stamps[k]},i0,{50000.0 * flux[k] * (1 + 0.001 * rng.normal()):.1f}")
    (folder / "readings.csv").write_text("\n".join(["# ctwin readings 1", "time,channel,value", *lines, ""]))
    if nxtomo:
        with h5py.File(folder / "scan.nx", "w") as file:
            entry = file.create_group("entry")
            entry.attrs["NX_class"] = "NXentry"
            entry["instrument/detector/data"] = frames
            entry["instrument/detector/image_key"] = np.array(key)
    else:
        (folder / "images").mkdir()
        words = {0: "p", 1: "flat", 2: "dark"}
        for k, (kind, image) in enumerate(zip(key, frames, strict=True)):
            tifffile.imwrite(folder / "images" / f"{words[kind]}_{k:04d}.tif", image)
    return Drifting(folder, angle, source * 1e3, line)
