"""Which TIFF files of a folder are projections, flats, darks and references."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from sensors.images.names import kind_of, natural
from sensors.reading import SensorError

if TYPE_CHECKING:
    from sensors.images.formats import Request
    from sensors.images.scan_log import ScanLog

ENDINGS = (".tif", ".tiff")


@dataclass(slots=True)
class Files:
    """Images of a folder by kind, each in the order of their names."""

    of: dict[str, list[Path]] = field(
        default_factory=lambda: {k: [] for k in ("flat", "dark", "projection", "reference")}
    )
    notes: list[str] = field(default_factory=list)

    def said(self) -> str:
        """How many there are of each kind, for a message; empty when there are none."""
        found = [f"{len(paths)} {kind}{'s' * (len(paths) > 1)}" for kind, paths in self.of.items() if paths]
        return f" (but {' and '.join(found)})" if found else ""


def listed(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the files and of the folders in a folder, sorted, without hidden ones; one look at the file system."""
    with os.scandir(folder) as items:
        found = sorted((item.name, item.is_dir()) for item in items if not item.name.startswith("."))
    return [name for name, is_folder in found if not is_folder], [name for name, is_folder in found if is_folder]


def tiffs_in(folder: Path, request: Request) -> list[Path]:
    """TIFF files of a folder that fit the pattern, in their order; those named as flats or darks elsewhere are left out."""
    names = [name for name in listed(folder)[0] if name.lower().endswith(ENDINGS)]
    if request.pattern:
        names = [name for name in names if fnmatch(name, request.pattern)]
    paths = [folder / name for name in sorted(names, key=natural)]
    return [path for path in paths if path.resolve() not in request.without] if request.without else paths


def sorted_files(folder: Path, request: Request) -> Files:
    """By the words in their names, and in those of the folders in this one.

    Raises
    ------
    SensorError
        There are no projections here, and more than one folder with TIFF images.
    """
    files, others = Files(), []
    for path in tiffs_in(folder, request):
        files.of[kind_of(path.stem)].append(path)
    for inside in (folder / name for name in listed(folder)[1]):
        found = tiffs_in(inside, request)
        kind = kind_of(inside.name)
        if kind != "projection":
            files.of[kind].extend(found)
        elif found:
            others.append((inside, found))
    if files.of["projection"]:
        return files
    if len(others) > 1:
        names = ", ".join(inside.name for inside, _ in others[:5])
        raise SensorError(f"{folder}: holds {len(others)} folders with TIFF images ({names}); name one of them")
    alone = [kind for kind, paths in files.of.items() if paths]
    if others:
        files.of["projection"] = others[0][1]
    elif len(alone) == 1:
        files.of["projection"], files.of[alone[0]] = files.of[alone[0]], []
        files.notes.append(f"{folder}: the names of all images say {alone[0]}; they are taken as projections")
    return files


def logged_files(folder: Path, request: Request, log: ScanLog) -> Files:
    """By the names that a console's log tells; others by their words, or left out."""
    files, left = Files(), []
    for path in tiffs_in(folder, request):
        named = log.kinds.get(path.name.lower()) or kind_of(path.stem)
        if log.index_in(path.stem) is not None:
            files.of["projection"].append(path)
        elif log.references is not None and log.references.index_in(path.stem) is not None:
            files.of["reference"].append(path)
        elif named != "projection":
            files.of[named].append(path)
        else:
            left.append(path)
    if left and not files.of["projection"]:
        files.of["projection"] = left
        files.notes.append(
            f"{folder}: images aren't named {log.prefix!r} as {log.path.name} is; taken by their numbers"
        )
    elif left:
        say = f"{len(left)} images whose names aren't {log.prefix!r} and a number are left out ({left[0].name}, …)"
        files.notes.append(f"{folder}: {say}")
    return files
