"""Series of the TIFF images in a folder, one projection per file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sensors.images import stamps
from sensors.images.angles import angles_beside
from sensors.images.folder_files import Files, logged_files, sorted_files
from sensors.images.names import number_of
from sensors.images.series import NAN, Contents, Frame, Stream
from sensors.images.tiff_series import Source, TiffSeries, shape_of
from sensors.reading import SensorError

if TYPE_CHECKING:
    from sensors.images.formats import Request
    from sensors.images.scan_log import ScanLog


@dataclass(slots=True)
class _Told:
    """What is known of the projections beside their images."""

    times: Sequence[float]
    clock: str
    angles: Sequence[float]
    streams: Sequence[Stream] = ()
    notes: Sequence[str] = ()


def open_folder(folder: Path, request: Request, log: ScanLog | None = None) -> TiffSeries:
    """The TIFF images of a folder, each file one image, in the order of the numbers in their names.

    Flats and darks are recognised by their names, or by those of the folders they are in. Where the folder itself has no
    projections, those of its only other folder are taken.

    Parameters
    ----------
    log : ScanLog, optional
        What the console says of them; without it times come from the files, and angles from a text file beside them.

    Raises
    ------
    SensorError
        There is no projection, or none that can be read, or it isn't clear where they are.
    """
    files = logged_files(folder, request, log) if log is not None else sorted_files(folder, request)
    projections = files.of["projection"]
    if not projections:
        where = folder if log is None else f"{log.path}: its folder"
        raise SensorError(
            f"{where}{':' * (log is None)} holds no TIFF images of projections{files.said()}; name their folder"
        )
    told = _by_log(files, log, request) if log is not None else _by_files(projections, request)
    shape, odd = shape_of(projections)
    frames: list[Frame] = []
    sources: list[Source] = []
    for kind, paths in files.of.items():
        if kind == "projection":
            times, angles = told.times, told.angles
        elif kind == "reference" and log is not None and log.references is not None:
            rows, _ = log.references.rows_of([log.references.index_in(path.stem) or 0 for path in paths])
            times = [NAN if k is None else log.references.time[k] for k in rows]
            angles = [NAN if k is None else log.references.angle_deg[k] for k in rows]
        else:
            times, angles = _light_times(paths, told.clock, request), [NAN] * len(paths)
        for k, path in enumerate(paths):
            frames.append(Frame(k, kind, times[k], angles[k], str(path)))
            sources.append((path, None))
    contents = Contents(
        name=log.prefix.rstrip("_-~ ") if log is not None else folder.name,
        frames=tuple(frames),
        shape=shape,
        streams=tuple(told.streams),
        notes=(*files.notes, *told.notes, *odd),
        clock=told.clock,
    )
    return TiffSeries(contents, sources)


def _by_log(files: Files, log: ScanLog, request: Request) -> _Told:
    projections = files.of["projection"]
    numbers = [n if (n := log.index_in(path.stem)) is not None else number_of(path.stem) or 0 for path in projections]
    rows, odd = log.rows_of(numbers)
    times, clock, said = log.times_of(rows, stamps.modified(projections) if log.offset_s else ())
    if not clock:
        times, clock, more = stamps.stamps_of(projections, request.timezone)
        said = [*said, *more]
    angles = [NAN if k is None else log.angle_deg[k] for k in rows]
    return _Told(times, clock, angles, log.streams_of(rows), (*log.notes, *odd, *said))


def _by_files(paths: Sequence[Path], request: Request) -> _Told:
    times, clock, notes = stamps.stamps_of(paths, request.timezone)
    places, missing = _places(paths)
    angles, odd = angles_beside(paths[0].parent, places)
    return _Told(times, clock, angles, (), (*notes, *missing, *odd))


def _places(paths: Sequence[Path]) -> tuple[list[int], list[str]]:
    """Place of each image in the order of the numbers in the names, and whether some are missing."""
    numbers = [number for path in paths if (number := number_of(path.stem)) is not None]
    steps = [b - a for a, b in pairwise(numbers)]
    if len(numbers) < len(paths) or not steps or min(steps) < 1:
        return list(range(len(paths))), []
    step = min(steps)
    places = [(number - numbers[0]) // step for number in numbers]
    missing = places[-1] + 1 - len(places)
    if not missing or any((number - numbers[0]) % step for number in numbers) or missing > len(places):
        return list(range(len(paths))), []
    first = next(a for a, b in pairwise(numbers) if b - a > step) + step
    return places, [f"{paths[0].parent}: {missing} images are missing between the others (first: number {first})"]


def _light_times(paths: Sequence[Path], clock: str, request: Request) -> list[float]:
    if clock == stamps.MODIFIED:
        return stamps.modified(paths)
    if clock == stamps.TAG:
        return stamps.stamps_of(paths, request.timezone)[0]
    return [NAN] * len(paths)
