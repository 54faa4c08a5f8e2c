"""Bright and dark image of a series, each bright one at the flux that the correction gives it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from models.estimate import Array, ModelError
from models.imaging.light import Light
from sensors.images.series import Series
from sensors.images.stamps import MODIFIED
from sensors.reading import SensorError
from twin.apply.words import Lights


def light_of(series: Series, flux: Array) -> tuple[Light, Lights]:
    """Light at the flux of the first projection, from all flats and darks of the series.

    ``F = mean((F_i - D)/flux_i)``, so flats before and after a scan whose flux rose agree, and free rays transmit 1.

    Parameters
    ----------
    flux : (N,) array
        Of the projections, relative to the first one.

    Raises
    ------
    SensorError
        One can't be read, or is no bright image.
    """
    frames = series.contents.frames
    flats, darks = ([k for k, frame in enumerate(frames) if frame.kind == kind] for kind in ("flat", "dark"))
    dark = _mean(series, darks, np.ones(len(darks)))
    nearest, by_time = nearest_projections(series, flats)
    flat = _mean(series, flats, flux[nearest], dark)
    if flat is not None and dark is not None:
        flat = flat + dark  # Light takes it off again
    try:
        light = Light.of(flat, dark, series.contents.shape)
    except ModelError as error:
        raise SensorError(f"{frames[flats[0]].place if flats else series.contents.name}: {error}") from None
    return light, Lights(len(flats), len(darks), int(light.dead.sum()), by_time)


def nearest_projections(series: Series, positions: list[int]) -> tuple[list[int], bool]:
    """Which projection (of all, from 0) was taken nearest to each of these frames, and whether times tell it.

    They do where the files have those of all of them (that of a modification isn't one); else the order of the frames counts.
    """
    frames, clock = series.contents.frames, series.contents.clock
    own = [k for k, frame in enumerate(frames) if frame.kind == "projection"]
    times = np.array([frame.time for frame in frames])
    told = clock != MODIFIED and bool(np.isfinite(times[own + positions]).all())
    place = times if told else np.arange(len(frames), dtype=float)
    return [int(np.argmin(np.abs(place[own] - place[k]))) for k in positions], told


def _mean(series: Series, positions: Iterable[int], flux: Array, dark: Array | None = None) -> Array | None:
    total, count = np.zeros(series.contents.shape), 0
    for position, relative in zip(positions, flux, strict=True):
        image = series.image(position)
        total += (image if dark is None else image - dark) / relative
        count += 1
    return total / count if count else None
