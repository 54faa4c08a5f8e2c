"""``ctwin check``: is the configuration right, what does the machine promise, and what will be known."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alerts import registry as sinks
from twin.assembly import Machine, assemble
from twin.atomic import write_atomic
from twin.budget import budget_of
from twin.channels import rules_of
from twin.config import Config, ConfigError, load, option_faults
from twin.flux_channels import delivered
from twin.modes import mode_figures, mode_lines, mode_notes
from twin.preview import one_more, preview
from twin.preview_picture import preview_svg
from twin.preview_words import preview_facts, preview_lines
from twin.terminal import Progress, say, table
from twin.turning import stage_angles


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser("check", help="validate a configuration; print budget and observability")
    command.add_argument("config", type=Path, metavar="CONFIG")
    command.add_argument("--json", action="store_true", help="the same for programs")
    command.add_argument("--picture", type=Path, metavar="FILE", help="also draw it, as SVG")
    command.set_defaults(run=_check)


def load_whole(path: Path) -> Config:
    """A configuration with its rules and sinks checked, too; every fault at once."""
    return load(path, (_rule_faults, _sink_faults))


def _rule_faults(config: Config) -> Iterator[str]:
    try:
        rules_of(config)
    except ConfigError as error:
        yield from error.problems


def _sink_faults(config: Config) -> Iterator[str]:
    for sink in config.sinks:
        yield from option_faults(f"sink[{sink.name}]", sink.kind, sink.options, sinks)


def _check(given: argparse.Namespace) -> int:
    config = load_whole(given.config)
    machine = assemble(config)
    bar = Progress("rehearsal")
    known = preview(config, progress=lambda part: bar(0.2 * part))
    more = one_more(config, known, progress=lambda part: bar(0.2 + 0.8 * part))
    bar.done()
    if given.picture is not None:
        write_atomic(given.picture, preview_svg(config, known, more))
    reachable = known.promised_um <= known.limit_um
    if given.json:
        say(json.dumps({**_facts(config, machine), **preview_facts(known, more), "reachable": reachable}, indent=1))
        return 0 if reachable else 1
    m, budget = machine.pose.magnification, budget_of(config)
    say(
        f"{config.system.name}: M {m:.4g}, voxel {config.geometry.pixel_um / m * 1e3:.3g} nm, "
        f"{len(machine.model.names)} states, {len(machine.model.channels)} channels observed"
    )
    say("\nBudget in the object plane (sigma)")
    say(table([
        ["spot", f"{budget.spot_m * 1e9:.0f} nm"], ["detector", f"{budget.detector_m * 1e9:.0f} nm"],
        ["stage", f"{budget.stage_m * 1e9:.0f} nm"], ["vibration", f"{budget.vibration_m * 1e9:.0f} nm"],
        ["pixel aperture", f"{budget.aperture_m * 1e9:.0f} nm"],
    ]))  # fmt: skip
    verdict = "reaches" if reachable else "does NOT reach"
    say(
        f"  half-pitch at 10 % MTF {known.promised_um:.3g} um before any drift: {verdict} the scan's {known.limit_um:g} um"
    )
    for line in (*mode_lines(config), *preview_lines(config, known, more)):
        say(line)
    for note in notes_of(config):
        say(f"  note: {note}")
    if given.picture is not None:
        say(f"  {given.picture}")
    return 0 if reachable else 1


def _facts(config: Config, machine: Machine) -> dict[str, Any]:
    budget = budget_of(config)
    return {
        "system": config.system.name,
        "digest": config.digest,
        "model": machine.model.model_id,
        "states": list(machine.model.names),
        "channels": list(machine.model.channels),
        "modes": mode_figures(config),
        "budget_nm": {
            "spot": budget.spot_m * 1e9, "detector": budget.detector_m * 1e9, "stage": budget.stage_m * 1e9,
            "vibration": budget.vibration_m * 1e9, "aperture": budget.aperture_m * 1e9,
        },
        "notes": list(notes_of(config)),
    }  # fmt: skip


def notes_of(config: Config) -> list[str]:
    """What is allowed, but hardly meant: one line each."""
    notes = list(_turning_notes(config))
    for channel in config.channels:
        for covariate in channel.covariates:
            if covariate not in delivered(config):
                notes.append(f"channel[{channel.name}].covariates: no channel delivers {covariate}; it is left out")
        if channel.quantity in ("temperature", "marker_shift") and channel.sigma is None:
            notes.append(f"channel[{channel.name}].sigma: not stated; readings that bring none get a default")
        if channel.stale_after_s is None:
            notes.append(f"channel[{channel.name}].stale_after_s: not stated; its silence is never noticed")
    moved = {element.body for element in config.elements}
    for marker in config.markers:
        if marker.node is not None and f"marker:{marker.name}" not in moved:
            notes.append(
                f"marker[{marker.name}].node: no element says how far its mount expands; its warmth moves nothing"
            )
    notes += mode_notes(config)
    return notes


def _turning_notes(config: Config) -> Iterator[str]:
    channel = next(iter(stage_angles(config)), None)
    stage = config.stage
    keys = ("drift.sample", "stage.repeatable_nm")
    for key, used in zip(
        keys, (config.drift.sample.random_walk_um_per_sqrt_h > 0, any(stage.repeatable_nm)), strict=True
    ):
        if used and channel is None:
            yield (
                f"{key}: no channel of quantity angle; outside a scan whose angles are known, readings of markers "
                "on the object are left out (counted as: no angle). Corrections of a scan take its own angles"
            )
        elif used and channel is not None and channel.stale_after_s is None:
            yield f"channel[{channel.name}].stale_after_s: not stated; its last angle is held for ever"
    if any(stage.repeatable_nm) and (stage.wobble_urad or stage.runout_nm):
        yield (
            "stage.repeatable_nm: wobble_urad and runout_nm are in the static budget besides; where they mean the same "
            "motion give what does not repeat as nonrepeatable_nm instead"
        )
    if stage.angle_error_urad and not stage.sample_radius_um:
        yield "stage.angle_error_urad: no sample_radius_um; on the axis an error of the angle moves nothing"
