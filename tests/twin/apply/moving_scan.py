"""A scan whose truth is known at every point: blobs that move over a detector with a pattern, in a beam that brightens."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import tifffile

from models.correction import Correction
from models.geometry import ConeBeam
from twin.export import Setup, conformance

ROWS, COLUMNS, COUNT = 60, 72, 7
V, U = np.mgrid[:ROWS, :COLUMNS].astype(float)
SETUP = Setup(ConeBeam(10e-3, 50e-3, 50e-6), COLUMNS, ROWS, COUNT)
RISE = 1.08  # flux of the last projection
_RNG = np.random.default_rng(11)
GAIN, DARK = 20000.0 * _RNG.uniform(0.8, 1.2, (ROWS, COLUMNS)), _RNG.uniform(90.0, 110.0, (ROWS, COLUMNS))


def transmission(k: int, shift: np.ndarray) -> np.ndarray:
    """Of the k-th projection, whose content has moved by this: blobs that fade within the image; they turn with k."""
    u0, v0 = 36.0 + 2.0 * np.sin(k), 29.0 + 0.3 * k
    u, v = U - shift[0], V - shift[1]
    return np.exp(
        -0.9 * np.exp(-((u - u0) ** 2 + (v - v0) ** 2) / 18.0)
        - 0.4 * np.exp(-((u - 30.0) ** 2 + (v - 30.0) ** 2) / 14.0)
    )


def correction(count: int = COUNT) -> Correction:
    """Sub-pixel shifts along both axes and a flux that rises; the first projection is the reference."""
    k = np.arange(count, dtype=float)
    return dataclasses.replace(
        conformance.correction(count),
        shift_px=np.column_stack([0.37 * k, -0.21 * k]),
        flux=np.linspace(1.0, RISE, count),
    )


def counts(k: int) -> np.ndarray:
    given = correction()
    return GAIN * given.flux[k] * transmission(k, given.shift_px[k]) + DARK


def frames() -> list[tuple[int, np.ndarray]]:
    """image_key and counts: a dark and flats before, flats at the risen flux after."""
    before = [(2, DARK), (1, GAIN + DARK), (1, GAIN + DARK)]
    return [*before, *((0, counts(k)) for k in range(COUNT)), (1, RISE * GAIN + DARK), (2, DARK)]


def write_series(path: Path, *, lights: bool = True) -> Path:
    """As NXtomo where the name ends so, else as a folder of TIFF files; float32, so that nothing is rounded to counts."""
    kept = [(key, image.astype(np.float32)) for key, image in frames() if lights or key == 0]
    if path.suffix == ".nx":
        with h5py.File(path, "w") as file:
            entry = file.create_group("entry")
            entry.attrs["NX_class"] = "NXentry"
            entry["instrument/detector/data"] = np.array([image for _, image in kept])
            entry["instrument/detector/image_key"] = np.array([key for key, _ in kept])
    else:
        path.mkdir()
        words = {0: "p", 1: "flat", 2: "dark"}
        for k, (key, image) in enumerate(kept):
            tifffile.imwrite(path / f"{words[key]}_{k:03d}.tif", image)
    return path
