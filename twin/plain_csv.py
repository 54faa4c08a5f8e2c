"""CSV files at the boundary, read with a place for every fault: file, line, column, mend."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PlainTable:
    """A CSV file with ``#`` comment lines, a header and rows that all have its width.

    Attributes
    ----------
    path : Path
    comments : tuple of str
        Comment lines above the header, without ``#``.
    columns : tuple of str
        Header in lower case, without blanks.
    rows : tuple of (int, tuple of str)
        Line number and cells of each row.
    error : type
        Raised for every fault.
    """

    path: Path
    comments: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    error: type[ValueError]

    def index(self, column: str) -> int:
        """Position of a column."""
        return self.columns.index(column)

    def fault(self, line: int, column: str, problem: str) -> ValueError:
        """Error at a place of the file, for raising."""
        return self.error(f"{self.path}, line {line}, column {column}: {problem}")

    def number(self, line: int, column: str, text: str) -> float:
        """A finite number."""
        try:
            if "_" in text:  # Python's own digit grouping is no notation of a file
                raise ValueError
            value = float(text)
        except ValueError:
            said = "is empty" if not text.strip() else f"{text[:40]!r} is not a number"
            raise self.fault(line, column, f"{said}; give a number with a decimal point") from None
        if not math.isfinite(value):
            raise self.fault(line, column, f"{text.strip()[:40]!r} is not a finite number; correct or remove the row")
        return value

    def integer(self, line: int, column: str, text: str) -> int:
        """A whole number from 0."""
        value = self.number(line, column, text)
        if value < 0 or value != int(value) or value > 2**53:
            raise self.fault(line, column, f"{text.strip()[:40]!r} is not a whole number from 0")
        return int(value)


def read_text(path: Path, error: type[ValueError]) -> str:
    """Text of a UTF-8 file (a byte order mark is dropped)."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except IsADirectoryError:
        raise error(f"{path}: is a folder; name the file in it") from None
    except UnicodeDecodeError as fault:
        raise error(f"{path}: not UTF-8 text (byte {fault.start}); save it as CSV in UTF-8") from None
    except OSError as fault:
        raise error(f"{path}: can't be read: {fault.strerror}") from None


def read_table(path: Path, kinds: Sequence[str], needed: Sequence[str], error: type[ValueError]) -> PlainTable:
    """Read a CSV file whose first line may be ``# ctwin KIND 1 …``.

    Parameters
    ----------
    path : Path
    kinds : sequence of str
        Kinds of ctwin file that may be read here; a file that says it is another kind or version is refused.
    needed : sequence of str
        Columns that must be there.
    error : type
        Raised for every fault.
    """
    # split at "\n" only: str.splitlines also breaks at rare characters inside a quoted scan name
    lines = read_text(path, error).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    comments: list[str] = []
    columns: tuple[str, ...] = ()
    rows: list[tuple[int, tuple[str, ...]]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if line.lstrip().startswith("#"):
            if not columns:
                comments.append(line.lstrip()[1:].strip())
            continue
        cells = _cells(path, number, line, error)
        if not columns:
            if comments:
                _check_version(path, comments[0], kinds, error)
            columns = tuple(cell.strip().lower() for cell in cells)
            _check_header(path, number, columns, needed, error)
        elif len(cells) != len(columns):
            raise error(
                f"{path}, line {number}: has {len(cells)} fields but the header has {len(columns)};"
                " the row is cut off or has a stray comma"
            )
        else:
            rows.append((number, cells))
    if lines[-1] and comments and comments[0].startswith("ctwin"):
        # ours end with a line end: a number may have lost its last digits
        raise error(f"{path}, line {len(lines)}: has no line end; the file is cut off: write or copy it again")
    if not columns:
        raise error(f"{path}: is empty; the first line that is not a comment must name the columns")
    return PlainTable(path, tuple(comments), columns, tuple(rows), error)


def _cells(path: Path, number: int, line: str, error: type[ValueError]) -> tuple[str, ...]:
    try:
        return tuple(next(csv.reader([line], strict=True, skipinitialspace=True)))
    except csv.Error as fault:
        raise error(f"{path}, line {number}: not valid CSV ({fault}); mend its quotes") from None


def _check_header(
    path: Path, number: int, columns: tuple[str, ...], needed: Sequence[str], error: type[ValueError]
) -> None:
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        raise error(f"{path}, line {number}: columns must be separated by commas")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise error(f"{path}, line {number}: column {twice[0]!r} is there twice; names must differ")
    for column in needed:
        if column not in columns:
            near = difflib.get_close_matches(column, set(columns) - set(needed), n=1, cutoff=0.6)
            hint = f"is {near[0]!r} meant? rename it" if near else f"there are {', '.join(columns)}"
            raise error(f"{path}, line {number}: column {column!r} is missing; {hint}")


def _check_version(path: Path, comment: str, kinds: Sequence[str], error: type[ValueError]) -> None:
    words = comment.replace(";", " ").split()
    if words[:1] != ["ctwin"]:
        return
    kind, version = (*words[1:3], "", "")[:2]
    if kind not in kinds:
        raise error(f"{path}, line 1: is a ctwin {kind} file; a {' or '.join(kinds)} file is needed here")
    if version != "1":
        raise error(
            f"{path}, line 1: version {version or '(none)'} of ctwin {kind} files is unknown here; this ctwin reads 1"
        )
