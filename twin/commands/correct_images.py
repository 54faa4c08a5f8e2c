"""``ctwin correct --apply``: the projections themselves, corrected, for programs that take images only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.correction import Correction
from twin.atomic import OutputError
from twin.config import Config
from twin.export import Setup
from twin.recorded import zone_of
from twin.terminal import Progress, say

if TYPE_CHECKING:
    from twin.apply import Plan


def planned(apply: Path | None, to: Path | None, out: Path, config: Config, setup: Setup) -> Plan | None:
    """Series and place of ``--apply`` and ``--apply-to``, checked before anything is computed; None without them.

    Raises
    ------
    OutputError, SensorError
        As :func:`twin.apply.plan`; one without the other; the place is that of the corrections.
    """
    if apply is None and to is None:
        return None
    if apply is None or to is None:
        raise OutputError("--apply and --apply-to belong together; give the projections and where they go")
    target, tables = to.resolve(), out.resolve()
    if target == tables or target in tables.parents:
        raise OutputError(f"{to}: is the folder of --out or above it; name one in it, or another")
    from twin.apply import plan  # only here: it needs the libraries of images

    return plan(apply, to, setup, timezone=zone_of(config, apply) or "UTC")


def write(images: Plan, correction: Correction, setup: Setup) -> None:
    """Write the corrected projections and say what was done."""
    from twin.apply import apply

    bar = Progress("projections")
    done = apply(images, correction, setup, progress=bar)
    bar.done()
    lights = done.lights
    what = "transmission" if lights.flats else "counts without flats"
    left = f"; {done.left_out} reference images left out" if done.left_out else ""
    say(
        f"  {images.out}: {done.projections} projections as {what}, flux and shift taken out ({lights.flats} flats,"
        f" {lights.darks} darks, {lights.dead} dead pixels){left}"
    )
    for note in images.series.contents.notes:
        say(f"  note: {note}")
