"""The seam of judgement: a snapshot of everything known goes in, a verdict comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from alerts.alert import AlertError, Severity


class Prediction(Protocol):
    """Expected course of one quantity; :class:`models.estimate.Forecast` is one."""

    def probability(self, limit: float, within_s: float) -> float:
        """Largest probability, within so many seconds, that the quantity lies above ``limit``."""

    def time_to(self, limit: float, p: float) -> float:
        """Seconds until P(quantity > limit) reaches ``p``; ``inf`` if not within the horizon."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that rules may look at, at one instant.

    Attributes
    ----------
    time : float
        Instant [s since 1970].
    values : mapping of str to float
        Channels in their own unit of the configuration, estimates in the unit that their name ends with.
    sigmas : mapping of str to float
        σ of values, same units.
    ages_s : mapping of str to float
        Age of the last good reading per channel [s]; ``inf`` or absent: never seen.
    stale_after_s : mapping of str to float
        Age beyond which a channel (or any other value that has an age) counts as silent [s].
    forecasts : mapping of str to Prediction
        Expected course by name of the quantity.
    simulated : bool
        Whether a simulated source has a part in any of it.
    notes : mapping of str to str
        What else is to be said where a value passes a limit: the cause, the place.
    """

    time: float
    values: Mapping[str, float] = field(default_factory=dict)
    sigmas: Mapping[str, float] = field(default_factory=dict)
    ages_s: Mapping[str, float] = field(default_factory=dict)
    stale_after_s: Mapping[str, float] = field(default_factory=dict)
    forecasts: Mapping[str, Prediction] = field(default_factory=dict)
    simulated: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)

    def age(self, channel: str) -> float:
        """Age of a channel's last good reading [s]; ``inf`` when it never had one."""
        return self.ages_s.get(channel, math.inf)

    def silent(self, channel: str) -> bool:
        """Whether a channel is silent: older than its limit, or never seen."""
        age = self.age(channel)
        return math.isinf(age) or age > self.stale_after_s.get(channel, math.inf)


class Outcome(StrEnum):
    """What a rule found. ``stale`` and ``error`` are not ``clear``: nobody knows."""

    CLEAR = "clear"
    VIOLATED = "violated"
    STALE = "stale"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule found, and by how much.

    Attributes
    ----------
    outcome : Outcome
        clear, violated, stale (an input is missing or old) or error (it can't be worked out).
    value, limit : float, optional
        What was compared.
    margin : float, optional
        Distance beyond the limit, positive when violated; hysteresis is applied to it.
    message : str
        What was found, in one line.
    severity : Severity, optional
        Where a rule grades what it finds; otherwise its policy's severity counts.
    """

    outcome: Outcome
    value: float | None = None
    limit: float | None = None
    margin: float | None = None
    message: str = ""
    severity: Severity | None = None

    @property
    def judged(self) -> bool:
        """Whether the rule could tell."""
        return self.outcome in (Outcome.CLEAR, Outcome.VIOLATED)


@dataclass(frozen=True, slots=True)
class Policy:
    """What follows from a violation: how long it must last, how it clears, how bad it is.

    Attributes
    ----------
    for_s, clear_for_s : float
        How long the condition must hold before it is raised, and be clear before it returns [s].
    hysteresis : float
        Once violated, a comparison clears only when it is this far on the good side [unit of the value; s
        for durations].
    """

    for_s: float = 0.0
    clear_for_s: float = 0.0
    hysteresis: float = 0.0
    severity: Severity = Severity.MINOR
    guidance: str = ""

    def __post_init__(self) -> None:
        for name in ("for_s", "clear_for_s", "hysteresis"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise AlertError(f"{name}: must be a number that is not negative (given: {value})")


class Rule(Protocol):
    """Judges snapshots. ``judge`` is pure: it keeps nothing between calls, so that a replay judges alike."""

    @property
    def name(self) -> str:
        """Unique name; episodes carry it."""

    @property
    def policy(self) -> Policy:
        """What follows from a violation."""

    def judge(self, snapshot: Snapshot) -> Verdict:
        """Say what is found; what can't be known is ``stale``, what can't be worked out is ``error``."""
