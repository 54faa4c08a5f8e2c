"""The drain against scripted servers: every line is delivered, or put aside with the server's words, or waits."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.servers import wait_until
from twin.publish.dead_letter import count
from twin.publish.drain import Drain, DrainStatus, State
from twin.publish.spool import Spool
from twin.publish.spool_files import SpoolError, pending_lines
from twin.publish.target import Answer, Verdict

OK = Answer(Verdict.DELIVERED)


class Scripted:
    """A server that is a function from lines to an answer, and remembers what it took."""

    name = "scripted"

    def __init__(self, answer: Callable[[list[bytes]], Answer]) -> None:
        self.answer = answer
        self.taken: list[bytes] = []
        self.requests: list[int] = []
        self.closed = False

    def send(self, body: bytes) -> Answer:
        assert body.endswith(b"\n")
        lines = body.split(b"\n")[:-1]
        self.requests.append(len(lines))
        answer = self.answer(lines)
        if answer.verdict is Verdict.DELIVERED:
            self.taken += lines
        return answer

    def close(self) -> None:
        self.closed = True


@contextlib.contextmanager
def draining(spool: Spool, server: Scripted, **options: object) -> Iterator[Drain]:
    drain = Drain(spool, server, **({"retry_s": (0.001, 0.01), "denied_retry_s": 0.02} | options))  # type: ignore[arg-type]
    drain.start()
    try:
        yield drain
    finally:
        assert drain.stop(10.0)
        assert server.closed


def lines(number: int) -> list[str]:
    return [f"m v={i}.0 {i}" for i in range(number)]


def raw(number: int) -> list[bytes]:
    return [text.encode() for text in lines(number)]


@pytest.fixture
def spool(tmp_path) -> Iterator[Spool]:
    with Spool(tmp_path) as it:
        yield it


def empty(spool: Spool) -> bool:
    return spool.stat().pending_lines == 0


def test_delivers_what_is_there_and_what_comes(spool):
    server = Scripted(lambda _: OK)
    spool.append(lines(10))
    with draining(spool, server) as drain:
        wait_until(lambda: empty(spool))
        spool.append(["late v=1.0 1"])
        wait_until(lambda: empty(spool))
        assert server.taken == [*raw(10), b"late v=1.0 1"]
        status = drain.status()
        assert (status.delivered_lines, status.failures, status.words) == (11, 0, "")
        assert status.last_success is not None


def test_goes_on_for_ever_when_there_is_no_answer(spool):
    tries = [0]

    def flaky(_: list[bytes]) -> Answer:
        tries[0] += 1
        return OK if tries[0] > 30 else Answer(Verdict.RETRY, "no answer: refused")

    problems: list[DrainStatus] = []
    spool.append(lines(3))
    server = Scripted(flaky)
    with draining(spool, server, on_problem=problems.append) as drain:
        wait_until(lambda: empty(spool))
        assert server.taken == raw(3)
        assert drain.status().failures == 30
        wait_until(lambda: len(problems) == 2)
    assert [(p.state.healthy, p.words) for p in problems] == [(False, "no answer: refused"), (True, "")], (
        "told once that it began, once that it is over"
    )


def test_pauses_grow_and_are_bounded_and_obey_retry_after(spool):
    pauses: list[float] = []
    answers = [Answer(Verdict.RETRY, "busy", 5.0 if i == 0 else 0.0) for i in range(10)]
    server = Scripted(lambda _: answers.pop(0) if answers else OK)
    drain = Drain(spool, server, retry_s=(1.0, 60.0))
    drain._pause = lambda seconds: (pauses.append(seconds), True)[1]  # type: ignore[method-assign]
    spool.append(lines(1))
    batch = spool.peek()
    assert batch is not None
    drain._settle(batch)
    assert pauses[0] == 5.0
    for i, pause in enumerate(pauses[1:], 1):
        longest = min(60.0, 2.0**i)
        assert longest / 2 <= pause <= longest
    assert len(set(pauses)) == 10, "jitter"
    assert server.taken == raw(1)


@pytest.mark.parametrize("poison", [{0}, {99}, {3, 4, 50}, set(range(100))])
def test_a_poison_line_is_found_and_put_aside_with_the_words(spool, poison):
    bad = {raw(100)[i] for i in poison}

    def strict(batch: list[bytes]) -> Answer:
        guilty = [line for line in batch if line in bad]
        return Answer(Verdict.REFUSED, f"400 unable to parse {guilty[0]!r}", blames_line=True) if guilty else OK

    spool.append(lines(100))
    server = Scripted(strict)
    with draining(spool, server) as drain:
        wait_until(lambda: empty(spool))
        assert sorted(server.taken) == sorted(set(raw(100)) - bad)
        assert drain.status().refused_lines == len(bad)
        assert drain.status().state.healthy
    text = (spool.folder / "dead-letter.lp").read_text()
    assert count(spool.folder / "dead-letter.lp") == len(bad)
    for line in bad:
        assert f"400 unable to parse {line!r}\n{line.decode()}\n" in text


def test_a_line_refused_without_a_reason_is_put_aside_if_others_are_taken(spool):
    server = Scripted(lambda batch: Answer(Verdict.REFUSED, "400 no") if b"m v=7.0 7" in batch else OK)
    spool.append(lines(20))
    with draining(spool, server):
        wait_until(lambda: empty(spool))
    assert count(spool.folder / "dead-letter.lp") == 1
    assert len(server.taken) == 19


def test_a_server_that_refuses_everything_is_not_believed(spool):
    """A proxy's 400 must not move the whole spool into the dead letters; mended, everything is delivered."""
    mended = threading.Event()
    server = Scripted(lambda _: OK if mended.is_set() else Answer(Verdict.REFUSED, "400 plain HTTP to an HTTPS port"))
    for _ in range(20):
        spool.append(lines(50))
    problems: list[DrainStatus] = []
    with draining(spool, server, on_problem=problems.append) as drain:
        wait_until(lambda: drain.status().state is State.DENIED)
        assert "HTTPS port" in drain.status().words
        wait_until(lambda: len(server.requests) > 300)
        assert not (spool.folder / "dead-letter.lp").exists()
        assert spool.stat().pending_lines == 1000
        mended.set()
        wait_until(lambda: empty(spool))
    assert sorted(server.taken) == sorted(raw(50) * 20)
    assert problems[0].state is State.DENIED
    assert problems[-1].state.healthy


def test_one_line_that_is_refused_alone_waits_for_company(spool):
    """Nothing tells whether the line or the server is wrong, until the server takes another one."""
    server = Scripted(lambda batch: Answer(Verdict.REFUSED, "400 no") if b"m v=0.0 0" in batch else OK)
    spool.append(lines(1))
    with draining(spool, server) as drain:
        wait_until(lambda: drain.status().state is State.DENIED)
        spool.append(["m v=1.0 1"])
        wait_until(lambda: empty(spool))
    assert server.taken == [b"m v=1.0 1"]
    assert count(spool.folder / "dead-letter.lp") == 1


def test_too_large_is_halved_and_remembered(spool):
    server = Scripted(lambda batch: Answer(Verdict.TOO_LARGE, "413") if len(batch) > 10 else OK)
    for _ in range(100):
        spool.append(lines(5))
    with draining(spool, server, batch_lines=40):
        wait_until(lambda: empty(spool))
    assert server.taken == raw(5) * 100
    refused = [n for n in server.requests if n > 10]
    assert len(refused) < 10, "later requests begin smaller, and seldom try more (13 batches would be 39)"


@pytest.mark.parametrize("words", ["401 unauthorized", "404 database not found"])
def test_denied_keeps_everything_until_it_is_mended(spool, words):
    mended = threading.Event()
    server = Scripted(lambda _: OK if mended.is_set() else Answer(Verdict.DENIED, words))
    spool.append(lines(5))
    with draining(spool, server) as drain:
        wait_until(lambda: drain.status().state is State.DENIED)
        spool.append(lines(5))
        assert drain.status().words == words
        assert spool.stat().pending_lines == 10
        mended.set()
        wait_until(lambda: empty(spool))
        assert drain.status().words == ""
    assert server.taken == raw(5) * 2


def test_trouble_on_our_side_is_told_and_repeated(spool, monkeypatch):
    real, failures = spool.acknowledge, [3]

    def full_disk(*args: object) -> None:
        if failures[0]:
            failures[0] -= 1
            raise SpoolError("delivery can't be recorded: the disk is full", retry=True)
        real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(spool, "acknowledge", full_disk)
    problems: list[DrainStatus] = []
    server = Scripted(lambda _: OK)
    spool.append(lines(4))
    with draining(spool, server, on_problem=problems.append):
        wait_until(lambda: empty(spool))
    assert server.taken == raw(4) * 4, "at least once"
    assert problems[0].state is State.FAILED
    assert "disk is full" in problems[0].words


def test_a_failing_callback_does_not_end_the_drain(spool, caplog):
    def bad(_: DrainStatus) -> None:
        raise RuntimeError("mine")

    answers = [Answer(Verdict.RETRY, "x")]
    server = Scripted(lambda _: answers.pop() if answers else OK)
    spool.append(lines(2))
    with draining(spool, server, on_problem=bad):
        wait_until(lambda: empty(spool))
    assert "on_problem failed" in caplog.text


def test_stop_delivers_what_it_can_when_all_is_well(tmp_path):
    with Spool(tmp_path) as spool:
        server = Scripted(lambda _: OK)
        for _ in range(50):
            spool.append(lines(20))
        with draining(spool, server, batch_lines=20):
            pass
        assert len(server.taken) == 1000
        assert empty(spool)


def test_stop_is_bounded_when_the_server_hangs_and_nothing_is_lost(tmp_path):
    release = threading.Event()

    def hang(_: list[bytes]) -> Answer:
        release.wait(20)
        return OK

    server = Scripted(hang)
    with Spool(tmp_path) as spool:
        spool.append(lines(3))
        drain = Drain(spool, server)
        drain.start()
        wait_until(lambda: server.requests)
        assert not drain.stop(0.2), "says that the thread still hangs"
    release.set()
    wait_until(lambda: server.closed)
    with Spool(tmp_path) as spool:
        assert spool.stat().pending_lines == 3


def test_stop_during_an_outage_does_not_wait_for_the_server(tmp_path):
    server = Scripted(lambda _: Answer(Verdict.RETRY, "down", 3000.0))
    with Spool(tmp_path) as spool:
        spool.append(lines(3))
        drain = Drain(spool, server)
        drain.start()
        wait_until(lambda: drain.status().state is State.WAITING)
        assert drain.stop(5.0)
        assert drain.status().state is State.STOPPED
        assert drain.status().words == "down"
        assert spool.stat().pending_lines == 3


class Killed(BaseException):
    """The process ends here; nothing is cleaned up."""


@pytest.mark.parametrize("seed", range(25))
def test_any_mix_of_faults_and_kills_loses_nothing(tmp_path, seed):
    """received ∪ dead letters ∪ spool = accepted, with poison, outages, denials, small limits and kills in a request."""
    rng = random.Random(seed)
    limit = rng.choice([3, 20, 1000])
    received: list[bytes] = []

    def moody(batch: list[bytes]) -> Answer:
        dice = rng.random()
        if dice < 0.02:
            raise Killed
        if dice < 0.2:
            return Answer(Verdict.RETRY, "503", rng.choice([0.0, 9.0]))
        if dice < 0.25:
            return Answer(Verdict.DENIED, "401")
        if len(batch) > limit:
            return Answer(Verdict.TOO_LARGE, "413")
        if any(b"poison" in line for line in batch):
            # a server that takes the good part of a batch and refuses the rest, as InfluxDB 1.x does
            received.extend(line for line in batch if b"poison" not in line)
            return Answer(Verdict.REFUSED, "400 partial write", blames_line=rng.random() < 0.5)
        received.extend(batch)
        if rng.random() < 0.02:
            raise Killed  # taken, but nobody of us knows
        return OK

    accepted: list[str] = []
    for _ in range(8):
        spool = Spool(tmp_path)
        spool._segment_bytes = rng.choice([200, 5000])
        drain = Drain(spool, Scripted(moody), batch_lines=rng.choice([7, 50]))
        drain._pause = lambda _: True  # type: ignore[method-assign]
        with contextlib.suppress(Killed):
            for _ in range(20):
                first = len(accepted)
                new = [
                    f"m{'poison' if rng.random() < 0.02 else ''} v={first + i}.0 1" for i in range(rng.randint(1, 12))
                ]  # fmt: skip
                spool.append(new)
                accepted += new
                if rng.random() < 0.7 and (batch := spool.peek(drain._batch_lines())) is not None:
                    drain._settle(batch)
        # a killed process closes nothing; only the system takes its lock away
        spool._lock_file.release()
        for file in [*spool._unsynced.values(), *([spool._file] if spool._file else [])]:
            file.close()
    with Spool(tmp_path) as spool:
        pending = list(pending_lines(tmp_path))
        stat = spool.stat()
    letters = (tmp_path / "dead-letter.lp").read_bytes() if (tmp_path / "dead-letter.lp").exists() else b""
    dead = [line for line in letters.split(b"\n") if line and not line.startswith(b"#")]
    assert {*received, *dead, *pending} == {text.encode() for text in accepted}
    assert all(b"poison" in line for line in dead), "only the guilty"
    assert stat.dropped_lines == {}
    assert stat.damaged_bytes == 0
    assert stat.delivered_lines + stat.dead_lines + stat.pending_lines == len(accepted)
    assert len(accepted) > 100, "the test itself got somewhere"
