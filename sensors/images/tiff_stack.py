"""Series of the images in one TIFF file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sensors.images import stamps
from sensors.images.angles import angles_beside
from sensors.images.series import NAN, Contents, Frame
from sensors.images.tiff_file import pages
from sensors.images.tiff_series import TiffSeries

if TYPE_CHECKING:
    from sensors.images.formats import Request


def open_tiff(path: Path, request: Request) -> TiffSeries:
    """The images of one TIFF file, all as projections.

    Times are those of each image's tag DateTime; a file with one image and no tag has its modification time.
    """
    found = pages(path)
    count = len(found)
    times, clock, notes = stamps.tag_times([page.taken or None for page in found], request.timezone, str(path))
    if not any(page.taken for page in found):
        alone = count == 1
        times, clock, notes = stamps.modified([path]) if alone else [NAN] * count, stamps.MODIFIED if alone else "", []
    angles, said = angles_beside(path.parent, range(count)) if count > 1 else ([NAN], [])
    names = [str(path) if count == 1 else f"{path}, image {k + 1}" for k in range(count)]
    frames = tuple(
        Frame(k, time=t, angle_deg=a, place=name)
        for k, (t, a, name) in enumerate(zip(times, angles, names, strict=True))
    )
    contents = Contents(path.stem, frames, found[0].shape, notes=(*notes, *said), clock=clock)
    return TiffSeries(contents, [(path, page) for page in found])
