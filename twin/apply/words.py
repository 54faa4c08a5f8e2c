"""What a file of corrected projections says about itself, and how one is known again."""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from models.correction import Correction
from sensors.images.hdf5_file import open_hdf5
from sensors.reading import SensorError
from twin.export.exporter import Setup
from twin.export.residual import residual_words

LAYOUT = "ctwin projections 1"
ABOUT, ANGLES = "about.json", "angles.txt"
HDF5 = (".nx", ".nxs", ".h5", ".hdf5", ".hdf")
_OURS = re.compile(rf"projection_\d+\.tif|{re.escape(ABOUT)}|{re.escape(ANGLES)}")


@dataclass(frozen=True, slots=True)
class Lights:
    """What stood beside the projections.

    Attributes
    ----------
    flats, darks : int
        How many were used.
    dead : int
        Pixels that can't tell.
    by_time : bool
        Whether the files tell when flats were taken; else their order counts.
    """

    flats: int
    darks: int
    dead: int
    by_time: bool


def about(correction: Correction, setup: Setup, source: str, lights: Lights) -> dict[str, Any]:
    """Everything that holds for all images, for JSON.

    Parameters
    ----------
    source : str
        Name of the series.
    """
    return {
        "file": LAYOUT,
        "scan": correction.scan,
        "source": source,
        "projections": len(correction),
        "values": _values(lights),
        "flats": _flats(lights),
        "pixels replaced": f"{lights.dead} dead by the flats, and any that is not a number, by the mean of their neighbours",
        "flux": "divided by the flux relative to the first projection's; "
        f"sigma at most {float(correction.flux_std.max()):.3g}",
        "shift": "brought back by the motion of the content: out[row, column] = in(row + shift_v, column + shift_u), so "
        f"that it lies where the first projection has it; sigma at most {float(correction.shift_px_std.max()):.3g} px",
        "interpolation": "cosine transform (decision 26 of ctwin); what came from outside the detector repeats its last"
        " row or column",
        "after that": f"a shift is {residual_words(correction, setup)}; magnification is not applied",
        "use": "flux and shifts are in these images: don't apply tables of the same correction once more",
        "source of the signs": correction.convention,
        "provenance": [list(pair) for pair in correction.provenance],
    }


def _values(lights: Lights) -> str:
    if lights.flats:
        return (
            "transmission, float32: (image - dark)/(flat - dark)"
            if lights.darks
            else "transmission, float32: image/flat"
        )
    return (
        "counts above dark, float32" if lights.darks else "counts, float32; no dark: what the detector adds is in them"
    )


def _flats(lights: Lights) -> str:
    if lights.flats:
        return (
            f"{lights.flats} flats and {lights.darks} darks are used, each flat divided by the flux of the projection nearest"
            f" to it in {'time' if lights.by_time else 'the order of the frames'}; the images need none any more"
        )
    return (
        f"none, {lights.darks} darks are used; the detector's fixed pattern is still there and has moved with the shift"
    )


def of_projection(correction: Correction, k: int) -> dict[str, Any]:
    """What holds for the k-th image alone, for JSON."""
    return {
        "this projection": {
            "index": int(correction.projection[k]),
            "time": float(correction.time[k]),
            "angle_deg": float(correction.angle_deg[k]),
            "shift_px": [float(value) for value in correction.shift_px[k]],
            "flux": float(correction.flux[k]),
        }
    }


def is_ours(path: Path) -> bool:
    """Whether a file or folder is one of corrected projections, and nothing else is in the folder.

    Raises
    ------
    OSError
        It can't be read.
    """
    if path.is_dir():
        names = [item.name for item in path.iterdir()]
        return ABOUT in names and all(map(_OURS.fullmatch, names)) and _says_so((path / ABOUT).read_text("utf-8"))
    if path.suffix.lower() not in HDF5 or not path.is_file():
        return False
    try:
        with closing(open_hdf5(path)) as file:
            said = file.get("entry/process/about")
            return isinstance(said, h5py.Dataset) and said.shape == () and _says_so(said.asstr()[()])
    except (SensorError, TypeError):  # no HDF5, no text
        return False


def _says_so(text: str) -> bool:
    try:
        said = json.loads(text)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("file") == LAYOUT
