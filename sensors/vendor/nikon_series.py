"""The images of a Nikon (X-Tek) scan beside its ``_ctdata.txt`` and ``.xtekct`` (INI), which holds what was set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sensors.images.scan_log import ScanLog
from sensors.images.series import NAN, Stream
from sensors.images.window import MOST_FRAMES
from sensors.vendor.ini import number_in, read_ini
from sensors.vendor.nikon import BEGUN, read_ctdata

if TYPE_CHECKING:
    from sensors.images.formats import Request
    from sensors.images.tiff_series import TiffSeries

_STREAMS = (("XraykV", "voltage", "kV"), ("XrayuA", "current", "uA"))


def open_nikon(path: Path, request: Request) -> TiffSeries:
    """The images beside a ``_ctdata.txt`` or ``.xtekct``, with kV and µA as set (streams ``XraykV``, ``XrayuA``)."""
    from sensors.images.tiff_folder import open_folder

    return open_folder(path.parent, request, read_nikon(path, request.timezone))


def read_nikon(path: Path, timezone: str = "UTC") -> ScanLog:
    """What a Nikon console's files tell of the projections; ``path`` is either of them, the other is found beside it."""
    folder = path.parent
    settings = [path.name] if path.suffix.lower() == ".xtekct" else scans_among(folder, _ending(folder, ".xtekct"))
    data = [path] if path.suffix.lower() == ".txt" else [folder / name for name in _ending(folder, "_ctdata.txt")]
    values = read_ini(folder / settings[0], "XTekCT") if settings else {}
    notes = [] if settings else [f"{folder}: no .xtekct, so tube voltage and current are unknown"]
    streams = [(name, quantity, unit, number_in(values, "Xrays", name)) for name, quantity, unit in _STREAMS]
    prefix = values.get(("xtekct", "name"), "") or BEGUN.sub("", folder.resolve().name).strip()
    time: Sequence[float]
    if data:
        table = read_ctdata(data[0])
        begun = table.begun(timezone)
        number, angle, clock = table.number.tolist(), table.angle_deg.tolist(), f"{data[0].name} and the folder's name"
        time = [NAN] * len(number) if begun is None else (begun + table.seconds).tolist()
        offset = table.seconds.tolist() if begun is None else ()
    else:
        count = int(min(number_in(values, "XTekCT", "Projections") or 0, MOST_FRAMES))
        first, step = (number_in(values, "XTekCT", key) for key in ("InitialAngle", "AngularStep"))
        number, time, offset, clock = list(range(1, count + 1)), [NAN] * count, (), ""
        angle = [NAN if first is None or step is None else first + k * step for k in range(count)]
        notes.append(f"{folder}: no _ctdata.txt, so angles are those of equal steps, and times those of the images")
    return ScanLog(
        path=data[0] if data else path,
        prefix=prefix,
        number=number,
        time=time,
        angle_deg=angle,
        streams=[Stream(n, q, u, (value,) * len(number)) for n, q, u, value in streams if value is not None],
        clock=clock,
        notes=notes,
        offset_s=offset,
    )


def scans_among(folder: Path, names: Sequence[str]) -> list[str]:  # noqa: ARG001 (readers share their arguments)
    """Of several ``.xtekct`` (each reconstruction adds one) the scan's own, which has the shortest name."""
    return sorted(names, key=lambda name: (len(name), name))[:1]


def _ending(folder: Path, ending: str) -> list[str]:
    return sorted(item.name for item in folder.iterdir() if item.name.lower().endswith(ending))
