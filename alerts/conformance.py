"""Checks for authors of rules and sinks: what the rest of ctwin relies on.

In a test suite outside::

    @pytest.mark.parametrize("check", sink_checks(), ids=lambda c: c.__name__)
    def test_my_sink(check):
        check(MySink(MySink.Options(url=...), Path()))
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from pydantic import BaseModel

from alerts.alert import AlertError, Event, Severity, State, Transition
from alerts.rule import Policy, Rule, Snapshot, Verdict
from alerts.sink import Delivered, Notice, Outcome, Refused, Retry, Sink

LONGEST_S = 130.0


def sink_checks() -> tuple[Callable[[Sink], None], ...]:
    """Checks of a sink whose receiver is there; each raises AlertError with the fault."""
    return (typed_options, tells_the_outcome, takes_a_notice_twice, takes_any_words, works_from_another_thread)


def rule_checks() -> tuple[Callable[[Rule], None], ...]:
    """Checks of a rule; each raises AlertError with the fault."""
    return (has_name_and_policy, survives_an_empty_snapshot, is_pure)


def notice(seq: int = 1, *, message: str = "conformance check", transition: Transition = Transition.RAISED) -> Notice:
    """Build a notice to try a sink with."""
    event = Event(
        seq, 0.0, "conformance-1", "conformance", transition, State.ACTIVE, Severity.INFO, 1.0, 0.5, message,
        simulated=True,
    )  # fmt: skip
    return Notice(event, "conformance", "lab")


def typed_options(sink: Sink) -> None:
    """Options are a pydantic model that refuses unknown keys."""
    model = getattr(type(sink), "Options", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise AlertError(f"{type(sink).__name__} has no nested pydantic model Options")
    if model.model_config.get("extra") != "forbid":
        raise AlertError(f"{type(sink).__name__}.Options takes unknown keys; set extra='forbid'")


def tells_the_outcome(sink: Sink) -> None:
    """``deliver`` gives back one of the three outcomes, for each transition."""
    for seq, transition in enumerate(Transition, 1):
        _outcome(sink, notice(seq, transition=transition))


def takes_a_notice_twice(sink: Sink) -> None:
    """The same notice may come again (at least once means sometimes twice)."""
    first, second = _outcome(sink, notice()), _outcome(sink, notice())
    if isinstance(first, Delivered) and not isinstance(second, Delivered):
        raise AlertError(f"{type(sink).__name__} took a notice and refused to take it again: {second}")


def takes_any_words(sink: Sink) -> None:
    """Words of any script, line breaks, quotes and missing numbers don't make it fail."""
    for seq, words in enumerate(("µ ≥ 0,1 “ß” 温度", 'a\nb\r\n"c"\t\x1b[31m', "", "x" * 5000), 1):
        _outcome(sink, notice(seq, message=words))
    unnumbered = Event(9, 0.0, "c-1", "c", Transition.RAISED, State.ACTIVE, Severity.INFO, math.inf, None)
    _outcome(sink, Notice(unnumbered))


def works_from_another_thread(sink: Sink) -> None:
    """``deliver`` is called from a thread other than the one that built the sink, a new one each time."""
    found: list[object] = []

    def attempt() -> None:
        try:
            found.append(_outcome(sink, notice()))
        except Exception as error:  # handed to the caller's thread
            found.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(LONGEST_S)
    if not found:
        raise AlertError(f"{type(sink).__name__}.deliver did not end within {LONGEST_S:g} s; give it a time limit")
    if isinstance(found[0], Exception):
        raise AlertError(f"{type(sink).__name__}.deliver failed in another thread: {found[0]}") from found[0]


def _outcome(sink: Sink, given: Notice) -> Outcome:
    outcome = sink.deliver(given)
    if not isinstance(outcome, Delivered | Retry | Refused):
        raise AlertError(f"{type(sink).__name__}.deliver gave {outcome!r}; expected Delivered, Retry or Refused")
    return outcome


def has_name_and_policy(rule: Rule) -> None:
    """A rule has a name and a policy."""
    if not rule.name or not isinstance(rule.policy, Policy):
        raise AlertError(f"{type(rule).__name__} needs a name and a Policy")


def survives_an_empty_snapshot(rule: Rule) -> None:
    """Knowing nothing, a rule doesn't raise; it says ``stale``, or what it can say without input."""
    try:
        verdict = rule.judge(Snapshot(0.0))
    except Exception as error:
        raise AlertError(f"{rule.name}: judge raised {error!r} for an empty snapshot; give a stale verdict") from error
    if not isinstance(verdict, Verdict):
        raise AlertError(f"{rule.name}: judge gave {verdict!r}; expected a Verdict")


def is_pure(rule: Rule) -> None:
    """The same snapshot gives the same verdict however often it is judged."""
    snapshot = Snapshot(0.0)
    if len({rule.judge(snapshot) for _ in range(3)}) != 1:
        raise AlertError(f"{rule.name}: judge gave different verdicts for one snapshot; keep no state in a rule")
