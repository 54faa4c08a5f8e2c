"""A track: what a series of projections says about its markers, as rows of a readings file and as numbers for people."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array
from models.imaging.fix import Verdict
from sensors.images.looking import Look
from sensors.images.sighting import Sighting
from sensors.images.trackers import QUANTITIES, SUFFIXES
from sensors.reading import Quality, Reading
from twin.simulate.files import iso

HEAD = "# ctwin readings 1\ntime,channel,value,sigma,quality\n"
REASONS = 6  # told; the rest is counted
PLACES = ("n", "u", "v")
_QUALITIES = tuple(Quality)


@dataclass(slots=True)
class Curve:
    """One channel along the series."""

    suffix: str
    _time: array[float] = field(default_factory=lambda: array("d"))
    _value: array[float] = field(default_factory=lambda: array("d"))
    _sigma: array[float] = field(default_factory=lambda: array("d"))
    _quality: array[int] = field(default_factory=lambda: array("b"))

    def add(self, time: float, value: float, sigma: float, quality: Quality) -> None:
        """Take in one projection."""
        self._time.append(time)
        self._value.append(value)
        self._sigma.append(sigma)
        self._quality.append(_QUALITIES.index(quality))

    def __len__(self) -> int:
        return len(self._time)

    @property
    def unit(self) -> str:
        """Of its values."""
        return QUANTITIES[self.suffix][1]

    @property
    def time(self) -> Array:
        """[s since 1970]."""
        return np.array(self._time)

    @property
    def value(self) -> Array:
        """``nan`` where the marker is lost."""
        return np.array(self._value)

    @property
    def sigma(self) -> Array:
        """``nan`` where nobody states one."""
        return np.array(self._sigma)

    def marked(self, quality: Quality) -> NDArray[np.bool_]:
        """Which projections have this quality."""
        return np.equal(np.array(self._quality, dtype=np.int8), _QUALITIES.index(quality))


class Track:
    """Curves of all channels, and why projections are suspect or lost.

    Parameters
    ----------
    looks : sequence of Look
    """

    def __init__(self, looks: Sequence[Look]) -> None:
        self.looks = tuple(looks)
        self.curves = {f"{k.name}_{suffix}": Curve(suffix) for k in looks for suffix in SUFFIXES[k.marker]}
        self.seen = 0
        self.reasons: dict[str, Counter[tuple[Verdict, str]]] = {look.name: Counter() for look in looks}

    def add(self, sighting: Sighting) -> None:
        """Take in one image."""
        self.seen += 1
        for channel, curve in self.curves.items():
            found = sighting.values.get(channel)
            if found is not None:
                curve.add(sighting.time, found.value, found.sigma, found.quality)
        for name, fix in sighting.fixes.items():
            if fix.reason or fix.verdict is not Verdict.GOOD:
                self.reasons[name][fix.verdict, fix.reason] += 1

    def recall(self, readings: Iterable[Reading]) -> None:
        """Take in what an earlier run has written; its reasons are not in there, nor images that said nothing."""
        for r in readings:
            scale = math.pi / 180.0 if self.curves[r.channel].unit == "deg" else 1.0
            self.curves[r.channel].add(r.time, r.value / scale, r.sigma / scale, r.quality)
        self.seen = max(map(len, self.curves.values()), default=0)

    @property
    def followed(self) -> bool:
        """Whether the first look was seen at all."""
        return bool(np.isfinite(self.curves[self.looks[0].addresses[0]].value).any())

    def lines(self) -> Iterator[str]:
        """The track in numbers."""
        for look in self.looks:
            first = self.curves[look.addresses[0]]
            counts = {quality: int(np.count_nonzero(first.marked(quality))) for quality in Quality}
            yield (
                f"{look.name}: {counts[Quality.GOOD]} good, {counts[Quality.SUSPECT]} suspect, "
                f"{counts[Quality.INVALID]} lost"
            )
            reasons = self.reasons[look.name].most_common()
            for (verdict, reason), count in reasons[:REASONS]:
                yield f"  {verdict.value}: {reason or 'no reason given'} ({count})"
            if len(reasons) > REASONS:
                yield f"  and {len(reasons) - REASONS} other reasons ({sum(count for _, count in reasons[REASONS:])})"
            for channel in look.addresses:
                words = _numbers(self.curves[channel])
                if words:
                    yield f"  {channel}: {words}"


def rows_of(sighting: Sighting, channels: Iterable[str]) -> str:
    """Rows of one projection in a readings file."""
    time = iso(np.array([sighting.time]))[0]
    rows = []
    for channel, found in ((name, sighting.values[name]) for name in channels if name in sighting.values):
        value, sigma = (
            "" if math.isnan(number) else f"{number:.{digits}g}"
            for number, digits in ((found.value, 10), (found.sigma, 6))
        )
        rows.append(f"{time},{channel},{value},{sigma},{found.quality.value}\n")
    return "".join(rows)


def places(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    """Those that are positions."""
    return {name: curve for name, curve in curves.items() if curve.suffix in PLACES}


def _numbers(curve: Curve) -> str:
    good = curve.marked(Quality.GOOD)
    value, sigma = curve.value[good], curve.sigma[good]
    if not value.size:
        return ""
    known = sigma[np.isfinite(sigma)]
    spread = f", sigma per projection {np.median(known):.2g}" if known.size else ""
    unit = "" if curve.unit == "1" else f" {curve.unit}"
    if curve.suffix in PLACES:
        return f"{value[0]:.3f} to {value[-1]:.3f}{unit}, peak to peak {np.ptp(value):.3g}{spread}{unit}"
    return f"median {np.median(value):.4g}{unit}, peak to peak {np.ptp(value):.2g}{spread}{unit}"
