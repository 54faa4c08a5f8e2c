"""State as a fold of the journal: nothing is known of an episode that its events don't tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from alerts.alert import Alert, Event, State, Transition
from alerts.record import iso


@dataclass(slots=True)
class Ledger:
    """What the events so far amount to.

    Attributes
    ----------
    open : dict of str to Alert
        The episode of each rule that has one (a rule has at most one at a time).
    blind : dict of str to float
        Rules that can't judge, and since when [s since 1970].
    latest : dict of str to str
        Last episode of each rule, open or over; keeps identifiers unique.
    seq : int
        Number of the last event.
    """

    open: dict[str, Alert] = field(default_factory=dict)
    blind: dict[str, float] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)
    seq: int = 0

    def copy(self) -> Ledger:
        """Give a ledger that can be carried on without changing this one."""
        return Ledger(dict(self.open), dict(self.blind), dict(self.latest), self.seq)

    def apply(self, event: Event) -> None:
        """Carry the state on by one event."""
        self.seq = event.seq
        if event.transition is Transition.BLIND:
            self.blind[event.rule] = event.time
            return
        if event.transition is Transition.SIGHTED:
            self.blind.pop(event.rule, None)
            return
        alert = carried(self.open.get(event.rule), event)
        self.latest[event.rule] = event.episode
        if alert.state is State.NORMAL:
            self.open.pop(event.rule, None)
        else:
            self.open[event.rule] = alert

    def new_episode(self, rule: str, time: float) -> str:
        """Identifier for an episode that starts: rule and instant, with a count where the instant is taken.

        The instant keeps it unique when a store is started afresh, so that a receiver that remembers what it
        has seen doesn't take a new alert for an old one.

        Examples
        --------
        >>> Ledger().new_episode("warm", 0.0)
        'warm-19700101T000000.000Z'
        """
        name = f"{rule}-{iso(time).replace('-', '').replace(':', '')}"
        last = self.latest.get(rule, "")
        if last != name and not last.startswith(f"{name}."):
            return name
        count = last.removeprefix(name).removeprefix(".")
        return f"{name}.{int(count) + 1 if count else 2}"


def fold(events: Iterable[Event]) -> Ledger:
    """State after all events."""
    ledger = Ledger()
    for event in events:
        ledger.apply(event)
    return ledger


def carried(alert: Alert | None, event: Event) -> Alert:
    """Carry an episode on by one of its events; ``None`` and an event of another episode begin a new one."""
    if alert is None or alert.episode != event.episode:
        alert = Alert(event.episode, event.rule, event.state, event.severity, event.time)
    alert = replace(
        alert,
        state=event.state,
        severity=max(alert.severity, event.severity, key=lambda s: s.rank),
        guidance=event.guidance or alert.guidance,
        simulated=alert.simulated or event.simulated,
        seq=event.seq,
    )
    time = event.time
    if event.transition is not Transition.ACKNOWLEDGED:
        alert = replace(alert, value=event.value, limit=event.limit, message=event.message)
    match event.transition:
        case Transition.PENDING:
            return replace(alert, violated_since=time)
        case Transition.CANCELLED:
            return replace(alert, violated_since=None)
        case Transition.RAISED:
            again = replace(alert, violated_since=None, clear_since=None, raised=time, returned=None)
            return replace(_unseen(again), times_raised=alert.times_raised + 1)
        case Transition.ESCALATED:
            return replace(_unseen(alert), clear_since=None)
        case Transition.CLEARING:
            return replace(alert, clear_since=time)
        case Transition.HOLDING:
            return replace(alert, clear_since=None)
        case Transition.RETURNED:
            return replace(alert, clear_since=None, returned=time)
        case Transition.ACKNOWLEDGED:
            return replace(alert, acknowledged=time, by=event.by, comment=event.comment)
    return alert


def _unseen(alert: Alert) -> Alert:
    return replace(alert, acknowledged=None, by="", comment="")
