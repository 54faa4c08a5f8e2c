"""Hysteresis and the timers of an episode."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.alert import Severity, State
from alerts.book import Book
from alerts.expression import compile_when
from alerts.journal import MemoryJournal
from alerts.rule import Outcome, Policy, Snapshot, Verdict
from alerts.watch import Watch

SILENT = None


def course(when: str, policy: Policy, values: Iterable[float | None], step_s: float = 10.0) -> list[str]:
    """Transitions that a course of values makes, each with its time."""
    rule = Watch("x-rule", compile_when(when, {"x"}, {"x"}, set()), policy)
    book, told = Book([rule], MemoryJournal()), []
    for k, value in enumerate(values):
        known = {} if value is SILENT else {"x": value}
        for event in book.step(Snapshot(k * step_s, known)):
            told.append(f"{event.transition}@{event.time:g}")
    return told


def test_raises_and_returns_at_once_without_timers() -> None:
    assert course("x > 1", Policy(), [0, 2, 2, 1, 0]) == ["raised@10", "returned@30"]


def test_hysteresis_clears_only_beyond_the_band() -> None:
    policy = Policy(hysteresis=0.5)
    assert course("x > 1", policy, [0.9, 1.1, 0.9, 0.5, 0.49, 0.9, 1.1]) == ["raised@10", "returned@40", "raised@60"]
    assert course("x < 1", policy, [1.1, 0.9, 1.1, 1.5, 1.51, 1.1]) == ["raised@10", "returned@40"]
    assert course("1 >= x", policy, [1.1, 1.0, 1.1, 1.5, 1.51]) == ["raised@10", "returned@40"]


@given(
    values=st.lists(st.floats(-1.0, 3.0), min_size=1, max_size=60),
    band=st.floats(0.01, 1.5),
    below=st.booleans(),
)
def test_never_chatters_inside_the_band(values: list[float], band: float, below: bool) -> None:
    """Between two changes the value must have crossed the whole band."""
    when, sign = ("x < 1", -1.0) if below else ("x > 1", 1.0)
    told = course(when, Policy(hysteresis=band), values, step_s=1.0)
    raised = False
    for line in told:
        name, _, place = line.partition("@")
        distance = sign * (values[int(place)] - 1.0)
        assert name == ("returned" if raised else "raised")
        assert distance < -band if raised else distance > 0.0
        raised = not raised
    # and nothing is missed: at the end the state is what the last value outside the band says
    outside = [d for v in values if (d := sign * (v - 1.0)) > 0.0 or d < -band]
    assert raised == (bool(outside) and outside[-1] > 0.0)


def test_for_waits_and_starts_anew() -> None:
    told = course("x > 1", Policy(for_s=30.0), [2, 2, 0, 2, 2, 2, 2, 2])
    assert told == ["pending@0", "cancelled@20", "pending@30", "raised@60"]


def test_clear_for_waits_and_starts_anew() -> None:
    told = course("x > 1", Policy(clear_for_s=20.0), [2, 0, 2, 0, 0, 0])
    assert told == ["raised@0", "clearing@10", "holding@20", "clearing@30", "returned@50"]


def test_pending_uses_the_band_too_but_clearing_does_not() -> None:
    policy = Policy(for_s=20.0, hysteresis=0.5)
    assert course("x > 1", policy, [1.1, 0.9, 0.9]) == ["pending@0", "raised@20"]
    # once beyond the band it counts as clear until the limit itself is passed
    policy = Policy(clear_for_s=20.0, hysteresis=0.5)
    assert course("x > 1", policy, [2, 0.4, 0.9, 0.9]) == ["raised@0", "clearing@10", "returned@30"]
    assert course("x > 1", policy, [2, 0.4, 1.1, 0.9]) == ["raised@0", "clearing@10", "holding@20"]


def test_silence_neither_clears_nor_raises() -> None:
    assert course("x > 1", Policy(), [2, SILENT, SILENT, 2, 0]) == ["raised@0", "blind@10", "sighted@30", "returned@40"]
    # the time to hold goes on through silence, but only evidence raises
    told = course("x > 1", Policy(for_s=20.0), [2, SILENT, SILENT, SILENT, 2])
    assert told == ["pending@0", "blind@10", "sighted@40", "raised@40"]
    # the time to be clear doesn't: nobody saw it clear
    told = course("x > 1", Policy(clear_for_s=20.0), [2, 0, SILENT, SILENT, 0, 0, 0])
    assert told == ["raised@0", "clearing@10", "blind@20", "holding@20", "sighted@40", "clearing@40", "returned@60"]


def test_flapping_silence_makes_no_alert() -> None:
    told = course("x > 1", Policy(), [0, SILENT, 0, SILENT, 0, SILENT])
    assert {line.split("@")[0] for line in told} == {"blind", "sighted"}


def test_a_clock_that_is_set_back_begins_the_timer_again() -> None:
    rule = Watch("r", compile_when("x > 1", {"x"}, set(), set()), Policy(for_s=60.0))
    book = Book([rule], MemoryJournal())
    told = [
        f"{event.transition}@{event.time:g}"
        for time in (10_000.0, 100.0, 130.0, 160.0)
        for event in book.step(Snapshot(time, {"x": 2.0}))
    ]
    assert told == ["pending@10000", "pending@100", "raised@160"]


class Grading:
    """A rule that grades what it finds."""

    name = "graded"
    policy = Policy(clear_for_s=20.0)

    def judge(self, snapshot: Snapshot) -> Verdict:
        grade = int(snapshot.values["grade"])
        if not grade:
            return Verdict(Outcome.CLEAR)
        return Verdict(Outcome.VIOLATED, severity=list(Severity)[grade])


def test_severity_latches_and_a_rise_asks_for_attention_again() -> None:
    book = Book([Grading()], MemoryJournal())
    told = []
    for k, grade in enumerate([1, 1, 3, 1, 0, 2, 0, 0, 0]):
        events = book.step(Snapshot(k * 10.0, {"grade": grade}))
        told += [(str(e.transition), str(e.severity), str(e.state)) for e in events]
        if k == 1:
            (alert,) = book.active()
            book.acknowledge(alert.episode, "operator", "", 15.0)
    assert told == [
        ("raised", "minor", "active-unacknowledged"),
        ("escalated", "critical", "active-unacknowledged"),
        ("clearing", "critical", "active-unacknowledged"),
        ("holding", "critical", "active-unacknowledged"),
        ("clearing", "critical", "active-unacknowledged"),
        ("returned", "critical", "returned-unacknowledged"),
    ]
    (alert,) = book.active()
    assert (alert.severity, alert.state, alert.by) == (Severity.CRITICAL, State.RETURNED, "")


@pytest.mark.parametrize("grades", [[1, 0, 3, 0, 0, 0]])
def test_a_rise_while_clearing_ends_the_clearing(grades: list[int]) -> None:
    book = Book([Grading()], MemoryJournal())
    told = [
        f"{e.transition}@{e.time:g}" for k, g in enumerate(grades) for e in book.step(Snapshot(k * 10.0, {"grade": g}))
    ]
    assert told == ["raised@0", "clearing@10", "escalated@20", "clearing@30", "returned@50"]
