"""A real web server on loopback that takes webhooks: it can be told to fail, to dawdle, to die and to come back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What the server says to one request; ``hold`` is waited for before it does."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hold: threading.Event | None = None
    hang_up: bool = False


@dataclass
class Taken:
    """A request that came in, and what it was answered."""

    headers: dict[str, str]
    body: dict[str, Any]
    status: int
    path: str


class HookServer:
    """``answer`` decides, from the number of the request (from 0) and its body, what is said."""

    def __init__(self, answer: Callable[[int, dict[str, Any]], Answer] | None = None) -> None:
        self.answer = answer or (lambda number, body: Answer())
        self.taken: list[Taken] = []
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/secret-path"

    def arrived(self) -> list[str]:
        """Keys that were answered with 2xx, in order."""
        return [t.body["key"] for t in self.taken if 200 <= t.status < 300]

    def start(self) -> HookServer:
        """Start, on the same port as before."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    number = len(outer.taken)
                    answer = outer.answer(number, body)
                    outer.taken.append(Taken(dict(self.headers), body, answer.status, self.path))
                if answer.hold is not None:
                    answer.hold.wait(20.0)
                if answer.hang_up:
                    self.close_connection = True
                    self.connection.close()
                    return
                try:
                    self.send_response(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer.body)))
                    # a server that dies must take its kept-alive connections with it
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self.wfile.write(answer.body)
                except OSError:
                    pass  # the client was killed meanwhile

            def do_GET(self) -> None:
                raise AssertionError("a webhook is never fetched")

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # connections that a test breaks on purpose

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def die(self) -> None:
        """Stop listening; connections are refused from now on."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(5.0)
        self._server = self._thread = None

    def __enter__(self) -> HookServer:
        return self.start()

    def __exit__(self, *args: object) -> None:
        self.die()


def wait_for(condition: Callable[[], Any], what: str, deadline_s: float = 10.0) -> None:
    """Poll until a condition holds; fail with what was waited for."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.005)
