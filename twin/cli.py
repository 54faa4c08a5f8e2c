"""The command ``ctwin``: arguments in, exit code out. 0 good, 1 the answer is no, 2 wrong input."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sqlite3
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from twin import __version__
from twin.terminal import LogHandler

COMMANDS = (
    "systems", "check", "plan", "calibrate", "demo", "run", "replay", "simulate", "track", "scans", "correct", "verify",
    "alerts", "dashboards", "spool",
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """Argument errors in one line, with the nearest word that exists; options are not shortened, so scripts stay stable."""

    def __init__(self, **words: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **words})

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"ctwin: {_closest(message)}; see {self.prog} --help\n")
        raise SystemExit(2)


def _closest(message: str) -> str:
    import difflib
    import re

    found = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
    if not found:
        return message
    choices = [c.strip(" '") for c in found[2].split(",")]
    near = difflib.get_close_matches(found[1], choices, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(choices)}"
    return f"{message.split(':')[0]}: {found[1]!r} is unknown; {hint}"


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(prog="ctwin", description="Digital twin and stability monitor for laboratory X-ray CT.")
    top.add_argument("--version", action="version", version=f"ctwin {__version__}")
    sub = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name in COMMANDS:
        import_module(f"twin.commands.{name}").add(sub)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; every expected fault is one line on stderr and exit code 2."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=[LogHandler(sys.stderr)]
    )
    for noisy in ("uvicorn", "uvicorn.error", "uvicorn.access", "numba"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    state = os.environ.get("STATE_DIRECTORY")  # a hardened service can write nowhere else (systemd.exec)
    if state:
        os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(state) / "numba"))
    given = parser().parse_args(arguments)
    try:
        return int(given.run(given))
    except KeyboardInterrupt:
        sys.stderr.write("ctwin: stopped\n")
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        sys.stderr.write(f"ctwin: {error.filename or 'what the command prints'}: {error.strerror}\n")
        return 2
    except sqlite3.Error as error:
        sys.stderr.write(f"ctwin: the store can't be used: {error}\n")
        return 2
    except Exception as error:
        if not _expected(error):
            raise
        for line in str(error).splitlines():
            sys.stderr.write(f"ctwin: {line}\n")
        return 2


def _expected(error: Exception) -> bool:
    """Whether an error is about the input or the surroundings: its text is the whole message."""
    from alerts.alert import AlertError
    from models.estimate import ModelError
    from sensors.reading import SensorError
    from twin.atomic import OutputError
    from twin.config import ConfigError
    from twin.history import HistoryError
    from twin.http import HttpError
    from twin.publish.grafana import GrafanaError
    from twin.publish.spool_files import SpoolError
    from twin.publish.target import PublishError
    from twin.scan import ScanError

    return isinstance(
        error,
        AlertError | ModelError | SensorError | OutputError | ConfigError | HistoryError | HttpError | SpoolError
        | PublishError | ScanError | GrafanaError,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
