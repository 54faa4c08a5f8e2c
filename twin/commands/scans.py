"""``ctwin scans``: which scans the service has watched, and an operator's word that one begins or ends."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from twin.commands.service import NoAnswerError, RefusedError, ask, store_of
from twin.config import Config, load
from twin.history import HistoryError, newest_estimate, open_to_read, read_scan_records
from twin.http_scans import LONGEST_NAME
from twin.scan import ScanError
from twin.scan_desk import scan_list
from twin.terminal import say, table


def add(sub: Any) -> None:
    """Declare the commands."""
    command = sub.add_parser("scans", help="list scans, begin or end one").add_subparsers(
        dest="what", metavar="WHAT", required=True
    )
    show = command.add_parser("list", help="scans that the service has watched, and where their corrections are")
    show.add_argument("config", type=Path, metavar="CONFIG")
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=_list)
    begin = command.add_parser("begin", help="tell the running service that a scan begins now")
    begin.add_argument("config", type=Path, metavar="CONFIG")
    begin.add_argument("--name", default="", metavar="NAME", help="default: the system's name and the time")
    begin.set_defaults(run=_begin)
    end = command.add_parser("end", help="tell the running service that the scan is over")
    end.add_argument("config", type=Path, metavar="CONFIG")
    end.set_defaults(run=_end)


def _list(given: argparse.Namespace) -> int:
    folder = store_of(given)[1].parent
    with closing(open_to_read(folder)) as connection:
        scans = scan_list(read_scan_records(connection), folder, newest_estimate(connection))
    if given.json:
        say(json.dumps(scans, indent=1))
    elif not scans:
        say("no scans yet")
    else:
        say(table([
            ["name", "started", "ended", "projections", "state", "corrections"],
            *(["" if scan[key] is None else str(scan[key]) for key in
               ("name", "started", "ended", "projections", "state", "corrections")] for scan in scans),
        ]))  # fmt: skip
    return 0


def _begin(given: argparse.Namespace) -> int:
    name = given.name.strip()
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise ScanError(f"{name[:40]!r} is no name of a scan; give plain text of at most {LONGEST_NAME} characters")
    begun = _asked(load(given.config), "/api/scans", {"name": name} if name else {})
    say(f"scan {begun['name']} begun at {begun['started']}")
    return 0


def _end(given: argparse.Namespace) -> int:
    ended = _asked(load(given.config), "/api/scans/end", {})
    say(f"scan {ended['name']} ended at {ended['ended']}; its corrections follow when its last readings are in")
    return 0


def _asked(config: Config, path: str, fields: dict[str, str]) -> dict[str, Any]:
    try:
        return ask(config, path, fields)
    except NoAnswerError:
        raise HistoryError(
            f"no service answers at {config.http.listen}; is it running (ctwin run), and with its page?"
        ) from None
    except RefusedError as error:
        raise ScanError(str(error)) from None
