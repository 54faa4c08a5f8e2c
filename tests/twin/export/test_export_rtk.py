"""RTK geometry against a projector of our own; test_rtk_itself.py asks RTK."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tests.twin.export.corrections import POSE, correction, setup
from tests.twin.export.independent_projector import COLUMNS, PIXEL, ROWS, pixel
from twin.export import ExportError, make
from twin.export.rtk import PARAMETERS, RtkExporter, matrices, render, rtk_pose

# object frame [mm]: on the axis, before and behind it, above and below, off to the sides
POINTS = np.array([[0, 0, 0], [0.3, 0, -2], [-0.2, 0.4, 3], [0.5, -0.3, 1], [0, 0.5, -1.5], [-0.6, -0.4, 0.7]], float)


def worst_px(matrices_mm, c):
    """Largest distance between the pixel that RTK's matrices give and ours, over all points and projections [px]."""
    worst = 0.0
    for i, matrix in enumerate(matrices_mm):
        moved = (body[i] * 1e-3 for body in (c.source_um, c.object_um, c.detector_um))
        moved = list(moved)
        for u, v, w in POINTS:
            x, y, depth = matrix @ [u, -v, -w, 1.0]
            column = (COLUMNS - 1) / 2 + x / depth / PIXEL
            # index along RTK's y, then rows flipped
            row = (ROWS - 1) - ((ROWS - 1) / 2 + y / depth / PIXEL)
            truth = pixel([u, v, w], c.angle_deg[i], *moved)
            worst = max(worst, float(np.abs(truth - [column, row]).max()))
    return worst


CASES = {
    "all moving": correction(seed=1),
    "turning back": correction(seed=2, sense=-1.0),
    "source": correction(seed=3, still=("object", "detector")),
    "object": correction(seed=4, still=("source", "detector")),
    "detector": correction(seed=5, still=("source", "object")),
    "nothing": correction(seed=6, still=("source", "object", "detector")),
}

# what a slip of the pen would do: a sign, an axis, an exchange
MUTANTS = {
    **{f"-{name}": {name: lambda p, name=name: -getattr(p, name)} for name in PARAMETERS if "Distance" not in name},
    "source X for Y": {
        "SourceOffsetX": lambda p: p.SourceOffsetY,
        "SourceOffsetY": lambda p: p.SourceOffsetX,
    },
    "detector X for Y": {
        "ProjectionOffsetX": lambda p: p.ProjectionOffsetY,
        "ProjectionOffsetY": lambda p: p.ProjectionOffsetX,
    },
    "source for detector": {
        "SourceOffsetX": lambda p: p.ProjectionOffsetX,
        "ProjectionOffsetX": lambda p: p.SourceOffsetX,
    },
    "-w of the source": {
        "SourceToIsocenterDistance": lambda p: 2 * p.SourceToIsocenterDistance[0] - p.SourceToIsocenterDistance
    },
    "-w of the detector": {
        "SourceToDetectorDistance": lambda p: 2 * p.SourceToDetectorDistance[0] - p.SourceToDetectorDistance
    },
}


def mutant(name, c=CASES["all moving"]):
    pose = rtk_pose(c, POSE)
    return dataclasses.replace(pose, **{field: change(pose) for field, change in MUTANTS[name].items()})


@pytest.mark.parametrize("name", CASES)
def test_our_matrices_put_points_where_the_projector_does(name):
    assert worst_px(matrices(rtk_pose(CASES[name], POSE)), CASES[name]) < 1e-9


@pytest.mark.parametrize("name", MUTANTS)
def test_a_slipped_sign_or_axis_is_seen(name):
    assert worst_px(matrices(mutant(name)), CASES["all moving"]) > 0.1


def test_unflipped_rows_are_seen():
    c = CASES["all moving"]
    wrong = dataclasses.replace(c, **{f: getattr(c, f) * [1, -1, 1] for f in ("source_um", "object_um", "detector_um")})
    assert worst_px(matrices(rtk_pose(wrong, POSE)), c) > 0.1


def test_matrices_are_written_to_15_digits_and_parameters_exactly():
    c = CASES["all moving"]
    root = ET.fromstring(render(c, setup()))
    pose = rtk_pose(c, POSE)
    said = np.array([[float(w) for w in p.find("Matrix").text.split()] for p in root.findall("Projection")])
    np.testing.assert_allclose(said.reshape(-1, 3, 4), matrices(pose), rtol=1e-14, atol=1e-300)
    for name in PARAMETERS:
        tags = root.findall(f"Projection/{name}") or root.findall(name)
        np.testing.assert_array_equal([float(tag.text) for tag in tags], getattr(pose, name))


def test_each_parameter_is_once_for_all_or_in_every_projection():
    c = correction(count=9, still=("object", "detector"))
    root = ET.fromstring(render(c, setup()))
    assert root.attrib == {"version": "3"}
    top = {child.tag for child in root} - {"Projection"}
    assert top == {"ProjectionOffsetX", "ProjectionOffsetY"}
    for projection in root.findall("Projection"):
        tags = [child.tag for child in projection]
        assert set(tags) == (set(PARAMETERS) - top) | {"Matrix"}
        assert len(set(tags)) == len(tags)
    assert len(root.findall("Projection")) == 9
    still = ET.fromstring(render(correction(still=("source", "object", "detector")), setup()))
    assert {child.tag for child in still.find("Projection")} == {"GantryAngle", "Matrix"}


def test_comment_states_rows_frame_and_provenance_and_keeps_the_file_valid():
    text = render(correction(scan="a--b\n-->\x00<x>"), setup())
    ET.fromstring(text)
    said = re.search(r"<!-- (.*?) -->", text, re.DOTALL).group(1)
    assert "rows flipped" in said
    assert "(u, -v, -w)" in said
    assert "0123456789abcdef" in said
    assert "--" not in said


def test_a_displacement_beyond_the_pose_is_refused_before_writing(tmp_path):
    c = correction()
    wild = dataclasses.replace(c, source_um=c.source_um + np.array([0, 0, 13e3]))
    with pytest.raises(ExportError, match="units"):
        RtkExporter(setup()).write(wild, tmp_path / "g.xml")
    assert list(tmp_path.iterdir()) == []


def test_rows_and_projections_must_agree(tmp_path):
    with pytest.raises(ExportError, match="has 12 rows, the scan 13 projections"):
        make("rtk", setup(13)).write(correction(), tmp_path / "g.xml")
    make("rtk", setup(12)).write(correction(), tmp_path / "g.xml")
    assert len(ET.parse(tmp_path / "g.xml").getroot().findall("Projection")) == 12
