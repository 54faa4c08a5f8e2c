"""A finished series, looked at projection by projection."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from sensors.images.looking import Look, Looker, LookError
from sensors.images.names import number_of
from sensors.images.series import Series
from sensors.images.sighting import Sighting, streams_of, values_of
from sensors.images.times import NoTimeError, Timing
from sensors.reading import SensorError

_LOG = logging.getLogger("ctwin.sensors.images")


def sightings(
    series: Series,
    timing: Timing,
    looks: Sequence[Look],
    looker: Looker,
    faults: Counter[str],
    *,
    after: float = -math.inf,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Sighting]:
    """What the projections of a series say, in the order of acquisition; closes the series at the end.

    Parameters
    ----------
    faults : Counter
        Projections left out, by cause; each is told in one line.
    after : float
        Projections at or before this time are passed over [s since 1970].
    progress : callable, optional
        Called with the part that is done.

    Raises
    ------
    SensorError
        Nobody says a time of any projection, or what :class:`LookError` is raised for.
    """
    contents = series.contents
    chosen = [(at, frame) for at, frame in enumerate(contents.frames) if frame.kind == "projection"]
    if not chosen:
        raise SensorError(f"{contents.name}: holds no projection, only {_kinds(series)}; name the projections")
    if not timing.told and not any(math.isfinite(frame.time) for _, frame in chosen):
        raise SensorError(
            f"{chosen[0][1].place or contents.name}: says no time of any projection; give a table of times, "
            "or a cadence with its start"
        )
    numbers = numbers_of([frame.place for _, frame in chosen])
    last, shared = -math.inf, 0
    try:
        for count, (at, frame) in enumerate(chosen):
            try:
                time, angle = _when(series, at, timing, numbers[count])
                shared = shared + 1 if time == last else 0
                last = time
                time += shared * 1e-6  # two readings of one instant would be taken for one that came twice
                if time > after:
                    fixes = looker.look(series, at, angle)
                    values = {**values_of(looks, fixes), **streams_of(series, frame.index)}
                    yield Sighting(numbers[count], time, values, fixes)
            except LookError:
                raise
            except SensorError as error:
                if timing.table is not None and isinstance(error, NoTimeError):
                    raise
                faults["no_time" if isinstance(error, NoTimeError) else "unreadable"] += 1
                _LOG.warning("%s; left out", error)
            if progress is not None:
                progress((count + 1) / len(chosen))
    finally:
        series.close()


def _when(series: Series, position: int, timing: Timing, number: int) -> tuple[float, float]:
    """Time and angle of a projection; one without time may be one that can't be read, which is then told instead."""
    try:
        return timing.of(number, series.contents.frames[position], series.contents.clock)
    except NoTimeError:
        series.image(position, slice(0, 1))
        raise


def numbers_of(places: Sequence[str]) -> list[int]:
    """Number of each projection from 0, with gaps where the last numbers in their places have gaps.

    Examples
    --------
    >>> numbers_of(["a_0010.tif", "a_0011.tif", "a_0013.tif"]), numbers_of(["a.h5", "a.h5"])
    ([0, 1, 3], [0, 1])
    """
    found = [number for place in places if (number := number_of(Path(place).stem)) is not None]
    steps = [b - a for a, b in pairwise(found)]
    if len(found) == len(places) and steps and min(steps) > 0 and found[-1] - found[0] < 2 * len(found):
        return [number - found[0] for number in found]
    return list(range(len(places)))


def _kinds(series: Series) -> str:
    counts = Counter(frame.kind for frame in series.contents.frames)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing"
