"""The noun of this package: one value of one channel at one instant."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SensorError(Exception):
    """A source can't be opened or read; the message names the source, the consequence and the mend.

    ``retry`` tells a supervisor whether trying again can help (a broker that is down) or not (a wrong file).
    """

    def __init__(self, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.retry = retry


class Quality(StrEnum):
    """How far a value can be believed."""

    GOOD = "good"
    SUSPECT = "suspect"
    INVALID = "invalid"
    SIMULATED = "simulated"

    @property
    def usable(self) -> bool:
        """Whether an estimator may use the value (simulated values are as good as good ones)."""
        return self in (Quality.GOOD, Quality.SIMULATED)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one channel.

    Attributes
    ----------
    channel : str
        Name of the channel in the configuration.
    time : float
        Event time [s since 1970-01-01 UTC].
    value : float
        Value in the SI unit of the channel's quantity (K, V, A, W, m; px and counts stay).
    sigma : float
        Standard deviation of the value, same unit; ``nan`` where nobody stated one.
    quality : Quality
        good, suspect, invalid or simulated.
    """

    channel: str
    time: float
    value: float
    sigma: float = float("nan")
    quality: Quality = Quality.GOOD
