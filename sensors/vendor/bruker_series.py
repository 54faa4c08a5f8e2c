"""The images of a Bruker SkyScan beside their ``.log``, with the shifts that the scanner measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sensors.images.scan_log import ScanLog
from sensors.images.series import NAN, Stream
from sensors.reading import SensorError
from sensors.vendor.bruker import measured_nodes
from sensors.vendor.bruker_log import BrukerLog, read_log

if TYPE_CHECKING:
    from sensors.images.formats import Request
    from sensors.images.tiff_series import TiffSeries


def open_bruker(path: Path, request: Request) -> TiffSeries:
    """The images that a SkyScan ``.log`` describes; streams ``TS_u``, ``TS_v``, voltage and current."""
    from sensors.images.tiff_folder import open_folder

    return open_folder(path.parent, request, read_bruker_log(path, request.timezone))


def read_bruker_log(path: Path, timezone: str = "UTC") -> ScanLog:
    """What a SkyScan's log tells of the projections.

    ``TS_u``, ``TS_v`` have values at the measured projections only; between them the scanner interpolates
    (:mod:`sensors.vendor.bruker`). Voltage and current are what was set, the same for all.
    """
    log = read_log(path, timezone)
    count = max(log.projections, int(float(log.sections.get(("acquisition", "number of files"), ("0",))[0])))
    index = np.arange(count, dtype=np.int64)
    notes = [f"{path}: the log has no time per projection; they are equally spaced over the scan"]
    streams = [
        Stream("Source Voltage (kV)", "voltage", "kV", (log.voltage_kv,) * count),
        Stream("Source Current (uA)", "current", "uA", (log.current_ua,) * count),
    ]
    try:
        nodes = measured_nodes(path, log)
    except SensorError as error:
        nodes = None
        notes.append(f"{error}; no shifts")
    if nodes is not None:
        for k, name in enumerate(("TS_u", "TS_v")):
            values = np.full(count, NAN)
            inside = nodes.index < count
            values[nodes.index[inside]] = nodes.shift_px[inside, k]
            streams.append(Stream(name, "marker_shift", "px", tuple(values.tolist())))
        notes.append(
            f"{path}: {len(nodes.index)} shifts were measured and the image files are already shifted "
            f"({log.shift_file or 'TS modified'}); values as written, the content had moved the other way"
        )
    elif not log.shift_measured:
        notes.append(f"{path}: no line 'TS modified at', so the scanner measured no shifts")
    prefix = log.sections.get(("acquisition", "filename prefix"), (path.stem,))[0] or path.stem
    return ScanLog(
        path=path,
        prefix=prefix,
        number=index.tolist(),
        time=log.mid_exposure(index).tolist(),
        angle_deg=(index * log.rotation_step_deg).tolist(),
        streams=streams,
        clock=f"{path.name}, equally spaced",
        notes=notes,
    )


def scans_among(folder: Path, names: Sequence[str]) -> list[str]:
    """Logs of SkyScan scans; not those of reconstructions, of other programs, nor the one above connected scans."""
    logs: list[tuple[str, BrukerLog]] = []
    for name in names:
        try:
            logs.append((name, read_log(folder / name)))
        except SensorError:
            continue
    scans = [(name, log) for name, log in logs if not Path(name).stem.lower().endswith("_rec")]
    parts = [name for name, _ in scans if "~" in name]
    whole = {
        name
        for name, log in scans
        if log.connected_scans > 1 and any(part.startswith(Path(name).stem + "~") for part in parts)
    }
    return [name for name, _ in scans if name not in whole]
