"""A wire's profile averaged over a tracked series, as the projections are and shifted back, as numbers and a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array, ModelError
from models.geometry import wire_normal
from models.imaging.mean_profile import MeanProfiles, mean_profiles
from models.imaging.profile_sharpness import Sharpening, profile_sharpness
from sensors.channel import Channel
from sensors.csv_log import read_readings
from sensors.images.illumination import Illumination
from sensors.images.region import Region
from sensors.images.series import Series
from sensors.reading import Quality, SensorError
from twin.profile_picture import profile_svg
from twin.track import Curve

AROUND_PX = 40.0  # of the wire's middle, to either side


@dataclass(frozen=True, slots=True)
class Averaged:
    """Averaged profiles and what they say.

    Attributes
    ----------
    profiles : MeanProfiles
    found : Sharpening
    """

    profiles: MeanProfiles
    found: Sharpening

    def picture(self, name: str) -> str:
        """As SVG."""
        return profile_svg(self.profiles, self.found, name)

    def line(self) -> str:
        """In words."""
        before, after = self.found.before, self.found.after
        return (
            f"averaged profile of {self.profiles.projections} projections: blur (sigma) {before.blur[0]:.3f} ± "
            f"{before.blur[1]:.2g} px as they are, {after.blur[0]:.3f} ± {after.blur[1]:.2g} px shifted back; "
            f"line spread {self.found.ratio[0]:.3f} ± {self.found.ratio[1]:.2g} times narrower"
        )


def averaged(
    series: Series,
    illumination: Illumination,
    part: Region,
    seen: tuple[Curve, Curve],
    shifts: tuple[Array, Array] | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Averaged:
    """Average the window over the projections in which the wire was seen; closes the series.

    Parameters
    ----------
    part : Region
        Window of the wire.
    seen : (Curve, Curve)
        Its place along the normal and its angle, a value per projection that was read, in the order of the series.
    shifts : ((T,) array, (T,) array), optional
        Instants and places to shift by, in between linearly; without them each projection is shifted by where it was
        itself seen.

    Raises
    ------
    SensorError
        No wire in the average, or no shift for any projection.
    """
    place, angle = seen
    good = place.marked(Quality.GOOD)
    if not good.any():
        raise SensorError(f"{series.contents.name}: the wire is good in no projection; there is no profile to average")
    at = place.value if shifts is None else np.interp(place.time, *shifts, left=math.nan, right=math.nan)
    if not np.isfinite(at[good]).any():
        raise SensorError(
            f"{series.contents.name}: the shifts given begin and end outside of its projections; give those of this scan"
        )
    first, along_deg = int(np.flatnonzero(good)[0]), float(np.median(angle.value[good]))
    positions = [k for k, frame in enumerate(series.contents.frames) if frame.kind == "projection"]
    dtype = series.image(positions[0], part.rows, part.columns).dtype
    try:
        profiles = mean_profiles(
            _windows(series, positions, part, len(place), progress),
            np.where(good, at, math.nan),
            along_deg,
            illumination.light(series, part, dtype),
            place_px=float(place.value[first]) + _towards_middle(along_deg, part),
            half_px=min(AROUND_PX, 0.5 * min(part.shape)),
        )
        return Averaged(profiles, profile_sharpness(profiles))
    except ModelError as error:
        raise SensorError(f"{series.contents.name}, window {part}: {error}") from None
    finally:
        series.close()


def _towards_middle(along_deg: float, part: Region) -> float:
    """From a place along the normal at the window's middle row (column) to one at its first [px]."""
    across, down = wire_normal(along_deg)
    rows, columns = part.shape
    return down * (rows - 1) / 2.0 if abs(across) > abs(down) else across * (columns - 1) / 2.0


def _windows(
    series: Series, positions: list[int], part: Region, count: int, progress: Callable[[float], None]
) -> Iterator[NDArray[Any]]:
    """Windows of the projections that can be read: the same ones that were tracked."""
    given = 0
    for k, position in enumerate(positions):
        try:
            image = series.image(position, part.rows, part.columns)
        except SensorError:
            continue  # told when it was tracked
        given += 1
        yield image
        progress((k + 1) / len(positions))
    if given != count:
        raise SensorError(
            f"{series.contents.name}: {given} of its projections can be read now, {count} when it was tracked"
        )


def shifts_of(path: Path, channel: str) -> tuple[Array, Array]:
    """Instants and places of one channel in a readings file such as the ``markers.csv`` of corrections.

    Raises
    ------
    SensorError
        It can't be read, or holds no value of this channel.
    """
    known = _AnyChannel()
    found = [
        (r.time, r.value)
        for batch in read_readings(path, known)
        for r in batch
        if r.channel == channel and r.quality.usable
    ]
    if not found:
        names = ", ".join(sorted(known)) or "nothing"
        raise SensorError(f"{path}: holds no {channel} but {names}; give --name so that NAME_n is in it")
    time, place = np.array(sorted(found)).T
    return time, place


class _AnyChannel(dict[str, Channel]):
    """Takes every channel for a marker's place: which of them is wanted is asked later."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __missing__(self, name: str) -> Channel:
        self[name] = Channel(name, "marker_shift", "px")
        return self[name]
