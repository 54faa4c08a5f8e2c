"""Every format of a geometry per projection, read by its consumer's published formula, puts points where they are."""

from __future__ import annotations

import dataclasses
import json

import h5py
import numpy as np
import pytest

from tests.twin.export.corrections import POSE, correction, setup
from tests.twin.export.independent_projector import pixel
from tests.twin.export.published import READERS
from tests.twin.export.test_export_rtk import CASES, POINTS
from twin.export import ExportError, Setup, make

FORMATS = tuple(READERS)
TOLERANCE_PX = dict.fromkeys(FORMATS, 1e-6) | {"leap": 1e-4}
BODIES = ("source_um", "object_um", "detector_um")


def written(name, c, folder):
    exporter = make(name.removesuffix("_back"), setup(len(c)))
    path = folder / exporter.filename
    exporter.write(c, path)
    return path


def worst_px(project, c):
    worst = 0.0
    for i in range(len(c)):
        moved = [getattr(c, body)[i] * 1e-3 for body in BODIES]
        for point in POINTS:
            worst = max(worst, float(np.abs(project(i, point) - pixel(point, c.angle_deg[i], *moved)).max()))
    return worst


UNEVEN = dataclasses.replace(CASES["turning back"], angle_deg=CASES["turning back"].angle_deg ** 3 / 330**2 + 7.0)


@pytest.mark.parametrize("case", [*CASES, "uneven angles"])
@pytest.mark.parametrize("name", FORMATS)
def test_points_are_where_the_projector_puts_them(name, case, tmp_path):
    c = CASES.get(case, UNEVEN)
    assert worst_px(READERS[name](written(name, c, tmp_path)), c) < TOLERANCE_PX[name]


def turned_over(field, component):
    factor = np.ones(3)
    factor[component] = -1.0
    return lambda c: {field: getattr(c, field) * factor}


# a slip in the reading of the correction, the same for every format
MUTANTS = {
    **{f"-{body[:-3]} {axis}": turned_over(body, k) for body in BODIES for k, axis in enumerate("uvw")},
    **{f"{body[:-3]} u for v": lambda c, body=body: {body: getattr(c, body)[:, [1, 0, 2]]} for body in BODIES},
    "source for object": lambda c: {"source_um": c.object_um, "object_um": c.source_um},
    "source for detector": lambda c: {"source_um": c.detector_um, "detector_um": c.source_um},
    "-angle": lambda c: {"angle_deg": -c.angle_deg},
    "rad for degree": lambda c: {"angle_deg": np.deg2rad(c.angle_deg)},
    "one projection late": lambda c: {body: np.roll(getattr(c, body), 1, axis=0) for body in BODIES},
}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_slipped_sign_axis_or_body_is_seen(name, mutant, tmp_path):
    c = CASES["all moving"]
    wrong = dataclasses.replace(c, **MUTANTS[mutant](c))
    assert worst_px(READERS[name](written(name, wrong, tmp_path)), c) > 0.5


def times(name, factor):
    return lambda g: g | {name: g[name] * np.asarray(factor, g[name].dtype)}


def exchanged(one, other):
    return lambda g: g | {one: g[other], other: g[one]}


def in_geometry(change):
    def changed(document):
        change(document)
        return document

    return changed


def flip_matrix_row(document, row):
    for matrix in document["projections"]["matrices"]:
        matrix[row] = [-value for value in matrix[row]]


def in_module(change):
    def changed(file):
        change(file["entry/instrument/detector/detector_module"])
        return file

    return changed


def turn_over(dataset):
    dataset.attrs["vector"] = -dataset.attrs["vector"]


def move(group, one, other):
    group.move(one, "kept")
    group.move(other, one)
    group.move("kept", other)


ROWS_UP = np.repeat([1.0, -1.0], [9, 3])
# adds half of the column's step to the centre
HALF_ASIDE = np.eye(12)
HALF_ASIDE[6:9, 3:6] = 0.5 * np.eye(3)
# a slip in the writing of the file: rows, columns, centre, order
SLIPS = {
    "astra": {
        "rows flipped": times("vectors_mm", ROWS_UP),
        "columns flipped": times("vectors_mm", np.repeat([1.0, -1.0, 1.0], [6, 3, 3])),
        "rows for columns": lambda g: g | {"vectors_mm": g["vectors_mm"][:, [*range(6), 9, 10, 11, 6, 7, 8]]},
        "half a column aside": lambda g: g | {"vectors_mm": g["vectors_mm"] @ HALF_ASIDE},
    },
    "cil": {
        "rows flipped": times("detector_direction_y_set", -1),
        "columns flipped": times("detector_direction_x_set", -1),
        "rows for columns": exchanged("detector_direction_x_set", "detector_direction_y_set"),
        "size turned": lambda g: g | {"num_pixels": g["num_pixels"][::-1]},
    },
    "leap": {
        "rows flipped": times("rowVectors", -1),
        "columns flipped": times("colVectors", -1),
        "rows for columns": exchanged("rowVectors", "colVectors"),
        "size turned": exchanged("numRows", "numCols"),
    },
    "tigre": {
        "COR the other way": times("COR", -1),
        "volume the other way": times("offOrigin", -1),
        "detector v, u for u, v": lambda g: g | {"offDetector": g["offDetector"][:, ::-1]},
        "x, y, z for z, y, x": lambda g: g | {"offOrigin": g["offOrigin"][:, ::-1]},
        "turned back": times("angles", -1),
        "size turned": lambda g: g | {"nDetector": g["nDetector"][::-1]},
    },
    "openct": {
        "rows flipped": in_geometry(lambda d: flip_matrix_row(d, 1)),
        "columns flipped": in_geometry(lambda d: flip_matrix_row(d, 0)),
        "size turned": in_geometry(lambda d: d["geometry"].update(detectorPixel=d["geometry"]["detectorPixel"][::-1])),
    },
    "ctsimu": {
        "rows flipped": in_geometry(lambda d: d["geometry"]["detector"]["vector_w"]["x"].update(value=-1)),
        "columns flipped": in_geometry(lambda d: d["geometry"]["detector"]["vector_u"]["y"].update(value=1)),
        "clockwise": in_geometry(lambda d: d["acquisition"].update(direction="CW")),
        "size turned": in_geometry(lambda d: d["detector"].update(rows=d["detector"]["columns"])),
    },
}  # fmt: skip
SLIPS["nxtomo"] = {
    "rows flipped": in_module(lambda m: turn_over(m["slow_pixel_direction"])),
    "columns flipped": in_module(lambda m: turn_over(m["fast_pixel_direction"])),
    "rows for columns": in_module(lambda m: move(m, "fast_pixel_direction", "slow_pixel_direction")),
    "last pixel for first": in_module(lambda m: turn_over(m["module_offset"])),
}
SLIPS["tigre_back"] = SLIPS["tigre"]


@pytest.mark.parametrize(("name", "slip"), [(name, slip) for name, slips in SLIPS.items() for slip in slips])
def test_a_slip_in_the_file_is_seen(name, slip, tmp_path):
    c = CASES["all moving"]
    assert worst_px(READERS[name](written(name, c, tmp_path), SLIPS[name][slip]), c) > 0.1


@pytest.mark.parametrize("name", sorted({name.removesuffix("_back") for name in FORMATS}))
def test_the_wrong_length_is_refused_before_writing(name, tmp_path):
    for scan in (11, 13):
        with pytest.raises(ExportError, match=f"{name}: .* has 12 rows, the scan {scan} projections"):
            make(name, setup(scan)).write(correction(12), tmp_path / "g")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted({name.removesuffix("_back") for name in FORMATS}))
def test_a_displacement_beyond_the_pose_is_refused_before_writing(name, tmp_path):
    c = correction()
    wild = dataclasses.replace(c, source_um=c.source_um + np.array([0, 0, 13e3]))
    with pytest.raises(ExportError, match=f"{name}: .*units"):
        make(name, setup()).write(wild, tmp_path / "g")
    assert list(tmp_path.iterdir()) == []


def about(path):
    if path.suffix == ".npz":
        with np.load(path) as file:
            return json.loads(str(file["about"]))
    document = json.loads(path.read_text(encoding="utf-8"))
    return document["ctwin"] if "ctwin" in document else document["simulation"]["ctwin"]


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("nxtomo", "tigre_back")])
def test_words_and_provenance_are_in_the_file(name, tmp_path):
    c = correction(scan='µ "7"')
    said = about(written(name, c, tmp_path))
    assert said["file"].startswith("ctwin ")
    assert said["scan"] == c.scan
    assert said["projections"] == 12
    assert [tuple(pair) for pair in said["provenance"]] == list(c.provenance)
    assert said["source of the signs"] == c.convention
    assert "u, v, w = column, row, source to detector" in said["frame"]
    assert "mm" in said["units"]
    assert "not the flux" in said["applied"]


def test_archives_bear_no_time_of_writing(tmp_path):
    from zipfile import ZipFile

    with ZipFile(written("astra", correction(), tmp_path)) as file:
        assert {item.date_time for item in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_leap_rows_run_along_z_so_that_it_may_filter(tmp_path):
    with np.load(written("leap", correction(), tmp_path)) as g:
        assert (g["rowVectors"][:, 2] > 0.9961).all()
        assert all(
            g[name].flags.c_contiguous for name in ("sourcePositions", "moduleCenters", "rowVectors", "colVectors")
        )


def test_leap_says_what_float32_moved(tmp_path):
    c = correction()
    path = written("leap", c, tmp_path)
    with np.load(path) as g, np.load(written("cil", c, tmp_path)) as exact:
        turn = np.array([1, -1, -1])
        moved = np.linalg.norm(g["moduleCenters"] * turn - exact["detector_position_set"], axis=1).max() * 1e3
    assert 0 < moved < 0.02
    assert f"the detector by up to {moved:.2g} um" in about(path)["moved by the rounding to float32"]


def test_ctsimu_uncertainty_is_the_largest_sigma_or_not_said(tmp_path):
    c = correction()
    unknown = c.object_um_std.copy()
    unknown[3, 0] = np.inf
    c = dataclasses.replace(c, object_um_std=unknown)
    geometry = json.loads(written("ctsimu", c, tmp_path).read_text())["geometry"]
    source = [geometry["source"]["center"][axis]["uncertainty"] for axis in "xyz"]
    assert [item["unit"] for item in source] == ["um"] * 3
    np.testing.assert_array_equal([item["value"] for item in source], c.source_um_std.max(axis=0)[[2, 0, 1]])
    assert "uncertainty" not in geometry["stage"]["center"]["y"]
    assert "uncertainty" in geometry["stage"]["center"]["z"]


def test_openct_matrices_end_in_one_as_those_of_ctsimu(tmp_path):
    document = json.loads(written("openct", correction(), tmp_path).read_text(encoding="utf-8"))
    assert np.array(document["projections"]["matrices"])[:, 2, 3].tolist() == [1.0] * 12


def test_nxtomo_records_the_sample_with_units_words_and_provenance(tmp_path):
    c = correction()
    with h5py.File(written("nxtomo", c, tmp_path), "r") as file:
        sample = file["entry/sample"]
        for axis, moved in zip("xyz", (c.object_um * [-1e-6, -1e-6, 1e-6]).T, strict=True):
            assert sample[f"{axis}_translation"].attrs["units"] == "m"
            np.testing.assert_allclose(sample[f"{axis}_translation"][()], moved, rtol=1e-14, atol=1e-20)
        assert sample["rotation_angle"].attrs["units"] == "degree"
        np.testing.assert_array_equal(sample["rotation_angle"][()], c.angle_deg)
        assert file["entry/definition"][()] == b"NXtomo"
        assert "data" not in file["entry/instrument/detector"]  # with images nabu would read y_translation, and fail
        said = json.loads(file["entry/process/about"][()])
    assert [tuple(pair) for pair in said["provenance"]] == list(c.provenance)
    assert "nabu must not see y_translation" in said["use"]


def test_one_projection_is_a_scan_too(tmp_path):
    one = correction(1)
    for name in FORMATS:
        assert worst_px(READERS[name](written(name, one, tmp_path)), one) < TOLERANCE_PX[name]


def test_high_magnification_keeps_double_formats_exact(tmp_path):
    """The shipped nanoCT: a micrometre is many pixels; the formats agree among themselves."""
    from models.geometry import ConeBeam

    c = dataclasses.replace(CASES["all moving"], **{b: getattr(CASES["all moving"], b) * 0.1 for b in BODIES})
    tall = Setup(ConeBeam(0.5e-3, 292.5e-3, 55e-6), 400, 300, 12)
    answers = []
    for name in ("astra", "cil", "openct", "ctsimu", "nxtomo", "tigre", "tigre_back"):
        exporter = make(name.removesuffix("_back"), tall)
        exporter.write(c, tmp_path / exporter.filename)
        project = READERS[name](tmp_path / exporter.filename)
        answers.append([project(i, np.array([0.01, -0.02, 0.03])) for i in range(12)])
    assert np.ptp(np.array(answers)[0], axis=0).min() > 100
    np.testing.assert_allclose(answers, np.broadcast_to(answers[0], np.shape(answers)), rtol=0, atol=1e-6)


def test_pose_of_the_tests_is_the_projectors():
    assert POSE.magnification == 12.5
