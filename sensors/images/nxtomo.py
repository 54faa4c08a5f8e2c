"""Series of projections in HDF5: NXtomo, the data exchange of synchrotrons, or a lone data set of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from sensors.images import nexus
from sensors.images.exchange import exchange_of, lone_of
from sensors.images.hdf5_file import LinkedData, first_line, images_in, open_hdf5
from sensors.images.hdf5_series import Hdf5Series, Sources
from sensors.images.nexus_streams import monitors_of
from sensors.images.series import NAN, Contents, Frame
from sensors.reading import SensorError

if TYPE_CHECKING:
    from sensors.images.formats import Request


def open_nxtomo(path: Path, request: Request) -> Hdf5Series:
    """Open an HDF5 file of projections.

    NXtomo: ``image_key`` of a detector, its data there or in an NXdata of the entry, through links too. Data exchange:
    ``exchange/data``, ``data_white``, ``data_dark``, ``theta``. Otherwise the only data set of three dimensions.

    Raises
    ------
    SensorError
        Not HDF5, no images, images in a file that is not there, or a filter that is not installed.
    """
    file = open_hdf5(path)
    linked = LinkedData(path)
    try:
        if isinstance(file.get("exchange"), h5py.Group) and "data" in file["exchange"]:
            contents, sources = exchange_of(path, file["exchange"], linked)
        else:
            contents, sources = _nxtomo(path, file, linked, request.timezone)
    except (KeyError, RuntimeError, OSError, ValueError) as error:  # what h5py raises for a corrupt file
        file.close()
        linked.close()
        raise SensorError(f"{path}: corrupt, or not laid out as NXtomo ({first_line(error)}); copy it again") from None
    except BaseException:
        file.close()
        linked.close()
        raise
    return Hdf5Series(contents, sources, [file, linked])


def _nxtomo(path: Path, file: Any, linked: LinkedData, zone: str) -> tuple[Contents, Sources]:
    try:
        entry = nexus.entry_of(path, file)
        detectors = nexus.detectors_of(path, entry)
    except SensorError as error:
        return lone_of(path, file, str(error))
    detector, data = _detector_with_images(path, entry, detectors, linked)
    kinds = nexus.kinds_of(path, detector)
    count, notes = len(kinds), []
    if count != data.shape[0]:
        notes.append(f"{path}: image_key has {count} frames, the images are {data.shape[0]}; the first ones are used")
        kinds = kinds[: data.shape[0]]
    times, clock, said = _times(path, entry, detector, count, zone)
    angles, odd = _angles(path, entry, detector.name.rpartition("/")[2], linked, count)
    notes += [*said, *odd]
    ranks = nexus.ranks_of(kinds)
    use = [k for k, kind in enumerate(kinds) if kind]
    frames = tuple(Frame(ranks[k], kinds[k], times[k], angles[k], f"{path}, frame {k}") for k in use)
    seen = [k for k in use if kinds[k] == "projection"]
    streams, lost = monitors_of(entry, linked, count, seen)
    name = (nexus.text_of(entry["title"][()]) if isinstance(entry.get("title"), h5py.Dataset) else "") or path.stem
    contents = Contents(name, frames, data.shape[1:], tuple(streams), (*notes, *lost), clock)
    return contents, [(data, k) for k in use]


def _detector_with_images(path: Path, entry: Any, detectors: Sequence[Any], linked: LinkedData) -> tuple[Any, Any]:
    """The first detector whose images are there; they may stand in an NXdata of its name instead."""
    for detector in detectors:
        data = linked.get(detector, "data")
        if data is None and len(detectors) == 1:
            count = detector["image_key"].size
            for _, group in nexus.groups(entry):
                if nexus.text_of(group.attrs.get("NX_class", "")) == "NXdata" and "data" in group:
                    found = linked.get(group, "data")
                    data = found if data is None and found is not None and found.shape[:1] == (count,) else data
        if data is not None and data.ndim == 3:
            return detector, images_in(path, data, data.name)
    if linked.lost:
        place, name = next(iter(linked.lost.items()))
        raise SensorError(f"{path}: its images ({place}) are in {name}, which is not there; copy that file beside it")
    raise SensorError(f"{path}: no images under {detectors[0].name}; NXtomo keeps them in data")


def _times(path: Path, entry: Any, detector: Any, count: int, zone: str) -> tuple[Sequence[float], str, list[str]]:
    instrument = [group for _, group in nexus.groups(entry["instrument"])]
    notes = []
    for group in (detector, *instrument):
        if "time" in group or "start_time" in group:
            try:
                times = nexus.times_of(path, group, count, zone)
            except SensorError as error:
                if group == detector:
                    notes.append(f"{error}; not used")
                continue
            name = "time" if "time" in group else "start_time"
            return times.tolist(), f"{group.name}/{name}", notes
    ends = [entry.get(name) for name in ("start_time", "end_time")]
    if all(isinstance(end, h5py.Dataset) for end in ends):
        try:
            begin, end = (nexus.instant_of(path, d.name, nexus.text_of(d[()]), zone) for d in ends if d is not None)
        except SensorError as error:
            return [NAN] * count, "", [*notes, f"{error}; no times"]
        if end > begin:
            clock = f"{entry.name}/start_time to end_time, spread evenly"
            said = (
                f"{path}: no time per frame; the {end - begin:.1f} s of the scan are spread evenly over {count} frames"
            )
            return (begin + (np.arange(count) + 0.5) * (end - begin) / count).tolist(), clock, [*notes, said]
    return [NAN] * count, "", notes


def _angles(path: Path, entry: Any, detector: str, linked: LinkedData, count: int) -> tuple[Sequence[float], list[str]]:
    """``sample/rotation_angle``, or what an NXdata holds beside the images; the detector's own comes first."""
    if "sample" in entry and "rotation_angle" in entry["sample"]:
        try:
            return nexus.rotation_of(path, entry, count).tolist(), []
        except SensorError as error:
            return [NAN] * count, [f"{error}; no angles"]
    for _, group in sorted(nexus.groups(entry), key=lambda item: item[0] != detector):
        if nexus.text_of(group.attrs.get("NX_class", "")) != "NXdata":
            continue
        for name in group:
            if any(word in name.lower() for word in ("theta", "rotation", "angle")):
                data = linked.get(group, name)
                if data is not None and data.shape == (count,) and data.dtype.kind in "uif":
                    said = f"{path}: no sample/rotation_angle; {group.name}/{name} is taken"
                    return data[()].astype(float).tolist(), [said]
    return [NAN] * count, [f"{path}: no sample/rotation_angle, so no angles"]
