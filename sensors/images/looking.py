"""What is looked at in every projection: windows with their trackers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from models.estimate import ModelError
from models.imaging.fix import Fix, Tracker
from models.imaging.light import Light
from sensors.images import trackers
from sensors.images.illumination import Illumination
from sensors.images.region import Region
from sensors.images.series import NAN, Series
from sensors.images.trackers import SUFFIXES, Picture
from sensors.reading import SensorError


class LookError(SensorError):
    """What is asked for can't be looked at in these images at all; no other projection will do better."""


class SizeError(SensorError):
    """A projection of another size than the first one."""


@dataclass(frozen=True, slots=True)
class Look:
    """A marker, or free rays, to be measured in every projection.

    Attributes
    ----------
    name : str
        Beginning of its channels' addresses.
    marker : str
        A key of :data:`sensors.images.trackers.SUFFIXES`.
    window : Region, optional
        Where; without one the marker is found by itself in the first projection.
    diameter_px : float, optional
        Known diameter of its shadow.
    reference : Path, optional
        Images of a patch, or bright ones, to compare with; without them the first one of the series.
    """

    name: str
    marker: str
    window: Region | None = None
    diameter_px: float | None = None
    reference: Path | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses of what it tells, in the order in which they are written."""
        return tuple(f"{self.name}_{suffix}" for suffix in SUFFIXES[self.marker])

    @property
    def kind(self) -> str:
        """Of the frames it is for: flat or projection."""
        return "flat" if self.marker == "bright" else "projection"


@dataclass(slots=True)
class _Eye:
    part: Region
    tracker: Tracker


class Looker:
    """Looks at one projection after the other.

    A marker's tracker is made at the first projection that shows it (the beam may have been off before); until then it is
    lost.

    Parameters
    ----------
    looks : sequence of Look
    illumination : Illumination
    """

    def __init__(self, looks: Sequence[Look], illumination: Illumination) -> None:
        self._looks, self._illumination = tuple(looks), illumination
        self._all_bright = all(look.kind == "flat" for look in looks)
        self._eyes: dict[str, _Eye] = {}
        self._shape = (0, 0)

    @property
    def windows(self) -> Mapping[str, Region]:
        """Windows by look, of those that were seen yet."""
        return {name: eye.part for name, eye in self._eyes.items()}

    def look(self, series: Series, position: int, angle_deg: float = NAN) -> dict[str, Fix]:
        """Measure in one image everything that is for its kind, and in any image what is bright where all looks are; by look.

        Raises
        ------
        SensorError
            It can't be read; no tracker has moved.
        LookError
            A window lies outside the images, or the bright images don't fit them.
        """
        shape, place = series.contents.shape, series.contents.frames[position].place
        if self._shape not in ((0, 0), shape):
            sizes = f"{shape[0]} × {shape[1]} px, the first projection {self._shape[0]} × {self._shape[1]}"
            raise SizeError(f"{place}: has {sizes}; it belongs to another scan")
        kind = series.contents.frames[position].kind
        looks = [look for look in self._looks if self._all_bright or look.kind == kind]
        for look in looks:
            if look.window is not None and not look.window.inside(shape):
                raise LookError(
                    f"{place}: window {look.window} of {look.name} lies outside its {shape[0]} rows and {shape[1]} columns"
                )
        whole = Region(0, shape[1], 0, shape[0])
        parts = [self.windows.get(look.name, look.window or whole) for look in looks]
        cut = [series.image(position, part.rows, part.columns) for part in parts]  # all of it, before a tracker moves
        self._shape = shape
        fixes = {}
        for look, window in zip(looks, cut, strict=True):
            eye = self._eyes.get(look.name) or self._eye(look, series, position, angle_deg)
            if eye is None:
                fixes[look.name] = Fix.lost("not found")
                continue
            if look.name not in self._eyes:
                self._eyes[look.name] = eye
                window = series.image(position, eye.part.rows, eye.part.columns)
            fixes[look.name] = eye.tracker.look(window, angle_deg)
        return fixes

    def _eye(self, look: Look, series: Series, position: int, angle_deg: float) -> _Eye | None:
        """Tracker of a look from this image on; None where its marker isn't found."""
        place, shape = series.contents.frames[position].place, series.contents.shape
        try:
            part, guess = look.window or Region(0, shape[1], 0, shape[0]), None
            if look.marker in trackers.FOUND:
                found = self._found(look, series, position, (part, part.grown(shape)) if look.window else (part,))
                if found is None:
                    return None
                part, guess = found.region, found.guess
            image, light = self._part(series, position, part)
            first, reference = Picture(image, angle_deg), self._reference(look, part)
            tracker = trackers.make(
                look.marker, first, light, guess=guess, diameter_px=look.diameter_px, reference=reference
            )
            return _Eye(part, tracker)
        except ModelError as error:
            raise LookError(f"{place}: {look.name}: {error}") from None
        except SensorError as error:
            raise LookError(str(error)) from None

    def _part(self, series: Series, position: int, part: Region) -> tuple[NDArray[Any], Light]:
        image = series.image(position, part.rows, part.columns)
        return image, self._illumination.light(series, part, image.dtype)

    def _found(self, look: Look, series: Series, position: int, areas: Sequence[Region]) -> trackers.Finding | None:
        """The marker in its window, or the clearest one; a narrow window may not do to find it, but what is around it."""
        for area in areas:
            image, light = self._part(series, position, area)
            for one in trackers.find(look.marker, Picture(image), light):
                found = trackers.Finding(one.region.moved(area.u0, area.v0), one.guess)
                if look.window is None:
                    return found
                guess = trackers.placed(look.marker, found, look.window)
                if guess is not None:
                    return trackers.Finding(look.window, guess)
        return None

    def _reference(self, look: Look, part: Region) -> list[Picture]:
        if look.reference is None:
            return []
        series = self._illumination.open(look.reference)
        try:
            return [
                Picture(series.image(position, part.rows, part.columns), frame.angle_deg)
                for position, frame in enumerate(series.contents.frames)
                if frame.kind in ("projection", "reference", look.kind)
            ]
        finally:
            series.close()
