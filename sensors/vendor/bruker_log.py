"""Scan logs (``.log``, ``.oog``) of Bruker SkyScan scanners: INI-like text that differs between programs.

Keys differ in upper and lower case, repeat, and come in two layouts of date and duration. Read here are logs of
SkyScan 1172, 1272 and 2214 (habi/BrukerSkyScanLogfileRuminator); Bruker publishes no description.

``Study Date and Time`` is when the log was written, at the END of the scan, and ``Scan duration`` lies before it.
The logs show it: the reference series of the 1272 ends at 07:28:56 after 10:22 min, so it began 3 s after the date
of the scan it follows (07:18:31), and a 2214 log tells that its images were modified at 15:12 although the scan
would have run until 15:32 had it begun at its date.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from sensors.reading import SensorError
from sensors.timestamps import WallClock
from sensors.vendor.scan_table import ScanTable
from sensors.vendor.small_text import read_small

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DATE = re.compile(
    r"(?:(?P<month>[A-Za-z]{3})\w* +(?P<day>\d+), +|(?P<day2>\d+) +(?P<month2>[A-Za-z]{3})\w* +)(?P<year>\d{4})"
    r" +(?P<clock>\d+h?:\d+m?:\d+s?)"
)
_CLOCK = re.compile(r"(\d+)h?:(\d+)m?:(\d+)s?")
_MOST = 1e6  # projections of a scan, millimetres, kilovolts: more is a slip
_APPLIED = re.compile(r"(\d+) of (\d+) projections")


@dataclass(frozen=True, slots=True)
class BrukerLog:
    """What a scan log says.

    Attributes
    ----------
    name : str
        File name without its ending.
    start, duration_s : float
        Begin of the scan [s since 1970] and its length [s]; the date in the log is the scan's end.
    projections : int
        Images of the scan; where the log counts one file more than images were shifted (SkyScan 1172), the latter.
    source_object_mm, source_detector_mm : float
        Distances of the rotation axis and of the camera from the source [mm].
    camera_pixel_um : float
        Pixel of the camera, unbinned [µm].
    binning : int
        Pixels per image pixel and axis.
    voltage_kv, current_ua : float
        Tube voltage [kV] and current [µA].
    exposure_ms, frames
        Exposure of one frame [ms] and frames averaged per projection.
    rotation_step_deg : float
        Angle between projections [deg].
    shift_measured : bool
        Whether drift was measured and the images shifted: the line ``TS modified at`` is there. Without it
        ``Maximum vertical TS`` is a default of the program. With it the image files are the shifted ones.
    shift_file : str
        Name of the file of the shifts that were applied; empty when none were.
    connected_scans : int
        Number of scans at different heights that make one reconstruction; each has a log of its own.
    sections : mapping
        Every key of the file: section, key (both in lower case) to its values in order.
    """

    name: str
    start: float
    duration_s: float
    projections: int
    source_object_mm: float
    source_detector_mm: float
    camera_pixel_um: float
    binning: int
    voltage_kv: float
    current_ua: float
    exposure_ms: float
    frames: int
    rotation_step_deg: float
    shift_measured: bool
    shift_file: str
    connected_scans: int
    sections: Mapping[tuple[str, str], tuple[str, ...]] = field(repr=False)

    @property
    def pixel_um(self) -> float:
        """Pixel of the images on the camera [µm]."""
        return self.camera_pixel_um * self.binning

    def mid_exposure(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Time of the middle of a projection [s since 1970].

        The log holds no time per projection; they are taken as equally spaced over the scan's duration,
        which neglects pauses for flat fields (``FF updating interval``) and the way of the stage.
        """
        return self.start + (index + 0.5) / self.projections * self.duration_s

    @property
    def scan(self) -> ScanTable:
        """Mid-exposure times and angles (from 0, in steps as logged)."""
        index = np.arange(self.projections, dtype=np.int64)
        angle = index.astype(np.float64) * self.rotation_step_deg
        return ScanTable(self.name, index, self.mid_exposure(index), angle)


@dataclass(frozen=True, slots=True)
class ReferenceSeries:
    """The few images taken after a scan, against which its projections are compared (``.oog``).

    Attributes
    ----------
    files : int
        Number of reference images.
    rotation_step_deg : float
        Angle between them [deg].
    """

    files: int
    rotation_step_deg: float


def read_log(path: Path, timezone: str = "UTC") -> BrukerLog:
    """Read a scan's ``.log``; raises SensorError naming file, key and mend.

    Parameters
    ----------
    timezone : str
        Where the console's clock stood, as an IANA name.
    """
    keys = _Keys(path)
    duration = _duration(keys, "scan duration")
    averaging = keys.text("frame averaging")
    applied = keys.texts("ts modified at")
    counted = _APPLIED.search(applied[-1]) if applied else None
    files = int(keys.number("number of files"))
    shifted_by = keys.texts("ts modified according to")
    return BrukerLog(
        name=path.stem,
        start=WallClock(timezone).seconds(_date(keys)) - duration,
        duration_s=duration,
        projections=(min(int(counted[2]), files) or files) if counted else files,
        source_object_mm=keys.number("object to source (mm)"),
        source_detector_mm=keys.number("camera to source (mm)"),
        camera_pixel_um=keys.number("camera pixel size (um)", "system"),
        binning=_first_integer(keys.text("camera binning"), 1),
        voltage_kv=keys.number("source voltage (kv)"),
        current_ua=keys.number("source current (ua)"),
        exposure_ms=keys.number("exposure (ms)"),
        frames=_first_integer(averaging, 1) if averaging.upper().startswith("ON") else 1,
        rotation_step_deg=keys.number("rotation step (deg)"),
        shift_measured=bool(applied),
        shift_file=PureWindowsPath(shifted_by[-1]).name if shifted_by else "",
        connected_scans=int(keys.number("number of connected scans")) if keys.texts("number of connected scans") else 1,
        sections={key: tuple(values) for key, values in keys.values.items()},
    )


def read_references(path: Path) -> ReferenceSeries:
    """Read the log of the reference series (``.oog``)."""
    keys = _Keys(path)
    return ReferenceSeries(int(keys.number("number of files")), keys.number("rotation step (deg)"))


class _Keys:
    """All keys of a file; errors name the file and the key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[tuple[str, str], list[str]] = {}
        section = ""
        for line in read_small(path).split("\n"):
            if line.startswith("[") and line.rstrip().endswith("]"):
                section = line.strip()[1:-1].casefold()
            elif "=" in line:
                key, _, value = line.partition("=")
                self.values.setdefault((section, key.strip().casefold()), []).append(value.strip())
        if not any(section == "acquisition" for section, _ in self.values):
            raise SensorError(f"{path}: no section [Acquisition]; this is no SkyScan log")

    def texts(self, key: str, section: str = "acquisition") -> list[str]:
        return self.values.get((section, key), [])

    def text(self, key: str, section: str = "acquisition") -> str:
        if not self.texts(key, section):
            raise SensorError(
                f"{self.path}: [{section.title()}] has no {key!r}; the log is cut off or of an unknown kind"
            )
        return self.texts(key, section)[0]

    def number(self, key: str, section: str = "acquisition") -> float:
        text = self.text(key, section)
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 < value < _MOST:
            raise SensorError(f"{self.path}: {key!r} is {text!r}, not a positive number; correct the log")
        return value


def _first_integer(text: str, default: int) -> int:
    found = re.search(r"\d+", text)
    return int(found[0]) if found else default


def _duration(keys: _Keys, key: str) -> float:
    found = _CLOCK.fullmatch(keys.text(key))
    if found is None:
        raise SensorError(f"{keys.path}: {key!r} is {keys.text(key)!r}; known are 08:55:50 and 14h:4m:44s")
    hours, minutes, seconds = (int(part) for part in found.groups())
    return 3600.0 * hours + 60.0 * minutes + seconds


def _date(keys: _Keys) -> datetime:
    text = keys.text("study date and time")
    found = _DATE.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        clock = _CLOCK.fullmatch(found["clock"])
        # month names are English whatever the machine's locale, so strptime's %b won't do
        month = _MONTHS.index((found["month"] or found["month2"]).lower()) + 1
        hour, minute, second = (int(part) for part in clock.groups()) if clock else (0, 0, 0)
        return datetime(int(found["year"]), month, int(found["day"] or found["day2"]), hour, minute, second)
    except ValueError:
        known = "'Feb 22, 2018  21:18:41' and '22 Feb 2018  07h:18m:31s'"
        raise SensorError(f"{keys.path}: 'Study Date and Time' is {text!r}; known are {known}") from None
