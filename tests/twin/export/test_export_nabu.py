"""nabu's translations file by its documented formula; test_nabu_itself.py asks nabu."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from models.geometry import ConeBeam
from tests.twin.export.corrections import POSE, correction, setup
from tests.twin.export.independent_projector import COLUMNS, PIXEL, SDD, SOD, pixel
from twin.export import ExportError, Setup
from twin.export.nabu import NabuExporter
from twin.export.residual import residual_um


def written(c, tmp_path, s=None):
    path = tmp_path / "t.txt"
    NabuExporter(s or setup(len(c))).write(c, path)
    return np.loadtxt(path), path.read_text()


def test_formula_brings_the_content_back(tmp_path):
    """Formula-based: nabu takes "for a pixel (y, x) the pixel found at (y + vertical, x + horizontal)"."""
    columns, rows = np.arange(60), np.arange(50)
    dot = lambda x, y: np.exp(-((columns - x) ** 2 + (rows[:, None] - y) ** 2) / 18)  # noqa: E731
    c = correction(4)
    c = dataclasses.replace(c, shift_px=np.array([[0, 0], [2.5, -3.25], [-4.5, 1.0], [0.3, 5.0]]))
    said, _ = written(c, tmp_path)
    for (du, dv), (horizontal, vertical) in zip(c.shift_px, said, strict=True):
        y, x = np.meshgrid(rows + vertical, columns + horizontal, indexing="ij")
        back = map_coordinates(dot(30 + du, 25 + dv), [y, x], order=3)
        assert np.abs(back - dot(30, 25)).max() < 2e-3


def test_a_point_on_the_axis_moves_by_what_the_file_says(tmp_path):
    """Geometry end to end: the exact projector moves the point, the file says by how much (first order)."""
    c = correction(12, seed=8)
    small = {f"{b}_um": getattr(c, f"{b}_um") * [0.1, 0.1, 0.0] for b in ("source", "object", "detector")}
    moved = [small[f"{b}_um"] * 1e-6 for b in ("source", "object", "detector")]
    c = dataclasses.replace(c, **small, shift_px=POSE.content_shift_px(*moved))
    said, _ = written(c, tmp_path)
    for i in range(len(c)):
        there = pixel([0, 0, 0], c.angle_deg[i], *(m[i] * 1e3 for m in moved))
        here = pixel([0, 0, 0], c.angle_deg[i], *np.zeros((3, 3)))
        np.testing.assert_allclose(said[i], there - here, atol=1e-8)


def test_rows_equal_projections_or_nothing_is_written(tmp_path):
    said, _ = written(correction(12), tmp_path)
    assert said.shape == (12, 2)
    for scan in (11, 13):
        with pytest.raises(ExportError, match=f"has 12 rows, the scan {scan} projections"):
            NabuExporter(setup(scan)).write(correction(12), tmp_path / "short.txt")
    assert not (tmp_path / "short.txt").exists()


def test_header_states_convention_and_residual(tmp_path):
    _, text = written(correction(scan="a\nb"), tmp_path)
    header = [line for line in text.splitlines() if line.startswith("#")]
    body = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(body) == 12
    joined = "\n".join(header)
    for words in ("horizontal, vertical", "+ = image content moved to a larger column", "y_translation", "um by depth"):
        assert words in joined
    assert "scan: a?b" in joined


def test_residual_is_what_an_edge_point_keeps_after_the_shift():
    """Against the exact projector: a point at the edge of the field, turned towards the source."""
    c = correction(3, still=("source", "object", "detector"))
    source = np.array([[0, 0, 0], [1.0, 0, 0], [3.0, 4.0, 0]])
    c = dataclasses.replace(c, source_um=source)
    depth_um, scale_um, radius_mm = residual_um(c, setup())
    assert radius_mm == pytest.approx(COLUMNS * PIXEL / (SDD / SOD) / 2)
    near = [0, 0, -radius_mm]
    left = pixel(near, 0, source[2] * 1e-3, np.zeros(3), np.zeros(3)) - pixel(near, 0, *np.zeros((3, 3)))
    left -= POSE.content_shift_px(source[2] * 1e-6, np.zeros(3), np.zeros(3))
    assert depth_um == pytest.approx(np.hypot(*left) * PIXEL / (SDD / SOD) * 1e3, rel=1e-6)
    assert scale_um == 0.0


def test_source_and_object_moving_together_leave_nothing():
    c = correction(6, still=("detector",))
    c = dataclasses.replace(c, object_um=c.source_um)
    assert residual_um(c, setup())[0] == pytest.approx(0.0)


def test_a_field_that_reaches_the_source_is_said(tmp_path):
    wide = Setup(ConeBeam(10e-3, 20e-3, 100e-6), 400, 100)
    assert np.isnan(residual_um(correction(), wide)[0])
    _, text = written(correction(), tmp_path, wide)
    assert "without bound" in text
