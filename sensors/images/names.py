"""What the name of an image file tells: its place in the order, its number, and its kind."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"(\d+)")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_KINDS = {
    "flat": "flat", "flats": "flat", "flatfield": "flat", "ff": "flat", "white": "flat", "whites": "flat", "ref": "flat",
    "refs": "flat", "reference": "flat", "open": "flat", "ob": "flat", "openbeam": "flat", "bright": "flat", "gain": "flat",
    "dark": "dark", "darks": "dark", "darkfield": "dark", "df": "dark", "di": "dark", "offset": "dark",
}  # fmt: skip


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which ``a_9.tif`` comes before ``a_10.tif``.

    Examples
    --------
    >>> sorted(["a_10.tif", "a_9.tif", "A_1.tif"], key=natural)
    ['A_1.tif', 'a_9.tif', 'a_10.tif']
    """
    return [(int(part), part) if part.isdigit() else (-1, part.casefold()) for part in _DIGITS.split(name)]


def number_of(stem: str) -> int | None:
    """Last number in a file's name without its ending; None where there is none.

    Examples
    --------
    >>> number_of("scan2_0012"), number_of("flat")
    (12, None)
    """
    found = _DIGITS.findall(stem)
    return int(found[-1]) if found else None


def kind_of(stem: str) -> str:
    """``flat`` or ``dark`` where a word of the name says so, else ``projection``.

    Words end at digits, signs and capitals. A sample may be called "open foam", so the caller must not believe it when
    every image of a folder has such a name.

    Examples
    --------
    >>> [kind_of(stem) for stem in ("refHST0001", "dark_before_3", "darkling_0001", "DI_2")]
    ['flat', 'dark', 'projection', 'dark']
    """
    for word in _WORD.findall(stem):
        kind = _KINDS.get(word.lower())
        if kind is not None:
            return kind
    return "projection"
