"""``corrections.csv`` holds everything to the last bit, and says where it is damaged."""

from __future__ import annotations

import dataclasses
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.correction import Correction
from tests.twin.export.corrections import correction
from twin.export import ExportError, make, read_corrections
from twin.export.conformance import setup
from twin.export.table import TableExporter, render

# README of the files at the boundary, in its words and order
VALUES = [
    "source_u_um", "source_v_um", "source_w_um", "object_u_um", "object_v_um", "object_w_um",
    "detector_u_um", "detector_v_um", "detector_w_um", "shift_u_px", "shift_v_px", "magnification", "flux",
]  # fmt: skip
COLUMNS = ["projection", "time", "angle_deg", *VALUES, *(f"{v}_std" for v in VALUES)]


def same(a, b):
    for field in dataclasses.fields(Correction):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        else:
            assert left == right, field.name


FINITE = st.floats(allow_nan=False, allow_infinity=False)
INSTANT = st.floats(-6e10, 2e11)
SIGMA = st.floats(min_value=0) | st.just(float("nan"))
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def corrections(draw):
    n = draw(st.integers(1, 5))
    field = lambda shape, numbers: draw(arrays(float, shape, elements=numbers))  # noqa: E731
    return Correction(
        scan=draw(WORDS.filter(bool)),
        projection=np.cumsum(draw(arrays(np.int64, n, elements=st.integers(1, 10**9)))) - 1,
        time=field(n, INSTANT),
        angle_deg=field(n, FINITE),
        **{f"{b}_um": field((n, 3), FINITE) for b in ("source", "object", "detector")},
        shift_px=field((n, 2), FINITE),
        magnification=field(n, FINITE),
        flux=field(n, FINITE),
        **{f"{b}_um_std": field((n, 3), SIGMA) for b in ("source", "object", "detector")},
        shift_px_std=field((n, 2), SIGMA),
        magnification_std=field(n, SIGMA),
        flux_std=field(n, SIGMA),
        convention=draw(WORDS),
        provenance=tuple(draw(st.lists(st.tuples(WORDS, WORDS), max_size=3))),
    )


@settings(max_examples=60, deadline=None)
@given(corrections())
def test_reads_back_what_was_written_to_the_last_bit(tmp_path_factory, c):
    path = tmp_path_factory.mktemp("table") / "corrections.csv"
    TableExporter().write(c, path)
    same(read_corrections(path), c)


def test_columns_and_first_lines_are_the_contract():
    lines = render(correction()).splitlines()
    assert lines[0].startswith("# ctwin corrections 1")
    header = next(line for line in lines if not line.startswith("#"))
    assert header.split(",") == COLUMNS
    comments = "\n".join(line for line in lines if line.startswith("#"))
    assert "+ = larger column/row" in comments
    assert "difference" in lines[0]
    assert "0123456789abcdef" in comments


def test_others_read_it_without_us():
    c = correction()
    table = pd.read_csv(StringIO(render(c)), comment="#")
    np.testing.assert_allclose(table[["object_u_um", "object_v_um", "object_w_um"]], c.object_um, rtol=1e-15)
    np.testing.assert_allclose(table["flux_std"], c.flux_std, rtol=1e-15)
    np.testing.assert_allclose(table["shift_v_px"], c.shift_px[:, 1], rtol=1e-15)


def test_truth_without_std_and_with_clock_times_reads(tmp_path):
    path = tmp_path / "truth.csv"
    rows = [
        ",".join(["0", "2026-01-05T18:00:00.25Z", "0", *["1.5"] * 13]),
        ",".join(["1", "2026-01-05T18:00:10Z", "1", *["2"] * 13]),
    ]
    path.write_text("# ctwin truth 1; of a simulation\n" + ",".join(COLUMNS[:16]) + "\n" + "\n".join(rows) + "\n")
    c = read_corrections(path)
    assert c.time.tolist() == [1767636000.25, 1767636010.0]
    assert np.isnan(c.source_um_std).all()
    assert c.shift_px.tolist() == [[1.5, 1.5], [2.0, 2.0]]
    assert c.scan == "truth"


def damaged(change):
    lines = render(correction(3)).split("\n")
    first = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return change(lines, first)


def cell(row, column, text):
    def change(lines, first):
        cells = lines[first + 1 + row].split(",")
        cells[COLUMNS.index(column)] = text
        lines[first + 1 + row] = ",".join(cells)
        return "\n".join(lines)

    return change


def rename(old, new):
    return lambda lines, first: "\n".join([*lines[:first], lines[first].replace(old, new), *lines[first + 1 :]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (cell(1, "flux", "nan"), "line 8, column flux: 'nan' is not a finite number"),
        (cell(1, "flux", "1,5"), "line 8: has 30 fields but the header has 29"),
        (cell(0, "shift_u_px", ""), "line 7, column shift_u_px: is empty"),
        (cell(0, "shift_u_px", "1_0"), "'1_0' is not a number"),
        (cell(2, "projection", "1"), "line 9, column projection: is not larger than the one before"),
        (cell(2, "projection", "2.5"), "'2.5' is not a whole number"),
        (cell(2, "flux_std", "-1"), "can't be negative"),
        (cell(2, "time", "2026-01-05T18:00:00"), "has no zone"),
        (rename("angle_deg", "angle_degree"), "column 'angle_deg' is missing; is 'angle_degree' meant"),
        (rename("flux_std", "flux_sigma"), r"'flux_std' is missing; give all of the \*_std columns or none"),
        (rename("object_u_um,", "source_u_um,"), "column 'source_u_um' is there twice"),
        (lambda lines, first: "\n".join([*lines[: first + 1], ""]), "has a header but no row"),
        (lambda lines, first: "\n".join([*lines[:first], ""]), "is empty"),
        (lambda lines, first: "\n".join(lines).replace("corrections 1", "corrections 2"), "version 2 of ctwin corrections"),
        (lambda lines, first: "# ctwin scan 1\n" + "\n".join(lines), "is a ctwin scan file"),
        (lambda lines, first: "\n".join(lines)[:-40], "fields but the header has 29; the row is cut off"),
        (lambda lines, first: "\n".join(lines)[:-4], "line 9: has no line end; the file is cut off"),
    ],
)  # fmt: skip
def test_damage_is_one_line_with_its_place(tmp_path, change, words):
    path = tmp_path / "c.csv"
    path.write_text(damaged(change))
    with pytest.raises(ExportError, match=words) as fault:
        read_corrections(path)
    assert str(path) in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_table_need_not_cover_the_scan(tmp_path):
    make("table", setup(99)).write(correction(12), tmp_path / "c.csv")
    assert len(read_corrections(tmp_path / "c.csv")) == 12


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("flux", np.ones(11), "flux has shape"),
        ("shift_px_std", np.ones((12, 3)), "shift_px_std has shape"),
        ("projection", np.arange(12)[::-1], "rising order"),
    ],
)
def test_a_misshapen_correction_is_refused(tmp_path, field, value, words):
    with pytest.raises(ExportError, match=words):
        TableExporter().write(dataclasses.replace(correction(12), **{field: value}), tmp_path / "c.csv")
