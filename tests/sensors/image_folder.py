"""Projections for tests: a dark stripe in TIFF files, and a tracker that needs no model of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tifffile

from models.imaging.fix import Fix, Verdict
from sensors.images import trackers
from sensors.images.region import Region

ROWS, COLUMNS = 12, 40
T0 = 1_700_000_000


def place_of(number: int) -> float:
    """Where the stripe is in a projection [px]; unlike in every other."""
    return 10.0 + 0.01 * (number % 1500)


def stripe(number: int, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    u = np.arange(columns)
    return np.tile(np.round(20000 * (1 - 0.5 * np.exp(-(((u - place_of(number)) / 3.0) ** 2)))), (rows, 1)).astype(
        np.uint16
    )


def data(number: int, *, tag: bool = True, image: np.ndarray | None = None) -> bytes:
    """A TIFF file as bytes; ``tag``: with the time of its projection, one each 10 s."""
    import io

    buffer = io.BytesIO()
    stamp = np.datetime64(T0 + 10 * number, "s").item().strftime("%Y:%m:%d %H:%M:%S") if tag else None
    tifffile.imwrite(buffer, stripe(number) if image is None else image, datetime=stamp)
    return buffer.getvalue()


def name_of(number: int) -> str:
    return f"proj_{number:05d}.tif"


def write(folder: Path, number: int, *, tag: bool = True, modified_s: float | None = None) -> Path:
    path = folder / name_of(number)
    path.write_bytes(data(number, tag=tag))
    if modified_s is not None:
        os.utime(path, (modified_s, modified_s))
    return path


class Centroid:
    """Centre of what is missing of the light; lost where nothing is missing. Fulfils models.imaging.fix.Tracker."""

    def __init__(self, suffixes):
        self.suffixes = suffixes
        self.looks = 0

    def look(self, window, angle_deg=float("nan")):
        self.looks += 1
        if "flux" in self.suffixes:
            return Fix({"flux": float(window.mean()), "structure": 0.0}, {"flux": 1.0, "structure": 0.001})
        missing = window.max() - window.astype(float)
        if missing.max() < 100:
            return Fix.lost("drowned in noise")
        u = float((missing.sum(0) * np.arange(window.shape[1])).sum() / missing.sum())
        values = {"n": u, "u": u, "v": 0.0, "size": 3.0, "blur": 2.0, "angle": 90.0, "contrast": 0.5}
        suspect = window.min() < 9000
        return Fix(
            {k: values[k] for k in self.suffixes}, dict.fromkeys(self.suffixes, 0.01),
            verdict=Verdict.SUSPECT if suspect else Verdict.GOOD, reason="too few counts" if suspect else "",
        )  # fmt: skip


def use_centroid(monkeypatch) -> None:
    """The centroid in place of the trackers of models/imaging."""
    monkeypatch.setattr(trackers, "make", lambda marker, *_, **__: Centroid(trackers.SUFFIXES[marker]))
    monkeypatch.setattr(trackers, "find", _found)
    monkeypatch.setattr(trackers, "placed", lambda marker, found, window: "inside")


def _found(marker, picture, light):
    rows, columns = picture.image.shape
    return [trackers.Finding(Region(4, columns - 4, 0, rows), None)] if np.ptp(picture.image) > 100 else []
