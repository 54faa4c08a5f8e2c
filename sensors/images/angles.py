"""Angles of projections from a plain text file beside the images, or from any list that may not fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sensors.images.series import NAN
from sensors.reading import SensorError
from sensors.vendor.small_text import read_small

_ENDINGS = (".txt", ".csv", ".dat", ".ang")
_STILL = 0.02  # of a step: the stage rests


def angles_beside(folder: Path, places: Sequence[int]) -> tuple[list[float], list[str]]:
    """Angles of projections from the file beside them: in their folder, or in the one above it.

    Its name has ``angle`` or ``theta`` in it. It holds an angle [deg] per line; of several columns the last is taken.

    Parameters
    ----------
    places : sequence of int
        Place of each projection in the order of acquisition, from 0; some may be missing.

    Returns
    -------
    angles : list of float
        ``nan`` where there is none.
    notes : list of str
    """
    count = len(places)
    for place in (folder, folder.parent):
        found = sorted(
            item
            for item in place.iterdir()
            if item.suffix.lower() in _ENDINGS and any(word in item.stem.lower() for word in ("angle", "theta"))
        )
        if found:
            try:
                angles = read_angles(found[0])
                if len(angles) == count or not places:
                    return angles[:count], []
                whole, notes = fitted(angles, places[-1] + 1, str(found[0]))
                return [whole[place] for place in places], notes
            except SensorError as error:
                return [NAN] * count, [f"{error}; no angles"]
    return [NAN] * count, []


def read_angles(path: Path) -> list[float]:
    """Angles in a text file [deg]; a heading and lines that begin with ``#`` are passed over.

    Raises
    ------
    SensorError
        A line that is no number.
    """
    angles: list[float] = []
    for at, line in enumerate(read_small(path).split("\n"), 1):
        words = line.replace(",", " ").replace(";", " ").replace(":", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            angles.append(float(words[-1]))
        except ValueError:
            if angles:
                raise SensorError(f"{path}, line {at}: {line.strip()[:40]!r} is no angle") from None
    if not angles:
        raise SensorError(f"{path}: holds no angle")
    return angles


def fitted(angles: Sequence[float], count: int, place: str) -> tuple[list[float], list[str]]:
    """Angles for ``count`` projections from a list that may be longer or shorter, and what was done.

    A list that counts flats and darks, too, shows the stage at rest before or after the turn; there are no projections for
    these, so they are left out, as far as the surplus allows. Otherwise the first ones are used.

    Examples
    --------
    >>> fitted([0, 0, 0, 1, 2, 3, 3], 4, "a.txt")[0]
    [0, 1, 2, 3]
    >>> fitted([0, 1, 2], 2, "a.txt")
    ([0, 1], ['a.txt: 3 angles for 2 projections; the first 2 are used'])
    """
    surplus = len(angles) - count
    if surplus == 0:
        return list(angles), []
    said = f"{place}: {len(angles)} angles for {count} projections"
    if surplus < 0:
        return [*angles, *[NAN] * -surplus], [f"{said}; the last {-surplus} have none"]
    steps = np.abs(np.diff(angles))
    moving = np.flatnonzero(steps > _STILL * np.median(steps[steps > 0])) if (steps > 0).any() else np.zeros(0, int)
    if moving.size:
        before, after = int(moving[0]), len(steps) - 1 - int(moving[-1])
        if 0 < before <= surplus - after:
            rest = (
                f"{before} before and {after} after the turn, with the stage at rest (flats and darks?), are left out"
            )
            return list(angles[before : before + count]), [f"{said}; {rest}"]
    return list(angles[:count]), [f"{said}; the first {count} are used"]
