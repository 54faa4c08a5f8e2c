"""What a server's answer means; and both targets against a stub of an HTTP server (real ones: test_publish_servers)."""

from __future__ import annotations

import contextlib
import gzip
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.real_data import ROOT
from tests.servers import free_port
from twin.publish.influx import make_target
from twin.publish.target import PublishError, Target, TokenError, Verdict, judge, read_token, retry_after
from twin.publish.target_v1 import V1Target
from twin.publish.target_v2 import V2Target
from twin.sections import Influx

SECRET = "s3cret-token-77"


@pytest.mark.parametrize(
    ("status", "text", "verdict", "blames"),
    [
        (204, "", Verdict.DELIVERED, False),
        (200, "<html>login</html>", Verdict.DENIED, False),
        (302, "", Verdict.DENIED, False),
        # as InfluxDB 1.6.7 words it
        (400, '{"error":"unable to parse \'m v=nan 1\': invalid number"}', Verdict.REFUSED, True),
        (400, '{"error":"partial write: points beyond retention policy dropped=1"}', Verdict.REFUSED, True),
        (400, '{"error":"partial write: field type conflict: input field \\"v\\" … dropped=1"}', Verdict.REFUSED, True),
        (400, '{"error":"database is required"}', Verdict.REFUSED, False),
        (400, "The plain HTTP request was sent to HTTPS port", Verdict.REFUSED, False),
        (422, '{"code":"unprocessable entity","message":"failure writing points"}', Verdict.REFUSED, False),
        (401, '{"code":"unauthorized","message":"unauthorized access"}', Verdict.DENIED, False),
        (403, "", Verdict.DENIED, False),
        (404, '{"error":"database not found: \\"x\\""}', Verdict.DENIED, False),
        (405, "", Verdict.DENIED, False),
        (413, '{"error":"Request Entity Too Large"}', Verdict.TOO_LARGE, False),
        (408, "", Verdict.RETRY, False),
        (429, "", Verdict.RETRY, False),
        (500, '{"error":"timeout"}', Verdict.RETRY, False),
        (503, "", Verdict.RETRY, False),
        (599, "", Verdict.RETRY, False),
    ],
)
def test_every_status_has_a_meaning(status, text, verdict, blames):
    answer = judge(status, text)
    assert answer.verdict is verdict
    assert answer.blames_line is blames
    assert "\n" not in answer.words
    assert verdict is Verdict.DELIVERED or answer.words.startswith(str(status))


def test_words_are_the_servers_in_one_short_line():
    assert judge(404, '{"error":"database not found: \\"x\\""}').words == (
        '404 database not found: "x" (no such bucket, database or path: create it, or see bucket and api)'
    )
    assert len(judge(500, "a \n" * 10_000).words) < 320


def test_retry_after_is_a_number_or_a_date():
    assert retry_after({"retry-after": "12"}) == 12.0
    assert 50 < retry_after({"Retry-After": formatdate(time.time() + 60, usegmt=True)}) <= 60
    assert retry_after({"Retry-After": formatdate(time.time() - 60, usegmt=True)}) == 0.0
    assert retry_after({"Retry-After": "soon"}) == 0.0
    assert retry_after({"Retry-After": "nan"}) == 0.0
    assert retry_after({"Retry-After": "9e9"}) == 3600.0
    assert retry_after({}) == 0.0


def test_tokens(tmp_path):
    assert read_token(None) == ""
    file = tmp_path / "token"
    file.write_text("  abc\n")
    assert read_token(file) == "abc"
    for text in ("", "\n", "two words", "line\nline", "grün"):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(TokenError, match="no token in it") as caught:
            read_token(file)
        assert "grün" not in str(caught.value)
    with pytest.raises(TokenError, match="No such file"):
        read_token(tmp_path / "absent")


def test_a_password_in_the_address_is_refused():
    config = Influx(url=f"http://me:{SECRET}@127.0.0.1:8086", bucket="ct")
    with pytest.raises(PublishError, match="token_file") as caught:
        make_target(config, Path())
    assert SECRET not in str(caught.value)


class Stub(ThreadingHTTPServer):
    """Answers every request with one status; remembers path, headers and body."""

    daemon_threads = True

    def __init__(self, status: int = 204, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.body, self.headers = status, body, headers or {}
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Stub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.status)
        for key, value in {"Content-Length": str(len(self.server.body)), **self.server.headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def stub(*args: object, **options: object) -> Iterator[Stub]:
    server = Stub(*args, **options)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make(api: str, url: str, token_file: Path | None = None) -> Target:
    if api == "v1":
        return V1Target(url, "ct/long", token_file, timeout_s=2.0)
    return V2Target(url, "ct", "lab", token_file, timeout_s=2.0)


both = pytest.mark.parametrize("api", ["v1", "v2"])


@pytest.fixture
def token(tmp_path) -> Path:
    file = tmp_path / "token"
    file.write_text(SECRET)
    return file


@both
def test_stub_gets_the_lines_compressed_with_the_token(api, token):
    with stub() as server, contextlib.closing(make(api, server.url, token)) as target:
        assert target.send(b"m v=1.0 1\nm v=2.0 2\n").verdict is Verdict.DELIVERED
    ((method, path, headers, body),) = server.seen
    assert method == "POST"
    assert body == b"m v=1.0 1\nm v=2.0 2\n"
    assert headers["content-encoding"] == "gzip"
    assert headers["authorization"] == f"Token {SECRET}"
    assert path == (
        "/write?db=ct&precision=ns&rp=long" if api == "v1" else "/api/v2/write?org=lab&bucket=ct&precision=ns"
    )


def test_stub_gets_user_and_password_as_basic_authentication(tmp_path):
    (tmp_path / "token").write_text("me:pa:ss")
    with stub() as server, contextlib.closing(make("v1", server.url, tmp_path / "token")) as target:
        target.send(b"m v=1.0 1\n")
    assert server.seen[0][2]["authorization"] == "Basic bWU6cGE6c3M="


@both
def test_a_token_that_is_replaced_is_used_at_once(api, token):
    with stub() as server, contextlib.closing(make(api, server.url, token)) as target:
        token.unlink()
        assert target.send(b"m v=1.0 1\n").verdict is Verdict.DENIED
        token.write_text("new")
        assert target.send(b"m v=1.0 1\n").verdict is Verdict.DELIVERED
    assert server.seen[0][2]["authorization"] == "Token new"


@both
@pytest.mark.parametrize("status", [200, 202, 302])
def test_stub_that_is_no_database_is_not_taken_for_one(api, status):
    """A login page answers 200, a redirect would turn the POST into a GET: nothing is stored."""
    with stub(status, b"<html>", {"Location": "/login"} if status == 302 else {}) as server:
        with contextlib.closing(make(api, server.url)) as target:
            assert target.send(b"m v=1.0 1\n").verdict is Verdict.DENIED
        assert len(server.seen) == 1


@both
def test_stub_says_when_to_come_again(api):
    with stub(503, b"busy", {"Retry-After": "17"}) as server, contextlib.closing(make(api, server.url)) as target:
        answer = target.send(b"m v=1.0 1\n")
    assert (answer.verdict, answer.retry_after_s, answer.words) == (Verdict.RETRY, 17.0, "503 busy")


@both
def test_nobody_there(api):
    with contextlib.closing(make(api, f"http://127.0.0.1:{free_port()}")) as target:
        answer = target.send(b"m v=1.0 1\n")
    assert answer.verdict is Verdict.RETRY
    assert "Connection refused" in answer.words
    assert "0x" not in answer.words


def test_an_address_that_cannot_be_one():
    with contextlib.closing(make("v1", "http://[bad")) as target:
        assert target.send(b"m v=1.0 1\n").verdict is Verdict.DENIED


@both
def test_a_server_that_hangs_is_a_server_that_is_down(api):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        target = V1Target(url, "ct", timeout_s=0.2) if api == "v1" else V2Target(url, "ct", timeout_s=0.2)
        with contextlib.closing(target):
            answer = target.send(b"m v=1.0 1\n")
    assert answer.verdict is Verdict.RETRY
    assert "timed out" in answer.words.lower()


@both
@pytest.mark.parametrize("status", [204, 400, 401, 500])
def test_the_token_appears_nowhere(api, status, token, caplog):
    caplog.set_level(logging.DEBUG)
    body = b'{"error":"no"}' if status != 204 else b""
    with stub(status, body) as server, contextlib.closing(make(api, server.url, token)) as target:
        answer = target.send(b"m v=1.0 1\n")
    assert SECRET not in caplog.text
    assert SECRET not in repr(answer) + target.name + repr(target)


def test_nobody_waits_for_http_libraries_who_does_not_publish():
    check = "import sys, twin.publish; print({'influxdb_client', 'requests', 'grafana_api'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.stdout == "set()\n", run.stderr
