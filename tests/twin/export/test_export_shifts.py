"""Files that hold only a shift: where the content goes by the consumer's published formula, and what is left over."""

from __future__ import annotations

import dataclasses
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import map_coordinates

from tests.twin.export.corrections import POSE, correction, setup
from tests.twin.export.independent_projector import PIXEL, SDD, SOD, pixel
from twin.export import ExportError, make
from twin.export.residual import residual_um

BODIES = ("source_um", "object_um", "detector_um")


def written(name, c, folder):
    exporter = make(name, setup(len(c)))
    path = folder / exporter.filename
    exporter.write(c, path)
    return path


def nabu(path):
    """nabu, preproc/shift.py: the pixel (y, x) is taken from (y + vertical, x + horizontal)."""
    return np.loadtxt(path, ndmin=2)


def tomopy(path):
    """TomoPy, prep/alignment.py: warp with translation (sy, sx) takes (row, column) from (row + sx, column + sy)."""
    sx, sy = np.loadtxt(path, unpack=True, ndmin=2)
    return np.column_stack([sy, sx])


def zeiss(path):
    """CIL, ZEISSDataReader.read: rolls by +x along columns, +y along rows, so content had moved the other way."""
    table = pd.read_csv(path, comment="#")
    return -table[["x_shift_px", "y_shift_px"]].to_numpy()


def skyscan(path):
    """TIGRE, BrukerDataLoader: five lines skipped, first column dropped, fliplr -> offDetector (v, u) of a detector."""
    offset = np.genfromtxt(path, delimiter=",", skip_header=5, dtype=float, ndmin=2)
    detector_v_u = np.fliplr(np.delete(offset, 0, 1))
    return -detector_v_u[:, ::-1]


READERS = {"nabu": nabu, "tomopy": tomopy, "zeiss": zeiss, "skyscan": skyscan}
ROUNDING_PX = 0.51e-9  # nine decimals


@pytest.mark.parametrize("name", READERS)
def test_the_consumer_brings_content_back(name, tmp_path):
    """Images of a dot that moved, resampled as the consumer does, show the dot where it was."""
    columns, rows = np.arange(60), np.arange(50)
    dot = lambda x, y: np.exp(-((columns - x) ** 2 + (rows[:, None] - y) ** 2) / 18)  # noqa: E731
    c = dataclasses.replace(correction(4), shift_px=np.array([[0, 0], [2.5, -3.25], [-4.5, 1.0], [0.3, 5.0]]))
    for (du, dv), (across, down) in zip(c.shift_px, READERS[name](written(name, c, tmp_path)), strict=True):
        y, x = np.meshgrid(rows + down, columns + across, indexing="ij")
        back = map_coordinates(dot(30 + du, 25 + dv), [y, x], order=3)
        assert np.abs(back - dot(30, 25)).max() < 2e-3


WHOLE = np.array([[0, 0], [3, -4], [-5, 2], [1, 6]])


def stack(shift):
    """Images (4, 50, 60) of two dots, moved by (columns, rows)."""
    columns, rows = np.arange(60), np.arange(50)[:, None]
    dots = lambda x, y: np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)  # noqa: E731
    return np.array([dots(30 + du, 25 + dv) + 0.5 * dots(20 + du, 28 + dv) for du, dv in shift])


def test_tomopy_by_the_lines_of_shift_images(tmp_path):
    from skimage import transform

    c = dataclasses.replace(correction(4), shift_px=WHOLE + np.array([[0, 0], [0.5, 0.25], [0.1, -0.3], [-0.4, 0.2]]))
    sx, sy = np.loadtxt(written("tomopy", c, tmp_path), unpack=True)
    for m, image in enumerate(stack(c.shift_px)):
        back = transform.warp(image, transform.SimilarityTransform(translation=(sy[m], sx[m])), order=5)
        still = np.clip(stack([[0, 0]])[0], image.min(), image.max())  # as warp does
        inner = slice(8, -8)
        assert np.abs(back - still)[inner, inner].max() < 1e-3


def test_zeiss_by_the_lines_of_cils_reader(tmp_path):
    c = dataclasses.replace(correction(4), shift_px=WHOLE.astype(float))
    table = pd.read_csv(written("zeiss", c, tmp_path), comment="#")
    for num, image in enumerate(stack(WHOLE)):
        back = np.roll(image, (int(table["x_shift_px"][num]), int(table["y_shift_px"][num])), axis=(1, 0))
        inner = slice(8, -8)
        np.testing.assert_allclose(back[inner, inner], stack([[0, 0]])[0][inner, inner], rtol=0, atol=1e-12)


def sideways(seed, sense=1.0):
    """Motions of some µm without any along w, and the shift of a point on the axis, exact for them."""
    c = correction(12, seed=seed, sense=sense)
    small = {body: getattr(c, body) * [0.1, 0.1, 0.0] for body in BODIES}
    c = dataclasses.replace(c, **small, shift_px=POSE.content_shift_px(*(small[b] * 1e-6 for b in BODIES)))
    return dataclasses.replace(c, magnification=np.ones(12))


def moved_px(c, i, point):
    return pixel(point, c.angle_deg[i], *(getattr(c, body)[i] * 1e-3 for body in BODIES)) - pixel(
        point, c.angle_deg[i], *np.zeros((3, 3))
    )


@pytest.mark.parametrize("sense", [1.0, -1.0])
@pytest.mark.parametrize("name", READERS)
def test_a_point_on_the_axis_moves_by_what_the_file_says(name, sense, tmp_path):
    c = sideways(8, sense)
    said = READERS[name](written(name, c, tmp_path))
    for i in range(12):
        for height in (-0.4, 0.0, 0.5):
            np.testing.assert_allclose(said[i], moved_px(c, i, [0, height, 0]), rtol=0, atol=ROUNDING_PX)


@pytest.mark.parametrize("name", READERS)
def test_points_at_any_depth_are_left_within_the_stated_residual(name, tmp_path):
    c = sideways(9)
    stated_um, _, radius_mm = residual_um(c, setup())
    said = READERS[name](written(name, c, tmp_path))
    left_um = []
    for i in range(12):
        for turn in np.deg2rad(np.arange(0, 360, 30) - c.angle_deg[i]):
            rim = np.array([radius_mm * np.cos(turn), 0.2, radius_mm * np.sin(turn)])
            left_um.append(np.hypot(*(moved_px(c, i, rim) - said[i])) * PIXEL / (SDD / SOD) * 1e3)
    # reached, where the rim is nearest to the source, and nowhere exceeded
    assert max(left_um) == pytest.approx(stated_um, rel=1e-6)
    assert stated_um > 0.1
    text = (tmp_path / make(name, setup()).filename).read_text(encoding="utf-8")
    assert f"up to {stated_um:.3g} um by depth" in text


MUTANTS = {
    "-u": lambda shift: shift * [-1, 1],
    "-v": lambda shift: shift * [1, -1],
    "u for v": lambda shift: shift[:, ::-1],
    "one projection late": lambda shift: np.roll(shift, 1, axis=0),
}


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("name", READERS)
def test_a_slipped_sign_or_axis_is_seen(name, mutant, tmp_path):
    c = sideways(8)
    wrong = dataclasses.replace(c, shift_px=MUTANTS[mutant](c.shift_px))
    said = READERS[name](written(name, wrong, tmp_path))
    assert max(np.abs(said[i] - moved_px(c, i, [0, 0, 0])).max() for i in range(12)) > 0.5


@pytest.mark.parametrize("name", READERS)
def test_the_wrong_length_is_refused_before_writing(name, tmp_path):
    for scan in (11, 13):
        with pytest.raises(ExportError, match=f"{name}: .* has 12 rows, the scan {scan} projections"):
            make(name, setup(scan)).write(correction(12), tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", READERS)
def test_words_residual_and_provenance_are_in_the_file(name, tmp_path):
    text = written(name, correction(scan="a\nb"), tmp_path).read_text(encoding="utf-8")
    assert "# scan: a?b" in text
    assert "# configuration: 0123456789abcdef" in text
    assert "by depth" in text
    assert "by magnification" in text
    assert "larger row" in text
    assert "12 projections in the order of the scan" in text


@pytest.mark.parametrize("name", READERS)
def test_one_projection_is_a_scan_too(name, tmp_path):
    assert READERS[name](written(name, correction(1), tmp_path)).tolist() == [[0.0, 0.0]]


def test_tables_name_the_projections(tmp_path):
    c = correction(3)
    c = dataclasses.replace(c, projection=np.array([0.0, 2.0, 5.0]))
    for name, lines in (("zeiss", 0), ("skyscan", 4)):
        text = "\n".join(written(name, c, tmp_path).read_text(encoding="utf-8").splitlines()[lines:])
        assert pd.read_csv(StringIO(text), comment="#").iloc[:, 0].tolist() == [0, 2, 5]
