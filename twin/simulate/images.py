"""Projections of a run: a crop of the detector, counted photon by photon, written as NXtomo."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from twin.atomic import write_atomic
from twin.sections import Marker
from twin.simulate.heat import Array
from twin.simulate.instruments import mount_of
from twin.simulate.phantom import depth_of_phantom, depth_of_sphere, depth_of_wire
from twin.simulate.projection import View
from twin.simulate.run import Run
from twin.simulate.spot import penumbra_px
from twin.simulate.streams import stream

Progress = Callable[[int, int], None]
Counts = NDArray[np.uint16]
CHUNK = 16
FILL = 0.42  # radius of the phantom as a part of the crop's smaller side
MARKER_AT = 0.40  # a marker's image stands at this part of the crop's width from its middle


def expected(run: Run, frame: int, crop: tuple[int, int]) -> Array:
    """Expected counts of one frame, (rows, columns), before counting noise."""
    view = View.of(run.config)
    columns, rows = crop
    source, thing, detector = (run.frame_moved_m[body][frame] for body in ("source", "object", "detector"))
    pixels = np.empty((rows, columns, 3))
    pixels[..., 0] = (np.arange(columns) - (columns - 1) / 2.0) * view.pixel_m + detector[0]
    pixels[..., 1] = ((np.arange(rows) - (rows - 1) / 2.0) * view.pixel_m + detector[1])[:, None]
    pixels[..., 2] = view.plane_m + detector[2]
    toward = pixels - source
    toward /= np.linalg.norm(toward, axis=-1, keepdims=True)
    depth = np.zeros((rows, columns))
    if run.frames.is_projection[frame]:
        centre = np.array([0.0, 0.0, view.axis_m]) + thing
        radius = FILL * min(crop) * view.pixel_m * view.axis_m / view.plane_m
        depth += depth_of_phantom(source, toward, centre, float(run.frames.angle_deg[frame]), radius)
    for marker in run.config.markers:
        if marker.mounted_on == "base":
            moved = run.frame_moved_m[mount_of(marker)][frame]
            depth += _depth_of_marker(marker, view, source, toward, moved, columns)
    return np.asarray(
        run.flux_counts[frame] * gaussian_filter(np.exp(-depth), _blur_px(run, frame, view), mode="nearest")
    )


def _depth_of_marker(marker: Marker, view: View, source: Array, toward: Array, moved: Array, columns: int) -> Array:
    place = marker.source_marker_mm * 1e-3
    radius = 0.5e-6 * (marker.diameter_um or 30.0)
    off_axis = MARKER_AT * columns * view.pixel_m * place / view.plane_m
    point = np.array([off_axis, 0.0, place]) + moved
    if marker.kind == "sphere":
        return depth_of_sphere(source, toward, point, radius)
    if marker.kind == "patch":  # a patch is a window on something that is there anyway
        return np.zeros(toward.shape[:-1])
    depth = depth_of_wire(source, toward, point, marker.angle_deg, radius)
    if marker.kind == "cross":
        depth += depth_of_wire(source, toward, point, marker.angle_deg + 90.0, radius)
    return depth


def _blur_px(run: Run, frame: int, view: View) -> tuple[float, float]:
    """σ of detector and focal spot in the image plane, rows then columns [px]."""
    reach = np.array([view.plane_m / view.axis_m - 1.0])
    now, psf = run.spot_fwhm_um[frame : frame + 1], run.config.detector.psf_sigma_px
    u, v = (float(penumbra_px(now, reach, np.array(n), psf, view.pixel_m)[0]) for n in ((1.0, 0.0), (0.0, 1.0)))
    return v, u


def exposures(run: Run, crop: tuple[int, int]) -> Iterator[Counts]:
    """Counted frames in order; photons are Poisson, counts are cut off at the detector's full scale."""
    detector = run.config.detector
    rng = stream(run.seed, "photons")
    top = min(detector.full_scale_counts, 65535.0)
    for frame in range(len(run.frames.time)):
        photons = rng.poisson(expected(run, frame, crop) * detector.photons_per_count)
        yield np.minimum(np.round(photons / detector.photons_per_count), top).astype(np.uint16)


def write_projections(
    run: Run, path: Path, crop: tuple[int, int] = (128, 96), progress: Progress | None = None
) -> None:
    """Write all frames as NXtomo: ``image_key`` 0 projection, 1 flat; rows increase with v (downwards).

    ``time`` per frame in NXdetector is mid-exposure. The file appears when it is complete.

    Parameters
    ----------
    run : Run
    path : Path
    crop : (int, int)
        Columns and rows of the part of the detector around the optical axis.
    progress : callable, optional
        Called with (frames done, frames in all).

    Raises
    ------
    twin.atomic.OutputError
        In one line, when the file can't be written; none is left behind.
    """
    buffer = io.BytesIO()  # on a full disk the HDF5 library leaves a file that it can't close, and ends the process
    with h5py.File(buffer, "w") as file:
        _fill(file, run, crop, progress)
    write_atomic(path, buffer.getvalue())


def _fill(file: Any, run: Run, crop: tuple[int, int], progress: Progress | None) -> None:
    frames, view, total = run.frames, View.of(run.config), len(run.frames.time)
    start = datetime.fromtimestamp(run.scan_start_s, UTC).isoformat()
    file.attrs["default"] = "entry"
    entry = _group(file, "entry", "NXentry")
    entry["definition"] = "NXtomo"
    entry["title"] = run.config.system.name
    entry["start_time"] = start
    instrument = _group(entry, "instrument", "NXinstrument")
    source = _group(instrument, "source", "NXsource")
    source["type"] = "Fixed Tube X-ray"
    source["probe"] = "x-ray"
    _quantity(source, "distance", -view.axis_m, "m")
    detector = _group(instrument, "detector", "NXdetector")
    detector["image_key"] = np.where(frames.is_projection, 0, 1).astype(np.int32)
    _quantity(detector, "x_pixel_size", view.pixel_m, "m")
    _quantity(detector, "y_pixel_size", view.pixel_m, "m")
    _quantity(detector, "distance", view.plane_m - view.axis_m, "m")
    _quantity(detector, "count_time", run.config.scan.exposure_s * run.config.scan.frames, "s")
    _quantity(detector, "time", frames.time - run.scan_start_s, "s").attrs["start"] = start
    sample = _group(entry, "sample", "NXsample")
    sample["name"] = f"simulated phantom, scenario {run.scenario.name}, seed {run.seed}"
    _quantity(sample, "rotation_angle", frames.angle_deg, "degree")
    columns, rows = crop
    data = detector.create_dataset("data", (total, rows, columns), np.uint16, chunks=(1, rows, columns))
    shown = _group(entry, "data", "NXdata")
    shown.attrs["signal"] = "data"
    for name, target in (
        ("data", data),
        ("image_key", detector["image_key"]),
        ("rotation_angle", sample["rotation_angle"]),
    ):
        shown[name] = target
    entry.attrs["default"] = "data"
    held: list[Counts] = []
    for done, counts in enumerate(exposures(run, crop), 1):
        held.append(counts)
        if len(held) == CHUNK or done == total:
            data[done - len(held) : done] = np.stack(held)
            held.clear()
            if progress is not None:
                progress(done, total)


def _group(parent: Any, name: str, nexus: str) -> Any:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nexus
    return group


def _quantity(parent: Any, name: str, value: Any, unit: str) -> Any:
    data = parent.create_dataset(name, data=value)
    data.attrs["units"] = unit
    return data
