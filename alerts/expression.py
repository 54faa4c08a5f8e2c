"""Conditions in the rule language: compiled once, applied to every snapshot; nothing is ever run as Python."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from alerts import terms as t
from alerts.evaluation import verdict
from alerts.parser import Parser
from alerts.rule import Snapshot, Verdict
from alerts.terms import Term


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked condition. ``text`` as given; ``tree`` what it means; ``judge`` applies it to a snapshot."""

    text: str
    tree: Term

    def judge(self, snapshot: Snapshot) -> Verdict:
        """Verdict on a snapshot; never raises: what can't be worked out is ``stale`` or ``error``."""
        return verdict(self.tree, snapshot)


@dataclass(frozen=True, slots=True)
class Names:
    """Names that an expression uses, by what they must be."""

    values: frozenset[str]
    channels: frozenset[str]
    forecasts: frozenset[str]


def names(expression: Expression) -> Names:
    """Names that an expression uses."""
    inside = tuple(t.walk(expression.tree))
    return Names(
        values=frozenset(p.name for p in inside if isinstance(p, t.Value | t.Sigma)),
        channels=frozenset(p.channel for p in inside if isinstance(p, t.Age | t.Silent)),
        forecasts=frozenset(p.name for p in inside if isinstance(p, t.Chance | t.TimeTo)),
    )


def compile_when(
    text: str,
    known_values: AbstractSet[str],
    known_channels: AbstractSet[str],
    known_forecasts: AbstractSet[str],
) -> Expression:
    """Read a condition and check every name, unit and kind in it.

    Parameters
    ----------
    text : str
        The condition.
    known_values, known_channels, known_forecasts : set of str
        Names that a value, ``stale``/``age`` and ``probability``/``time_to`` may have.

    Raises
    ------
    AlertError
        With the column, what was expected there, and the nearest known name.

    Examples
    --------
    >>> e = compile_when("abs(t_tube - 22.5) > 1.5 and not stale(t_tube)", {"t_tube"}, {"t_tube"}, set())
    >>> s = Snapshot(0.0, {"t_tube": 24.5}, ages_s={"t_tube": 2.0}, stale_after_s={"t_tube": 60.0})
    >>> e.judge(s).outcome.value
    'violated'
    """
    parser = Parser(text, {"value": known_values, "channel": known_channels, "forecast": known_forecasts})
    return Expression(text, parser.whole())
