"""The book is the fold of its journal: after any prefix, across restarts, whatever happens."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import record
from alerts.alert import AlertError, Event, Severity, State, Transition
from alerts.book import Book
from alerts.expression import compile_when
from alerts.journal import MemoryJournal
from alerts.ledger import fold
from alerts.rule import Outcome, Policy, Rule, Snapshot, Verdict
from alerts.watch import Watch

NAMES = {"x", "y"}


def rule(name: str, when: str, **policy: object) -> Watch:
    return Watch(name, compile_when(when, NAMES, NAMES, set()), Policy(**policy))


RULES = (
    rule("plain", "x > 1"),
    rule("slow", "x > 1", for_s=20.0, clear_for_s=20.0, severity=Severity.MAJOR, guidance="Wait."),
    rule("band", "y < 0", hysteresis=0.5, for_s=10.0),
    rule("silent", "stale(y)", severity=Severity.CRITICAL),
)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from([-10.0, 0.0, 1.0, 10.0, 10.0, 15.0, 40.0]),  # how far the clock goes
        st.sampled_from([None, 0.0, 0.9, 2.0]),
        st.sampled_from([None, -1.0, 0.2, 1.0]),
        st.booleans(),  # an acknowledgement of whatever can be
        st.booleans(),  # a simulated source
    ),
    max_size=25,
)


def snapshot(time: float, x: float | None, y: float | None, simulated: bool = False) -> Snapshot:
    values = {name: value for name, value in (("x", x), ("y", y)) if value is not None}
    return Snapshot(time, values, ages_s=dict.fromkeys(values, 1.0), simulated=simulated)


@settings(deadline=None)
@given(actions=ACTIONS)
def test_replay_after_any_prefix_is_the_same_state(actions: list[tuple[float, float, float, bool, bool]]) -> None:
    """One book runs on; another is restarted after every action, and can't be told from it."""
    journal, restarted_journal = MemoryJournal(), MemoryJournal()
    book = Book(RULES, journal)
    time = 1000.0
    for dt, x, y, acknowledge, simulated in actions:
        time += dt
        restarted = Book(RULES, restarted_journal)
        assert restarted.ledger == book.ledger
        given_to = snapshot(time, x, y, simulated)
        assert book.step(given_to) == restarted.step(given_to)
        if acknowledge:
            for alert in book.active():
                if alert.state is not State.ACKNOWLEDGED:
                    assert book.acknowledge(alert.episode, "A. Operator", "seen", time) == restarted.acknowledge(
                        alert.episode, "A. Operator", "seen", time
                    )
    events = list(journal.events())
    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert len({e.key for e in events}) == len(events)
    assert fold(events) == book.ledger
    # what a client saw of a prefix, carried on with "everything after n", is the same too
    ledger = fold(events[: len(events) // 2])
    for event in events[len(events) // 2 :]:
        ledger.apply(event)
    assert ledger == book.ledger
    _follows_the_chart(events)


ALLOWED = {
    Transition.PENDING: {"normal": {"pending"}, "pending": {"pending"}, "returned": {"returned"}},
    Transition.CANCELLED: {"pending": {"normal"}, "returned": {"returned"}},
    Transition.RAISED: {"normal": {"active"}, "pending": {"active"}, "returned": {"active"}},
    Transition.ESCALATED: {"active": {"active"}, "acknowledged": {"active"}},
    Transition.CLEARING: {"active": {"active"}, "acknowledged": {"acknowledged"}},
    Transition.HOLDING: {"active": {"active"}, "acknowledged": {"acknowledged"}},
    Transition.RETURNED: {"active": {"returned"}, "acknowledged": {"normal"}},
    Transition.ACKNOWLEDGED: {"active": {"acknowledged"}, "returned": {"normal", "pending"}},
}
SHORT = {
    State.NORMAL: "normal",
    State.PENDING: "pending",
    State.ACTIVE: "active",
    State.ACKNOWLEDGED: "acknowledged",
    State.RETURNED: "returned",
}


def _follows_the_chart(events: list[Event]) -> None:
    """No transition that ISA-18.2's chart doesn't have, and one open episode per rule."""
    now: dict[str, tuple[str, str]] = {}
    for event in events:
        if event.transition in (Transition.BLIND, Transition.SIGHTED):
            continue
        episode, state = now.get(event.rule, ("", "normal"))
        if state != "normal":
            assert event.episode == episode
        else:
            assert event.episode != episode
        after = SHORT[event.state]
        assert after in ALLOWED[event.transition][state], event
        now[event.rule] = (event.episode, after)


def test_the_life_of_an_alert() -> None:
    book = Book(
        [rule("warm", "x > 1", for_s=10.0, severity=Severity.MAJOR, guidance="Open the door.")], MemoryJournal()
    )
    book.step(snapshot(0.0, 2.0, None))
    assert book.active() == ()
    (waiting,) = book.pending()
    assert (waiting.state, waiting.violated_since) == (State.PENDING, 0.0)
    book.step(snapshot(10.0, 3.0, None, simulated=True))
    (alert,) = book.active()
    assert alert.episode == "warm-19700101T000000.000Z"
    assert (alert.state, alert.severity, alert.started, alert.raised) == (State.ACTIVE, Severity.MAJOR, 0.0, 10.0)
    assert (alert.value, alert.limit, alert.message) == (3.0, 1.0, "x = 3, > 1")
    assert alert.guidance == "Open the door."
    assert alert.simulated
    event = book.acknowledge(alert.episode, " A. Operator ", "closing it", 12.0)
    assert (event.by, event.comment, event.state, event.simulated) == (
        "A. Operator", "closing it", State.ACKNOWLEDGED, True,
    )  # fmt: skip
    (alert,) = book.active()
    assert (alert.state, alert.by, alert.acknowledged) == (State.ACKNOWLEDGED, "A. Operator", 12.0)
    (event,) = book.step(snapshot(20.0, 0.0, None))
    assert (event.transition, event.state) == (Transition.RETURNED, State.NORMAL)
    assert book.active() == ()


def test_returned_stays_until_acknowledged_and_may_be_raised_again() -> None:
    book = Book([rule("warm", "x > 1")], MemoryJournal())
    for time, x in ((0.0, 2.0), (10.0, 0.0)):
        book.step(snapshot(time, x, None))
    (alert,) = book.active()
    assert (alert.state, alert.returned) == (State.RETURNED, 10.0)
    book.step(snapshot(20.0, 2.0, None))
    (again,) = book.active()
    assert (again.episode, again.state, again.times_raised, again.returned) == (alert.episode, State.ACTIVE, 2, None)
    book.step(snapshot(30.0, 0.0, None))
    assert book.acknowledge(alert.episode, "A. Operator", "", 40.0).state is State.NORMAL
    assert book.active() == ()


def test_acknowledging_a_returned_alert_keeps_a_timer_that_runs() -> None:
    book = Book([rule("warm", "x > 1", for_s=20.0)], MemoryJournal())
    for time, x in ((0.0, 2.0), (20.0, 2.0), (30.0, 0.0), (40.0, 2.0)):
        book.step(snapshot(time, x, None))
    (alert,) = book.active()
    assert (alert.state, alert.violated_since) == (State.RETURNED, 40.0)
    assert book.acknowledge(alert.episode, "A. Operator", "", 45.0).state is State.PENDING
    (event,) = book.step(snapshot(60.0, 2.0, None))
    assert event.transition is Transition.RAISED


def test_what_cannot_be_acknowledged() -> None:
    book = Book([rule("warm", "x > 1"), rule("slow", "x > 1", for_s=60.0)], MemoryJournal())
    with pytest.raises(AlertError, match="no open alert 'warm'; there are none"):
        book.acknowledge("warm", "A", "", 0.0)
    book.step(snapshot(0.0, 2.0, None))
    (alert,) = book.active()
    with pytest.raises(AlertError, match=f"no open alert 'warm'; did you mean '{alert.episode}'?"):
        book.acknowledge("warm", "A", "", 0.0)
    with pytest.raises(AlertError, match="needs the name"):
        book.acknowledge(alert.episode, "  ", "", 0.0)
    with pytest.raises(AlertError, match="only pending"):
        book.acknowledge(book.pending()[0].episode, "A", "", 0.0)
    book.acknowledge(alert.episode, "A", "", 0.0)
    with pytest.raises(AlertError, match="already acknowledged by A"):
        book.acknowledge(alert.episode, "B", "", 1.0)


def test_worst_first() -> None:
    book = Book([rule("a", "x > 1"), rule("b", "x > 1", severity=Severity.CRITICAL)], MemoryJournal())
    book.step(snapshot(0.0, 2.0, None))
    assert [a.rule for a in book.active()] == ["b", "a"]


def test_a_rule_that_is_gone_takes_its_alert_with_it() -> None:
    journal = MemoryJournal()
    Book([rule("gone", "x > 1"), rule("blind", "y > 1"), rule("slow", "x > 1", for_s=60.0)], journal).step(
        snapshot(0.0, 2.0, None)
    )
    book = Book([rule("new", "x > 1")], journal)
    events = book.step(snapshot(10.0, 0.0, None))
    assert [(e.rule, e.transition) for e in events] == [
        ("gone", Transition.WITHDRAWN), ("slow", Transition.CANCELLED), ("blind", Transition.SIGHTED),
    ]  # fmt: skip
    assert book.ledger.open == {}
    assert book.ledger.blind == {}
    assert book.step(snapshot(20.0, 0.0, None)) == ()


class Failing:
    name, policy = "failing", Policy()

    def judge(self, snapshot: Snapshot) -> Verdict:
        raise RuntimeError("table not found")


def test_a_rule_that_fails_is_shown_and_silences_nobody() -> None:
    rules: list[Rule] = [Failing(), rule("warm", "x > 1")]
    book = Book(rules, MemoryJournal())
    events = book.step(snapshot(0.0, 2.0, None))
    assert [(e.rule, e.transition) for e in events] == [("failing", Transition.BLIND), ("warm", Transition.RAISED)]
    assert book.verdicts["failing"] == Verdict(Outcome.ERROR, message="RuntimeError: table not found")
    assert book.ledger.blind == {"failing": 0.0}


class Full(MemoryJournal):
    """A journal on a disk that is full after some events."""

    room = 1

    def append(self, event: Event) -> int:
        if self.room == 0:
            raise OSError(28, "No space left on device")
        self.room -= 1
        return super().append(event)


def test_the_state_never_runs_ahead_of_the_journal() -> None:
    journal = Full()
    book = Book([rule("a", "x > 1"), rule("b", "x > 1")], journal)
    before = book.ledger
    with pytest.raises(OSError, match="No space left"):
        book.step(snapshot(0.0, 2.0, None))
    assert book.ledger == before
    journal._events.clear()  # the caller rolls its transaction back
    journal.room = 9
    assert [e.transition for e in book.step(snapshot(10.0, 2.0, None))] == [Transition.RAISED] * 2
    journal._events.clear()
    book.reload()
    assert book.active() == ()


def test_episodes_of_one_instant_differ() -> None:
    book = Book([rule("warm", "x > 1")], MemoryJournal())
    seen = []
    for _ in range(4):
        book.step(snapshot(0.25, 2.0, None))
        (alert,) = book.active()
        book.acknowledge(alert.episode, "A", "", 0.25)
        book.step(snapshot(0.25, 0.0, None))
        seen.append(alert.episode)
    first = "warm-19700101T000000.250Z"
    assert seen == [first, f"{first}.2", f"{first}.3", f"{first}.4"]


def test_names_differ() -> None:
    with pytest.raises(AlertError, match="2 rules named 'a'"):
        Book([rule("a", "x > 1"), rule("a", "x > 2")], MemoryJournal())


def test_records_go_through_json_and_back() -> None:
    journal = MemoryJournal()
    book = Book(RULES, journal)
    for k, x in enumerate((2.0, 2.0, 2.0, 0.0)):
        book.step(snapshot(1e9 + 10.123456 * k, x, -1.0))
    book.acknowledge(book.active()[0].episode, "A. Operator", "„gesehen“", 1e9 + 50)
    events = list(journal.events())
    lines = [json.dumps(record.record(event), allow_nan=False) for event in events]
    assert [record.event_from(json.loads(line)) for line in lines] == events
    with pytest.raises(AlertError, match="not an alert event: 'seq'"):
        record.event_from({})
