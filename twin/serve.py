"""Runs the status page in the caller's event loop and ends it cleanly, with every open stream."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette

STOP_S = 2  # how long answers under way may take to finish


class HttpError(RuntimeError):
    """The status page can't be served; the message says why and what to do."""


@contextlib.asynccontextmanager
async def serve(app: Starlette, host: str, port: int) -> AsyncIterator[str]:
    """Serve ``app`` while the block runs; yields the page's URL (with port 0, the system chooses the port).

    The socket is bound before anything else starts, so a port in use is known at once. Signals stay with the caller.

    Raises
    ------
    HttpError
        The address isn't loopback's, or can't be bound.
    """
    listener = bind(host, port)
    name, bound = listener.getsockname()[:2]
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_S,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="ctwin-http")
    started = asyncio.create_task(server.is_up.wait())
    try:
        await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            raise HttpError(f"the status page did not start at {host}:{port}") from task.exception()
        yield f"http://[{name}]:{bound}/" if ":" in name else f"http://{name}:{bound}/"
    finally:
        started.cancel()
        app.state.close_streams()
        server.should_exit = True
        with contextlib.suppress(Exception):
            await task
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, that says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def install_signal_handlers(self) -> None:  # the name before uvicorn 0.29
        pass


def bind(host: str, port: int) -> socket.socket:
    """Listening socket on a loopback address; every failure is one line with its mend.

    >>> bind("0.0.0.0", 8321)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    twin.serve.HttpError: http.listen: 0.0.0.0 is reachable from other machines...
    """
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not 0 <= port <= 65535:
        raise HttpError(f"http.listen: port {port} doesn't exist: choose one from 1024 to 65535")
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise HttpError(f"http.listen: {host!r} is no address of this machine: use 127.0.0.1") from None
    if not all(ipaddress.ip_address(str(address[0])).is_loopback for *_, address in found):
        raise HttpError(
            f"http.listen: {host} is reachable from other machines, which needs access tokens and TLS, and ctwin can't "
            "do these yet: listen on 127.0.0.1, and reach it from elsewhere through an SSH tunnel"
        )
    # With a name of both families IPv4 is taken, which every browser tries.
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise HttpError(_bind_failure(place, error)) from None
    return listener


def _bind_failure(place: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"http.listen: {place} is in use, perhaps by another ctwin: end that one or choose another port"
    if error.errno == errno.EACCES:
        return f"http.listen: {place} may not be opened by this user: choose a port from 1024 to 65535"
    return f"http.listen: {place} can't be opened ({error.strerror}): use 127.0.0.1"
