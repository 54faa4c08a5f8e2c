"""Episodes in SQLite: one transaction with the outbox, read by others, kept over restarts."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.alert import AlertError, Severity, State, Transition
from alerts.book import Book
from alerts.expression import compile_when
from alerts.journal import MemoryJournal
from alerts.rule import Policy, Snapshot
from alerts.watch import Watch
from twin.episodes import EpisodeStore, acknowledge_offline, list_alerts, list_events, list_letters

RULES = (
    Watch("warm", compile_when("x > 1", {"x"}, {"x"}, set()), Policy(severity=Severity.MAJOR, guidance="Öffnen.")),
    Watch("slow", compile_when("x > 1", {"x"}, {"x"}, set()), Policy(for_s=20.0, clear_for_s=20.0)),
    Watch("silent", compile_when("stale(x)", set(), {"x"}, set())),
)


def at(time: float, x: float | None) -> Snapshot:
    return Snapshot(time, {} if x is None else {"x": x}, ages_s={} if x is None else {"x": 0.0})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store #1 %.sqlite"  # signs that a URI would take amiss


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(writer(path)) as opened:
        yield opened


def writer(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def raise_one(connection: sqlite3.Connection, sinks: tuple[str, ...] = ("a", "b")) -> Book:
    with connection:
        book = Book(RULES[:1], EpisodeStore(connection, sinks))
        book.step(at(0.0, 2.0))
    return book


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(course=st.lists(st.tuples(st.sampled_from([None, 0.0, 2.0]), st.booleans()), max_size=15))
def test_the_store_gives_back_what_was_appended(course: list[tuple[float | None, bool]], tmp_path: Path) -> None:
    """A book in memory and one in SQLite, the latter restarted from the file at every step, are the same."""
    file = tmp_path / "same.sqlite"
    file.unlink(missing_ok=True)
    memory = MemoryJournal()
    kept = Book(RULES, memory)
    for k, (x, acknowledge) in enumerate(course):
        with closing(sqlite3.connect(file)) as connection, connection:
            book = Book(RULES, EpisodeStore(connection, ("a",)))
            assert book.ledger == kept.ledger
            assert book.step(at(k * 10.0, x)) == kept.step(at(k * 10.0, x))
            for alert in kept.active() if acknowledge else ():
                if alert.state is not State.ACKNOWLEDGED:
                    for each in (book, kept):
                        each.acknowledge(alert.episode, "A", "ok", k * 10.0)
    events = tuple(memory.events())
    if course:
        assert list_events(file) == events
        assert list_events(file, after=3) == events[3:]
        assert list_alerts(file) == kept.active()


@pytest.mark.parametrize("isolation", ["", None, "IMMEDIATE"])
def test_nothing_is_committed_here(path: Path, isolation: str | None) -> None:
    with closing(sqlite3.connect(path, isolation_level=isolation)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            store = EpisodeStore(connection, ("a",))
        book = Book(RULES[:1], store)
        book.step(at(0.0, 2.0))
        letter = store.due("a", 1.0)
        assert letter is not None
        store.postpone(letter, 5.0, "down")
        assert connection.in_transaction
        assert list_events(path) == ()  # another process sees nothing yet
        connection.rollback()
        book.reload()
        assert book.active() == ()
        assert store.due("a", 1.0) is None
        with connection:
            book.step(at(10.0, 2.0))
        assert [e.transition for e in list_events(path)] == [Transition.RAISED]


def test_an_event_and_its_letters_are_one(connection: sqlite3.Connection, path: Path) -> None:
    """When the outbox can't take its row, the event isn't there either."""
    with connection:
        store = EpisodeStore(connection, ("a",))
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON alert_outbox BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    book = Book(RULES[:1], store)
    with pytest.raises(sqlite3.IntegrityError, match="disk is full"), connection:
        book.step(at(0.0, 2.0))
    assert book.active() == ()
    assert list_events(path) == ()


def test_only_what_operators_are_told_of_is_sent(connection: sqlite3.Connection) -> None:
    with connection:
        store = EpisodeStore(connection, ("a", "b"))
        book = Book(RULES[1:2], store)
        for k, x in enumerate((2.0, 0.0, 2.0, None, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0)):
            book.step(at(k * 10.0, x))
        book.acknowledge(book.active()[0].episode, "A", "", 100.0)
    sent = connection.execute(
        "SELECT o.sink, e.transition FROM alert_outbox o JOIN alert_event e USING (seq) ORDER BY o.id"
    ).fetchall()
    assert sent == [(sink, word) for word in ("raised", "returned", "acknowledged") for sink in ("a", "b")]
    assert {"pending", "cancelled", "clearing", "holding", "blind", "sighted"} <= {
        str(e.transition) for e in store.events()
    }


def test_the_journal_is_append_only(connection: sqlite3.Connection) -> None:
    raise_one(connection)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("UPDATE alert_event SET severity = 'info'")


def test_order_within_an_episode_and_no_standing_in_line_for_others(connection: sqlite3.Connection) -> None:
    rules = (RULES[0], Watch("second", RULES[0].when))
    with connection:
        store = EpisodeStore(connection, ("a",))
        book = Book(rules, store)
        book.step(at(0.0, 2.0))
        book.step(at(10.0, 0.0))
    raised = store.due("a", 100.0)
    assert raised is not None
    assert (raised.event.rule, raised.event.transition) == ("warm", Transition.RAISED)
    store.postpone(raised, 200.0, "the receiver can't digest it")
    new = store.due("a", 300.0)
    assert new is not None
    assert new.event.rule == "second"  # what is new comes before what failed, though both are due
    other = store.due("a", 100.0)
    assert other is not None
    assert (other.event.rule, other.event.transition) == ("second", Transition.RAISED)
    store.settle(other, "delivered", 100.0)
    following = store.due("a", 100.0)
    assert following is not None
    assert (following.event.rule, following.event.transition) == ("second", Transition.RETURNED)
    store.settle(following, "dead", 100.0, "404")
    # "returned" of the first waits behind its "raised"
    assert store.due("a", 100.0) is None
    assert store.due("a", 201.0, retries=False) is None
    again = store.due("a", 201.0)
    assert again is not None
    assert (again.id, again.attempts, again.reason) == (raised.id, 1, "the receiver can't digest it")
    assert store.backlog() == {"a": {"waiting": 2, "delivered": 1, "dead": 1}}
    # an attempt planned by a clock that ran years ahead is due
    store.postpone(again, 1e12, "down")
    assert store.next_attempt("a") == 0.0
    assert store.due("a", 300.0) is not None


def test_others_may_read_while_the_service_writes(connection: sqlite3.Connection, path: Path) -> None:
    raise_one(connection)
    connection.execute("BEGIN IMMEDIATE")  # a batch under way
    connection.execute("DELETE FROM alert_outbox")
    (alert,) = list_alerts(path)
    assert (alert.rule, alert.state, alert.severity, alert.guidance) == (
        "warm", State.ACTIVE, Severity.MAJOR, "Öffnen.",
    )  # fmt: skip
    letters = list_letters(path)
    assert [(k.sink, k.status, k.attempts, k.event.transition) for k in letters] == [
        ("a", "waiting", 0, Transition.RAISED), ("b", "waiting", 0, Transition.RAISED),
    ]  # fmt: skip
    connection.rollback()


def test_acknowledging_while_the_service_is_stopped(path: Path) -> None:
    with closing(writer(path)) as connection:
        book = raise_one(connection)
        episode = book.active()[0].episode
    event = acknowledge_offline(path, episode, "A. Operator", "on it", 50.0, ("a",))
    assert (event.by, event.state) == ("A. Operator", State.ACKNOWLEDGED)
    (alert,) = list_alerts(path)
    assert (alert.state, alert.by, alert.comment, alert.acknowledged) == (
        State.ACKNOWLEDGED, "A. Operator", "on it", 50.0,
    )  # fmt: skip
    assert [(k.sink, k.event.transition) for k in list_letters(path)] == [
        ("a", Transition.RAISED), ("b", Transition.RAISED), ("a", Transition.ACKNOWLEDGED),
    ]  # fmt: skip
    # the service, started again, knows it
    with closing(writer(path)) as connection, connection:
        book = Book(RULES[:1], EpisodeStore(connection, ("a",)))
        assert [e.transition for e in book.step(at(60.0, 0.0))] == [Transition.RETURNED]
    assert list_alerts(path) == ()


def test_one_clear_line_for_what_cannot_be(path: Path, tmp_path: Path) -> None:
    for read in (list_alerts, list_events, list_letters):
        with pytest.raises(AlertError, match="no store there; name the state folder"):
            read(path)
    with pytest.raises(AlertError, match="no store there"):
        acknowledge_offline(path, "warm-1", "A", "", 0.0)
    assert not path.exists()
    path.write_bytes(b"not a database, but long enough to be taken for one" * 50)
    for read in (list_alerts, list_events, list_letters):
        with pytest.raises(AlertError, match="can't be read as a store"):
            read(path)
    with pytest.raises(AlertError, match="can't be stored"):
        acknowledge_offline(path, "warm-1", "A", "", 0.0)
    with pytest.raises(AlertError, match="no store there"):
        list_alerts(tmp_path)
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other, other:
        other.execute("CREATE TABLE reading (x)")
    assert list_alerts(tmp_path / "other.sqlite") == ()
    assert list_letters(tmp_path / "other.sqlite") == ()
    with pytest.raises(AlertError, match="no open alert 'warm-1'; there are none"):
        acknowledge_offline(tmp_path / "other.sqlite", "warm-1", "A", "", 0.0)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs permissions that root ignores")
def test_a_store_in_a_read_only_folder(path: Path) -> None:
    with closing(writer(path)) as connection:
        raise_one(connection)
    path.parent.chmod(0o500)
    try:
        assert len(list_alerts(path)) == 1
    finally:
        path.parent.chmod(0o700)


def test_a_busy_store_is_refused_in_one_line(
    connection: sqlite3.Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = raise_one(connection).active()[0].episode
    connection.execute("BEGIN IMMEDIATE")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **(options | {"timeout": 0.05})))
    with pytest.raises(AlertError, match="can't be stored: database is locked"):
        acknowledge_offline(path, episode, "A", "", 0.0)
    connection.rollback()
