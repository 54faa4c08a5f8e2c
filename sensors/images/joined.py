"""A series with flats or darks from other files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from sensors.images.series import Contents, Series
from sensors.reading import SensorError

_ALL = slice(None)


class JoinedSeries:
    """A series whose own flats or darks are replaced by all images of others; they come first.

    Parameters
    ----------
    series : Series
    lights : mapping of str to Series
        By kind, ``flat`` or ``dark``.

    Raises
    ------
    SensorError
        Images of another size.
    """

    def __init__(self, series: Series, lights: Mapping[str, Series]) -> None:
        self._all = [*lights.values(), series]
        shape = series.contents.shape
        for kind, light in lights.items():
            if light.contents.shape != shape:
                sizes = " and ".join(f"{rows} × {columns}" for rows, columns in (light.contents.shape, shape))
                named = light.contents.frames[0].place if light.contents.frames else light.contents.name
                raise SensorError(
                    f"{named}: {kind}s and projections differ in size ({sizes} px); give some of this detector"
                )
        self._places: list[tuple[Series, int]] = []
        frames = []
        for kind, light in lights.items():
            for position, frame in enumerate(light.contents.frames):
                frames.append(replace(frame, index=position, kind=kind))
                self._places.append((light, position))
        for position, frame in enumerate(series.contents.frames):
            if frame.kind not in lights:
                frames.append(frame)
                self._places.append((series, position))
        self._contents = replace(series.contents, frames=tuple(frames))

    @property
    def contents(self) -> Contents:
        """Frames of all, streams and notes of the series itself."""
        return self._contents

    def image(self, position: int, rows: slice = _ALL, columns: slice = _ALL) -> NDArray[Any]:
        """Raw counts of a part of an image; raises as the series that it is from."""
        series, own = self._places[position]
        return series.image(own, rows, columns)

    def close(self) -> None:
        """Close all."""
        for series in self._all:
            series.close()
