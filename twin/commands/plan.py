"""``ctwin plan``: before a scan, go or not, how long to wait, how often to look; of a running one, until when."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from models.engine import Belief
from models.estimate import ModelError
from sensors.timestamps import iso
from twin.commands.arguments import duration, fraction, positive
from twin.commands.check import load_whole
from twin.config import Config
from twin.core import SnapshotError, Twin
from twin.history import HistoryError, open_to_read, read_snapshot
from twin.plan import CONFIDENCE, plan_scan
from twin.plan_words import plan_facts, plan_lines, running_facts, running_lines
from twin.running import running_scan
from twin.terminal import Progress, say


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser("plan", help="before a scan: go or not, how long to wait, how often to look")
    command.add_argument("config", type=Path, metavar="CONFIG")
    command.add_argument("--duration", type=positive, metavar="H", help="length of the scan; default: scan.duration_h")
    command.add_argument("--limit", type=positive, metavar="UM", help="default: scan.resolution_limit_um")
    command.add_argument(
        "--wait", type=duration, metavar="H", help="hours to wait; default: scan.conditioning_h, or 0 now"
    )
    command.add_argument(
        "--confidence", type=fraction, default=CONFIDENCE, metavar="P", help=f"default: {CONFIDENCE:g}"
    )
    command.add_argument("--cold", action="store_true", help="from a machine that has stood, whatever the store holds")
    command.add_argument("--running", action="store_true", help="about the scan that the service watches")
    command.add_argument("--json", action="store_true", help="the same for programs")
    command.set_defaults(run=_plan)


def _plan(given: argparse.Namespace) -> int:
    config = load_whole(given.config)
    wanted = {"duration_h": given.duration, "resolution_limit_um": given.limit}
    asked = {key: value for key, value in wanted.items() if value is not None}
    twin = None if given.cold else _from_store(config, given.config.resolve().parent / config.store.folder)
    if given.running:
        if twin is None:
            raise HistoryError(f"{given.config}: no running service has left its state; start it with ctwin run")
        return _running(given, twin, asked)
    config = config.model_copy(update={"scan": config.scan.model_copy(update=asked)})
    start, since = (None, "switching on") if twin is None else (_belief(twin), f"now ({iso(twin.time)})")
    bar = Progress("rehearsals")
    found = plan_scan(config, wait_h=given.wait, start=start, confidence=given.confidence, progress=bar)
    bar.done()
    if given.json:
        facts = {"system": config.system.name, "since": "cold" if twin is None else twin.time, **plan_facts(found)}
        say(json.dumps(facts, indent=1))
    else:
        for line in plan_lines(found, since):
            say(line)
    return 0 if found.go else 1


def _running(given: argparse.Namespace, twin: Twin, asked: dict[str, float]) -> int:
    twin.config = twin.config.model_copy(update={"scan": twin.config.scan.model_copy(update=asked)})
    found = running_scan(twin, given.confidence)
    if given.json:
        say(json.dumps({"system": twin.config.system.name, **running_facts(found)}, indent=1))
    else:
        for line in running_lines(found, given.confidence, iso):
            say(line)
    return 0 if found.keeps[1] >= given.confidence else 1


def _from_store(config: Config, folder: Path) -> Twin | None:
    """The twin as the service last saved it; None where no service has run."""
    if not (folder / "history.sqlite").is_file():
        return None
    with closing(open_to_read(folder)) as connection:
        stored = read_snapshot(connection)
    if stored is None:
        return None
    twin = Twin(config)
    try:
        twin.restore(stored[1]["twin"])
    except SnapshotError as error:
        raise ModelError(f"{folder}: {error}; or plan from a cold start with --cold") from None
    return None if twin.time != twin.time else twin


def _belief(twin: Twin) -> Belief:
    """What is known now; where the tube is off, with the warm-up that switching it on begins."""
    belief = twin.belief.copy()
    if twin.vectoriser.state()["operating"] == (0.0, 0.0):
        for i, variance in enumerate(twin.machine.rearmed):
            belief.cov[i, i] += variance
    return belief
