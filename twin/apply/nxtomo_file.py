"""Corrected projections as one NXtomo file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from models.correction import Correction
from sensors.timestamps import iso
from twin import __version__
from twin.apply.beside import beside
from twin.apply.steady import SteadyFile
from twin.export.exporter import Setup
from twin.export.nexus import group, quantity
from twin.export.words import printable

Add = Callable[[int, NDArray[Any]], None]


@contextmanager
def write_nxtomo(path: Path, correction: Correction, setup: Setup, about: dict[str, Any]) -> Iterator[Add]:
    """Give a function that writes the k-th projection; the file has its name only once all are in it.

    ``image_key`` is 0 throughout: flats and darks are used up. What was done stands in ``entry/process``: ``about``
    (JSON), ``shift`` [px] (N, 2) along u, v and ``flux`` [1] (N,) that were taken out. No ``control`` is written, for
    programs would divide by it once more.

    Raises
    ------
    OutputError
        It can't be written.
    """
    with beside(path) as making, closing(SteadyFile(making)) as steady:
        try:
            with h5py.File(steady, "w") as file:
                images = _begin(file, correction, setup, about)

                def add(k: int, image: NDArray[Any]) -> None:
                    images[k] = image
                    steady.check()

                yield add
        except OSError:
            steady.check()  # HDF5 may stumble over what could not be written before it is told
            raise
        steady.finish()
        steady.close()  # before it is renamed


def _begin(file: h5py.File, correction: Correction, setup: Setup, about: dict[str, Any]) -> h5py.Dataset:
    """All but the images."""
    pose, count = setup.pose, len(correction)
    file.attrs.update(NX_class="NXroot", default="entry")
    entry = group(file, "entry", "NXentry")
    entry["definition"], entry["title"] = "NXtomo", printable(correction.scan)
    # version of nxtomo: the first with McStas
    entry.attrs.update(default="data", NeXus_Coordinate_System="McStas", version=2.0)

    instrument = group(entry, "instrument", "NXinstrument")
    quantity(group(instrument, "source", "NXsource"), "distance", -pose.source_object_m, "m")
    panel = group(instrument, "detector", "NXdetector")
    images = panel.create_dataset("data", (count, setup.rows, setup.columns), np.float32)
    images.attrs["units"] = "1"
    panel["image_key"] = panel["image_key_control"] = np.zeros(count, np.int32)
    quantity(panel, "distance", pose.source_detector_m - pose.source_object_m, "m")
    for axis in "xy":
        quantity(panel, f"{axis}_pixel_size", pose.pixel_m, "m")
    quantity(panel, "time", correction.time - correction.time[0], "s").attrs["start"] = iso(float(correction.time[0]))

    sample = group(entry, "sample", "NXsample")
    sample["name"] = printable(correction.scan)
    quantity(sample, "rotation_angle", correction.angle_deg, "degree")
    shown = group(entry, "data", "NXdata")
    shown.attrs["signal"] = "data"
    shown["data"], shown["image_key"] = images, panel["image_key"]
    shown["rotation_angle"] = sample["rotation_angle"]

    process = group(entry, "process", "NXprocess")
    process["program"], process["version"] = "ctwin", __version__
    process["about"] = json.dumps(about)
    quantity(process, "shift", correction.shift_px, "px")
    quantity(process, "flux", correction.flux, "1")
    return images
