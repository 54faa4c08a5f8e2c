"""Is the model right? NIS, autocorrelation and charts of the innovations, per channel and in all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models import charts
from models.charts import WAYS, Chart, Way, threshold
from models.estimate import Array

MEMORY = 500  # readings over which NIS and autocorrelation are averaged (exponentially)


@dataclass(slots=True)
class Moments:
    """Mean NIS and lag-1 autocorrelation of standardised innovations over about the last 500.

    The first 500 are averaged plainly, later ones push older ones out with weight 1/500.
    """

    count: int = 0
    nis: float = math.nan
    pairs: int = 0
    product: float = math.nan

    def add(self, z: float, before: float) -> None:
        """Take a standardised innovation and the one before it in the same channel (nan: none)."""
        self.count += 1
        self.nis = _moved(self.nis, z * z, self.count)
        if not math.isnan(before):
            self.pairs += 1
            self.product = _moved(self.product, z * before, self.pairs)

    @property
    def autocorrelation(self) -> float:
        """Mean of z z' divided by the mean of z²; nan until there are two readings."""
        return self.product / self.nis if self.nis > 0.0 else math.nan


def _moved(mean: float, value: float, count: int) -> float:
    return value if count == 1 else mean + (value - mean) / min(count, MEMORY)


@dataclass(slots=True)
class Fit:
    """One channel: its moments, its charts in the order of :data:`WAYS`, and the last standardised innovation."""

    moments: Moments = field(default_factory=Moments)
    charts: tuple[Chart, ...] = field(default_factory=lambda: tuple(Chart() for _ in WAYS))
    before: float = math.nan

    def take(self, time: float, z: float, h: float) -> None:
        """Take the standardised innovation of a reading that was used."""
        high, low, scatter, swings, outliers = self.charts
        most = charts.SATURATION * h
        y = _clipped(z)
        high.add(time, charts.SHIFT_SLOPE * y - charts.SHIFT_DROP, z, most)
        low.add(time, -charts.SHIFT_SLOPE * y - charts.SHIFT_DROP, z, most)
        scatter.add(time, charts.SCATTER_SLOPE * y * y - charts.SCATTER_DROP, z * z, most)
        if not math.isnan(self.before):
            last = _clipped(self.before)
            swings.add(time, charts.SWINGS_SLOPE * last * y - charts.SWINGS_DROP * last * last, z * self.before, most)
        outliers.add(time, charts.INSIDE_GAIN, 0.0, most)
        self.moments.add(z, self.before)
        self.before = z

    def refuse(self, time: float, h: float) -> None:
        """Take note of a reading that the gate left out: it tells nothing but that it was one."""
        self.charts[WAYS.index(Way.OUTLIERS)].add(time, charts.GATED_GAIN, 1.0, charts.SATURATION * h)


def _clipped(z: float) -> float:
    return min(max(z / charts.SLACK, -charts.CLIP), charts.CLIP)


@dataclass(frozen=True, slots=True)
class Misfit:
    """The chart that stands highest.

    Attributes
    ----------
    channel : str
    way : Way
    score : float
        In thresholds: 1 and above is a misfit.
    since : float
        Estimated beginning [s since 1970].
    count : int
        Readings since then.
    size : float
        Mean since then: of z (high, low) [σ], z² (scatter), z z' (swings), or the share of gated readings.
    """

    channel: str
    way: Way
    score: float
    since: float
    count: int
    size: float


class Consistency:
    """Whether innovations are what the model says, per channel and in all. O(1) per reading.

    Weaknesses: what lies within the tolerances of the charts is never told. A σ that is stated too large hides biases and
    swings smaller than itself, and is no misfit by itself (NIS below 1 shows it). What the states can follow, such as
    a heat source on a node with a thermometer whose walk is wide enough, leaves no trace in innovations. And a direction
    that no channel sees can't be judged at all.

    Parameters
    ----------
    channels : sequence of str
    step_s : float
        Shortest time between two readings of a channel [s].
    alarm_free_s : float
        Mean time between false alarms, at least, of all channels together [s].

    Examples
    --------
    A bias of 1 σ is seen after 53 readings:

    >>> import numpy as np
    >>> consistency, k = Consistency(["t"], 10.0), 0
    >>> while consistency.misfit < 1.0:
    ...     k += 1
    ...     consistency.take(10.0 * k, np.array([0.02]), np.array([0.02**2]))
    >>> found = consistency.worst()
    >>> k, found.way.value, found.since, round(found.size, 9)
    (53, 'high', 10.0, 1.0)
    """

    def __init__(self, channels: Sequence[str], step_s: float, alarm_free_s: float = charts.ALARM_FREE_S) -> None:
        self.threshold = threshold(len(channels), step_s, alarm_free_s)
        self.channels = {name: Fit() for name in channels}
        self._all = Moments()

    def take(self, time: float, innovation: Array, spread: Array) -> None:
        """Take the innovations of one step, (m,) each.

        ``spread`` is the innovation's variance, negative where the reading was gated; nan where there was no reading.
        """
        for fit, v, s in zip(self.channels.values(), innovation.tolist(), spread.tolist(), strict=True):
            if s < 0.0:
                fit.refuse(time, self.threshold)
            elif s > 0.0:
                z = v / math.sqrt(s)
                self._all.add(z, fit.before)
                fit.take(time, z, self.threshold)

    @property
    def nis(self) -> float:
        """Mean normalised innovation squared of all channels' last readings."""
        return self._all.nis

    @property
    def autocorrelation(self) -> float:
        """Lag-1 autocorrelation of the standardised innovations, pooled over channels."""
        return self._all.autocorrelation

    @property
    def misfit(self) -> float:
        """Highest score of all charts, in thresholds: 1 and above means that the model doesn't fit."""
        return max((self.score(name) for name in self.channels), default=0.0)

    def score(self, channel: str) -> float:
        """Highest score of a channel's charts, in thresholds."""
        return max(chart.score for chart in self.channels[channel].charts) / self.threshold

    def charts(self, channel: str) -> dict[str, float]:
        """Scores of a channel's charts by the way of misfit, in thresholds."""
        own = self.channels[channel].charts
        return {str(way): chart.score / self.threshold for way, chart in zip(WAYS, own, strict=True)}

    def worst(self, channel: str | None = None) -> Misfit | None:
        """The chart that stands highest, of one channel or of all; None while all stand at zero."""
        names = self.channels if channel is None else (channel,)
        score, name, way = max(
            (
                (chart.score, name, way)
                for name in names
                for way, chart in zip(WAYS, self.channels[name].charts, strict=True)
            ),
            key=lambda item: item[0],
            default=(0.0, "", Way.HIGH),
        )
        if score <= 0.0:
            return None
        chart = self.channels[name].charts[WAYS.index(way)]
        return Misfit(name, way, score / self.threshold, chart.since, chart.count, chart.total / chart.count)

    def state(self) -> dict[str, Any]:
        """As JSON-able data; floats survive exactly."""
        return {
            "all": _listed(self._all),
            "channels": {
                name: {
                    "moments": _listed(fit.moments),
                    "charts": [_listed(chart) for chart in fit.charts],
                    "before": _plain(fit.before),
                }
                for name, fit in self.channels.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state` was taken."""
        self._all = Moments(*map(_number, state["all"]))
        for name, stored in state["channels"].items():
            self.channels[name] = Fit(
                Moments(*map(_number, stored["moments"])),
                tuple(Chart(*map(_number, chart)) for chart in stored["charts"]),
                float(_number(stored["before"])),
            )


def _listed(part: Chart | Moments) -> list[float | None]:
    return [_plain(getattr(part, name)) for name in part.__slots__]


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value  # JSON has no nan


def _number(value: Any) -> Any:
    return math.nan if value is None else value
