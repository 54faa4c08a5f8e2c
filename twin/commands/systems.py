"""``ctwin systems`` and ``ctwin init``: the shipped systems, and a configuration to start from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from twin import profiles
from twin.assembly import pose_of
from twin.atomic import OutputError, write_atomic
from twin.budget import resolution_of
from twin.terminal import say, table


def add(sub: Any) -> None:
    """Declare the two commands."""
    systems = sub.add_parser("systems", help="list the shipped systems")
    systems.set_defaults(run=_systems)
    init = sub.add_parser("init", help="write a shipped system's configuration to start from")
    init.add_argument("profile", metavar="PROFILE")
    init.add_argument("--out", type=Path, metavar="FILE", help="default: PROFILE.toml")
    init.add_argument("--force", action="store_true", help="overwrite an existing file")
    init.set_defaults(run=_init)


def _systems(_: argparse.Namespace) -> int:
    rows = [["system", "M", "voxel", "promised", "scan"]]
    for name in profiles.names():
        config = profiles.load_profile(name)
        pose = pose_of(config)
        rows.append([
            name, f"{pose.magnification:.4g}", f"{config.geometry.pixel_um / pose.magnification * 1e3:.0f} nm",
            f"{resolution_of(config).half_pitch10_um:.3g} um",
            f"{config.scan.projections} projections in {config.scan.duration_h:g} h",
        ])  # fmt: skip
    say(table(rows))
    say("  promised: half-pitch at 10 % MTF in the object plane, before any drift")
    return 0


def _init(given: argparse.Namespace) -> int:
    text = profiles.text(given.profile)
    out: Path = given.out or Path(f"{given.profile}.toml")
    if out.exists() and not given.force:
        raise OutputError(f"{out}: is there already; choose another --out, or overwrite it with --force")
    write_atomic(out, text)
    say(f"{out} written; next: ctwin check {out}")
    return 0
