"""The shipped sinks against real streams, a real logger and a real web server."""

import io
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from alerts import conformance, registry
from alerts.alert import AlertError, Event, Severity, State, Transition
from alerts.conformance import notice, rule_checks, sink_checks
from alerts.console import ConsoleSink, LogSink
from alerts.expression import compile_when
from alerts.rule import Outcome, Policy, Snapshot, Verdict
from alerts.sink import Delivered, Notice, Refused, Retry, Sink
from alerts.watch import Watch
from alerts.webhook import WebhookSink
from tests.alerts.hook_server import Answer, HookServer


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[HookServer]:
    with HookServer() as running:
        yield running


def webhook(server: HookServer, base: Path | None = None, **options: object) -> WebhookSink:
    return WebhookSink(WebhookSink.Options(url=server.url, **options), base)


# --- webhook -------------------------------------------------------------------
def test_webhook_posts_the_notice(server: HookServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n", encoding="utf-8")
    sink = webhook(server, tmp_path, headers={"X-Room": "B12"}, token_file="token")
    given = notice(7, message="µ ≥ 0,1")
    assert sink.deliver(given) == Delivered()
    sink.close()
    (taken,) = server.taken
    assert (
        taken.headers["Idempotency-Key"] == taken.body["key"] == given.key == "lab:conformance:conformance-1:raised:7"
    )
    assert taken.headers["Content-Type"] == "application/json"
    assert taken.headers["Authorization"] == "Bearer s3cret"
    assert taken.headers["X-Room"] == "B12"
    assert taken.path == "/hook/secret-path"
    assert taken.body == given.payload()
    assert taken.body["message"] == "µ ≥ 0,1"
    assert (taken.body["transition"], taken.body["state"], taken.body["simulated"]) == (
        "raised", "active-unacknowledged", True,
    )  # fmt: skip


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_webhook_2xx_is_an_arrival(server: HookServer, status: int) -> None:
    server.answer = lambda number, body: Answer(status)
    assert webhook(server).deliver(notice()) == Delivered()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_webhook_not_now(server: HookServer, status: int) -> None:
    server.answer = lambda number, body: Answer(status, {"Retry-After": "17"}, b"come\nback later")
    outcome = webhook(server).deliver(notice())
    assert isinstance(outcome, Retry)
    assert outcome.after_s == 17.0
    assert f": {status} " in outcome.reason
    assert outcome.reason.endswith("come back later")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_webhook_refusal_keeps_the_words(server: HookServer, status: int) -> None:
    server.answer = lambda number, body: Answer(status, body=b"no such channel: " + b"x" * 10_000)
    outcome = webhook(server).deliver(notice())
    assert isinstance(outcome, Refused)
    assert "no such channel: xxx" in outcome.reason
    assert len(outcome.reason) < 400


def test_webhook_does_not_follow_redirections(server: HookServer) -> None:
    server.answer = lambda number, body: Answer(302, {"Location": "http://127.0.0.1:9/login"})
    outcome = webhook(server).deliver(notice())
    assert isinstance(outcome, Retry)
    assert "redirects to http://127.0.0.1:9/login" in outcome.reason
    assert len(server.taken) == 1


def test_webhook_without_a_server_and_with_one_that_hangs_or_hangs_up(server: HookServer) -> None:
    gate = threading.Event()
    server.answer = lambda number, body: Answer(hold=gate) if number == 0 else Answer(hang_up=True)
    outcome = webhook(server, timeout_s=0.2).deliver(notice())
    assert outcome == Retry(f"http://127.0.0.1:{server.port}: no answer within 0.2 s")
    gate.set()
    cut = webhook(server).deliver(notice())
    assert isinstance(cut, Retry)
    server.die()
    refused = webhook(server, timeout_s=2.0).deliver(notice())
    assert isinstance(refused, Retry)
    assert "refused" in refused.reason
    # the path of a webhook is often its password: it is in no message
    assert all("secret-path" not in o.reason for o in (outcome, cut, refused))


def test_webhook_reads_its_token_anew(server: HookServer, tmp_path: Path) -> None:
    sink = webhook(server, tmp_path, token_file="token")
    missing = sink.deliver(notice())
    assert isinstance(missing, Retry)
    assert "token" in missing.reason
    for text in ("", "two words", "naïve"):
        (tmp_path / "token").write_text(text, encoding="utf-8")
        unusable = sink.deliver(notice())
        assert isinstance(unusable, Retry)
        assert "holds no token" in unusable.reason
        assert not text or text not in unusable.reason
    assert server.taken == []
    (tmp_path / "token").write_text("second", encoding="utf-8")
    assert sink.deliver(notice()) == Delivered()
    assert server.taken[0].headers["Authorization"] == "Bearer second"


@pytest.mark.parametrize(
    "options",
    [
        {"url": "ftp://127.0.0.1/x"},
        {"url": "http://"},
        {"url": "http://127.0.0.1", "timeout": 3},
        {"url": "http://127.0.0.1", "timeout_s": 0},
        {"url": "http://127.0.0.1", "headers": {"X-A": "one\r\nX-B: two"}},
        {"url": "http://127.0.0.1", "headers": {"X A": "b"}},
        {},
    ],
)
def test_webhook_options_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WebhookSink.Options.model_validate(options)


# --- console and log -------------------------------------------------------------
def test_console_writes_one_clean_line() -> None:
    stream = io.StringIO()
    sink = ConsoleSink(ConsoleSink.Options(), None, stream)
    event = Event(
        3, 0.0, "warm-1", "warm", Transition.ACKNOWLEDGED, State.ACKNOWLEDGED, Severity.MAJOR, message="x = 2, > 1",
        by="A. Operator", comment="on it\n\x1b[2Jgone", simulated=True,
    )  # fmt: skip
    assert sink.deliver(Notice(event, "ct1")) == Delivered()
    assert stream.getvalue() == (
        "1970-01-01T00:00:00.000Z ct1 MAJOR warm acknowledged: by A. Operator (on it  [2Jgone) x = 2, > 1 [warm-1] "
        "SIMULATED\n"
    )


def test_console_on_a_narrow_code_page_and_on_none() -> None:
    raw = io.BytesIO()
    narrow = io.TextIOWrapper(raw, encoding="cp1252", newline="")
    assert ConsoleSink(ConsoleSink.Options(), None, narrow).deliver(notice(message="half-pitch ≥ 1 µm")) == Delivered()
    assert b"half-pitch \\u2265 1 \xb5m" in raw.getvalue()
    narrow.close()
    gone = ConsoleSink(ConsoleSink.Options(), None, narrow).deliver(notice())
    assert isinstance(gone, Refused)


def test_console_goes_where_standard_error_goes(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleSink(ConsoleSink.Options()).deliver(notice())
    ConsoleSink(ConsoleSink.Options(stream="stdout")).deliver(notice())
    out, err = capsys.readouterr()
    assert out == err == notice().line() + "\n"


@pytest.mark.parametrize(
    ("severity", "transition", "level"),
    [
        (Severity.CRITICAL, Transition.RAISED, logging.CRITICAL),
        (Severity.MAJOR, Transition.ESCALATED, logging.ERROR),
        (Severity.MINOR, Transition.RAISED, logging.WARNING),
        (Severity.INFO, Transition.RAISED, logging.INFO),
        (Severity.CRITICAL, Transition.RETURNED, logging.INFO),
    ],
)
def test_log_levels(caplog: pytest.LogCaptureFixture, severity: Severity, transition: Transition, level: int) -> None:
    event = Event(1, 0.0, "a-1", "a", transition, State.ACTIVE, severity, message="100 % %s")
    with caplog.at_level(logging.DEBUG, "ctwin.alerts"):
        LogSink(LogSink.Options()).deliver(Notice(event))
    (entry,) = caplog.records
    assert (entry.name, entry.levelno) == ("ctwin.alerts", level)
    assert "100 % %s" in entry.getMessage()


# --- registry and conformance ---------------------------------------------------
def test_kinds_by_name(tmp_path: Path) -> None:
    assert {"console", "log", "webhook"} <= set(registry.kinds())
    options = registry.options_of("webhook").model_validate({"url": "http://127.0.0.1:9000/hook"})
    assert isinstance(registry.make("webhook", options, tmp_path), WebhookSink)
    with pytest.raises(KeyError):
        registry.sink_class("pigeon")


@pytest.mark.parametrize("check", sink_checks(), ids=lambda c: c.__name__)
@pytest.mark.parametrize("kind", sorted(registry.KINDS))
def test_shipped_sinks_conform(kind: str, check: object, server: HookServer, tmp_path: Path) -> None:
    keys = {"url": server.url} if kind == "webhook" else {}
    sink = registry.make(kind, registry.options_of(kind).model_validate(keys), tmp_path)
    check(sink)  # type: ignore[operator]


@pytest.mark.parametrize("check", rule_checks(), ids=lambda c: c.__name__)
@pytest.mark.parametrize("when", ["x > 1", "stale(x)", "1 > 0", "probability(x > 1, within = 1 h) > 0.5"])
def test_shipped_rules_conform(when: str, check: object) -> None:
    check(Watch("r", compile_when(when, {"x"}, {"x"}, {"x"}), Policy()))  # type: ignore[operator]


class Bad:
    """Does everything wrong."""

    name, policy = "bad", None
    count = 0

    def deliver(self, notice: Notice) -> Delivered | Refused | None:
        self.count += 1
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("wrong thread")
        if "\n" in notice.event.message:
            raise ValueError("line break")
        return (None, Delivered(), Refused("seen"))[min(self.count, 2)] if notice.event.seq == 1 else None

    def judge(self, snapshot: Snapshot) -> Verdict:
        self.count += 1
        return Verdict(Outcome.CLEAR, value=float(self.count))


class Raising(Bad):
    def judge(self, snapshot: Snapshot) -> Verdict:
        raise KeyError("x")


def test_conformance_finds_faults() -> None:
    for check in sink_checks():
        with pytest.raises((AlertError, ValueError)):
            check(Bad())
    with pytest.raises(AlertError, match="keep no state"):
        conformance.is_pure(Bad())
    with pytest.raises(AlertError, match="name and a Policy"):
        conformance.has_name_and_policy(Bad())
    with pytest.raises(AlertError, match="empty snapshot"):
        conformance.survives_an_empty_snapshot(Raising())


class Loose(Bad):
    from pydantic import BaseModel as Options


def test_conformance_wants_unknown_keys_refused() -> None:
    sink: Sink = Loose()
    with pytest.raises(AlertError, match="extra='forbid'"):
        conformance.typed_options(sink)
