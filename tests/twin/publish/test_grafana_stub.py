"""The Grafana adapter against a stub of its HTTP API (no real Grafana is available to the tests)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dashboards.build import DATASOURCE_UID, FOLDER_UID
from dashboards.system import UID
from tests.servers import free_port
from twin.publish.grafana import Grafana, GrafanaError, push

TOKEN = "glsa_secret"


class GrafanaStub(ThreadingHTTPServer):
    """Keeps folders, data sources, dashboards and annotations; paths as in Grafana's HTTP API reference."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folders: dict[str, Any] = {}
        self.datasources: dict[str, Any] = {}
        self.dashboards: dict[str, Any] = {}
        self.annotations: list[Any] = []
        self.requests: list[str] = []
        self.broken: tuple[int, bytes] | None = None
        self.prefix = ""
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: GrafanaStub

    def answer(self, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_any(self) -> None:
        s = self.server
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else {}
        s.requests.append(f"{self.command} {self.path}")
        if s.broken:
            return self.answer(*s.broken)
        if self.headers["Authorization"] not in (f"Bearer {TOKEN}", "Basic bWU6cGFzcw=="):
            return self.answer(401, {"message": "Invalid API key"})
        path = self.path.removeprefix(s.prefix).removeprefix("/api")
        for part, store in (("/folders/", s.folders), ("/datasources/uid/", s.datasources),
                            ("/dashboards/uid/", s.dashboards)):  # fmt: skip
            if path.startswith(part):
                uid = path.removeprefix(part)
                if uid not in store:
                    return self.answer(404, {"message": "not found"})
                if self.command == "PUT":
                    store[uid] = body
                return self.answer(200, store[uid])
        if path == "/folders":
            s.folders[body["uid"]] = body
        elif path == "/datasources":
            s.datasources[body["uid"]] = body
        elif path == "/dashboards/db":
            s.dashboards[body["dashboard"]["uid"]] = body
            return self.answer(200, {"uid": body["dashboard"]["uid"], "status": "success"})
        elif path == "/annotations":
            s.annotations.append(body)
            return self.answer(200, {"id": 7, "message": "Annotation added"})
        else:
            return self.answer(404, {"message": "no such path"})
        return self.answer(200, body)

    do_GET = do_POST = do_PUT = handle_any  # noqa: N815

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[GrafanaStub]:
    server = GrafanaStub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def token(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


def test_push_to_a_stub_makes_folder_source_and_dashboard(stub, token):
    grafana = Grafana(stub.url, token)
    assert push(grafana, "http://db:8086", "ct") == [f"{stub.url}/d/{UID}"]
    assert stub.folders[FOLDER_UID]["title"] == "ctwin"
    assert stub.datasources[DATASOURCE_UID]["jsonData"]["dbName"] == "ct"
    sent = stub.dashboards[UID]
    assert sent["overwrite"] is True
    assert sent["folderUid"] == FOLDER_UID
    assert sent["dashboard"]["id"] is None
    assert "version" not in sent["dashboard"]
    assert len(sent["dashboard"]["panels"]) > 10


def test_pushing_twice_to_a_stub_changes_and_keeps(stub, token):
    grafana = Grafana(stub.url, token)
    push(grafana, "http://one:8086")
    push(grafana)
    assert stub.datasources[DATASOURCE_UID]["url"] == "http://one:8086", "an address somebody has set is kept"
    push(grafana, "http://two:8086")
    assert stub.datasources[DATASOURCE_UID]["url"] == "http://two:8086"
    assert stub.requests.count("POST /api/folders") == 1
    assert stub.requests.count("POST /api/datasources") == 1


def test_an_editable_copy_pushed_to_a_stub_lies_beside(stub, token):
    grafana = Grafana(stub.url, token)
    push(grafana)
    push(grafana, editable=True)
    assert sorted(stub.dashboards) == [UID, f"{UID}-editable"]
    found = grafana.find_dashboard(f"{UID}-editable")
    assert found is not None
    assert found["dashboard"]["editable"] is True


def test_annotations_on_a_stub_go_by_uid(stub, token):
    assert Grafana(stub.url, token).annotate(1.5, "door", ["ctwin"], UID, end=2.0) == 7
    assert stub.annotations == [
        {"dashboardUID": UID, "time": 1500, "timeEnd": 2000, "tags": ["ctwin"], "text": "door"}
    ]  # fmt: skip


def test_a_stub_below_a_sub_path_and_with_a_password(stub, tmp_path):
    stub.prefix = "/grafana"
    (tmp_path / "token").write_text("me:pass")
    grafana = Grafana(stub.url + "/grafana/", tmp_path / "token")
    assert push(grafana) == [f"{stub.url}/grafana/d/{UID}"]
    assert all(request.split()[1].startswith("/grafana/api/") for request in stub.requests)


def test_every_failure_is_one_line_with_address_and_mend(stub, tmp_path, token):
    (tmp_path / "wrong").write_text("nonsense")
    cases = [
        (Grafana(stub.url, tmp_path / "wrong"), None, "401 Unauthorized .*service account token", False),
        (Grafana(stub.url, token), (403, b'{"message":"Permissions needed"}'), "403 .*role Editor", False),
        (Grafana(stub.url, token), (500, b'{"message":"database is locked"}'), "500 .*locked", True),
        (Grafana(stub.url, token), (200, b"<html>login</html>"), "not Grafana's", False),
        (Grafana(stub.url, token), (404, b"<html>nginx</html>"), "404", False),
        (Grafana(f"http://127.0.0.1:{free_port()}", token), None, "no answer: .*refused", True),
    ]
    for grafana, broken, words, retry in cases:
        stub.broken = broken
        with pytest.raises(GrafanaError, match=words) as caught:
            push(grafana)
        assert "\n" not in str(caught.value)
        assert TOKEN not in str(caught.value)
        assert caught.value.retry is retry


def test_addresses_and_tokens_that_cannot_be_used(tmp_path, token):
    for url, file, words in (
        ("grafana:3000", token, "not an address"),
        ("http://me:pw@host", token, "token file"),
        ("http://host", tmp_path / "absent", "can't be read"),
    ):
        with pytest.raises(GrafanaError, match=words):
            Grafana(url, file)
