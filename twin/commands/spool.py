"""``ctwin spool``: what waits for the database, while the service is stopped or running."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from twin.commands.arguments import duration
from twin.config import ConfigError, load
from twin.publish.offline import spool_drain, spool_export, spool_status
from twin.publish.spool_files import SpoolError, SpoolStatus
from twin.terminal import say, table


def add(sub: Any) -> None:
    """Declare the commands."""
    command = sub.add_parser("spool", help="lines that wait for the database").add_subparsers(
        dest="what", metavar="WHAT", required=True
    )
    for name, text in (
        ("status", "how much waits"), ("drain", "deliver what waits, then end"), ("export", "write what waits to a file"),
    ):  # fmt: skip
        one = command.add_parser(name, help=text)
        one.add_argument("config", type=Path, metavar="CONFIG")
        one.set_defaults(run=_run, what=name)
        if name == "drain":
            one.add_argument("--timeout", type=duration, default=60.0, metavar="S")
        if name == "export":
            one.add_argument("--out", type=Path, required=True, metavar="FILE")


def _run(given: argparse.Namespace) -> int:
    config = load(given.config)
    base = given.config.resolve().parent
    folder = base / config.store.folder / "spool"
    influx = config.publish.influx
    if not folder.is_dir():
        why = (
            "has the service of this configuration run yet?" if influx else "without publish.influx nothing is spooled"
        )
        raise SpoolError(f"{folder}: no spool there; {why}")
    if given.what == "status":
        _tell(spool_status(folder))
        return 0
    if given.what == "export":
        count = spool_export(folder, given.out)
        say(f"{count} lines -> {given.out}")
        return 0
    if influx is None:
        raise ConfigError([f"{given.config}: publish.influx: missing; there is nowhere to deliver to"])
    left = spool_drain(influx, folder, base, given.timeout)
    _tell(left)
    return 0 if left.bytes == 0 else 1


def _tell(status: SpoolStatus) -> None:
    say(table([[name.replace("_", " "), str(value)] for name, value in _fields(status)]))


def _fields(status: SpoolStatus) -> list[tuple[str, object]]:
    return [(name, getattr(status, name)) for name in type(status).__dataclass_fields__]
