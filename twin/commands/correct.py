"""``ctwin correct``: smoothed corrections of a scan, in the formats of reconstruction programs."""

from __future__ import annotations

import argparse
import sqlite3
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.estimate import ModelError
from twin import edges
from twin.assembly import Machine, assemble
from twin.atomic import make_folder, write_atomic
from twin.commands import correct_images
from twin.commands.check import load_whole
from twin.config import Config
from twin.correct import Corrected, Predicted, correct, predict_resolution
from twin.export import Setup, formats, make
from twin.history import HistoryError
from twin.marker_courses import FILENAME, courses_csv
from twin.pictures import correction_svg
from twin.recorded import read_record, zone_of
from twin.scan import Scan, read_scan
from twin.scan_end import correct_stored, recorded_scan
from twin.terminal import Progress, say, table

if TYPE_CHECKING:
    from twin.apply import Plan


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser("correct", help="smoothed corrections of a scan")
    command.add_argument("config", type=Path, metavar="CONFIG")
    command.add_argument("--scan", type=Path, required=True, metavar="SCAN")
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
    scan = scan_given(config, given.scan, folder)
    images = correct_images.planned(given.apply, given.apply_to, given.out, config, setup_of(machine, scan))
    with closing(images.series) if images is not None else nullcontext():
        return _corrected(given, machine, scan, images)


def _corrected(given: argparse.Namespace, machine: Machine, scan: Scan, images: Plan | None) -> int:
    config, folder = machine.config, given.config.resolve().parent / machine.config.store.folder
    bar = Progress("smoothing")
    if given.readings:
        result = correct(
            machine, read_record(config, given.readings, given.config.resolve().parent), scan, progress=bar
        )
    else:
        result = _from_store(machine, folder, scan, bar)
    bar.done()
    wanted = formats() if "all" in given.format else tuple(dict.fromkeys(given.format))
    for path in write_corrections(machine, result, scan, wanted, given.out):
        say(f"  {path}")
    predicted = predict_resolution(machine, result.correction, result.smoothed, result.shaken_m2)
    if predicted.edges:
        write_atomic(given.out / edges.FILENAME, edges.edges_csv(predicted.edges))
        say(f"  {given.out / edges.FILENAME}")
    _tell(result, predicted)
    if images is not None:
        correct_images.write(images, result.correction, setup_of(machine, scan))
    return 0


def scan_given(config: Config, path: Path, folder: Path) -> Scan:
    """A scan by its file, or by the name under which the service has recorded it."""
    if not path.exists() and not path.suffix and (folder / "history.sqlite").is_file():
        return recorded_scan(folder, str(path))
    return read_scan(path, zone_of(config, path))


def _from_store(machine: Machine, folder: Path, scan: Scan, bar: Progress) -> Corrected:
    if not folder.exists():
        raise HistoryError(f"{folder}: no store there; run the service first, or give --readings")
    try:
        return correct_stored(machine, folder, scan, progress=bar)
    except (sqlite3.Error, ValueError, KeyError) as error:
        if isinstance(error, ModelError):
            raise
        raise HistoryError(f"{folder}: the store is damaged ({error}); give --readings instead") from None


def setup_of(machine: Machine, scan: Scan) -> Setup:
    """What exporters are told of the machine and of the scan."""
    g = machine.config.geometry
    return Setup(machine.pose, g.columns, g.rows, len(scan.only("projection")))


def write_corrections(machine: Machine, result: Corrected, scan: Scan, wanted: Sequence[str], out: Path) -> list[Path]:
    """Write a correction in several formats, its picture, and where markers stood; the files written."""
    setup = setup_of(machine, scan)
    folder = make_folder(out)
    paths = []
    for name in wanted:
        exporter = make(name, setup)
        exporter.write(result.correction, folder / exporter.filename)
        paths.append(folder / exporter.filename)
    write_atomic(folder / "corrections.svg", correction_svg(result.correction))
    paths.append(folder / "corrections.svg")
    if result.markers:
        write_atomic(folder / FILENAME, courses_csv(result.markers))
        paths.append(folder / FILENAME)
    return paths


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
