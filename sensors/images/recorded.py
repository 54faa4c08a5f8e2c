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
from sensors.images.series import Frame, Series
from sensors.images.sighting import Sighting, streams_of, told_of, values_of
from sensors.images.times import NoTimeError, Timing
from sensors.reading import SensorError

_LOG = logging.getLogger("ctwin.sensors.images")
_WORDS = {"projection": "projection", "flat": "bright image"}


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
    """What the images of a series say, in the order of acquisition; closes the series at the end.

    Looks at bright images are given those of the series, each at the time that the files tell, and its projections where it
    has no bright ones (a folder of nothing else). All others are given its projections.

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
    chosen = _chosen(series, {look.kind for look in looks} or {"projection"}, timing)
    last, shared = -math.inf, 0
    try:
        for count, (at, number) in enumerate(chosen):
            frame = contents.frames[at]
            try:
                time, angle = _when(series, at, timing, number)
                shared = shared + 1 if time == last else 0
                last = time
                time += shared * 1e-6  # two readings of one instant would be taken for one that came twice
                if time > after:
                    fixes = looker.look(series, at, angle)
                    told = {}
                    if frame.kind == "projection":
                        told = {**told_of(number, angle), **streams_of(series, frame.index)}
                    yield Sighting(number, time, {**values_of(looks, fixes), **told}, fixes)
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


def _chosen(series: Series, kinds: set[str], timing: Timing) -> list[tuple[int, int]]:
    """Frames to be looked at and their numbers, in the order of their times where two kinds are."""
    frames = series.contents.frames
    if kinds == {"flat"} and not any(frame.kind == "flat" for frame in frames):
        kinds = {"projection"}
    chosen = []
    for kind in sorted(kinds):
        own = [at for at, frame in enumerate(frames) if frame.kind == kind]
        if not own:
            what = _WORDS[kind]
            raise SensorError(f"{series.contents.name}: holds no {what}, only {_kinds(series)}; name the {what}s")
        told = timing.told and kind == "projection"
        if not told and not any(math.isfinite(frames[at].time) for at in own):
            mend = "give a table of times, or a cadence with its start"
            if kind == "flat":
                mend = "track their folder by itself, with a cadence and its start"
            raise SensorError(
                f"{frames[own[0]].place or series.contents.name}: says no time of any {_WORDS[kind]}; {mend}"
            )
        chosen += list(zip(own, numbers_of([frames[at].place for at in own]), strict=True))
    if len(kinds) == 1:
        return chosen

    def time(one: tuple[int, int]) -> float:
        try:
            return _time(frames[one[0]], one[1], timing, series.contents.clock)[0]
        except NoTimeError:
            return math.inf  # told when its turn comes

    return sorted(chosen, key=time)


def _time(frame: Frame, number: int, timing: Timing, clock: str) -> tuple[float, float]:
    """Time and angle; bright images are not what a table or a cadence is about."""
    return (timing if frame.kind == "projection" else Timing(exposure_s=timing.exposure_s)).of(number, frame, clock)


def _when(series: Series, position: int, timing: Timing, number: int) -> tuple[float, float]:
    """Time and angle of a projection; one without time may be one that can't be read, which is then told instead."""
    try:
        return _time(series.contents.frames[position], number, timing, series.contents.clock)
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
