"""HDF5 files without NXtomo: the data exchange layout of synchrotrons, or a lone data set of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from sensors.images import nexus
from sensors.images.angles import fitted
from sensors.images.hdf5_file import LinkedData, images_in
from sensors.images.hdf5_series import Sources
from sensors.images.series import NAN, Contents, Frame
from sensors.reading import SensorError


def exchange_of(path: Path, group: Any, linked: LinkedData) -> tuple[Contents, Sources]:
    """Flats and darks stand in data sets of their own, so when they were taken is not known; ``_post`` ones come last."""
    order = sorted((name for name in group if name.startswith(("data_white", "data_dark"))), key=lambda n: "post" in n)
    sets = {name: linked.get(group, name) for name in ("data", *order)}
    if sets["data"] is None:
        away = linked.lost.get("/exchange/data")
        said = (
            f"its images are in {away}, which is not there; copy it beside"
            if away
            else "/exchange/data holds no images"
        )
        raise SensorError(f"{path}: {said}")
    data = images_in(path, sets["data"], "/exchange/data")
    theta = linked.get(group, "theta")
    angles, notes = [NAN] * data.shape[0], [f"{path}: no time per frame, and the order of flats and darks isn't told"]
    if theta is not None and theta.ndim == 1 and theta.dtype.kind in "uif":
        unit = nexus.text_of(theta.attrs.get("units", "")).lower()
        angles, odd = fitted((theta[()] * nexus.DEGREES.get(unit, 1.0)).tolist(), data.shape[0], f"{path}, theta")
        notes += odd
    frames: list[Frame] = []
    sources: Sources = []
    before, after = [n for n in order if "post" not in n], [n for n in order if "post" in n]
    counted: dict[str, int] = {}
    for name in (*before, "data", *after):
        kind = {"data": "projection"}.get(name, "flat" if name.startswith("data_white") else "dark")
        found = sets[name]
        if found is None or found.ndim != 3 or found.shape[1:] != data.shape[1:]:
            notes.append(f"{path}: /exchange/{name} doesn't fit the images; left out")
            continue
        images_in(path, found, f"/exchange/{name}")
        for k in range(found.shape[0]):
            rank = counted.get(kind, 0)
            counted[kind] = rank + 1
            angle = angles[k] if kind == "projection" else NAN
            frames.append(Frame(rank, kind, NAN, angle, f"{path}, {name} {k}"))
            sources.append((found, k))
    return Contents(path.stem, tuple(frames), data.shape[1:], notes=tuple(notes)), sources


def lone_of(path: Path, file: Any, fault: str) -> tuple[Contents, Sources]:
    """The only data set of three dimensions, all of it projections."""
    found: list[Any] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 3 and item.dtype.kind in "uif":
            found.append(item)

    file.visititems(visit)
    if len(found) != 1:
        raise SensorError(f"{fault} (and {len(found)} data sets could be images)")
    data = images_in(path, found[0], found[0].name)
    frames = tuple(Frame(k, place=f"{path}, frame {k}") for k in range(data.shape[0]))
    notes = (f"{path}: no NXtomo; {data.name} is taken as projections, without times and angles",)
    return Contents(path.stem, frames, data.shape[1:], notes=notes), [(data, k) for k in range(data.shape[0])]
