"""What a model believes: states by label with units, mean and covariance; and what it expects."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]


class ModelError(ValueError):
    """A model can't be built or evaluated; the message names the parameter and the mend."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Belief about the machine at one instant, given the readings up to it.

    Attributes
    ----------
    time : float
        Instant [s since 1970].
    names, units : tuple of str, length n
        Label and unit of each quantity.
    mean : (n,) array
    cov : (n, n) array
    innovation : dict of str to (float, float)
        Per channel: reading minus prediction and its predicted σ, for readings used at this instant.
    model_id : str
        Hash of what defines the state; a snapshot with another one is refused.
    """

    time: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    mean: Array
    cov: Array
    innovation: dict[str, tuple[float, float]] = field(default_factory=dict)
    model_id: str = ""

    def index(self, name: str) -> int:
        """Position of a state by its label; raises ModelError for an unknown one."""
        try:
            return self.names.index(name)
        except ValueError:
            raise ModelError(f"no state {name!r}; there are {', '.join(self.names)}") from None

    def value(self, name: str) -> float:
        """Mean of a state by its label."""
        return float(self.mean[self.index(name)])

    def std(self, name: str) -> float:
        """σ of a state by its label."""
        i = self.index(name)
        return float(np.sqrt(max(self.cov[i, i], 0.0)))


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected course of one quantity, Gaussian at each instant.

    Examples
    --------
    >>> f = Forecast("x", "um", 0.0, np.array([0.0, 60.0]), np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    >>> round(f.probability(1.0), 3)
    0.5
    >>> round(f.time_to(1.0, 0.4), 1)
    44.8
    """

    quantity: str
    unit: str
    made_at: float
    times: Array
    mean: Array
    std: Array

    def exceedance(self, limit: float) -> Array:
        """Probability at each instant that the quantity lies above ``limit``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(self.std > 0, (self.mean - limit) / self.std, np.where(self.mean > limit, np.inf, -np.inf))
        return np.asarray(ndtr(z))

    def probability(self, limit: float, within_s: float = np.inf) -> float:
        """Largest probability within the horizon that the quantity lies above ``limit``."""
        inside = self.times <= self.made_at + within_s
        return float(self.exceedance(limit)[inside].max(initial=0.0))

    def time_to(self, limit: float, p: float = 0.5) -> float:
        """Seconds from ``made_at`` until P(quantity > limit) reaches ``p``; ``inf`` if not within the horizon."""
        chance = self.exceedance(limit)
        hits = np.flatnonzero(chance >= p)
        if hits.size == 0:
            return float("inf")
        k = int(hits[0])
        if k == 0:
            return float(self.times[0] - self.made_at)
        # where the (interpolated) value that is exceeded with probability p crosses the limit
        z = float(ndtri(1.0 - p)) if 0.0 < p < 1.0 else 0.0
        quantile = self.mean - limit + z * self.std
        a, b = quantile[k - 1], quantile[k]
        part = float(np.clip(-a / (b - a), 0.0, 1.0)) if b != a else 1.0
        return float(self.times[k - 1] + part * (self.times[k] - self.times[k - 1]) - self.made_at)
