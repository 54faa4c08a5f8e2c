"""``ctwin replay``: the same core over recorded readings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sensors.reading import Reading, SensorError
from twin.assembly import assemble
from twin.commands.arguments import duration
from twin.commands.check import load_whole
from twin.config import Config, ConfigError
from twin.faults import nearest
from twin.flux_channels import BEAM_SHIFT
from twin.recorded import read_record, zone_of
from twin.replay import Replayed, replay
from twin.scan import read_scan
from twin.scoring import Score, score
from twin.terminal import Progress, say, table


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser("replay", help="estimates, resolution and alerts from recorded readings")
    command.add_argument("config", type=Path, metavar="CONFIG")
    command.add_argument("--readings", type=Path, nargs="+", required=True, metavar="PATH")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument("--scan", type=Path, metavar="SCAN", help="scan within the record")
    command.add_argument(
        "--withhold", metavar="CHANNEL", help="withhold every second reading of a channel and score it"
    )
    command.add_argument(
        "--forecast-from",
        type=duration,
        metavar="MIN",
        help="withhold CHANNEL from this minute on and score the forecast",
    )
    command.set_defaults(run=_replay)


def _replay(given: argparse.Namespace) -> int:
    config = load_whole(given.config)
    if given.withhold:
        _must_exist(config, given.withhold)
    elif given.forecast_from is not None:
        raise ConfigError(["--forecast-from needs --withhold CHANNEL, the channel that is forecast"])
    scan = read_scan(given.scan, zone_of(config, given.scan)) if given.scan else None
    bar = Progress("replay")
    readings = [r for batch in read_record(config, given.readings, given.config.resolve().parent) for r in batch]
    if not readings:
        raise SensorError(f"{', '.join(map(str, given.readings))}: no reading there; nothing to replay")
    scored = _score(config, readings, given.withhold, given.forecast_from) if given.withhold else ""
    found = replay(config, readings, given.out, scan=scan, progress=bar)
    bar.done()
    say(f"{len(readings)} readings, {len(found.estimates)} steps of {config.estimator.grid_s:g} s -> {given.out}")
    _tell(found)
    if scored:
        say(scored)
    return 0


def _must_exist(config: Config, channel: str) -> None:
    known = [c.name for c in config.channels]
    if channel not in known:
        raise ConfigError([f"--withhold: {channel!r} is no channel of the configuration{nearest(channel, known)}"])


_UNITS = {"detector_shift": ("%/px", 0.1), BEAM_SHIFT: ("per spot FWHM", 1.0)}


def _tell(found: Replayed) -> None:
    warm = found.warm_up
    if warm is not None and warm.found:
        say(
            f"  warm-up of the flux: tau {warm.tau_s / 60:.1f} +- {warm.tau_sigma_s / 60:.1f} min, "
            f"amplitude {100 * warm.amplitude:.2f} +- {100 * warm.amplitude_sigma:.2f} %"
        )
    elif warm is not None:
        say(f"  no warm-up of the flux found (log evidence {warm.evidence:.1f})")
    for name, (value, sigma) in found.covariates.items():
        unit, scale = _UNITS.get(name.partition(".")[0], ("% per %", 1.0))
        if name == BEAM_SHIFT:
            unit = "per squared spot FWHM"
        say(f"  flux follows {name}: {scale * value:.4f} +- {scale * sigma:.4f} {unit}")
    say(
        f"  mean normalised innovation {found.nis:.2f}, {found.gated} readings gated, {found.alerts_raised} alerts raised"
    )
    if found.drops:
        say("  not used: " + ", ".join(f"{count} {cause}" for cause, count in sorted(found.drops.items())))


def _score(config: Config, readings: list[Reading], channel: str, start_min: float | None) -> str:
    machine = assemble(config)
    own = [r.time for r in readings if r.channel == channel]
    if start_min is None:
        result = score(machine, readings, channel, lambda k, _: k % 2 == 1)
        label = "every second reading withheld"
    else:
        begin = min(own, default=0.0) + 60.0 * start_min
        result = score(machine, readings, channel, lambda _, r: r.time > begin)
        label = f"forecast from the first {start_min:g} min"
    return f"  {channel}, {label}:\n{table(_rows(config, result), '    ')}"


def _rows(config: Config, result: Score) -> list[list[str]]:
    flux = next(c.quantity for c in config.channels if c.name == result.channel) == "flux"
    scale, unit = (100.0, "%") if flux else (1.0, next(c.unit for c in config.channels if c.name == result.channel))
    return [
        ["readings scored", f"{len(result.time)}"],
        ["rms error", f"{scale * result.rms:.4g} {unit}"],
        ["lag-1 correlation", f"{result.lag1:+.3f}"],
        ["inside the 95 % band", f"{100 * result.inside:.1f} %"],
        ["largest half-width", f"{scale * result.half_width:.3g} {unit}"],
    ]
