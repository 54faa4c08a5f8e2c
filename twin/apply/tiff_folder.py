"""Corrected projections as a folder: one TIFF file each, their angles, and what was done."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tifffile
from numpy.typing import NDArray

from models.correction import Correction
from twin import __version__
from twin.apply.beside import beside
from twin.apply.words import ABOUT, ANGLES, of_projection
from twin.export.exporter import Setup

Add = Callable[[int, NDArray[Any]], None]


@contextmanager
def write_folder(
    path: Path,
    correction: Correction,
    setup: Setup,  # noqa: ARG001 (both kinds of writer are called alike)
    about: dict[str, Any],
) -> Iterator[Add]:
    """Give a function that writes the k-th projection; the folder has its name only once all are in it.

    Every file says in ImageDescription what :mod:`twin.apply.words` has, as JSON in ASCII, with its own shift and flux.

    Raises
    ------
    OutputError
        It can't be written.
    """
    digits = max(5, len(str(len(correction) - 1)))
    with beside(path) as making:
        making.mkdir()

        def add(k: int, image: NDArray[Any]) -> None:
            words = json.dumps({**about, **of_projection(correction, k)})
            buffer = io.BytesIO()  # so that a full disk is told by the system, not by a library
            tifffile.imwrite(buffer, image, description=words, metadata=None, software=f"ctwin {__version__}")
            _write(making / f"projection_{k:0{digits}d}.tif", buffer.getbuffer())

        yield add
        angles = "".join(f"{angle:.9f}\n" for angle in correction.angle_deg.tolist())
        _write(making / ANGLES, f"# deg, one line per projection\n{angles}".encode())
        _write(making / ABOUT, json.dumps(about, indent=1).encode())


def _write(path: Path, data: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
