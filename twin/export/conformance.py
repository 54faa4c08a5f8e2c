"""Checks for authors of exporters: what the rest of ctwin relies on.

In a test suite outside::

    @pytest.mark.parametrize("check", checks(), ids=lambda c: c.__name__)
    def test_my_exporter(check, tmp_path):
        check(MyExporter, tmp_path)

A check can't know a consumer's signs: test those against the consumer itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from models.correction import Correction
from models.geometry import CONVENTION, ConeBeam
from twin.atomic import OutputError
from twin.export.exporter import VALUES, Exporter, ExportError, Setup

Factory = Callable[[Setup], Exporter]
COUNT = 5


def checks() -> tuple[Callable[[Factory, Path], None], ...]:
    """Checks of an exporter's class (or a function from :class:`Setup`) with an empty folder; each raises ExportError."""
    return (
        has_names,
        writes_one_file,
        writes_the_same_again,
        changes_nothing_it_is_given,
        refuses_what_is_not_finite,
        refuses_no_rows,
        keeps_the_old_file_when_it_refuses,
        takes_any_scan_name,
        says_why_it_can_not_write,
    )


def setup(projections: int = COUNT) -> Setup:
    """Build a machine to try an exporter with."""
    return Setup(ConeBeam(10e-3, 50e-3, 50e-6), 400, 300, projections)


def correction(count: int = COUNT) -> Correction:
    """Build a correction to try an exporter with: everything moves by some µm."""
    k = np.arange(count, dtype=float)
    three = np.outer(k, [1.0, -0.5, 0.25])
    return Correction(
        scan="conformance",
        projection=np.arange(count, dtype=float),
        time=1.7e9 + 10 * k,
        angle_deg=360.0 * k / max(count, 1),
        source_um=three,
        object_um=-0.5 * three,
        detector_um=0.1 * three,
        shift_px=np.outer(k, [-0.05, 0.02]),
        magnification=1.0 + 1e-5 * k,
        flux=1.0 - 1e-3 * k,
        source_um_std=0.1 + 0 * three,
        object_um_std=0.1 + 0 * three,
        detector_um_std=0.1 + 0 * three,
        shift_px_std=np.full((count, 2), 0.01),
        magnification_std=np.full(count, 1e-6),
        flux_std=np.full(count, 1e-4),
        convention=CONVENTION,
        provenance=(("configuration", "0123456789abcdef"),),
    )


def has_names(make: Factory, folder: Path) -> None:  # noqa: ARG001 (checks share their arguments)
    """``name`` is a word for the command line, ``filename`` a file name without a folder."""
    exporter = make(setup())
    if not exporter.name or any(c.isspace() for c in exporter.name):
        raise ExportError(f"{type(exporter).__name__}.name is {exporter.name!r}; give one word")
    if not exporter.filename or Path(exporter.filename).name != exporter.filename:
        raise ExportError(f"{exporter.name}: filename is {exporter.filename!r}; give a name without a folder")


def writes_one_file(make: Factory, folder: Path) -> None:
    """The file is there, not empty, and nothing else is."""
    exporter = make(setup())
    path = folder / exporter.filename
    exporter.write(correction(), path)
    left = sorted(item.name for item in folder.iterdir())
    if left != [path.name] or not path.stat().st_size:
        raise ExportError(f"{exporter.name}: left {left} instead of the one file {path.name}, not empty")


def writes_the_same_again(make: Factory, folder: Path) -> None:
    """The same correction gives the same bytes (no time of writing, no machine in the file), over an old file."""
    exporter = make(setup())
    path = folder / exporter.filename
    exporter.write(correction(), path)
    first = path.read_bytes()
    make(setup()).write(correction(), path)
    if path.read_bytes() != first:
        raise ExportError(f"{exporter.name}: two runs give different files; leave out what is not in the correction")


def changes_nothing_it_is_given(make: Factory, folder: Path) -> None:
    """The arrays of the correction are as they were."""
    given, kept = correction(), correction()
    exporter = make(setup())
    exporter.write(given, folder / exporter.filename)
    for field in (*VALUES, "projection"):
        if not np.array_equal(getattr(given, field), getattr(kept, field)):
            raise ExportError(f"{exporter.name}: write() changed {field} of the correction; work on a copy")


def refuses_what_is_not_finite(make: Factory, folder: Path) -> None:
    """A value that is unknown is refused, not written as zero or ``nan``, when the consumer would use it."""
    for value in (np.nan, np.inf):
        given = correction()
        shift, source = given.shift_px.copy(), given.source_um.copy()
        shift[2, 0] = source[2, 0] = value
        _must_refuse(make, dataclasses.replace(given, shift_px=shift, source_um=source), folder, f"{value} in row 2")


def refuses_no_rows(make: Factory, folder: Path) -> None:
    """A correction without projections is refused."""
    _must_refuse(make, correction(0), folder, "no rows", setup(0))


def keeps_the_old_file_when_it_refuses(make: Factory, folder: Path) -> None:
    """What was written before is still there, whole."""
    exporter = make(setup())
    path = folder / exporter.filename
    path.write_bytes(b"kept")
    given = correction()
    with contextlib.suppress(OutputError):
        exporter.write(
            dataclasses.replace(given, shift_px=given.shift_px * np.nan, source_um=given.source_um * np.nan), path
        )
    if path.read_bytes() != b"kept":
        raise ExportError(
            f"{exporter.name}: damaged the file that was there; check first, then write with write_atomic"
        )


def takes_any_scan_name(make: Factory, folder: Path) -> None:
    """Names and provenance of any script, with quotes, line breaks and markup, don't make it fail."""
    exporter = make(setup())
    for words in ("µ ≥ 温度", 'a\nb\r\n"c"\t<x> & --> %s', "", "x" * 5000):
        given = dataclasses.replace(correction(), scan=words, provenance=(("key", words), (words, "value")))
        exporter.write(given, folder / exporter.filename)


def says_why_it_can_not_write(make: Factory, folder: Path) -> None:
    """A missing folder, or a folder in the file's place, is an OutputError of one line that names the file."""
    exporter = make(setup())
    (folder / "folder").mkdir()
    for path in (folder / "folder", folder / "missing" / exporter.filename):
        try:
            exporter.write(correction(), path)
        except OutputError as error:
            if str(path) not in str(error) or "\n" in str(error):
                raise ExportError(f"{exporter.name}: the error must name {path} in one line, not {error}") from None
        else:
            raise ExportError(f"{exporter.name}: says nothing when {path} can't be written; use write_atomic")


def _must_refuse(make: Factory, given: Correction, folder: Path, why: str, machine: Setup | None = None) -> None:
    exporter = make(machine or setup())
    path = folder / exporter.filename
    try:
        exporter.write(given, path)
    except OutputError:
        if path.exists():
            raise ExportError(f"{exporter.name}: refused a correction with {why} but left a file") from None
    else:
        raise ExportError(f"{exporter.name}: wrote a correction with {why}; refuse it with twin.export.exporter.check")
