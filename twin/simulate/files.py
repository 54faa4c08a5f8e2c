"""Files of a simulated run: what the sensors said, the scan, the truth, the projections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from twin.atomic import make_folder, write_atomic
from twin.simulate.heat import Array
from twin.simulate.images import Progress, write_projections
from twin.simulate.run import Run


def write_run(
    run: Run,
    out: Path,
    *,
    projections: bool = False,
    crop: tuple[int, int] = (128, 96),
    progress: Progress | None = None,
) -> list[Path]:
    """Write ``readings.csv``, ``scan.csv``, ``truth.csv`` and, if asked for, ``projections.h5`` into a folder.

    Every file is written whole or not at all; its first line carries its version. Values of readings are in their
    channels' own units and in the order of delivery, times are UTC.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    twin.atomic.OutputError
        In one line, when a file can't be written.
    """
    make_folder(out)
    made = f"# simulated: scenario {run.scenario.name}, seed {run.seed}, configuration {run.config.digest}"
    files = {
        out / "readings.csv": _readings(run, f"# ctwin readings 1\n{made}"),
        out / "scan.csv": _scan(run, f"# ctwin scan 1; time = mid-exposure, UTC\n{made}"),
        out / "truth.csv": _truth(run, f"# ctwin truth 1\n{made}"),
    }
    for path, text in files.items():
        write_atomic(path, text)
    written = list(files)
    if projections:
        written.append(out / "projections.h5")
        write_projections(run, written[-1], crop, progress)
    return written


def iso(time: Array) -> list[str]:
    """Instants as ISO 8601 with microseconds, UTC.

    Examples
    --------
    >>> iso(np.array([1767636000.25]))
    ['2026-01-05T18:00:00.250000Z']
    """
    stamps = np.round(time * 1e6).astype("int64").astype("datetime64[us]")
    return [f"{text}Z" for text in np.datetime_as_string(stamps, unit="us").tolist()]


def _readings(run: Run, head: str) -> str:
    r = run.record
    names = [channel.name for channel in r.channels]
    rows = [
        f"{time},{names[channel]},{value:.10g},{'' if sigma != sigma else format(sigma, '.6g')},simulated"
        for time, channel, value, sigma in zip(
            iso(r.time), r.channel.tolist(), r.value.tolist(), r.sigma.tolist(), strict=True
        )
    ]
    return _lines([head, "time,channel,value,sigma,quality", *rows])


def _scan(run: Run, head: str) -> str:
    f = run.frames
    rows = [
        f"{index},{time},{angle:.10g},{kind}"
        for index, time, angle, kind in zip(
            f.index.tolist(), iso(f.time), f.angle_deg.tolist(), f.kind.tolist(), strict=True
        )
    ]
    return _lines([head, "projection,time,angle_deg,kind", *rows])


def _truth(run: Run, head: str) -> str:
    columns = run.truth.columns()
    cells: list[Sequence[str]] = []
    for name, values in columns.items():
        cells.append(iso(run.truth.time) if name == "time" else [f"{value:.10g}" for value in values.tolist()])
    return _lines([head, ",".join(columns), *(",".join(row) for row in zip(*cells, strict=True))])


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
