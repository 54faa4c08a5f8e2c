"""Weighted sums of states, products of states and states times covariates: what moves a body, and what sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.statespace import Observation


@dataclass(slots=True)
class Combination:
    """A quantity ``Σ c·x_i + Σ c·x_i·x_j + Σ c·x_i·covariate``, built up term by term.

    Attributes
    ----------
    linear : dict of state to coefficient
    products : list of (state, state, coefficient)
    covariates : list of (state, covariate, coefficient)

    Examples
    --------
    >>> source = Combination({"source.u.walk": 1.0})
    >>> wire = Combination({"offset": 1.0})
    >>> wire.add(source, -70.0)
    >>> wire.linear
    {'offset': 1.0, 'source.u.walk': -70.0}
    """

    linear: dict[str, float] = field(default_factory=dict)
    products: list[tuple[str, str, float]] = field(default_factory=list)
    covariates: list[tuple[str, str, float]] = field(default_factory=list)

    def put(self, state: str, weight: float = 1.0) -> None:
        """Add ``weight`` times a state."""
        self.linear[state] = self.linear.get(state, 0.0) + weight

    def add(self, other: Combination, gain: float = 1.0) -> None:
        """Add ``gain`` times another combination."""
        if gain == 0.0:
            return
        for state, weight in other.linear.items():
            self.put(state, gain * weight)
        self.products += [(a, b, gain * weight) for a, b, weight in other.products]
        self.covariates += [(state, name, gain * weight) for state, name, weight in other.covariates]

    def observation(
        self, channel: str, floor_sigma: float = 0.0, step_states: tuple[str, ...] = (), constant: float = 0.0
    ) -> Observation:
        """How a channel sees this quantity."""
        return Observation(
            channel,
            tuple(self.linear.items()),
            tuple(self.products),
            tuple(self.covariates),
            constant,
            floor_sigma,
            step_states,
        )
