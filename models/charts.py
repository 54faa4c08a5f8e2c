"""Charts of innovations: cumulative sums of what they would look like if the model were wrong.

If model and sensors are what the configuration says, the standardised innovations ``z = innovation / σ`` of a channel are
independent N(0, 1). No model is that good, so y = z / 1.1, clipped at ±3, is looked at: a σ may be a tenth too small. Each
chart sums the log-likelihood ratio of one way of misfit against what is tolerated, from zero upwards (Page 1954,
Biometrika 41, 100):

    S <- max(0, S + l),    misfit if S >= h

==========  =========================  =============  =================================================================
way         tolerated                  against        l
==========  =========================  =============  =================================================================
high, low   mean ±a, a = 0.1           ±b, b = 0.6    ±(b - a) y - (b² - a²)/2
scatter     variance 1 (NIS 1.21)      ρ = 2          (1 - 1/ρ) y²/2 - ln(ρ)/2
swings      correlation with the       s = 0.4        (s - r) y y' - (s² - r²) y'²/2
            one before, y': r = 0.1
outliers    share p = 0.01 gated       q = 0.1        ln(q/p) where gated, else ln((1 - q)/(1 - p))
==========  =========================  =============  =================================================================

While a channel stays within what is tolerated, E[exp(l) | past] <= 1, with equality at the edge; clipping only lowers it.
So the run length between false alarms of a chart is at least ``exp(h)`` readings on average (Lorden 1971, Ann. Math. Stat.
42, 1897; for dependent readings Lai 1998, IEEE Trans. Inf. Theory 44, 2917), and the rates of all charts add up at most:
:func:`threshold`. The edges hold one at a time: a channel at several of them at once alarms more often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

ALARM_FREE_S = 60.0 * 86400.0  # mean time between false alarms, at least, of all channels together
SLACK, CLIP = 1.1, 3.0
USUAL_SHIFT, SHIFT = 0.1, 0.6
RATIO = 2.0
USUAL_CORRELATION, CORRELATION = 0.1, 0.4
USUAL_SHARE, WRONG_SHARE = 0.01, 0.1
SATURATION = 1.5  # a score stays below so many thresholds, so that a model that fits again is soon seen to
# l = slope · (y, y², y y') - drop
SHIFT_SLOPE, SHIFT_DROP = SHIFT - USUAL_SHIFT, 0.5 * (SHIFT**2 - USUAL_SHIFT**2)
SCATTER_SLOPE, SCATTER_DROP = 0.5 * (1.0 - 1.0 / RATIO), 0.5 * math.log(RATIO)
SWINGS_SLOPE, SWINGS_DROP = CORRELATION - USUAL_CORRELATION, 0.5 * (CORRELATION**2 - USUAL_CORRELATION**2)
GATED_GAIN = math.log(WRONG_SHARE / USUAL_SHARE)
INSIDE_GAIN = math.log((1.0 - WRONG_SHARE) / (1.0 - USUAL_SHARE))


class Way(StrEnum):
    """In which way a channel doesn't fit."""

    HIGH = "high"
    LOW = "low"
    SCATTER = "scatter"
    SWINGS = "swings"
    OUTLIERS = "outliers"


WAYS = tuple(Way)


def threshold(channels: int, step_s: float, alarm_free_s: float = ALARM_FREE_S) -> float:
    """Threshold h of every chart such that all of them together are silent for ``alarm_free_s`` on average, at least.

    ``h = ln(5 · channels · alarm_free_s / step_s)``: at most one reading per channel and step, five charts each, every
    one with a false-alarm rate of at most exp(-h) per reading. It is a bound, at the edge of what is tolerated: the true
    time is longer, and out of sight for a model that is exactly right.

    Parameters
    ----------
    channels : int
        Number of channels.
    step_s : float
        Shortest time between two readings of a channel [s].

    Examples
    --------
    Five channels on a grid of 10 s. The chart of a bias alone, at the edge, would run (Siegmund 1985, Sequential Analysis,
    §2.6) ``(exp(c) - c - 1) / (d²/2)`` readings with d = b - a and ``c = h + 1.166 d``, 14 times the bound:

    >>> h = threshold(5, 10.0)
    >>> c = h + 1.166 * SHIFT_SLOPE
    >>> round(h, 2), round((math.exp(c) - c - 1) / (SHIFT_SLOPE**2 / 2) / math.exp(h), 1)
    (16.38, 14.3)
    """
    return math.log(len(WAYS) * max(channels, 1) * max(alarm_free_s / step_s, 1.0))


@dataclass(slots=True)
class Chart:
    """One cumulative sum; what was seen since it last stood at zero tells since when, and how large the misfit is.

    Attributes
    ----------
    score : float
        S [nats].
    since : float
        Time of the first reading after the last zero [s since 1970]: the estimated beginning of a misfit.
    count : int
        Readings since then.
    total : float
        Sum since then of what the chart watches.
    """

    score: float = 0.0
    since: float = math.nan
    count: int = 0
    total: float = 0.0

    def add(self, time: float, gain: float, seen: float, most: float) -> None:
        """Add a log-likelihood ratio ``gain``; ``seen`` is the quantity it came from, ``most`` bounds the score."""
        score = self.score + gain
        if score <= 0.0:
            self.score, self.since, self.count, self.total = 0.0, math.nan, 0, 0.0
            return
        if self.count == 0:
            self.since = time
        self.score = min(score, most)
        self.count += 1
        self.total += seen
