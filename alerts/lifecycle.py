"""What a verdict does to an episode: the transitions of ISA-18.2, with hysteresis and both timers."""

from __future__ import annotations

from alerts.alert import Alert, Severity, State, Transition
from alerts.rule import Outcome, Policy, Verdict

Step = tuple[Transition, State]
ACTIVE = (State.ACTIVE, State.ACKNOWLEDGED)


def violated(alert: Alert | None, policy: Policy, verdict: Verdict) -> bool | None:
    """Whether the condition counts as violated, hysteresis applied; ``None`` when nobody knows."""
    if not verdict.judged:
        return None
    if verdict.outcome is Outcome.VIOLATED:
        return True
    held = alert is not None and alert.violated and policy.hysteresis > 0 and verdict.margin is not None
    return held and verdict.margin is not None and verdict.margin >= -policy.hysteresis


def severity(alert: Alert | None, policy: Policy, verdict: Verdict) -> Severity:
    """Severity of an episode after a verdict: it never falls."""
    found = verdict.severity or policy.severity
    return found if alert is None else max(alert.severity, found, key=lambda s: s.rank)


def advance(alert: Alert | None, policy: Policy, verdict: Verdict, time: float) -> Step | None:
    """Next transition of a rule's episode, if any.

    Parameters
    ----------
    alert : Alert, optional
        The rule's open episode.
    time : float
        Instant of the verdict [s since 1970].

    Notes
    -----
    What isn't known changes nothing but one thing: the time that a condition must be clear starts anew,
    because nobody saw it clear all the while. The time that it must hold goes on, because a sensor that
    falls silent in the middle of a violation must not put the alarm off; it is raised on evidence only.
    """
    bad = violated(alert, policy, verdict)
    if alert is None or alert.state is State.PENDING or alert.state is State.RETURNED:
        return _rising(alert, policy, bad, time)
    return _falling(alert, policy, bad, verdict, time)


def _rising(alert: Alert | None, policy: Policy, bad: bool | None, time: float) -> Step | None:
    since = alert.violated_since if alert is not None else None
    resting = State.RETURNED if alert is not None and alert.state is State.RETURNED else State.NORMAL
    if bad is None:
        return None
    if not bad:
        return (Transition.CANCELLED, resting) if since is not None else None
    if policy.for_s <= 0 or (since is not None and time - since >= policy.for_s):
        return Transition.RAISED, State.ACTIVE
    # a timer that began in the future (a clock was set back) would never end: begin again
    if since is None or time < since:
        return Transition.PENDING, State.RETURNED if resting is State.RETURNED else State.PENDING
    return None


def _falling(alert: Alert, policy: Policy, bad: bool | None, verdict: Verdict, time: float) -> Step | None:
    since = alert.clear_since
    if bad is None or bad:
        if bad and severity(alert, policy, verdict) is not alert.severity:
            return Transition.ESCALATED, State.ACTIVE
        return (Transition.HOLDING, alert.state) if since is not None else None
    if policy.clear_for_s <= 0 or (since is not None and time - since >= policy.clear_for_s):
        return Transition.RETURNED, State.RETURNED if alert.state is State.ACTIVE else State.NORMAL
    if since is None or time < since:
        return Transition.CLEARING, alert.state
    return None
