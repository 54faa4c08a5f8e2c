"""``ctwin correct``: smoothed corrections of a scan, in the formats of reconstruction programs."""

from __future__ import annotations

import argparse
import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.estimate import ModelError
from sensors.images.times import Timing, start_of
from twin import edges
from twin.assembly import Machine, assemble
from twin.commands import correct_images
from twin.commands.arguments import positive
from twin.commands.check import load_whole
from twin.config import Config
from twin.correct import Corrected, Predicted, correct, predict_resolution
from twin.correct_stored import correct_stored
from twin.export import formats
from twin.history import HistoryError
from twin.recorded import read_record, zone_of
from twin.scan import Scan, ScanError, read_scan
from twin.scan_files import setup_of, write_corrections
from twin.scan_record import recorded_scan
from twin.terminal import Progress, say, table

if TYPE_CHECKING:
    from twin.apply import Plan


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser("correct", help="smoothed corrections of a scan")
    command.add_argument("config", type=Path, metavar="CONFIG")
    command.add_argument("--scan", type=Path, required=True, metavar="SCAN")
    command.add_argument("--start", metavar="TIME", help="with --cadence, of SCAN that is projections: first exposure")
    command.add_argument("--cadence", type=positive, metavar="S", help="seconds from one projection to the next")
    command.add_argument("--readings", type=Path, nargs="+", metavar="PATH", help="default: the service's store")
    command.add_argument("--format", nargs="+", default=["table"], choices=(*formats(), "all"), metavar="F",
                         help=f"{', '.join(formats())} or all (default: table)")  # fmt: skip
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.add_argument(
        "--apply", type=Path, metavar="PROJECTIONS", help="correct these, too: a folder, or a file of any vendor"
    )
    command.add_argument(
        "--apply-to", type=Path, metavar="PATH", help="where to: a folder (TIFF), or a file .nx (NXtomo)"
    )
    command.set_defaults(run=_correct)


def _correct(given: argparse.Namespace) -> int:
    config = load_whole(given.config)
    machine = assemble(config)
    folder = given.config.resolve().parent / config.store.folder
    scan = scan_given(config, given.scan, folder, _cadence(given, config))
    setup = setup_of(machine, len(scan.only("projection")))
    images = correct_images.planned(given.apply, given.apply_to, given.out, config, setup)
    with closing(images.series) if images is not None else nullcontext():
        return _corrected(given, machine, scan, images)


def _corrected(given: argparse.Namespace, machine: Machine, scan: Scan, images: Plan | None) -> int:
    bar = Progress("smoothing")
    result = smoothed_given(machine, scan, given.readings, given.config.resolve().parent, bar)
    bar.done()
    wanted = formats() if "all" in given.format else tuple(dict.fromkeys(given.format))
    predicted = predict_resolution(machine, result.correction, result.smoothed, result.shaken_m2)
    for path in write_corrections(machine, result, wanted, given.out, predicted):
        say(f"  {path}")
    _tell(result, predicted)
    if images is not None:
        correct_images.write(images, result.correction, setup_of(machine, len(result.correction)))
    return 0


def _cadence(given: argparse.Namespace, config: Config) -> Timing | None:
    if (given.start is None) != (given.cadence is None):
        raise ScanError("--start and --cadence belong together; give both or none")
    if given.start is None:
        return None
    try:
        start = start_of(given.start, zone_of(config, given.scan) or "UTC")
    except ValueError as error:
        raise ScanError(f"--start {error}") from None
    return Timing(cadence_s=given.cadence, start=start, exposure_s=config.scan.exposure_s * config.scan.frames)


def scan_given(config: Config, path: Path, folder: Path, timing: Timing | None = None) -> Scan:
    """A scan by its file or its projections, or by the name under which the service has recorded it."""
    if not path.exists() and not path.suffix and (folder / "history.sqlite").is_file():
        return recorded_scan(folder, str(path))
    return read_scan(path, zone_of(config, path), timing)


def smoothed_given(machine: Machine, scan: Scan, readings: list[Path] | None, base: Path, bar: Progress) -> Corrected:
    """Corrections from readings, or from the service's store where none are given; ``base`` is the configuration's folder."""
    if readings:
        return correct(machine, read_record(machine.config, readings, base), scan, progress=bar)
    return _from_store(machine, base / machine.config.store.folder, scan, bar)


def _from_store(machine: Machine, folder: Path, scan: Scan, bar: Progress) -> Corrected:
    if not folder.exists():
        raise HistoryError(f"{folder}: no store there; run the service first, or give --readings")
    try:
        return correct_stored(machine, folder, scan, progress=bar)
    except (sqlite3.Error, ValueError, KeyError) as error:
        if isinstance(error, ModelError):
            raise
        raise HistoryError(f"{folder}: the store is damaged ({error}); give --readings instead") from None


def _tell(result: Corrected, predicted: Predicted) -> None:
    c = result.correction
    say(f"{c.scan}: {len(c)} projections from {sum(result.used.values())} values on the grid")
    say(table([
        ["shift u", f"{c.shift_px[:, 0].min():+.2f} … {c.shift_px[:, 0].max():+.2f} px",
         f"sigma {c.shift_px_std[:, 0].max():.2f} px at most"],
        ["shift v", f"{c.shift_px[:, 1].min():+.2f} … {c.shift_px[:, 1].max():+.2f} px",
         f"sigma {c.shift_px_std[:, 1].max():.2f} px at most"],
        ["flux", f"{c.flux.min():.4f} … {c.flux.max():.4f}", f"sigma {c.flux_std.max():.4f} at most"],
    ]))  # fmt: skip
    say(
        f"  half-pitch at 10 % MTF: promised {predicted.promised_um:.3g} um, without correction "
        f"{predicted.uncorrected_um:.3g} um, with it {predicted.corrected_um:.3g} um (predicted)"
    )
    if predicted.edges:
        say(edges.edges_words(predicted.edges))
    if result.smoothed.steps:
        say("  steps recognised: " + ", ".join(f"{n} {size:+.2g} m" for _, n, size in result.smoothed.steps))
    if result.drops:
        say("  not used: " + ", ".join(f"{count} {cause}" for cause, count in sorted(result.drops.items())))
