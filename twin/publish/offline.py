"""What ``ctwin spool status|drain|export`` does, with the service stopped or (but for ``drain``) running."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from twin.atomic import cause, write_atomic
from twin.publish.drain import Drain, State
from twin.publish.influx import make_target
from twin.publish.spool import Spool
from twin.publish.spool_files import SpoolError, SpoolStatus, pending_lines, scan, status_of
from twin.sections import Influx


def spool_status(folder: Path, clock: Callable[[], float] = time.time) -> SpoolStatus:
    """A spool in numbers; changes nothing."""
    _there(folder)
    try:
        segments, cursor, damaged = scan(folder, repair=False)
    except OSError as error:
        raise SpoolError(f"{folder}: the spool can't be read: {cause(error)}") from None
    return status_of(folder, segments, cursor, damaged, clock())


def spool_export(folder: Path, path: Path) -> int:
    """Write the pending lines into one line-protocol file, oldest first, and leave the spool as it is; their number.

    Raises
    ------
    SpoolError
        No spool there, or it can't be read.
    twin.atomic.OutputError
        The file can't be written.
    """
    _there(folder)
    try:
        lines = list(pending_lines(folder))
    except OSError as error:
        raise SpoolError(f"{folder}: the spool can't be read: {cause(error)}") from None
    write_atomic(path, b"".join(line + b"\n" for line in lines))
    return len(lines)


def spool_drain(config: Influx, folder: Path, base: Path, timeout_s: float = 60.0) -> SpoolStatus:
    """Deliver until nothing is pending, the time is over, or the server denies; the numbers afterwards.

    Raises
    ------
    SpoolError
        No spool there, another process has it, or the server denies the request (token, bucket, address).
    """
    _there(folder)
    target = make_target(config, base)
    # the bounds are the service's business: emptying must never drop anything
    with Spool(folder, max_bytes=float("inf"), max_age_s=float("inf")) as spool:
        drain = Drain(spool, target)
        drain.start()
        deadline = time.monotonic() + timeout_s
        while spool.stat().pending_lines and time.monotonic() < deadline:
            status = drain.status()
            if status.state is State.DENIED:
                drain.stop()
                raise SpoolError(f"{status.target}: nothing is delivered: {status.words}; the lines stay in {folder}")
            time.sleep(0.05)
        drain.stop()
        return spool.stat()


def _there(folder: Path) -> None:
    if not (folder / "spool.lock").exists():
        raise SpoolError(f"{folder}: no spool here; name the folder that ctwin run spools into")
