"""The nouns of this package: an alert (an episode of a rule) and the events that its life consists of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class AlertError(ValueError):
    """A rule, sink or operator action can't be used; the message names the place and the mend."""


class Severity(StrEnum):
    """How bad, in rising order; an episode keeps the highest it has had."""

    INFO = "info"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Position in the order, 0 for info."""
        return list(Severity).index(self)


class State(StrEnum):
    """Where an episode stands (ISA-18.2); ``normal`` means it is over."""

    NORMAL = "normal"
    PENDING = "pending"
    ACTIVE = "active-unacknowledged"
    ACKNOWLEDGED = "active-acknowledged"
    RETURNED = "returned-unacknowledged"


class Transition(StrEnum):
    """What happened to an episode, or (blind, sighted) to a rule's ability to judge."""

    PENDING = "pending"
    CANCELLED = "cancelled"
    RAISED = "raised"
    ESCALATED = "escalated"
    CLEARING = "clearing"
    HOLDING = "holding"
    RETURNED = "returned"
    ACKNOWLEDGED = "acknowledged"
    WITHDRAWN = "withdrawn"
    BLIND = "blind"
    SIGHTED = "sighted"


# What operators are told. The rest is for the journal: a timer that starts or stops is nobody's call,
# and telling of every silent input is the noise for which people switch alarms off.
NOTIFIED = frozenset(
    {
        Transition.RAISED,
        Transition.ESCALATED,
        Transition.ACKNOWLEDGED,
        Transition.RETURNED,
        Transition.WITHDRAWN,
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the append-only journal.

    Attributes
    ----------
    seq : int
        Number given by the journal, rising; 0 before it is appended.
    time : float
        Instant of the snapshot or of the operator's action [s since 1970].
    episode : str
        Identifier of the episode; empty for ``blind`` and ``sighted`` outside an episode.
    rule : str
        Name of the rule.
    transition : Transition
        What happened.
    state : State
        State of the episode after it.
    severity : Severity
        Severity of the episode after it (never falls within an episode).
    value, limit : float, optional
        What was compared; ``None`` where the rule is no single comparison.
    message, guidance : str
        What was found, and what the rule's author advises.
    by, comment : str
        Operator's name and words; empty for what the rules did.
    simulated : bool
        Whether a simulated source had a part in it.
    """

    seq: int
    time: float
    episode: str
    rule: str
    transition: Transition
    state: State
    severity: Severity
    value: float | None = None
    limit: float | None = None
    message: str = ""
    guidance: str = ""
    by: str = ""
    comment: str = ""
    simulated: bool = False

    @property
    def key(self) -> str:
        """Idempotency key: the same for every attempt to deliver this event, different for any other event."""
        return f"{self.episode or self.rule}:{self.transition}:{self.seq}"


@dataclass(frozen=True, slots=True)
class Alert:
    """An episode of a rule, as the journal tells it.

    Attributes
    ----------
    violated_since : float, optional
        Since when the condition holds without having been raised for it (the ``for`` timer) [s since 1970].
    clear_since : float, optional
        Since when an active episode's condition is clear (the ``clear_for`` timer) [s since 1970].
    raised : float, optional
        When it last became active [s since 1970].
    times_raised : int
        How often it became active within this episode.
    seq : int
        Last event that concerns it.
    """

    episode: str
    rule: str
    state: State
    severity: Severity
    started: float
    violated_since: float | None = None
    clear_since: float | None = None
    raised: float | None = None
    returned: float | None = None
    acknowledged: float | None = None
    by: str = ""
    comment: str = ""
    times_raised: int = 0
    value: float | None = None
    limit: float | None = None
    message: str = ""
    guidance: str = ""
    simulated: bool = False
    seq: int = 0

    @property
    def standing(self) -> bool:
        """Whether an operator should see it (raised, or returned and not acknowledged)."""
        return self.state in (State.ACTIVE, State.ACKNOWLEDGED, State.RETURNED)

    @property
    def violated(self) -> bool:
        """Whether the comparison counts as violated, so that hysteresis holds it there."""
        if self.state in (State.ACTIVE, State.ACKNOWLEDGED):
            return self.clear_since is None
        return self.violated_since is not None


def nearest(word: str, known: Iterable[str]) -> str:
    """Give the end of an error message: the nearest known name, or what there is."""
    names = sorted(known)
    match = difflib.get_close_matches(word, names, n=1, cutoff=0.5) or [n for n in names if word and n.startswith(word)]
    if match:
        return f"did you mean {match[0]!r}?"
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"there {'is' if len(names) == 1 else 'are'} {shown}" if names else "there are none"
