"""Scans over HTTP, begun and ended by an operator."""

from __future__ import annotations

import httpx
import pytest

from tests.twin.test_http import INTENT, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_scans_are_begun_and_ended_by_an_operator(desk: Desk) -> None:
    def post(path: str, **fields: str) -> httpx.Response:
        return desk.client.post(path, json=fields, headers=INTENT)

    assert post("/api/scans/end").status_code == 409
    begun = post("/api/scans", name=" Probe 7 ")
    assert (begun.status_code, begun.json()["name"]) == (201, "Probe 7")
    again = post("/api/scans", name="Probe 8")
    assert (again.status_code, again.json()) == (409, {"error": "scan 'Probe 7' is under way; end it first"})
    assert desk.client.get("/api/scans").json() == {"scans": [{"name": "Probe 7"}]}
    assert post("/api/scans/end").json()["name"] == "Probe 7"
    assert post("/api/scans").json()["name"] == ""
    for fields, word in (({"name": "x" * 101}, "100"), ({"name": "a\x1b[31m"}, "plain"), ({"title": "x"}, "must be")):
        refused = post("/api/scans", **fields)
        assert (refused.status_code, word in refused.json()["error"]) == (400, True)
    assert desk.client.post("/api/scans", json={}).status_code == 403  # without the header that a form can't send
