"""Scans over HTTP: which there are, and an operator's word that one begins or ends (docs/reference/http.md)."""

from __future__ import annotations

from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from twin.http_body import BodyError, text_fields

LONGEST_NAME = 100


class Scans(Protocol):
    """Who knows of scans. ``begin`` and ``end`` raise ValueError when that can't be now; called in the event loop."""

    def begin(self, name: str) -> dict[str, Any]:
        """Begin a scan; with an empty name it gets one."""

    def end(self) -> dict[str, Any]:
        """End the one under way."""

    def listed(self) -> list[dict[str, Any]]:
        """All scans, in the order they began."""


def routes(scans: Scans) -> list[Route]:
    """Routes below ``/api/scans``."""

    async def listed(_request: Request) -> Response:
        return JSONResponse({"scans": scans.listed()})

    async def begin(request: Request) -> Response:
        try:
            name = (await text_fields(request, '{"name": text} or {}', frozenset({"name"}))).get("name", "")
            if len(name) > LONGEST_NAME or not name.isprintable():
                raise BodyError(400, f"name must be plain text of at most {LONGEST_NAME} characters")
            return JSONResponse(scans.begin(name), 201)
        except BodyError as error:
            return _refused(error.status, error)
        except ValueError as error:
            return _refused(409, error)

    async def end(request: Request) -> Response:
        try:
            await text_fields(request, "{}", frozenset())
            return JSONResponse(scans.end())
        except BodyError as error:
            return _refused(error.status, error)
        except ValueError as error:
            return _refused(409, error)

    return [
        Route("/api/scans", listed),
        Route("/api/scans", begin, methods=["POST"]),
        Route("/api/scans/end", end, methods=["POST"]),
    ]


def _refused(status: int, reason: ValueError) -> Response:
    return JSONResponse({"error": str(reason)}, status)
