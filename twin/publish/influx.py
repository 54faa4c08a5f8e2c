"""Publishing to InfluxDB and its relatives: spool, drain and target under one roof."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from twin.publish.drain import Drain, DrainStatus, OnProblem
from twin.publish.line_protocol import Tags
from twin.publish.spool import Spool
from twin.publish.spool_files import SpoolStatus
from twin.publish.target import PublishError, Target
from twin.sections import Influx


@dataclass(frozen=True, slots=True)
class PublishStatus:
    """What waits, and how delivery goes."""

    spool: SpoolStatus
    drain: DrainStatus


def make_target(config: Influx, base: Path) -> Target:
    """The server of a configuration.

    Parameters
    ----------
    config : Influx
        The table ``[publish.influx]``.
    base : Path
        Folder that a relative ``token_file`` is relative to (that of the configuration file).

    Raises
    ------
    PublishError
        A user or password in the address, which would end up in logs.
    """
    parts = urlsplit(config.url)
    if parts.username is not None or parts.password is not None:
        raise PublishError("publish.influx.url: no user or password here; write user:password into token_file")
    token_file = base / config.token_file if config.token_file else None
    # imported here: the two HTTP libraries take half a second that no other command should wait for
    if config.api == "v1":
        from twin.publish.target_v1 import V1Target

        return V1Target(config.url, config.bucket, token_file)
    from twin.publish.target_v2 import V2Target

    return V2Target(config.url, config.bucket, config.org, token_file)


class Publisher:
    """Accepts lines at any time; delivers them whenever the server can be reached.

    Parameters
    ----------
    config : Influx
        The table ``[publish.influx]``.
    tags : Tags
        Site and system, for the builders in :mod:`twin.publish.series`.
    folder : Path
        Folder of the spool.
    base : Path
        Folder of the configuration file.
    on_problem : callable, optional
        Called from the delivering thread with a ``DrainStatus`` when trouble begins, changes, or is over.

    Raises
    ------
    SpoolError
        The folder can't be used, or belongs to another process.
    PublishError
        The address holds a password.
    """

    def __init__(
        self,
        config: Influx,
        tags: Tags,
        folder: Path,
        base: Path,
        on_problem: OnProblem | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tags = tags
        target = make_target(config, base)
        self._spool = Spool(folder, config.spool_mb * 1e6, config.spool_days * 86400.0, clock)
        self._drain = Drain(self._spool, target, on_problem=on_problem, clock=clock)

    def write(self, lines: Iterable[str]) -> int:
        """Accept lines; they survive the end of this process. SpoolError (``retry``) when the disk takes no more."""
        return self._spool.append(lines)

    def sync(self) -> None:
        """Make what was accepted survive a power cut. Call it before recording that these lines need not come again."""
        self._spool.sync()

    def start(self) -> None:
        """Begin to deliver."""
        self._drain.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Deliver what can be delivered within half the time, then close; the rest waits in the spool."""
        self._drain.stop(timeout_s)
        self._spool.close()

    def status(self) -> PublishStatus:
        """What waits, and how delivery goes."""
        return PublishStatus(self._spool.stat(), self._drain.status())
