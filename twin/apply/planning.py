"""What can be known to go wrong before a correction is computed: another series, another detector, no place to write."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sensors.images.formats import open_series
from sensors.images.series import Series
from sensors.reading import SensorError
from twin.apply.words import HDF5, is_ours
from twin.atomic import OutputError, cause
from twin.export.exporter import Setup

_HEAD_BYTES = 8192  # of a TIFF file of ours, and what it wastes of a block


@dataclass(frozen=True, slots=True)
class Plan:
    """A series that fits, and where its corrected projections go.

    Attributes
    ----------
    series : Series
        Open; closed by whoever planned.
    out : Path
        An HDF5 file by its ending, else a folder.
    """

    series: Series
    out: Path

    @property
    def as_file(self) -> bool:
        """One NXtomo file rather than a folder."""
        return _is_file(self.out)


def plan(projections: Path, out: Path, setup: Setup, *, timezone: str = "UTC") -> Plan:
    """Open the series and check it against scan and detector; check the place that is written to.

    Parameters
    ----------
    projections : Path
        Whatever :func:`sensors.images.formats.open_series` reads.
    out : Path
        With an ending of HDF5 an NXtomo file, else a folder of TIFF files.
    setup : Setup
        With the number of projections in the scan.

    Raises
    ------
    SensorError
        The series can't be opened, has another number of projections than the scan, or another size than the detector.
    OutputError
        ``out`` is there and holds something else, lies in the series' folder, or the disk has no room for it.
    """
    out = out.resolve() if out.is_symlink() else out
    _check_place(projections, out)
    series = open_series(projections, timezone=timezone)
    try:
        _check_series(projections, series, setup)
        _check_space(out, setup)
    except BaseException:
        series.close()
        raise
    return Plan(series, out)


def _is_file(out: Path) -> bool:
    return out.suffix.lower() in HDF5


def _check_place(projections: Path, out: Path) -> None:
    if out.suffix.lower() in (".tif", ".tiff"):
        raise OutputError(f"{out}: TIFF projections are one file each; name a folder, or a file {HDF5[0]} for NXtomo")
    source, target = projections.resolve(), out.resolve()
    if source == target or (projections.is_dir() and source in target.parents):
        raise OutputError(f"{out}: is in the projections to be corrected, which stay as they are; write elsewhere")
    if _is_corrected(projections):
        raise SensorError(f"{projections}: is corrected already; give the projections as they were recorded")
    try:
        if out.exists() and not is_ours(out) and not _is_empty(out):
            raise OutputError(f"{out}: is there already and isn't corrected projections alone; name another place")
    except OSError as error:
        raise OutputError(f"{out}: not written: {cause(error)}") from None
    if out.exists() and out.is_dir() == _is_file(out):
        what = "a folder, which an NXtomo file can't replace" if out.is_dir() else "a file, but a folder is needed"
        raise OutputError(f"{out}: is {what}; name another place")
    above = _above(out)
    if not above.is_dir():
        raise OutputError(f"{out}: {above} is a file, so there can be nothing in it; name another place")


def _is_corrected(projections: Path) -> bool:
    try:
        return projections.exists() and is_ours(projections)
    except OSError:  # told when it is opened
        return False


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _above(out: Path) -> Path:
    """The nearest folder over it that is there."""
    return next(folder for folder in (*out.parents, Path.cwd()) if folder.exists())


def _check_series(projections: Path, series: Series, setup: Setup) -> None:
    shape = series.contents.shape
    if shape != (setup.rows, setup.columns):
        raise SensorError(
            f"{projections}: its images have {shape[0]} × {shape[1]} px, the detector of the configuration {setup.rows} ×"
            f" {setup.columns}; shifts are in its pixels: give the images that it describes, neither cut nor binned"
        )
    count = sum(frame.kind == "projection" for frame in series.contents.frames)
    if count != setup.projections:
        raise SensorError(
            f"{projections}: has {count} projections, the scan {setup.projections}; give the images of this scan, all of them"
        )


def _check_space(out: Path, setup: Setup) -> None:
    needed = setup.projections * (4 * setup.rows * setup.columns + (0 if _is_file(out) else _HEAD_BYTES))
    free = shutil.disk_usage(_above(out)).free
    if needed > free:
        raise OutputError(
            f"{out}: needs {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are free there; free some space or write elsewhere"
        )
