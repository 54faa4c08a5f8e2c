"""A scan's corrections as files in a folder: formats of reconstruction programs, a picture, where markers stood."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twin import edges
from twin.assembly import Machine
from twin.atomic import make_folder, write_atomic
from twin.correct import Corrected, Predicted
from twin.export import Setup, make
from twin.marker_courses import FILENAME, courses_csv
from twin.pictures import correction_svg


def setup_of(machine: Machine, projections: int) -> Setup:
    """What exporters are told of the machine and of the scan."""
    geometry = machine.config.geometry
    return Setup(machine.pose, geometry.columns, geometry.rows, projections)


def write_corrections(
    machine: Machine, result: Corrected, wanted: Sequence[str], out: Path, predicted: Predicted | None = None
) -> list[Path]:
    """Write a correction in several formats, with its picture, courses of markers and predicted edges; the files written.

    Each file is replaced as a whole; a program that reads meanwhile has the old one or the new one.

    Raises
    ------
    OutputError, ExportError
        One line each.
    """
    setup = setup_of(machine, len(result.correction))
    folder = make_folder(out)
    paths = []
    for name in wanted:
        exporter = make(name, setup)
        exporter.write(result.correction, folder / exporter.filename)
        paths.append(folder / exporter.filename)
    texts = [("corrections.svg", correction_svg(result.correction))]
    if result.markers:
        texts.append((FILENAME, courses_csv(result.markers)))
    if predicted is not None and predicted.edges:
        texts.append((edges.FILENAME, edges.edges_csv(predicted.edges)))
    for name, text in texts:
        write_atomic(folder / name, text)
        paths.append(folder / name)
    return paths
