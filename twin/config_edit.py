"""Numbers of a configuration file changed in place: comments, order and layout stay as a person wrote them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
KEY = re.compile(r"^\s*([A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')\s*=\s*")
MARK = re.compile(r"(?:;\s*)?calibrated \d{4}-\d\d-\d\d: .*$")  # what an earlier calibration left behind


@dataclass(frozen=True, slots=True)
class Edit:
    """A key that gets a value.

    Attributes
    ----------
    table : tuple of str
        Path of the table.
    index : int or None
        Which of an array of tables, from 0.
    value : str
        As TOML.
    comment : str
        Put behind the comment that is there.
    """

    table: tuple[str, ...]
    index: int | None
    key: str
    value: str
    comment: str = ""


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The file with values replaced or, where a key is missing, added at the end of its table.

    A table of its own that is missing is added at the end. What stands as an inline table or a dotted key isn't found:
    the caller compares what the result says with what it should say.

    Examples
    --------
    >>> print(edited("[a]\\nx = 1  # one\\n", [Edit(("a",), None, "x", "2", "two"), Edit(("a",), None, "y", "3")]), end="")
    [a]
    x = 2  # one; two
    y = 3
    """
    lines = text.splitlines(keepends=True)
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += end
    spots = list(_spots(lines))
    tables = {(s.table, s.index): s.last for s in spots}
    missing: list[str] = []
    for edit in sorted(edits, key=lambda e: -_line(spots, e)):
        spot = next((s for s in spots if (s.table, s.index, s.key) == (edit.table, edit.index, edit.key)), None)
        if spot is not None:
            lines[spot.first : spot.last + 1] = [_rewritten("".join(lines[spot.first : spot.last + 1]), edit, end)]
            continue
        fresh = f"{edit.key} = {edit.value}" + (f"  # {edit.comment}" if edit.comment else "") + end
        at = tables.get((edit.table, edit.index))
        if at is not None:
            lines.insert(at + 1, fresh)
            continue
        header = f"[{'.'.join(edit.table)}]{end}"
        if header not in missing:
            missing += [end, header]
        missing.insert(missing.index(header) + 1, fresh)
    return "".join([*lines, *missing])


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a key (or, with an empty key, a table's header) stands: its lines, first to last."""

    table: tuple[str, ...]
    index: int | None
    key: str
    first: int
    last: int


def _line(spots: Sequence[_Spot], edit: Edit) -> int:
    """The last line that an edit touches; edits are done from the end, so that the lines before keep their numbers."""
    own = [s.last for s in spots if (s.table, s.index) == (edit.table, edit.index)]
    return next(
        (s.last for s in spots if (s.table, s.index, s.key) == (edit.table, edit.index, edit.key)),
        max(own, default=-1),
    )


def _spots(lines: Sequence[str]) -> Iterator[_Spot]:
    table: tuple[str, ...] = ()
    index: int | None = None
    counts: dict[tuple[str, ...], int] = {}
    k = 0
    while k < len(lines):
        header, key = HEADER.match(lines[k]), KEY.match(lines[k])
        if header is not None:
            table = tuple(part.strip().strip("\"'") for part in header[2].split("."))
            if header[1] == "[[":
                index = counts.get(table, -1) + 1
                counts[table] = index
            else:
                index = None
            yield _Spot(table, index, "", k, k)
        elif key is not None:
            text, last = lines[k], k
            while value_end(text, key.end()) is None and last + 1 < len(lines):
                last += 1
                text += lines[last]
            yield _Spot(table, index, key[1].strip("\"'"), k, last)
            k = last
        k += 1


def value_end(text: str, start: int) -> int | None:
    """Position behind the value that begins at ``start``; None while a bracket or a string is open.

    Examples
    --------
    >>> value_end("x = [1, 2] # a", 4), value_end("x = [1,", 4), value_end("x = 'a#b'  # c", 4)
    (10, None, 9)
    """
    depth, k = 0, start
    while k < len(text):
        for quote in ('"""', "'''", '"', "'"):
            if text.startswith(quote, k):
                k += len(quote)
                while k < len(text) and not text.startswith(quote, k):
                    k += 2 if text[k] == "\\" and quote[0] == '"' else 1
                if k >= len(text):
                    return None
                k += len(quote)
                break
        else:
            c = text[k]
            depth += (c in "[{") - (c in "]}")
            if c == "#" or c in "\r\n":
                if depth == 0:
                    break
                k = text.find("\n", k)
                if k < 0:
                    return None
            k += 1
    return None if depth else len(text[:k].rstrip())


def _rewritten(text: str, edit: Edit, end: str) -> str:
    key = KEY.match(text)
    start = key.end() if key is not None else 0
    stop = value_end(text, start) or len(text.rstrip())
    tail = text[stop:].rstrip("\r\n")
    gap = len(tail) - len(tail.lstrip())
    said = MARK.sub("", tail.strip().removeprefix("#").strip()).rstrip("; ")
    comment = "; ".join(part for part in (said, edit.comment) if part)
    if not comment:
        return text[:start] + edit.value + end
    column = max(2, gap + (stop - start) - len(edit.value)) if gap else 2
    return f"{text[:start]}{edit.value}{' ' * column}# {comment}{end}"
