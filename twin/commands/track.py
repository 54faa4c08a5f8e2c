"""``ctwin track``: where a marker is in every projection of a series, finished or being written."""

from __future__ import annotations

import argparse
import math
from argparse import ArgumentTypeError
from collections import Counter
from pathlib import Path
from typing import Any

from models.estimate import Array
from sensors.images.formats import open_series
from sensors.images.illumination import Illumination
from sensors.images.looking import Look, Looker
from sensors.images.recorded import sightings
from sensors.images.region import Region
from sensors.images.series import Series
from sensors.images.times import TimesTable, Timing, start_of
from sensors.images.trackers import MARKERS, QUANTITIES
from sensors.reading import SensorError
from twin.atomic import OutputError, write_atomic
from twin.commands.arguments import duration, positive
from twin.terminal import Progress, say
from twin.track import HEAD, Track, rows_of
from twin.track_follow import follow
from twin.track_picture import track_svg
from twin.track_profile import averaged, shifts_of

_A = {"wire": "a wire", "cross": "a cross", "sphere": "a sphere", "patch": "a patch", "edge": "an edge"}


def add(sub: Any) -> None:
    """Declare the command."""
    command = sub.add_parser("track", help="spot position and flux from projections")
    command.add_argument("projections", type=Path, metavar="PROJECTIONS", help="a folder, or a file of any vendor")
    command.add_argument("--marker", required=True, choices=MARKERS)
    command.add_argument("--name", help="beginning of the channels' names (default: the kind of marker)")
    command.add_argument("--window", type=_window, metavar="u0:u1,v0:v1", help="default: found in the first projection")
    command.add_argument("--find", action="store_true", help="say where the marker is in the first projection")
    command.add_argument("--flat", type=Path, metavar="F", help="bright image, stack or folder")
    command.add_argument("--dark", type=Path, metavar="D", help="dark image, stack or folder")
    command.add_argument("--times", type=Path, metavar="CSV", help="time (and angle) of each projection")
    command.add_argument("--cadence", type=positive, metavar="S", help="seconds from one projection to the next")
    command.add_argument("--start", metavar="TIME", help="with --cadence: when the first exposure began")
    command.add_argument("--exposure", type=duration, default=0.0, metavar="S", help="length of an exposure")
    command.add_argument(
        "--reference", type=Path, metavar="PATH", help="of a patch, or bright ones: images to compare with"
    )
    command.add_argument("--free", type=_window, metavar="u0:u1,v0:v1", help="window of free rays: flux, too")
    command.add_argument("--diameter", type=positive, metavar="PX", help="known diameter of the marker's shadow")
    command.add_argument("--photons-per-count", type=positive, default=math.nan, metavar="N")
    command.add_argument("--timezone", default="UTC", metavar="Z", help="of clocks without zone, such as Europe/Berlin")
    command.add_argument("--follow", action="store_true", help="a folder being filled: go on until Ctrl-C")
    command.add_argument("--picture", type=Path, metavar="FILE", help="default: OUT with the ending .svg")
    command.add_argument("--profile", type=Path, metavar="FILE", help="a wire's averaged profile, .svg")
    command.add_argument("--shifts", type=Path, metavar="READINGS", help="with --profile: markers.csv of corrections")
    command.add_argument("--out", type=Path, metavar="FILE", help="readings, .csv")
    command.set_defaults(run=_track)


def _window(text: str) -> Region:
    try:
        return Region.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _track(given: argparse.Namespace) -> int:
    _check(given)
    name = given.name or given.marker
    looks = [Look(name, given.marker, given.window, given.diameter, given.reference)]
    looks += [Look("free", "flux", given.free)] if given.free else []
    if given.find:
        found = _find(given, looks[:1])
        if given.out is None or not found:
            return 0 if found else 1
    timing = _timing(given)
    return (_follow if given.follow else _whole)(given, looks, timing)


def _check(given: argparse.Namespace) -> None:
    """What can't be right whatever is in the files; raises in one line."""
    if given.out is None and not given.find:
        raise SensorError("--out is missing; name the readings file to write, or use --find")
    if (given.cadence is None) != (given.start is None):
        raise SensorError("--cadence and --start belong together; give both or none")
    if given.times is not None and given.cadence is not None:
        raise SensorError("--times and --cadence exclude each other; give one")
    if given.marker in ("patch", "edge") and given.window is None:
        raise SensorError(f"{_A[given.marker]} can't be found by itself; give its --window")
    if given.reference is not None and given.marker not in ("patch", "bright"):
        raise SensorError(f"--reference is for patches and bright images; {_A[given.marker]} is compared with none")
    if given.marker == "bright" and (given.free is not None or given.find):
        raise SensorError(f"{'--find' if given.find else '--free'} goes with a marker; leave it out for bright images")
    if given.profile is not None and (given.marker != "wire" or given.follow):
        raise SensorError("--profile is for a wire in a finished series; leave it out, or track that without --follow")
    if given.shifts is not None and given.profile is None:
        raise SensorError("--shifts says what the profile is shifted by; give --profile, too")
    if given.name == "free" and given.free is not None:
        raise SensorError("--name free is that of the window of free rays; give another")
    if given.follow and given.projections.exists() and not given.projections.is_dir():
        raise SensorError(f"{given.projections}: is a file; --follow needs the folder that is being filled")
    if given.out is not None:
        given.picture = given.picture or given.out.with_suffix(".svg")
        for path, ending in ((given.out, ".csv"), (given.picture, ".svg"), (given.profile, ".svg")):
            if path is not None and path.suffix.lower() != ending:
                raise OutputError(
                    f"{path}: what is written here is {ending[1:].upper()}; give a name with the ending {ending}"
                )
        if given.times is not None and given.out.exists() and given.times.exists() and given.out.samefile(given.times):
            raise OutputError(f"{given.out}: is the table of times, which is never overwritten; give another --out")
        if given.out.is_file() and not given.follow and not _is_readings(given.out):
            raise OutputError(f"{given.out}: is there already and holds no readings; give another --out, or remove it")


def _is_readings(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"# ctwin readings"


def _timing(given: argparse.Namespace) -> Timing:
    table = None if given.times is None else TimesTable(given.times, growing=given.follow)
    if given.start is None:
        return Timing(table, exposure_s=given.exposure)
    try:
        return Timing(table, given.cadence, start_of(given.start, given.timezone), given.exposure)
    except ValueError as error:
        raise SensorError(f"--start {error}") from None


def _illumination(given: argparse.Namespace, flat: Path | None = None, dark: Path | None = None) -> Illumination:
    return Illumination(lambda path: open_series(path, timezone=given.timezone), flat, dark, given.photons_per_count)


def _series(given: argparse.Namespace) -> Series:
    return open_series(given.projections, timezone=given.timezone, flat=given.flat, dark=given.dark)


def _find(given: argparse.Namespace, looks: list[Look]) -> bool:
    """Say where the marker is in the first projection that can be read."""
    looker = Looker(looks, _illumination(given))
    series = _series(given)
    name = looks[0].name
    for sighting in sightings(series, Timing(cadence_s=1.0, start=0.0), looks, looker, Counter()):
        _must_be_seen(given, looker, name)
        fix = sighting.fixes[name]
        say(f"projection {sighting.number}: {given.marker} in --window {looker.windows[name]}")
        for suffix, value in fix.values.items():
            unit = QUANTITIES[suffix][1].removeprefix("1")
            say(f"  {name}_{suffix} {value:.5g} ± {fix.sigma.get(suffix, math.nan):.2g} {unit}".rstrip())
        if fix.reason:
            say(f"  {fix.verdict.value}: {fix.reason}")
        return bool(fix.values)
    raise SensorError(f"{given.projections}: none of its projections can be read")


def _must_be_seen(given: argparse.Namespace, looker: Looker, name: str) -> None:
    """A marker that is to be found by itself must be in the first projection; raises in one line."""
    if given.window is None and name not in looker.windows:
        raise SensorError(f"{given.projections}: no {given.marker} is found in its first projection; give its --window")


def _whole(given: argparse.Namespace, looks: list[Look], timing: Timing) -> int:
    series = _series(given)
    contents = series.contents
    if given.marker == "bright" and timing.told and any(frame.kind == "flat" for frame in contents.frames):
        raise SensorError("--times and --cadence are those of projections; track the folder of bright images by itself")
    shifts = None if given.shifts is None else shifts_of(given.shifts, looks[0].addresses[0])
    looker, track, faults, rows = Looker(looks, _illumination(given)), Track(looks), Counter[str](), [HEAD]
    bar = Progress("track")
    for sighting in sightings(series, timing, looks, looker, faults, progress=bar):
        if looks[0].name in sighting.fixes and not track.seen:
            _must_be_seen(given, looker, looks[0].name)
        track.add(sighting)
        rows.append(rows_of(sighting, track.curves))
    bar.done()
    if not track.seen:
        raise SensorError(f"{given.projections}: none of its images can be read; nothing is written")
    write_atomic(given.out, "".join(rows))
    write_atomic(given.picture, track_svg(track, contents.name))
    _tell(given, track, looker, contents.name, timing.words(contents.clock), faults)
    if given.profile is not None:
        _profile(given, looks[0], looker, track, shifts)
    for note in contents.notes:
        say(f"  note: {note}")
    return 0 if track.followed else 1


def _profile(
    given: argparse.Namespace, wire: Look, looker: Looker, track: Track, shifts: tuple[Array, Array] | None
) -> None:
    seen = track.curves[wire.addresses[0]], track.curves[wire.addresses[1]]
    bar = Progress("average")
    found = averaged(_series(given), _illumination(given), looker.windows[wire.name], seen, shifts, bar)
    bar.done()
    by = "by where each was seen" if given.shifts is None else f"by {given.shifts}"
    write_atomic(given.profile, found.picture(wire.name))
    say(f"{found.line()} ({by})\n  {given.profile}")


def _follow(given: argparse.Namespace, looks: list[Look], timing: Timing) -> int:
    what = {
        "projections": str(given.projections.resolve()), "marker": given.marker, "name": looks[0].name,
        "window": None if given.window is None else str(given.window),
        "free": None if given.free is None else str(given.free), "diameter_px": given.diameter,
        **{key: None if path is None else str(path.resolve()) for key, path in _named(given).items()},
    }  # fmt: skip
    bar = Progress("track")
    track, live = follow(
        given.projections,
        looks,
        _illumination(given, given.flat, given.dark),
        timing,
        given.out,
        what,
        timezone=given.timezone,
        begun=lambda: say(f"following {given.projections} into {given.out} (Ctrl-C ends)"),
        progress=lambda taken, waiting: bar(taken / max(taken + waiting, 1), f"{taken} projections"),
    )
    bar.done()
    if not track.seen:
        say("no projection has come")
        return 0
    write_atomic(given.picture, track_svg(track, given.projections.name))
    _tell(given, track, live.looker, given.projections.name, live.words, Counter(live.follower.drops))
    return 0


def _named(given: argparse.Namespace) -> dict[str, Path | None]:
    return {"flat": given.flat, "dark": given.dark, "reference": given.reference}


def _tell(given: argparse.Namespace, track: Track, looker: Looker, name: str, clock: str, faults: Counter[str]) -> None:
    left = "".join(f", {count} {cause}" for cause, count in sorted(faults.items()))
    what = "bright images" if given.marker == "bright" else "projections"
    say(f"{name}: {track.seen} {what}{left}; times: {clock}")
    for look, part in looker.windows.items():
        say(f"window {part} of {look}")
    for line in track.lines():
        say(line)
    say(f"  {given.out}\n  {given.picture}")
