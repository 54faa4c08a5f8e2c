"""Status page, JSON, server-sent events, metrics and health over HTTP (docs/reference/http.md)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import dashboards
from twin.board import Board, Subscription
from twin.guard import Guard
from twin.http_body import BodyError, text_fields
from twin.http_scans import Scans, routes
from twin.serve import HttpError, serve

__all__ = ["Acknowledge", "Health", "HttpError", "make_app", "page_files", "serve"]

HEARTBEAT_S = 10.0  # the page calls the connection lost after 25 s without a word
MAX_STREAMS = 32
SIGNATURE = '{"by": name, "comment": text}'
MAX_POINTS = 20_000

# Not from the operating system's table: on Windows a program can make .js "text/plain", which nosniff then blocks.
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Health:
    """Answer of the health check.

    ``alive``: the loop turns; ``ready``: configuration loaded, journal writable, required sources seen;
    ``reasons``: why not, one sentence each.
    """

    alive: bool
    ready: bool
    reasons: tuple[str, ...] = ()


Acknowledge = Callable[[str, str, str], dict[str, Any]]


def make_app(
    board: Board,
    metrics: Callable[[], str],
    health: Callable[[], Health],
    acknowledge: Acknowledge,
    scans: Scans,
    *,
    hosts: Collection[str] = (),
) -> Starlette:
    """Application that shows ``board``.

    Parameters
    ----------
    board
        Where the service publishes.
    metrics
        Text of ``/metrics`` (`twin.metrics.exposition`).
    health
        Asked by ``/healthz`` and ``/readyz``.
    acknowledge
        Takes an alert's id, the operator's name and comment; returns what is answered. Raises LookupError for an
        unknown id (404) and ValueError if the alert can't be acknowledged (409). Called in the event loop, so it may
        use what lives there, and must be quick.
    scans
        Told when an operator begins or ends a scan.
    hosts
        Names, beside loopback's, by which the page may be called.
    """
    endpoints = _Endpoints(board, metrics, health, acknowledge)
    served = [
        *routes(scans),
        Route("/", endpoints.page),
        Route("/static/{path:path}", endpoints.static),
        Route("/api/state", endpoints.state),
        Route("/api/history", endpoints.history),
        Route("/api/events", endpoints.events),
        Route("/api/alerts/{id}/ack", endpoints.acknowledge, methods=["POST"]),
        Route("/metrics", endpoints.metrics),
        Route("/healthz", endpoints.healthz),
        Route("/readyz", endpoints.readyz),
    ]
    app = Starlette(routes=served, middleware=[Middleware(Guard, hosts=tuple(hosts))])
    app.state.close_streams = endpoints.close_streams
    return app


class _Endpoints:
    def __init__(
        self, board: Board, metrics: Callable[[], str], health: Callable[[], Health], acknowledge: Acknowledge
    ) -> None:
        self._board = board
        self._metrics = metrics
        self._health = health
        self._acknowledge = acknowledge
        self._streams: set[Subscription] = set()
        self._files = page_files()

    async def page(self, request: Request) -> Response:
        return self._file(request, "index.html")

    async def static(self, request: Request) -> Response:
        return self._file(request, request.path_params["path"])

    def _file(self, request: Request, path: str) -> Response:
        found = self._files.get(path)
        if found is None:
            return _refuse(404, f"no file {path[:80]!r}")
        content, content_type, tag = found
        # no-cache: kept by the browser, but asked for, so that an upgrade is seen at once.
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers={**headers, "content-type": content_type})

    async def state(self, _request: Request) -> Response:
        sequence, text = self._board.newest()
        if sequence == 0:
            return _refuse(503, "no state has been published yet; ask again in a moment")
        return Response(text, media_type="application/json")

    async def history(self, request: Request) -> Response:
        query = request.query_params
        try:
            after = _whole(query.get("after", "0"), "after", 0, 2**53)
            points = _whole(query["points"], "points", 2, MAX_POINTS) if "points" in query else None
            span_s = float(_whole(query["span_s"], "span_s", 1, 2**31)) if "span_s" in query else None
        except ValueError as error:
            return _refuse(400, str(error))
        return JSONResponse(self._board.history(after, points, span_s=span_s))

    async def events(self, _request: Request) -> Response:
        if len(self._streams) >= MAX_STREAMS:
            return _refuse(503, f"{MAX_STREAMS} pages are already watching; close one")
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def _stream(self) -> AsyncIterator[str]:
        subscription = self._board.subscribe()
        self._streams.add(subscription)
        try:
            yield "retry: 2000\nevent: alive\ndata: {}\n\n"
            async for update in subscription.updates(HEARTBEAT_S):
                if update is None:
                    yield "event: alive\ndata: {}\n\n"
                else:
                    yield f"id: {update[0]}\nevent: state\ndata: {update[1]}\n\n"
        finally:
            self._streams.discard(subscription)
            subscription.close()

    def close_streams(self) -> None:
        for subscription in tuple(self._streams):
            subscription.close()

    async def acknowledge(self, request: Request) -> Response:
        try:
            by, comment = _signature(await text_fields(request, SIGNATURE, frozenset({"by", "comment"})))
            return JSONResponse(self._acknowledge(request.path_params["id"], by, comment))
        except BodyError as error:
            return _refuse(error.status, str(error))
        except LookupError:
            return _refuse(404, f"no alert {request.path_params['id'][:80]!r} is active")
        except ValueError as error:
            return _refuse(409, str(error))

    async def metrics(self, _request: Request) -> Response:
        return Response(self._metrics(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    async def healthz(self, _request: Request) -> Response:
        health = self._health()
        return JSONResponse({"alive": health.alive, "reasons": health.reasons}, 200 if health.alive else 503)

    async def readyz(self, _request: Request) -> Response:
        health = self._health()
        return JSONResponse({"ready": health.ready, "reasons": health.reasons}, 200 if health.ready else 503)


def page_files() -> dict[str, tuple[bytes, str, str]]:
    """Read the page's files: path → (content, content type, entity tag). What isn't in this table isn't served."""
    folder = Path(dashboards.__file__).parent / "page"
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in CONTENT_TYPES:
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            files[path.relative_to(folder).as_posix()] = (content, CONTENT_TYPES[path.suffix], tag)
    if "index.html" not in files:
        raise HttpError(f"the status page's files are missing in {folder}: install ctwin again")
    return files


def _refuse(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)


def _whole(text: str, name: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 17 and low <= int(text) <= high):
        raise ValueError(f"{name} is {text[:20]!r}; allowed: a whole number from {low} to {high}")
    return int(text)


def _signature(fields: dict[str, str]) -> tuple[str, str]:
    """Name and comment of the operator from an acknowledgement's body."""
    by, comment = fields.get("by", ""), fields.get("comment", "")
    if not 0 < len(by) <= 64:
        raise BodyError(400, "by must be a name of 1 to 64 characters")
    if len(comment) > 500:
        raise BodyError(400, "comment must have at most 500 characters")
    if not (by + comment.replace("\n", " ")).isprintable():
        raise BodyError(400, "by and comment must not hold control characters")
    return by, comment
