"""One pass over a series: flat and dark, flux, shift, and out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.correction import Correction
from models.estimate import ModelError
from models.imaging.shift_image import brought_back
from models.imaging.transmission import Transmission
from sensors.reading import SensorError
from twin.apply.lights import light_of
from twin.apply.nxtomo_file import write_nxtomo
from twin.apply.planning import Plan
from twin.apply.tiff_folder import write_folder
from twin.apply.words import Lights, about
from twin.export.exporter import ExportError, Setup, check


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done.

    Attributes
    ----------
    projections : int
    lights : Lights
    left_out : int
        Frames that are neither projection, flat nor dark.
    """

    projections: int
    lights: Lights
    left_out: int


def apply(
    planned: Plan, correction: Correction, setup: Setup, *, progress: Callable[[float], None] | None = None
) -> Applied:
    """Write the projections of a series with flux and shift taken out.

    Every projection is read once and written once; memory is that of some images. Dark and flat come first, for a shift
    moves what a pixel adds and how sensitive it is along with the content.

    Raises
    ------
    ExportError
        The correction is not finite, doesn't fit the scan, or shifts by more than the detector; the flux isn't positive.
    SensorError
        An image can't be read.
    OutputError
        The result can't be written. Nothing is left under its name then, or what was there.
    """
    name = str(planned.out)
    check(correction, name, setup.projections)
    dim = np.flatnonzero(~(correction.flux > 0))
    if dim.size:
        raise ExportError(f"{name}: the flux of projection {int(correction.projection[dim[0]])} is not positive")
    frames = planned.series.contents.frames
    positions = [k for k, frame in enumerate(frames) if frame.kind == "projection"]
    light, lights = light_of(planned.series, correction.flux)
    transmission = Transmission(light)
    words = about(correction, setup, planned.series.contents.name, lights)
    writer = write_nxtomo if planned.as_file else write_folder
    with writer(planned.out, correction, setup, words) as add:
        for k, position in enumerate(positions):
            try:
                image = transmission(planned.series.image(position), float(correction.flux[k]))
                shift = correction.shift_px[k].tolist()
                back = brought_back(image, (shift[0], shift[1]))
            except ModelError as error:
                raise SensorError(f"{frames[position].place}: {error}") from None
            add(k, back.astype(np.float32))
            if progress is not None:
                progress((k + 1) / len(positions))
    return Applied(len(positions), lights, len(frames) - len(positions) - lights.flats - lights.darks)
