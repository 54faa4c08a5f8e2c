"""The book of alerts: rules judge each snapshot, what changes goes into the journal, the state follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from alerts.alert import Alert, AlertError, Event, Severity, State, Transition, nearest
from alerts.journal import Journal
from alerts.ledger import Ledger, fold
from alerts.lifecycle import advance, severity
from alerts.rule import Outcome, Rule, Snapshot, Verdict


class Book:
    """All rules and the episodes they made.

    The state is the fold of the journal, read once at the start; so a restart continues where the last
    process stopped, timers included. Not for use from several threads at once.

    Parameters
    ----------
    rules : sequence of Rule
        Names must differ. Without rules a book can still be read and acknowledged in.
    journal : Journal
        Is appended to before the state changes. If the caller's transaction around :meth:`step` is rolled
        back after it returned, call :meth:`reload`.
    """

    def __init__(self, rules: Sequence[Rule], journal: Journal) -> None:
        names = [rule.name for rule in rules]
        for name in names:
            if names.count(name) > 1:
                raise AlertError(f"there are {names.count(name)} rules named {name!r}; names must differ")
        self._rules = tuple(rules)
        self._journal = journal
        self._ledger = fold(journal.events())
        self._verdicts: dict[str, Verdict] = {}

    def reload(self) -> None:
        """Read the state from the journal again (after a roll-back)."""
        self._ledger = fold(self._journal.events())

    def step(self, snapshot: Snapshot) -> tuple[Event, ...]:
        """Judge a snapshot; the events that follow, already in the journal.

        When the journal fails, the error passes and the state is as before.
        """
        ledger, events = self._ledger.copy(), []
        for event in self._withdrawn(ledger, snapshot):
            events.append(self._append(ledger, event))
        for rule in self._rules:
            verdict = _judge(rule, snapshot)
            self._verdicts[rule.name] = verdict
            for event in _changes(ledger, rule, verdict, snapshot):
                events.append(self._append(ledger, event))
        self._ledger = ledger
        return tuple(events)

    def acknowledge(self, episode: str, by: str, comment: str, time: float) -> Event:
        """Record that an operator has seen an alert.

        Raises
        ------
        AlertError
            Unknown or finished episode (with the nearest one), nothing to acknowledge, or nobody named.
        """
        if not by.strip():
            raise AlertError("an acknowledgement needs the name of who gives it")
        alert = next((a for a in self._ledger.open.values() if a.episode == episode), None)
        if alert is None:
            known = [a.episode for a in self.active()]
            raise AlertError(f"no open alert {episode!r}; {nearest(episode, known)}")
        if alert.state is State.PENDING:
            raise AlertError(f"{episode} is only pending; there is nothing to acknowledge yet")
        if alert.state is State.ACKNOWLEDGED:
            raise AlertError(f"{episode} is already acknowledged by {alert.by}")
        after = State.ACKNOWLEDGED
        if alert.state is State.RETURNED:
            # a violation that is about to be raised again keeps its timer
            after = State.NORMAL if alert.violated_since is None else State.PENDING
        event = Event(
            0, time, episode, alert.rule, Transition.ACKNOWLEDGED, after, alert.severity, alert.value, alert.limit,
            alert.message, alert.guidance, by.strip(), comment.strip(), alert.simulated,
        )  # fmt: skip
        ledger = self._ledger.copy()
        event = self._append(ledger, event)
        self._ledger = ledger
        return event

    def active(self) -> tuple[Alert, ...]:
        """Alerts an operator should see, worst first, then oldest."""
        return standing(self._ledger)

    def pending(self) -> tuple[Alert, ...]:
        """Episodes that wait to be raised."""
        return tuple(a for a in self._ledger.open.values() if a.state is State.PENDING)

    @property
    def ledger(self) -> Ledger:
        """A copy of the state: open episodes, blind rules, number of the last event."""
        return self._ledger.copy()

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        """Last verdict of each rule since the start of this process."""
        return dict(self._verdicts)

    def _append(self, ledger: Ledger, event: Event) -> Event:
        event = replace(event, seq=self._journal.append(event))
        ledger.apply(event)
        return event

    def _withdrawn(self, ledger: Ledger, snapshot: Snapshot) -> list[Event]:
        """End what no rule looks after any more, so that it doesn't stand for ever."""
        names = {rule.name for rule in self._rules}
        why = "the rule is no longer configured"
        events = []
        for name, alert in ledger.open.items():
            if name not in names:
                told = alert.standing
                deed = Transition.WITHDRAWN if told else Transition.CANCELLED
                event = Event(0, snapshot.time, alert.episode, name, deed, State.NORMAL, alert.severity, message=why)
                events.append(replace(event, simulated=alert.simulated))
        for name in ledger.blind:
            if name not in names:
                event = Event(0, snapshot.time, "", name, Transition.SIGHTED, State.NORMAL, Severity.INFO, message=why)
                events.append(event)
        return events


def standing(ledger: Ledger) -> tuple[Alert, ...]:
    """Alerts of a ledger that an operator should see, worst first, then oldest."""
    found = [alert for alert in ledger.open.values() if alert.standing]
    return tuple(sorted(found, key=lambda a: (-a.severity.rank, a.started, a.episode)))


def _judge(rule: Rule, snapshot: Snapshot) -> Verdict:
    try:
        return rule.judge(snapshot)
    except Exception as error:  # a rule from outside that fails must not silence the others
        return Verdict(Outcome.ERROR, message=f"{type(error).__name__}: {error}")


def _changes(ledger: Ledger, rule: Rule, verdict: Verdict, snapshot: Snapshot) -> list[Event]:
    alert, events = ledger.open.get(rule.name), []
    worst = severity(alert, rule.policy, verdict)
    episode, state = (alert.episode, alert.state) if alert else ("", State.NORMAL)

    def event(transition: Transition, state: State, episode: str) -> Event:
        return Event(
            0, snapshot.time, episode, rule.name, transition, state, worst, verdict.value, verdict.limit,
            verdict.message, rule.policy.guidance, simulated=snapshot.simulated,
        )  # fmt: skip

    if verdict.judged == (rule.name in ledger.blind):
        events.append(event(Transition.SIGHTED if verdict.judged else Transition.BLIND, state, episode))
    step = advance(alert, rule.policy, verdict, snapshot.time)
    if step is not None:
        events.append(event(*step, episode or ledger.new_episode(rule.name, snapshot.time)))
    return events
