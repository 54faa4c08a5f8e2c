"""Delivery against a real web server that fails, dawdles, dies and comes back; and across kills."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest

from alerts.backoff import Backoff
from alerts.book import Book
from alerts.expression import compile_when
from alerts.rule import Policy, Snapshot
from alerts.sink import Delivered, Notice, Outcome, Retry, Sink
from alerts.watch import Watch
from alerts.webhook import WebhookSink
from tests.alerts.hook_server import Answer, HookServer, wait_for
from tests.real_data import ROOT
from twin.delivery import Delivery
from twin.episodes import EpisodeStore, list_letters

QUICK = Backoff(first_s=0.01, longest_s=0.05)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("PRAGMA journal_mode = WAL")
        yield opened


def book_of(store: EpisodeStore, *names: str) -> Book:
    return Book([Watch(n, compile_when(f"{n} > 1", {n}, set(), set()), Policy()) for n in names], store)


def webhook(server: HookServer, timeout_s: float = 2.0) -> WebhookSink:
    return WebhookSink(WebhookSink.Options(url=server.url, timeout_s=timeout_s))


async def until(condition: Callable[[], Any], what: str, deadline_s: float = 10.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        await asyncio.sleep(0.005)


class Deaf:
    """A sink whose receiver is never there."""

    def __init__(self) -> None:
        self.attempts = 0

    def deliver(self, notice: Notice) -> Outcome:
        self.attempts += 1
        return Retry("nobody listens")


class Notebook:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.closed = False

    def deliver(self, notice: Notice) -> Outcome:
        self.keys.append(notice.key)
        return Delivered()

    def close(self) -> None:
        self.closed = True


def status(delivery: Delivery, name: str) -> Any:
    return next(s for s in delivery.status() if s.name == name)


def test_delivers_through_failures_death_and_return(connection: sqlite3.Connection, path: Path) -> None:
    script = {0: Answer(500, body=b"oops"), 1: Answer(429, {"Retry-After": "0"}), 2: Answer(hang_up=True)}

    async def play(server: HookServer) -> None:
        server.answer = lambda number, body: script.get(number, Answer())
        with connection:
            store = EpisodeStore(connection, ("hook",))
        book = book_of(store, "x")
        delivery = Delivery(store, {"hook": webhook(server)}, system="ct1", site="lab", backoff=QUICK, poll_s=0.05)
        delivery.start()
        with connection:
            (raised,) = book.step(Snapshot(0.0, {"x": 2.0}))
        delivery.wake()
        await until(lambda: status(delivery, "hook").delivered == 1, "delivered after 500, 429 and a hang-up")
        assert [t.status for t in server.taken] == [500, 429, 204, 204]
        # the same key in all attempts, and what is said to the server is what the store holds
        assert {t.headers["Idempotency-Key"] for t in server.taken} == {f"lab:ct1:{raised.key}"}
        server.die()
        with connection:
            (returned,) = book.step(Snapshot(10.0, {"x": 0.0}))
        delivery.wake()
        await until(lambda: status(delivery, "hook").failures >= 3, "three refused connections")
        down = status(delivery, "hook")
        assert down.waiting == 1
        assert down.next_attempt is not None
        assert "refused" in down.last_error
        (letter,) = list_letters(path)
        assert letter.attempts >= 3
        assert letter.next_attempt > time.time() - 5.0
        assert "refused" in letter.reason
        server.start()
        await until(lambda: status(delivery, "hook").delivered == 2, "delivered after the server came back")
        assert server.arrived()[-1] == f"lab:ct1:{returned.key}"
        assert status(delivery, "hook").failures == 0
        await delivery.stop()

    with HookServer() as server:
        asyncio.run(play(server))
    assert list_letters(path) == ()
    assert [k.status for k in list_letters(path, every=True)] == ["delivered", "delivered"]


def test_a_dead_sink_delays_nobody(connection: sqlite3.Connection) -> None:
    gate = threading.Event()
    deaf, notebook = Deaf(), Notebook()

    class Stuck:
        def deliver(self, notice: Notice) -> Outcome:
            gate.wait(20.0)
            return Delivered()

    async def play() -> None:
        sinks: dict[str, Sink] = {"deaf": deaf, "stuck": Stuck(), "notebook": notebook}
        with connection:
            store = EpisodeStore(connection, tuple(sinks))
        book = book_of(store, "x")
        delivery = Delivery(store, sinks, backoff=QUICK, poll_s=0.05)
        delivery.start()
        for k in range(20):
            with connection:
                book.step(Snapshot(k * 10.0, {"x": 2.0 - 2.0 * (k % 2)}))
            delivery.wake()
        await until(lambda: status(delivery, "notebook").delivered == 20, "all twenty in the notebook", 5.0)
        assert not gate.is_set()
        assert status(delivery, "stuck").busy_since is not None
        assert status(delivery, "deaf").waiting == 20
        assert status(delivery, "notebook").waiting == 0
        assert [int(key.rpartition(":")[2]) for key in notebook.keys] == list(range(1, 21))
        # stopping doesn't wait for what is stuck; the letter stays
        begun = time.monotonic()
        await delivery.stop(grace_s=0.1)
        assert time.monotonic() - begun < 2.0
        assert notebook.closed
        assert store.backlog()["stuck"] == {"waiting": 20}

    asyncio.run(play())
    gate.set()


def test_a_refusal_is_recorded_with_the_words_and_the_rest_goes_on(connection: sqlite3.Connection, path: Path) -> None:
    async def play(server: HookServer) -> None:
        server.answer = lambda number, body: Answer(422, body=b"unknown rule y") if body["rule"] == "y" else Answer()
        with connection:
            store = EpisodeStore(connection, ("hook",))
            book_of(store, "x", "y", "z").step(Snapshot(0.0, {"x": 2.0, "y": 2.0, "z": 2.0}))
        delivery = Delivery(store, {"hook": webhook(server)}, backoff=QUICK, poll_s=0.05)
        delivery.start()
        await until(lambda: status(delivery, "hook").waiting == 0, "nothing waits")
        assert (status(delivery, "hook").delivered, status(delivery, "hook").dead) == (2, 1)
        await delivery.stop()

    with HookServer() as server:
        asyncio.run(play(server))
    (dead,) = list_letters(path)
    assert (dead.status, dead.event.rule) == ("dead", "y")
    assert dead.reason.endswith("422 Unprocessable Entity: unknown rule y")


def test_a_letter_that_cannot_be_digested_holds_up_only_its_episode(connection: sqlite3.Connection) -> None:
    async def play(server: HookServer) -> None:
        server.answer = lambda number, body: Answer(500 if body["rule"] == "y" else 204)
        with connection:
            store = EpisodeStore(connection, ("hook",))
            book = book_of(store, "x", "y", "z")
        delivery = Delivery(store, {"hook": webhook(server)}, backoff=QUICK, poll_s=0.05)
        delivery.start()
        for k in range(6):
            x = 2.0 - 2.0 * (k % 2)
            with connection:
                book.step(Snapshot(k * 10.0, {"x": x, "y": x, "z": x}))
            delivery.wake()
        await until(lambda: status(delivery, "hook").delivered == 12, "x and z arrive")
        server.answer = lambda number, body: Answer()
        await until(lambda: status(delivery, "hook").delivered == 18, "y arrives when the receiver is mended")
        order = [t.body["seq"] for t in server.taken if t.status == 204 and t.body["rule"] == "y"]
        assert order == sorted(order)
        await delivery.stop()

    with HookServer() as server:
        asyncio.run(play(server))


class Clock:
    """A clock that is set by hand, and counts how often the delivery has looked at it."""

    def __init__(self) -> None:
        self.now, self.looks = 1000.0, 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now


async def looked(clock: Clock) -> None:
    """Until the task has looked at its outbox again several times, an attempt that it began included."""
    before = clock.looks
    await until(lambda: clock.looks > before + 10, "the delivery looks at its outbox")


def test_retry_after_is_honoured_also_for_new_letters(connection: sqlite3.Connection) -> None:
    clock = Clock()

    async def play(server: HookServer) -> None:
        server.answer = lambda number, body: Answer(503, {"Retry-After": "100"}) if number == 0 else Answer()
        with connection:
            store = EpisodeStore(connection, ("hook",))
            book = book_of(store, "x", "y")
            book.step(Snapshot(0.0, {"x": 2.0}))
        delivery = Delivery(store, {"hook": webhook(server)}, backoff=QUICK, poll_s=0.01, clock=clock)
        delivery.start()
        await until(lambda: status(delivery, "hook").failures == 1, "told to come back later")
        assert status(delivery, "hook").next_attempt == 1100.0
        clock.now = 1099.0
        with connection:
            assert len(book.step(Snapshot(10.0, {"x": 2.0, "y": 2.0}))) == 2  # y is seen, and raised
        await looked(clock)
        assert len(server.taken) == 1
        clock.now = 1101.0
        await until(lambda: status(delivery, "hook").delivered == 2, "both arrive afterwards")
        await delivery.stop()

    with HookServer() as server:
        asyncio.run(play(server))


def test_after_an_outage_whatever_waits_is_due(connection: sqlite3.Connection) -> None:
    """A new letter that arrives shows that the receiver is back; the old ones don't sit out their waits."""
    clock, slow = Clock(), Backoff(first_s=200.0)

    async def play(server: HookServer) -> None:
        server.answer = lambda number, body: Answer(500)
        with connection:
            store = EpisodeStore(connection, ("hook",))
            book = book_of(store, "x", "y", "z")
            book.step(Snapshot(0.0, {"x": 2.0, "y": 2.0, "z": 0.0}))
        delivery = Delivery(store, {"hook": webhook(server)}, backoff=slow, poll_s=0.01, clock=clock)
        delivery.start()
        await until(lambda: status(delivery, "hook").failures == 2, "both fail")
        server.answer = lambda number, body: Answer()
        await looked(clock)
        assert len(server.taken) == 2
        with connection:
            book.step(Snapshot(10.0, {"x": 2.0, "y": 2.0, "z": 2.0}))
        await until(lambda: status(delivery, "hook").delivered == 3, "all three arrive, though the clock stands still")
        await delivery.stop()

    with HookServer() as server:
        asyncio.run(play(server))


def test_a_sink_that_keeps_failing_is_left_in_peace(connection: sqlite3.Connection) -> None:
    """Waits grow with the failures of the sink, not only of each letter: a queue is no reason to hammer."""
    clock, deaf = Clock(), Deaf()

    async def play() -> None:
        with connection:
            store = EpisodeStore(connection, ("deaf",))
            book_of(store, "x", "y").step(Snapshot(0.0, {"x": 2.0, "y": 2.0}))
        slow = Backoff(first_s=100.0)
        delivery = Delivery(store, {"deaf": deaf}, backoff=slow, poll_s=0.01, clock=clock, chance=lambda: 1.0)
        delivery.start()
        await until(lambda: status(delivery, "deaf").failures == 2, "both fail")
        clock.now = 1150.0  # each letter's own wait of 100 s is over, the sink's of 200 s isn't
        await looked(clock)
        assert deaf.attempts == 2
        assert status(delivery, "deaf").next_attempt == 1200.0
        clock.now = 1201.0
        await until(lambda: deaf.attempts == 3, "tried again")
        await looked(clock)
        assert deaf.attempts == 3
        await delivery.stop()

    asyncio.run(play())


def test_waits_grow_and_are_bounded() -> None:
    backoff = Backoff(first_s=1.0, longest_s=300.0)
    waits = [[backoff.wait(n, part=part) for n in (1, 2, 5, 9, 10, 10_000)] for part in (0.0, 1.0)]
    assert waits == [[0.5, 1.0, 8.0, 128.0, 150.0, 150.0], [1.0, 2.0, 16.0, 256.0, 300.0, 300.0]]
    assert backoff.wait(1, part=1.0, asked_s=20.0) == 20.0
    assert backoff.wait(1, part=1.0, asked_s=1e9) == 3600.0


def test_a_sink_with_a_fault_keeps_its_letters(connection: sqlite3.Connection) -> None:
    class Faulty(Notebook):
        def deliver(self, notice: Notice) -> Outcome:
            super().deliver(notice)
            if len(self.keys) == 1:
                raise KeyError("token")
            return None if len(self.keys) == 2 else Delivered()  # type: ignore[return-value]

    async def play() -> None:
        sink = Faulty()
        with connection:
            store = EpisodeStore(connection, ("f",))
            book_of(store, "x").step(Snapshot(0.0, {"x": 2.0}))
        delivery = Delivery(store, {"f": sink}, backoff=QUICK, poll_s=0.05)
        delivery.start()
        await until(lambda: status(delivery, "f").delivered == 1, "the third attempt arrives")
        assert len(sink.keys) == 3
        assert "deliver gave None" in status(delivery, "f").last_error
        await delivery.stop()

    asyncio.run(play())


def test_nothing_uncommitted_is_delivered(connection: sqlite3.Connection) -> None:
    notebook = Notebook()

    async def play() -> None:
        with connection:
            store = EpisodeStore(connection, ("n",))
        delivery = Delivery(store, {"n": notebook}, poll_s=0.01)
        delivery.start()
        book_of(store, "x").step(Snapshot(0.0, {"x": 2.0}))
        for _ in range(20):
            delivery.wake()
            await asyncio.sleep(0.001)
        assert notebook.keys == []
        connection.commit()
        await until(lambda: len(notebook.keys) == 1, "delivered once committed")
        await delivery.stop()

    asyncio.run(play())


def test_an_outcome_that_cannot_be_stored_is_kept_and_not_delivered_again(
    connection: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk must not turn one alert into thousands."""
    notebook = Notebook()
    full = [True]

    class Transaction:
        def __enter__(self) -> None:
            if full[0]:
                raise sqlite3.OperationalError("database or disk is full")
            connection.__enter__()

        def __exit__(self, *args: Any) -> None:
            connection.__exit__(*args)

    async def play() -> None:
        with connection:
            store = EpisodeStore(connection, ("n",))
            book_of(store, "x").step(Snapshot(0.0, {"x": 2.0}))
        transaction: Callable[[], AbstractContextManager[object]] = Transaction
        delivery = Delivery(store, {"n": notebook}, poll_s=0.01, transaction=transaction)
        delivery.start()
        await until(lambda: caplog.records, "the fault is logged")
        for _ in range(20):
            await asyncio.sleep(0.002)
        assert len(notebook.keys) == 1
        full[0] = False
        await until(lambda: status(delivery, "n").delivered == 1, "recorded once there is room")
        assert len(notebook.keys) == 1
        await delivery.stop()

    asyncio.run(play())
    assert len(caplog.records) == 1  # said once, not at every attempt


def test_a_sink_that_is_no_longer_configured_stays_visible(connection: sqlite3.Connection) -> None:
    async def play() -> None:
        with connection:
            book_of(EpisodeStore(connection, ("old", "new")), "x").step(Snapshot(0.0, {"x": 2.0}))
            store = EpisodeStore(connection, ("new",))
        delivery = Delivery(store, {"new": Notebook()}, poll_s=0.01)
        delivery.start()
        await until(lambda: status(delivery, "new").delivered == 1, "the new one is served")
        old = status(delivery, "old")
        assert (old.waiting, old.last_error) == (1, "this sink is not configured")
        await delivery.stop()

    asyncio.run(play())


CHILD = textwrap.dedent(
    """
    import asyncio, sqlite3, sys
    from alerts.book import Book
    from alerts.expression import compile_when
    from alerts.rule import Snapshot
    from alerts.watch import Watch
    from alerts.webhook import WebhookSink
    from twin.delivery import Delivery
    from twin.episodes import EpisodeStore

    async def main(path, url, deliver):
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            store = EpisodeStore(connection, ("hook",))
            book = Book([Watch("x", compile_when("x > 1", {"x"}, set(), set()))], store)
            for k in range(3):
                book.step(Snapshot(k * 10.0, {"x": 2.0 - 2.0 * (k % 2)}))
        if deliver:
            Delivery(store, {"hook": WebhookSink(WebhookSink.Options(url=url, timeout_s=30))}, system="ct1").start()
        else:
            book.step(Snapshot(30.0, {"x": 0.0}))  # never committed
        sys.stdout.write("committed\\n")
        sys.stdout.flush()
        await asyncio.sleep(60)

    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] == "deliver"))
    """
)


@pytest.mark.parametrize("moment", ["before", "during"])
def test_killed_between_commit_and_delivery(moment: str, path: Path) -> None:
    """What was committed is delivered after a restart; what arrived unrecorded comes again under the same key."""
    release = threading.Event()
    with HookServer(lambda number, body: Answer(hold=release)) as server:
        word = "deliver" if moment == "during" else "wait"
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), server.url, word], cwd=ROOT, stdout=subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline().strip() == b"committed"
            if moment == "during":
                wait_for(lambda: server.taken, "the child's request")
        finally:
            child.kill()
            child.wait(10.0)
            if child.stdout is not None:
                child.stdout.close()
        release.set()
        at_the_kill = len(server.taken)
        assert at_the_kill == (1 if moment == "during" else 0)

        async def restart() -> None:
            with closing(sqlite3.connect(path)) as connection:
                with connection:
                    store = EpisodeStore(connection, ("hook",))
                delivery = Delivery(store, {"hook": webhook(server)}, system="ct1", backoff=QUICK)
                delivery.start()
                await until(lambda: status(delivery, "hook").delivered == 3, "all three letters")
                await delivery.stop()
                assert store.backlog() == {"hook": {"delivered": 3}}

        asyncio.run(restart())
        after = [t.body for t in server.taken[at_the_kill:]]
        assert [(b["seq"], b["transition"]) for b in after] == [(1, "raised"), (2, "returned"), (3, "raised")]
        assert len({b["key"] for b in after}) == 3
        if moment == "during":
            assert json.dumps(server.taken[0].body) == json.dumps(after[0])
    assert list_letters(path) == ()
