"""Scan files in CSV: ``projection,time,angle_deg[,kind]``."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

import numpy as np

from sensors.timestamps import parse_time
from twin.atomic import write_atomic
from twin.plain_csv import PlainTable, read_table
from twin.scan import KINDS, Scan, ScanError, checked

MAGIC = "# ctwin scan 1; time = mid-exposure, UTC; angle_deg > 0 turns the object right-handed about -v"
NEEDED = ("projection", "time", "angle_deg")


def read_scan_csv(path: Path, zone: str | None = None) -> Scan:  # noqa: ARG001 (readers share their arguments)
    """Read a scan file. Further columns are passed over; a time without zone is refused.

    ``corrections.csv`` and ``truth.csv`` begin with the same columns and are scan files, too.
    """
    table = read_table(path, ("scan", "corrections", "truth"), NEEDED, ScanError)
    place = {name: table.index(name) for name in NEEDED}
    kind_at = table.columns.index("kind") if "kind" in table.columns else None
    if not table.rows:
        raise ScanError(f"{path}: has a header but no row; a scan needs at least one projection")
    kinds, index, time, angle = [], [], [], []
    for line, cells in table.rows:
        kind = "projection" if kind_at is None else _kind(table, line, cells[kind_at])
        kinds.append(kind)
        index.append(table.integer(line, "projection", cells[place["projection"]]))
        try:
            time.append(parse_time(cells[place["time"]]))
        except ValueError as error:
            raise table.fault(line, "time", str(error)) from None
        text = cells[place["angle_deg"]]
        no_angle = kind in ("flat", "dark") and text.strip().lower() in ("", "nan")
        angle.append(float("nan") if no_angle else table.number(line, "angle_deg", text))
    scan = Scan(_name(table), np.array(index, dtype=np.int64), np.array(time), np.array(angle), tuple(kinds))
    return checked(scan, [f"{path}, line {line}" for line, _ in table.rows])


def write_scan(scan: Scan, path: Path) -> None:
    """Write a scan file; times in seconds with all their digits. Raises :class:`twin.atomic.OutputError`."""
    lines = [MAGIC, f"# scan: {json.dumps(scan.name)}", "projection,time,angle_deg,kind"]
    for index, time, angle, kind in zip(
        scan.projection.tolist(), scan.time.tolist(), scan.angle_deg.tolist(), scan.kind, strict=True
    ):
        lines.append(f"{index},{time!r},{'' if np.isnan(angle) else repr(angle)},{kind}")
    write_atomic(path, "\n".join(lines) + "\n")


def _kind(table: PlainTable, line: int, text: str) -> str:
    kind = text.strip().lower() or "projection"
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(KINDS)}"
        raise table.fault(line, "kind", f"{kind[:40]!r} is unknown; {hint}")
    return kind


def _name(table: PlainTable) -> str:
    """Name of the scan from its comment line, or of the file."""
    for comment in table.comments:
        key, _, text = comment.partition(":")
        if key == "scan":
            try:
                return str(json.loads(text))
            except ValueError:
                break
    return table.path.stem
