"""``ctwin verify``: a small reconstruction without and with correction, and how sharp its edges are."""

from __future__ import annotations

import argparse
import math
from argparse import ArgumentTypeError
from contextlib import closing
from pathlib import Path
from typing import Any

from twin.assembly import assemble
from twin.atomic import make_folder, write_atomic
from twin.commands.arguments import positive
from twin.commands.check import load_whole
from twin.commands.correct import scan_given, smoothed_given
from twin.correct import predict_resolution
from twin.recorded import zone_of
from twin.scan_files import setup_of
from twin.terminal import Progress, say


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser(
        "verify", help="reconstruct a small box without and with correction, and compare its edges"
    )
    command.add_argument("config", type=Path, metavar="CONFIG")
    command.add_argument("--scan", type=Path, required=True, metavar="SCAN")
    command.add_argument(
        "--projections", type=Path, required=True, metavar="PROJECTIONS", help="a folder, or a file of any vendor"
    )
    command.add_argument("--readings", type=Path, nargs="+", metavar="PATH", help="default: the service's store")
    command.add_argument(
        "--flat", type=Path, metavar="F", help="bright image, stack or folder; default: those of PROJECTIONS"
    )
    command.add_argument("--dark", type=Path, metavar="D", help="dark image, stack or folder; likewise")
    command.add_argument(
        "--at", type=_place, metavar="U,V,W", help="middle of the box at the stage's angle 0 [um]; default: found"
    )
    command.add_argument(
        "--size", type=positive, metavar="PX", help="side of the box in detector pixels at the axis (default: 96)"
    )
    command.add_argument("--shift", action="store_true", help="reconstruct with the image shift alone, too")
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    command.set_defaults(run=_verify)


def _place(text: str) -> tuple[float, float, float]:
    try:
        u, v, w = (float(word) for word in text.split(","))
    except ValueError:
        u = v = w = math.nan
    if not math.isfinite(u + v + w):
        raise ArgumentTypeError(
            f"{text!r} is no place; give u,v,w in um, like 10,-5,0 (with a minus first: --at=-10,5,0)"
        )
    return u, v, w


def _verify(given: argparse.Namespace) -> int:
    from twin.verify import Options, given_series, verify
    from twin.verify.picture import FILENAME as PICTURE  # only here: it needs the libraries of images
    from twin.verify.picture import verify_svg
    from twin.verify.rtk_fdk import check_rtk
    from twin.verify.words import FILENAME, told, verify_csv

    config = load_whole(given.config)
    machine, base = assemble(config), given.config.resolve().parent
    scan = scan_given(config, given.scan, base / config.store.folder)
    setup = setup_of(machine, len(scan.only("projection")))
    zone = zone_of(config, given.projections) or "UTC"
    opened = given_series(given.projections, scan, setup, timezone=zone, flat=given.flat, dark=given.dark)
    with closing(opened.series):
        check_rtk()
        bars = _Bars()
        result = smoothed_given(machine, scan, given.readings, base, bars.of("smoothing"))
        bars.done()
        predicted = predict_resolution(machine, result.correction, result.smoothed, result.shaken_m2)
        folder, options = make_folder(given.out), Options(given.at, given.size, given.shift)
        done = verify(opened, result.correction, predicted, folder, options, bars)
        bars.done()
    for note in opened.series.contents.notes:
        say(f"  note: {note}")
    for line in told(done):
        say(line)
    for path, text in ((folder / FILENAME, verify_csv(done)), (folder / PICTURE, verify_svg(done))):
        write_atomic(path, text)
        say(f"  {path}")
    return 1 if done.worse else 0


class _Bars:
    """One bar after another, each with what is being done."""

    def __init__(self) -> None:
        self._what, self._bar = "", Progress("")

    def of(self, what: str) -> Progress:
        """Bar of what is done now; the one before ends."""
        if what != self._what:
            self._bar.done()
            self._what, self._bar = what, Progress(what)
        return self._bar

    def __call__(self, what: str, part: float) -> None:
        self.of(what)(part)

    def done(self) -> None:
        """End the last one."""
        self._bar.done()
