"""Key = value files in sections, as the consoles of several makers write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from sensors.reading import SensorError
from sensors.vendor.small_text import read_small


def read_ini(path: Path, section: str) -> Mapping[tuple[str, str], str]:
    """Values by section and key, both in lower case; of a repeated key the first.

    Parameters
    ----------
    section : str
        One that must be there.

    Raises
    ------
    SensorError
        It isn't.
    """
    values: dict[tuple[str, str], str] = {}
    inside, seen = "", set[str]()
    for line in read_small(path).split("\n"):
        word = line.strip()
        if word.startswith("[") and word.endswith("]"):
            inside = word[1:-1].casefold()
            seen.add(inside)
        elif "=" in word and not word.startswith(";"):
            key, _, value = word.partition("=")
            values.setdefault((inside, key.strip().casefold()), value.strip())
    if section.casefold() not in seen:
        raise SensorError(f"{path}: no section [{section}]; the file is cut off or of another kind")
    return values


def number_in(values: Mapping[tuple[str, str], str], section: str, key: str) -> float | None:
    """Number of a key, or None where it is missing or no finite number.

    Examples
    --------
    >>> number_in({("xrays", "xraykv"): "90"}, "Xrays", "XraykV")
    90.0
    """
    try:
        value = float(values[section.casefold(), key.casefold()])
    except (KeyError, ValueError):
        return None
    return value if math.isfinite(value) else None
