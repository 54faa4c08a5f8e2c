import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from twin import metrics, serve
from twin.board import Board
from twin.http import Health, HttpError, make_app, page_files

PAGE = "http://127.0.0.1:8321"
ACK = "/api/alerts/rule:1/ack"
INTENT = {"x-ctwin": "1"}


class Client:
    """Asks the application without a network; each request has an event loop of its own."""

    def __init__(self, app: Starlette, base_url: str = PAGE) -> None:
        self._app = app
        self._base_url = base_url

    def request(self, method: str, path: str, **what: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=self._base_url) as client:
                return await client.request(method, path, **what)

        return asyncio.run(ask())

    def get(self, path: str, **what: Any) -> httpx.Response:
        return self.request("GET", path, **what)

    def post(self, path: str, **what: Any) -> httpx.Response:
        return self.request("POST", path, **what)


class Desk:
    """An application with everything behind it that a test may want to turn."""

    def __init__(self) -> None:
        self.board = Board(1000)
        self.health = Health(alive=True, ready=True)
        self.acknowledged: list[tuple[str, str, str]] = []
        self.begun: list[str] = []
        self.app = make_app(
            self.board, lambda: metrics.exposition(self.board.state()), lambda: self.health, self._ack, self
        )
        self.client = Client(self.app)

    def begin(self, name: str) -> dict[str, Any]:
        if self.begun:
            raise ValueError(f"scan {self.begun[-1]!r} is under way; end it first")
        self.begun.append(name)
        return {"name": name, "started": "2026-03-02T08:00:00.000Z"}

    def end(self) -> dict[str, Any]:
        if not self.begun:
            raise ValueError("no scan is under way")
        return {"name": self.begun.pop(), "ended": "2026-03-02T09:00:00.000Z"}

    def listed(self) -> list[dict[str, Any]]:
        return [{"name": name} for name in self.begun]

    def _ack(self, alert: str, by: str, comment: str) -> dict[str, Any]:
        if alert == "unknown":
            raise KeyError(alert)
        if alert == "normal":
            raise ValueError("the alert has returned to normal")
        self.acknowledged.append((alert, by, comment))
        return {"id": alert, "acknowledged": True}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_page_and_its_files_are_served_from_here_alone(desk: Desk) -> None:
    page = desk.client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    for path in re.findall(r'(?:href|src)="(static/[^"]+)"', page.text):
        assert desk.client.get(f"/{path}").status_code == 200, path
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page.text), "inline code breaks the policy"
    for name, (content, _, _) in page_files().items():
        foreign = re.findall(rb"""(?:src|href|url|import|from)\s*[=(]?\s*["'(]?https?://""", content)
        assert name.startswith("vendor/") or not foreign, name  # what the vendored do, the browser's test sees


@pytest.mark.parametrize(
    ("path", "kind"),
    [("page.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml"),
     ("vendor/uPlot.esm.js", "text/javascript")],
)  # fmt: skip
def test_files_have_fixed_types_and_are_revalidated(desk: Desk, path: str, kind: str) -> None:
    first = desk.client.get(f"/static/{path}")
    assert first.headers["content-type"].partition(";")[0] == kind
    assert first.headers["cache-control"] == "no-cache"
    again = desk.client.get(f"/static/{path}", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/static/../http.py", "/static/%2e%2e/__init__.py", "/static/", "/static/vendor/README.md", "/nothing"]
)
def test_nothing_else_is_served(desk: Desk, path: str) -> None:
    assert desk.client.get(path).status_code == 404


def test_the_licence_of_what_is_vendored_lies_beside_it() -> None:
    vendor = Path(serve.__file__).parents[1] / "dashboards" / "page" / "vendor"
    assert "MIT" in (vendor / "uPlot.LICENSE").read_text("utf-8")
    version = re.search(r"v(\d+\.\d+\.\d+)\)", (vendor / "uPlot.esm.js").read_text("utf-8"))
    assert version
    assert version[1] in (vendor / "README.md").read_text("utf-8")


def test_state_before_and_after_the_first_publish(desk: Desk) -> None:
    answer = desk.client.get("/api/state")
    assert answer.status_code == 503
    assert "no state" in answer.json()["error"]
    desk.board.publish({"system": "ct", "spot": {"u": {"mean_um": 0.1 + 0.2}}}, {})
    answer = desk.client.get("/api/state")
    assert answer.json() == {"system": "ct", "spot": {"u": {"mean_um": 0.1 + 0.2}}}
    assert answer.headers["cache-control"] == "no-store"


def test_history(desk: Desk) -> None:
    for i in range(100):
        desk.board.publish({}, {"time_s": float(i)})
    assert desk.client.get("/api/history?after=98").json() == {
        "first": 99,
        "seq": 100,
        "columns": {"time_s": [98.0, 99.0]},
    }
    assert len(desk.client.get("/api/history?points=10").json()["columns"]["time_s"]) <= 10
    assert desk.client.get("/api/history?span_s=2").json()["columns"]["time_s"] == [97.0, 98.0, 99.0]


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=x",
        "after=1e3",
        "points=1",
        "points=²",
        "points=999999",
        "span_s=0",
        "after=",
        "after=" + "9" * 40,
    ],
)
def test_history_refuses_nonsense(desk: Desk, query: str) -> None:
    answer = desk.client.get(f"/api/history?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"]


def test_health(desk: Desk) -> None:
    assert desk.client.get("/healthz").json() == {"alive": True, "reasons": []}
    assert desk.client.get("/readyz").status_code == 200
    desk.health = Health(alive=True, ready=False, reasons=("the journal can't be written",))
    assert desk.client.get("/healthz").status_code == 200
    answer = desk.client.get("/readyz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the journal can't be written"])
    desk.health = Health(alive=False, ready=False)
    assert desk.client.get("/healthz").status_code == 503


def acknowledge(desk: Desk, path: str = ACK, headers: dict[str, str] = INTENT, **body: Any) -> httpx.Response:
    return desk.client.post(path, json={"by": "Ada", "comment": "seen", **body}, headers=headers)


def test_acknowledge(desk: Desk) -> None:
    answer = acknowledge(desk, headers={**INTENT, "origin": PAGE, "sec-fetch-site": "same-origin"})
    assert (answer.status_code, answer.json()) == (200, {"id": "rule:1", "acknowledged": True})
    assert desk.acknowledged == [("rule:1", "Ada", "seen")]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {**INTENT, "origin": "http://evil.example"},
        {**INTENT, "origin": "http://127.0.0.1:9999"},
        {**INTENT, "origin": "null"},
        {**INTENT, "sec-fetch-site": "cross-site"},
        {**INTENT, "sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_cannot_acknowledge(desk: Desk, headers: dict[str, str]) -> None:
    answer = acknowledge(desk, headers=headers)
    assert answer.status_code == 403
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert desk.acknowledged == []


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"path": "/api/alerts/unknown/ack"}, 404, "unknown"),
        ({"path": "/api/alerts/normal/ack"}, 409, "returned to normal"),
        ({"by": "  "}, 400, "by must be a name"),
        ({"by": "x" * 65}, 400, "1 to 64"),
        ({"by": 7}, 400, "strings"),
        ({"comment": "x" * 501}, 400, "500"),
        ({"comment": "x" * 5000}, 413, "4096"),
        ({"comment": "\x1b[31m"}, 400, "control"),
        ({"role": "admin"}, 400, "the body must be"),
    ],
)
def test_acknowledgements_are_checked(desk: Desk, change: dict[str, Any], status: int, word: str) -> None:
    answer = acknowledge(desk, **change)
    assert answer.status_code == status
    assert word in answer.json()["error"]
    assert desk.acknowledged == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 3000])
def test_bodies_that_are_no_object_are_refused(desk: Desk, body: bytes) -> None:
    answer = desk.client.post(ACK, content=body, headers={**INTENT, "content-type": "application/json"})
    assert answer.status_code == 400


def test_a_form_cannot_acknowledge(desk: Desk) -> None:
    assert desk.client.post(ACK, data={"by": "Ada"}, headers=INTENT).status_code == 415
    assert desk.client.get(ACK).status_code == 405


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7", "", "[::1"],
)
def test_other_names_are_not_answered(desk: Desk, host: str) -> None:
    """DNS rebinding: the browser was led here by a name that isn't ours."""
    desk.board.publish({"system": "secret"}, {})
    answer = desk.client.get("/api/state", headers={"host": host})
    if host == "[::1":  # a missing bracket doesn't make loopback foreign
        assert answer.status_code == 200
        return
    assert answer.status_code == 421
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:9", "localhost", "LOCALHOST:8321", "localhost.", "[::1]:8321"]
)
def test_loopback_has_many_names(desk: Desk, host: str) -> None:
    assert desk.client.get("/healthz", headers={"host": host}).status_code == 200


def test_more_names_can_be_given() -> None:
    app = make_app(Board(), str, lambda: Health(True, True), lambda *_: {}, Desk(), hosts=["CT-Console"])
    assert Client(app, "http://ct-console:1").get("/healthz").status_code == 200


def test_metrics(desk: Desk) -> None:
    desk.board.publish({"pipeline": {"spool_bytes": 42, "step_ms": 0.5, "spool_oldest_s": None}}, {})
    answer = desk.client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "ctwin_spool_bytes 42\n" in answer.text
    assert "ctwin_step_seconds 0.0005\n" in answer.text
    assert "spool_oldest" not in answer.text


def test_missing_page_files_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dashboards.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(HttpError, match="install ctwin again"):
        page_files()


# --- the server ---------------------------------------------------------------------------------------------------


async def sse(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    kind = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])


def test_a_stream_follows_and_ends_with_the_server(desk: Desk) -> None:
    async def main() -> list[tuple[str, Any]]:
        seen: list[tuple[str, Any]] = []
        async with contextlib.AsyncExitStack() as server:
            url = await server.enter_async_context(serve.serve(desk.app, "127.0.0.1", 0))
            async with httpx.AsyncClient(base_url=url) as client, client.stream("GET", "/api/events") as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                assert response.headers["cache-control"] == "no-store"
                async for event in sse(response):
                    seen.append(event)
                    if len(seen) == 1:
                        desk.board.publish({"i": 1}, {})
                    if event == ("state", {"i": 1}):
                        desk.board.publish({"i": 2}, {})
                    if event == ("state", {"i": 2}):
                        # Ends the stream: without that, this loop would never leave.
                        stop = asyncio.create_task(server.aclose())
                await stop
        return seen

    begin = asyncio.run(asyncio.wait_for(main(), 10))
    assert begin == [("alive", {}), ("state", {"i": 1}), ("state", {"i": 2})]
    assert not desk.board._subscriptions


def test_a_client_that_leaves_is_forgotten(desk: Desk) -> None:
    async def main() -> None:
        async with serve.serve(desk.app, "127.0.0.1", 0) as url, httpx.AsyncClient(base_url=url) as client:
            async with client.stream("GET", "/api/events") as response:
                await anext(sse(response))
                assert len(desk.board._subscriptions) == 1
            deadline = asyncio.get_running_loop().time() + 5
            while desk.board._subscriptions:
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_streams_are_limited(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.http.MAX_STREAMS", 0)
    answer = desk.client.get("/api/events")
    assert (answer.status_code, "already watching" in answer.json()["error"]) == (503, True)


def test_the_caller_keeps_its_signals_and_its_socket_is_freed(desk: Desk) -> None:
    import signal

    async def main() -> None:
        before = signal.getsignal(signal.SIGINT)
        async with serve.serve(desk.app, "127.0.0.1", 0) as url:
            assert signal.getsignal(signal.SIGINT) is before
            port = int(url.rstrip("/").rpartition(":")[2])
        async with serve.serve(make_again(), "127.0.0.1", port) as again:
            assert again == url

    def make_again() -> Any:
        return Desk().app

    asyncio.run(main())


@contextlib.asynccontextmanager
async def taken() -> AsyncIterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_port_in_use_is_one_clear_line(desk: Desk) -> None:
    async def main() -> str:
        async with taken() as port:
            with pytest.raises(HttpError) as caught:
                async with serve.serve(desk.app, "127.0.0.1", port):
                    pass
            return str(caught.value).replace(str(port), "PORT")

    assert asyncio.run(main()) == (
        "http.listen: 127.0.0.1:PORT is in use, perhaps by another ctwin: end that one or choose another port"
    )


@pytest.mark.parametrize(
    ("host", "port", "word"),
    [
        ("0.0.0.0", 0, "tokens and TLS"),
        ("192.0.2.1", 0, "tokens and TLS"),
        ("::", 0, "tokens and TLS"),
        ("no such host", 0, "no address of this machine"),
        ("127.0.0.1", 70000, "port 70000 doesn't exist"),
    ],
)
def test_other_addresses_are_refused(host: str, port: int, word: str) -> None:
    with pytest.raises(HttpError) as caught:
        serve.bind(host, port)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("http.listen: ")


def test_a_failing_body_stops_the_server_all_the_same(desk: Desk) -> None:
    async def main() -> str:
        url = ""
        with pytest.raises(RuntimeError, match="of the service"):
            async with serve.serve(desk.app, "127.0.0.1", 0) as url:
                raise RuntimeError("trouble of the service")
        return url

    url = asyncio.run(main())
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
