"""``ctwin demo``: the main job on a simulated machine, in accelerated time."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from twin import profiles
from twin.assembly import assemble
from twin.atomic import OutputError, make_folder, write_atomic
from twin.commands.arguments import seed
from twin.commands.run import watch
from twin.config import Config, ConfigError
from twin.correct import correct, predict_resolution
from twin.demonstration import Gain, gain_of
from twin.export import formats
from twin.history import open_to_read, read_batches
from twin.http import HttpError
from twin.pictures import correction_svg
from twin.publish.lock import FolderLock, InUseError
from twin.report import Section, report
from twin.scan_files import write_corrections
from twin.serve import bind
from twin.service import Service, scan_of
from twin.terminal import Progress, say, table

MARK = "made-by-demo"


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser("demo", help="the main job on a simulated machine, with page, corrections and report")
    command.add_argument("--system", default="xrm2-nanoct", metavar="PROFILE", help="default: xrm2-nanoct")
    command.add_argument("--seed", type=seed, default=1, metavar="N")
    command.add_argument("--out", type=Path, default=Path("demo-output"), metavar="DIR", help="default: demo-output")
    command.set_defaults(run=_demo)


def _demo(given: argparse.Namespace) -> int:
    out = make_folder(given.out).resolve()
    config = _prepared(profiles.load_profile(given.system), given.seed)
    _empty(out / config.store.folder)
    service = Service(config, out)
    run = service.simulated_run
    if run is None:
        raise ConfigError([f"{given.system}: has no simulated source; the demo needs one"])
    watched = sys.stdout.isatty()
    say(f"{config.system.name}: a simulated scan of {config.scan.duration_h:g} h, as fast as this machine can")
    service.on_ready = lambda url: say(f"status page: {url}")
    bar = Progress("scan")
    span = run.end_s - run.begin_s
    service.progress = lambda time: bar((time - run.begin_s) / span, f"hour {(time - run.scan_start_s) / 3600:+.1f}")

    def finale() -> None:
        bar.done()
        _summary(service, out)
        if watched:
            say("the page stays until Ctrl-C")

    service.finale = finale
    asyncio.run(watch(service, linger=watched))
    return 0


def _empty(store: Path) -> None:
    """Forget the store of an earlier demo; one that anything else made is nobody's to delete."""
    if store.exists():
        if not (store / MARK).exists():
            raise OutputError(f"{store}: is there already, and no demo made it; choose another --out")
        try:
            FolderLock(store / "lock").release()
        except InUseError as error:
            raise OutputError(f"{store}: {error}; end that demo, or choose another --out") from None
        shutil.rmtree(store)
    make_folder(store)
    write_atomic(store / MARK, "The next demo empties this folder.\n")


def _prepared(config: Config, seed: int) -> Config:
    """The profile with its simulated source seeded, and a free port where its own is taken."""
    sensors = tuple(s.model_copy(update={"seed": seed}) if s.kind == "simulated" else s for s in config.sensors)
    host, port = config.http.listen.rsplit(":", 1)
    try:
        bind(host, int(port)).close()
    except HttpError:
        port = "0"
    return config.model_copy(
        update={"sensors": sensors, "http": config.http.model_copy(update={"listen": f"{host}:{port}"})}
    )


def _summary(service: Service, out: Path) -> None:
    run = service.simulated_run
    if run is None:
        return
    machine, scan = assemble(service.config), scan_of(run)
    bar = Progress("smoothing")
    with closing(open_to_read(service.history.path.parent)) as connection:
        result = correct(machine, (b.readings for b in read_batches(connection)), scan, progress=bar)
    bar.done()
    gain = gain_of(machine, result.correction, run)
    predicted = predict_resolution(machine, result.correction, result.smoothed, result.shaken_m2)
    paths = write_corrections(machine, result, formats(), out, predicted)
    picture = correction_svg(result.correction, gain.truth)
    write_atomic(out / "corrections.svg", picture)
    rows = _rows(gain, predicted.promised_um, predicted.uncorrected_um, predicted.corrected_um)
    write_atomic(out / "report.html", report(
        f"{service.config.system.name}: simulated scan of {service.config.scan.duration_h:g} h",
        [Section("What was gained", rows=rows), Section("Corrections and truth", svg=picture)],
        simulated=True,
    ))  # fmt: skip
    say()
    say(table(rows))
    say()
    for path in (*paths, out / "report.html"):
        say(f"  {path}")


def _rows(gain: Gain, promised: float, uncorrected: float, corrected: float) -> list[list[str]]:
    return [
        ["half-pitch at 10 % MTF", "from the truth", "as ctwin predicts it"],
        ["  promised", f"{gain.promised_um:.4f} um", f"{promised:.4f} um"],
        ["  without correction", f"{gain.uncorrected_um:.4f} um", f"{uncorrected:.4f} um"],
        ["  with correction", f"{gain.corrected_um:.4f} um", f"{corrected:.4f} um"],
        ["drift of the image, peak to peak", f"{gain.drift_px[0]:.2f} px u, {gain.drift_px[1]:.2f} px v"],
        ["marker noise per projection (rms)", f"{gain.marker_px:.2f} px"],
        ["residual after correction (rms)", f"{gain.residual_px:.3f} px", f"{gain.residual_um * 1e3:.1f} nm"],
        ["  smoother that knows the true parameters", f"{gain.knows_px:.3f} px", f"{gain.knows_um * 1e3:.1f} nm"],
        ["  ratio", f"{gain.residual_px / gain.knows_px:.3f}"],
        [
            "95 % intervals that hold the truth", f"{gain.held} of {gain.intervals}",
            f"{100 * gain.held / gain.intervals:.1f} %",
        ],
        [
            "  the same for source and object apart", f"{gain.apart_held} of {gain.apart}",
            f"{100 * gain.apart_held / gain.apart:.1f} %",
        ],
    ]  # fmt: skip
