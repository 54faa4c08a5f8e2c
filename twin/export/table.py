"""``corrections.csv``: everything a correction holds, one row per projection, exact to the last bit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from models.correction import Correction
from models.estimate import Array
from sensors.timestamps import parse_time
from twin.atomic import write_atomic
from twin.export.exporter import ExportError, Setup, check
from twin.plain_csv import PlainTable, read_table

MAGIC = "# ctwin corrections 1"
ABOUT = (
    "one row per projection; displacements in um, shifts in px, magnification and flux are ratios; every value is the"
    " difference (ratio) to the first row and *_std the sigma of that difference; time in seconds since 1970-01-01 UTC"
)

# column -> (field of Correction, component or None), in the order of the file; the *_std follow in the same order
COLUMNS: dict[str, tuple[str, int | None]] = {
    **{
        f"{body}_{axis}_um": (f"{body}_um", i)
        for body in ("source", "object", "detector")
        for i, axis in enumerate("uvw")
    },
    "shift_u_px": ("shift_px", 0),
    "shift_v_px": ("shift_px", 1),
    "magnification": ("magnification", None),
    "flux": ("flux", None),
}
KEYS = ("projection", "time", "angle_deg")
FIELDS = tuple(dict.fromkeys(owner for owner, _ in COLUMNS.values()))


class TableExporter:
    """Writes ``corrections.csv`` (docs/reference/corrections.md)."""

    name = "table"
    filename = "corrections.csv"

    def __init__(self, setup: Setup | None = None) -> None:
        self.setup = setup

    def write(self, correction: Correction, path: Path) -> None:
        """Write the table; floats in the shortest form that reads back to the same bits."""
        check(correction, self.name)
        write_atomic(path, render(correction))


def render(correction: Correction) -> str:
    """Text of the table."""
    lines = [
        f"{MAGIC}; {ABOUT}",
        f"# scan: {json.dumps(correction.scan)}",
        f"# convention: {json.dumps(correction.convention)}",
        *(f"# provenance: {json.dumps(pair)}" for pair in correction.provenance),
        ",".join((*KEYS, *COLUMNS, *(f"{name}_std" for name in COLUMNS))),
    ]
    numbers = np.column_stack(
        [correction.time, correction.angle_deg]
        + [
            column(correction, field_name + tail, part)
            for tail in ("", "_std")
            for field_name, part in COLUMNS.values()
        ]
    )
    for index, row in zip(correction.projection, numbers.tolist(), strict=True):
        lines.append(f"{int(index)}," + ",".join(map(repr, row)))
    return "\n".join(lines) + "\n"


def column(correction: Correction, name: str, part: int | None) -> Array:
    """Values of a field, or of one component of it, (N,)."""
    values = np.asarray(getattr(correction, name), dtype=float)
    return values if part is None else values[:, part]


def read_corrections(path: Path) -> Correction:
    """Read ``corrections.csv``, or a ``truth.csv`` of the simulator (which has no ``_std``: they become ``nan``).

    Raises
    ------
    ExportError
        File, line and column of the first fault.
    """
    table = read_table(path, ("corrections", "truth"), (*KEYS, *COLUMNS), ExportError)
    with_std = any(name.endswith("_std") for name in table.columns)
    names = [*KEYS, *COLUMNS, *(f"{name}_std" for name in COLUMNS if with_std)]
    for name in names:
        if name not in table.columns:
            raise ExportError(f"{path}: column {name!r} is missing; give all of the *_std columns or none")
    places = [table.index(name) for name in names]
    if not table.rows:
        raise ExportError(f"{path}: has a header but no row")
    values = {
        name: np.array([_value(table, line, name, cells[place]) for line, cells in table.rows])
        for name, place in zip(names, places, strict=True)
    }
    for (line, _), step in zip(table.rows[1:], np.diff(values["projection"]), strict=True):
        if step <= 0:
            raise table.fault(
                line, "projection", "is not larger than the one before; each projection once, in rising order"
            )
    about = _about(table)
    arrays: dict[str, Any] = {
        owner + tail: _field(values, owner, tail, len(table.rows)) for owner in FIELDS for tail in ("", "_std")
    }
    return Correction(
        scan=about.scan or path.stem,
        projection=cast("Array", values["projection"].astype(np.int64)),
        time=values["time"],
        angle_deg=values["angle_deg"],
        convention=about.convention,
        provenance=tuple(about.provenance),
        **arrays,
    )


def _field(values: dict[str, Array], wanted: str, tail: str, count: int) -> Array:
    columns = [
        values.get(name + tail, np.full(count, np.nan)) for name, (owner, _) in COLUMNS.items() if owner == wanted
    ]
    return columns[0] if COLUMNS.get(wanted) == (wanted, None) else np.column_stack(columns)


def _value(table: PlainTable, line: int, name: str, text: str) -> float:
    if name == "projection":
        return table.integer(line, name, text)
    if name == "time":
        try:
            return parse_time(text)
        except ValueError as error:
            raise table.fault(line, name, str(error)) from None
    if name.endswith("_std") and text.strip() in ("nan", "inf"):
        return float(text)  # a σ may be unknown or without bound, a value may not
    value = table.number(line, name, text)
    if name.endswith("_std") and value < 0:
        raise table.fault(line, name, "a standard deviation can't be negative")
    return value


@dataclass(slots=True)
class _About:
    scan: str = ""
    convention: str = ""
    provenance: list[tuple[str, str]] = field(default_factory=list)


def _about(table: PlainTable) -> _About:
    """Scan name, convention and provenance from the comment lines; lines that are not ours are passed over."""
    about = _About()
    for comment in table.comments:
        key, _, text = comment.partition(":")
        try:
            said = json.loads(text) if key in ("scan", "convention", "provenance") else None
        except ValueError:
            continue
        if key == "provenance" and isinstance(said, list) and len(said) == 2:
            about.provenance.append((str(said[0]), str(said[1])))
        elif key == "scan" and isinstance(said, str):
            about.scan = said
        elif key == "convention" and isinstance(said, str):
            about.convention = said
    return about
