"""``ctwin calibrate``: what recorded readings say about the numbers of a configuration."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

from sensors.reading import SensorError
from twin.atomic import OutputError, write_atomic
from twin.calibrate import Calibrated, calibrate
from twin.calibrated_config import calibrated_text, interval, number
from twin.calibration_picture import calibration_svg
from twin.commands.check import load_whole
from twin.missing_evidence import missing_evidence
from twin.recorded import read_record, zone_of
from twin.scan import read_scan
from twin.terminal import Progress, say, table


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser("calibrate", help="sensitivities, time constants and noise from recorded readings")
    command.add_argument("config", type=Path, metavar="CONFIG")
    command.add_argument("--readings", type=Path, nargs="+", required=True, metavar="PATH")
    command.add_argument("--scan", type=Path, metavar="SCAN", help="scan within the record, for its angles")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new configuration")
    command.add_argument("--force", action="store_true", help="overwrite an existing file (never CONFIG)")
    command.add_argument("--json", action="store_true", help="the result for programs")
    command.set_defaults(run=_calibrate)


def _calibrate(given: argparse.Namespace) -> int:
    config = load_whole(given.config)
    out: Path = given.out
    if out.exists() and out.samefile(given.config):
        raise OutputError(f"{out}: is the configuration itself, which is never overwritten; give another --out")
    if out.exists() and not given.force:
        raise OutputError(f"{out}: is there already; choose another --out, or overwrite it with --force")
    scan = read_scan(given.scan, zone_of(config, given.scan)) if given.scan else None
    bar = Progress("calibrate")
    readings = [r for batch in read_record(config, given.readings, given.config.resolve().parent) for r in batch]
    if not readings:
        raise SensorError(f"{', '.join(map(str, given.readings))}: no reading there; nothing to calibrate with")
    done = calibrate(config, readings, bar, scan=scan)
    bar.done()
    good = any(found.use for found in done.result.found)
    picture = out.with_suffix(".svg")
    if good:
        text = given.config.read_bytes().decode("utf-8")
        new = calibrated_text(text, done, datetime.datetime.now(datetime.UTC).date(), given.config)
        write_atomic(out, new)
        write_atomic(picture, calibration_svg(done))
    if given.json:
        say(json.dumps(_record(done, out if good else None), indent=1))
    else:
        _tell(done, out, picture, good, given.config)
    return 0 if good else 1


def _tell(done: Calibrated, out: Path, picture: Path, good: bool, config: Path) -> None:
    result = done.result
    hours = (done.end_s - done.begin_s) / 3600.0
    say(f"{result.readings} readings over {hours:.1f} h, compared on a grid of {done.grid_s:g} s")
    rows = [["parameter", "before", "after", "95 % interval", "determined"]]
    for found in result.found:
        after = number(found.value, found.sigma) if found.use else "unchanged"
        verdict = "yes" if found.determined else "with others" if found.partners else "limit" if found.moved else "no"
        rows.append([found.parameter.name, f"{found.parameter.start:.4g}", after, interval(found), verdict])
    say(table(rows))
    rest = [(f, r) for f, r in zip(done.free, result.found, strict=True) if not r.determined]
    if rest:
        say("\nNot determined by this record:")
        for free, found in rest:
            say(f"  {free.name}: {missing_evidence(free, found, done)}")
    if done.own_sigma:
        say(f"  note: readings of {', '.join(done.own_sigma)} bring their own sigma, which is left as it is")
    for channel, count in done.left_out.items():
        say(f"  note: {count} readings of {channel} left out, the angle is unknown; --scan tells it")
    if result.outliers:
        say(f"  note: {result.outliers} readings beyond 5 sigma left out")
    if good:
        say(f"\n{out} and {picture} written; next: ctwin check {out}")
        if out.resolve().parent != config.resolve().parent:
            say(f"  note: paths in it are relative to its own folder, {out.parent}, now")
    else:
        say("\nnothing could be determined; no file written")


def _record(done: Calibrated, out: Path | None) -> dict[str, Any]:
    result = done.result
    return {
        "system": done.before.system.name, "readings": result.readings, "outliers": result.outliers,
        "hours": (done.end_s - done.begin_s) / 3600.0, "grid_s": done.grid_s,
        "written": None if out is None else str(out), "own_sigma": list(done.own_sigma), "left_out": done.left_out,
        "loglik_before": result.before.loglik, "loglik_after": result.after.loglik,
        "parameters": [
            {
                "name": found.parameter.name, "before": found.parameter.start, "after": found.value,
                "low": found.low, "high": found.high, "sigma": found.sigma, "narrowed": found.narrowed,
                "determined": found.determined, "used": found.use, "together_with": list(found.partners),
                "needed": None if found.determined else missing_evidence(free, found, done),
            }
            for free, found in zip(done.free, result.found, strict=True)
        ],
    }  # fmt: skip
