"""A Waygate (phoenix datos|x) scan as a whole: ``.pcp``, ``.pcj`` and ``.pca`` together, and the images beside them.

``.pca`` (INI) holds what was set: tube, geometry, names of the calibration images, pixel pitch. ``NAMEASO_.pcp`` and ``.pcj``
are logs of the images taken again after the scan. The other two are described in :mod:`sensors.vendor.waygate` and
:mod:`sensors.vendor.waygate_pcj`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sensors.images.scan_log import ScanLog
from sensors.images.series import NAN, Stream
from sensors.reading import SensorError
from sensors.vendor.ini import number_in, read_ini
from sensors.vendor.waygate import PcpLog, read_pcp
from sensors.vendor.waygate_pcj import PcjTable, filled, read_pcj, refined

if TYPE_CHECKING:
    from sensors.images.formats import Request
    from sensors.images.tiff_series import TiffSeries

_AGAIN = "ASO_"


def open_waygate(path: Path, request: Request) -> TiffSeries:
    """The images beside a ``.pcp``, ``.pcj`` or ``.pca``."""
    from sensors.images.tiff_folder import open_folder

    return open_folder(path.parent, request, read_waygate_run(path, request.timezone))


def read_waygate_run(path: Path, timezone: str = "UTC") -> ScanLog:
    """What the files of a Waygate scan tell of the projections.

    Streams are called as the columns: ``U``, ``I``, ``MeanGV``, ``XDShift``, and ``XS``, ``YS``, ``ZS``, ``XD``.

    Parameters
    ----------
    path : Path
        Any of the three files; the others are found beside it.
    timezone : str
        Where the console's clock stood, as an IANA name.
    """
    stem = path.with_suffix("")
    log = _rows(stem, timezone)
    again = stem.with_name(stem.name + _AGAIN)
    if again.with_suffix(".pcp").exists() or again.with_suffix(".pcj").exists():
        log = replace(log, references=_rows(again, timezone))
    settings = stem.with_suffix(".pca")
    if settings.exists():
        kinds, notes = _settings(settings)
        log = replace(log, kinds=kinds, notes=(*log.notes, *notes))
    return log


def scans_among(folder: Path, names: Sequence[str]) -> list[str]:  # noqa: ARG001 (readers share their arguments)
    """Logs of scans, not of the images taken again after one."""
    return [name for name in names if not Path(name).stem.endswith(_AGAIN)]


def _rows(stem: Path, timezone: str) -> ScanLog:
    pcp_path, pcj_path = stem.with_suffix(".pcp"), stem.with_suffix(".pcj")
    pcj = read_pcj(pcj_path) if pcj_path.exists() else None
    if pcp_path.exists():
        return _both(pcp_path, read_pcp(pcp_path, timezone), pcj_path, pcj)
    if pcj is None:
        raise SensorError(
            f"{stem}: neither .pcp nor .pcj is there, so nothing is known of single projections; copy them"
        )
    return ScanLog(
        path=pcj_path,
        prefix=stem.name,
        number=pcj.number.tolist(),
        time=[NAN] * len(pcj.number),
        angle_deg=pcj.angle_deg.tolist(),
        streams=_positions(pcj, pcj.number),
        notes=[f"{pcj_path}: no .pcp beside it, so no tube voltage, current and flux"],
        offset_s=filled(pcj.seconds),
    )


def _both(pcp_path: Path, log: PcpLog, pcj_path: Path, pcj: PcjTable | None) -> ScanLog:
    times, angle, clock, notes = log.time, log.angle_deg, f"{pcp_path.name}, column Time (whole seconds)", list[str]()
    streams = _columns(log)
    if pcj is not None:
        row = {n: k for k, n in enumerate(pcj.number.tolist())}
        found = np.array([row.get(n, -1) for n in log.projection.tolist()])
        better = refined(np.floor(log.time), np.where(found >= 0, pcj.seconds[found], NAN))
        if better is None:
            notes.append(
                f"{pcj_path}: its milliseconds don't fit the .pcp's clock; times are that clock's whole seconds"
            )
        else:
            times, clock = better[0], f"{pcj_path.name}, TimeStamp on the clock of the .pcp (±{better[1]:.2f} s)"
        angle = np.where(found >= 0, pcj.angle_deg[found], log.angle_deg)
        streams += _positions(pcj, log.projection)
    unused = int(np.count_nonzero(~log.use))
    if unused:
        notes.append(f"{pcp_path}: {unused} rows have Use 0: the console left these images out")
    return ScanLog(
        path=pcp_path,
        prefix=pcp_path.stem,
        number=log.projection.tolist(),
        time=times.tolist(),
        angle_deg=angle.tolist(),
        streams=streams,
        clock=clock,
        notes=notes,
    )


def _columns(log: PcpLog) -> list[Stream]:
    columns = (
        ("U", "voltage", "kV", log.voltage_kv),
        ("I", "current", "uA", log.current_ua),
        ("MeanGV", "flux", "counts", log.flux),
        ("XDShift", "detector_shift", "px", log.detector_shift_px),
    )
    return [Stream(name, quantity, unit, tuple(values.tolist())) for name, quantity, unit, values in columns]


def _positions(pcj: PcjTable, numbers: NDArray[np.int64]) -> list[Stream]:
    row = {n: k for k, n in enumerate(pcj.number.tolist())}
    found = [row.get(n) for n in numbers.tolist()]
    return [
        Stream(name, "displacement", "mm", tuple(NAN if k is None else float(values[k]) for k in found))
        for name, values in pcj.position_mm.items()
    ]


def _settings(path: Path) -> tuple[dict[str, str], list[str]]:
    """Kinds of the calibration images by name, and what a user should know of the set values."""
    values = read_ini(path, "General")
    kinds = {}
    for key, kind in (("gainimg", "flat"), ("mgainimg", "flat"), ("offsetimg", "dark")):
        name = PureWindowsPath(values.get(("calibimages", key), "")).name.lower()
        if name:
            kinds[name] = kind
    notes = []
    left, top, right, bottom = (number_in(values, "CT", key) for key in ("Wnd_L", "Wnd_T", "Wnd_R", "Wnd_B"))
    if left is not None and top is not None and right is not None and bottom is not None:
        notes.append(f"{path.name}: MeanGV is the mean of columns {left:.0f}–{right:.0f}, rows {top:.0f}–{bottom:.0f}")
    amplitude = number_in(values, "DetectorShift", "Amplitude")
    if number_in(values, "DetectorShift", "Enable") == 1.0 and amplitude is not None:
        notes.append(f"{path.name}: the detector is shuttled by up to {amplitude:g} px between images (XDShift)")
    return kinds, notes
