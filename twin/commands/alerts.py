"""``ctwin alerts``: what stands, and acknowledging it."""

from __future__ import annotations

import argparse
import difflib
import json
import time
from pathlib import Path
from typing import Any

from alerts.alert import AlertError
from sensors.timestamps import iso
from twin.atomic import cause
from twin.commands.service import NoAnswerError, RefusedError, ask, store_of
from twin.config import Config
from twin.episodes import acknowledge_offline, list_alerts
from twin.history import HistoryError
from twin.publish.lock import FolderLock, InUseError
from twin.terminal import say, table


def add(sub: Any) -> None:
    """Declare the commands."""
    command = sub.add_parser("alerts", help="list or acknowledge alerts").add_subparsers(
        dest="what", metavar="WHAT", required=True
    )
    show = command.add_parser("list", help="alerts that stand, worst first")
    show.add_argument("config", type=Path, metavar="CONFIG")
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=_list)
    ack = command.add_parser("ack", help="acknowledge an alert")
    ack.add_argument("config", type=Path, metavar="CONFIG")
    ack.add_argument("id", metavar="ID")
    ack.add_argument("--by", required=True, metavar="NAME")
    ack.add_argument("--comment", default="", metavar="TEXT")
    ack.set_defaults(run=_ack)


def _list(given: argparse.Namespace) -> int:
    _, path = store_of(given)
    standing = list_alerts(path)
    if given.json:
        say(json.dumps([
            {"id": a.episode, "name": a.rule, "state": str(a.state), "severity": str(a.severity),
             "since": iso(a.raised or a.started), "message": a.message, "by": a.by, "comment": a.comment}
            for a in standing
        ], indent=1))  # fmt: skip
        return 0
    if not standing:
        say("no alerts stand")
        return 0
    say(table([
        ["severity", "state", "since", "id", "message"],
        *([str(a.severity), str(a.state), iso(a.raised or a.started), a.episode, a.message] for a in standing),
    ]))  # fmt: skip
    return 0


def _ack(given: argparse.Namespace) -> int:
    config, path = store_of(given)
    _must_stand(given.id, [alert.episode for alert in list_alerts(path)])
    try:
        lock = FolderLock(path.parent / "lock")
    except InUseError:
        _ask_service(config, given)
    except OSError as error:
        raise HistoryError(f"{path.parent}: the store can't be written: {cause(error)}") from None
    else:
        try:
            acknowledge_offline(path, given.id, given.by, given.comment, time.time(), [s.name for s in config.sinks])
        finally:
            lock.release()
    say(f"{given.id} acknowledged by {given.by}")
    return 0


def _must_stand(episode: str, standing: list[str]) -> None:
    if episode in standing:
        return
    near = difflib.get_close_matches(episode, standing, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(standing) or 'none'}"
    raise AlertError(f"no alert {episode!r} stands; {hint}")


def _ask_service(config: Config, given: argparse.Namespace) -> None:
    try:
        ask(config, f"/api/alerts/{given.id}/ack", {"by": given.by, "comment": given.comment})
    except NoAnswerError:
        raise AlertError(
            f"the service holds the store but does not answer at {config.http.listen}; was it started with --no-page?"
        ) from None
    except RefusedError as error:
        raise AlertError(f"{given.id}: {error}") from None
