"""``ctwin simulate``: a whole CT with known truth, as files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from twin.commands.arguments import seed
from twin.commands.check import load_whole
from twin.config import Config, ConfigError
from twin.simulate.files import write_run
from twin.simulate.machine import simulate
from twin.simulate.scenario import Scenario, load_scenario, shipped_names, shipped_scenario
from twin.terminal import Progress, say


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser("simulate", help="readings, scan, truth and projections of a simulated machine")
    command.add_argument("config", type=Path, metavar="CONFIG")
    command.add_argument(
        "--scenario", type=Path, metavar="FILE", help="default: the one shipped with the system's name"
    )
    command.add_argument("--seed", type=seed, required=True, metavar="N")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--no-projections", action="store_true", help="leave projections.h5 out")
    command.set_defaults(run=_simulate)


def _simulate(given: argparse.Namespace) -> int:
    config = load_whole(given.config)
    run = simulate(config, scenario_of(config, given.scenario), given.seed)
    bar = Progress("projections")
    paths = write_run(
        run, given.out, projections=not given.no_projections, progress=lambda done, total: bar(done / max(total, 1))
    )
    bar.done()
    say(
        f"{len(run.record)} readings, {int(run.frames.is_projection.sum())} projections over {config.scan.duration_h:g} h"
    )
    for path in paths:
        say(f"  {path}")
    return 0


def scenario_of(config: Config, path: Path | None) -> Scenario:
    """The scenario of a file, or the shipped one of the system's name."""
    if path is not None:
        return load_scenario(path)
    if config.system.name not in shipped_names():
        there = ", ".join(shipped_names())
        raise ConfigError(
            [f"no scenario is shipped for {config.system.name!r} (only {there}); give one with --scenario"]
        )
    return shipped_scenario(config.system.name)
