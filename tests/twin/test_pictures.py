"""The picture of a correction says what the correction says."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tests.twin.export.corrections import correction
from twin.export import ExportError
from twin.pictures import POINTS, ROWS, correction_svg, ticks

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*arguments):
    root = ET.fromstring(correction_svg(*arguments))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    lines = list(root.iter(f"{SVG}polyline"))
    return root, texts, lines


def points(element):
    return np.array([[float(v) for v in pair.split(",")] for pair in element.get("points").split()])


def test_every_panel_has_a_title_with_its_unit_and_an_axis():
    _, texts, lines = drawn(correction())
    for title in ("image content, u [px]", "source, w [µm]", "object, v [µm]", "magnification [ppm]", "flux [%]"):
        assert title in texts
    panels = sum(len(row) for row in ROWS)
    assert texts.count("projection") == panels == len(lines)


def test_the_curve_is_the_correction_to_scale():
    c = correction(30)
    _, _, lines = drawn(c)
    for shown, line in zip([panel for row in ROWS for panel in row], lines, strict=True):
        values, there = shown.values(c), points(line)
        assert np.corrcoef(values, there[:, 1])[0, 1] < -0.9999  # y grows downwards
        np.testing.assert_allclose(np.diff(there[:, 0]), np.diff(there[:, 0]).mean(), atol=0.11)


def test_the_band_is_two_sigma_wide_on_the_scale_of_the_curve():
    c = correction(30)
    root, _, lines = drawn(c)
    band, curve = points(next(root.iter(f"{SVG}polygon"))), points(lines[0])
    pixel_per_px = np.ptp(curve[:, 1]) / np.ptp(c.shift_px[:, 0])
    width = band[::-1][:30, 1] - band[:30, 1]
    np.testing.assert_allclose(width, 4 * c.shift_px_std[:, 0] * pixel_per_px, atol=0.25)


def test_truth_is_drawn_where_the_scan_has_projections():
    c = correction(30)
    truth = dataclasses.replace(correction(40, seed=2), projection=np.arange(40) - 5)
    _, texts, lines = drawn(c, truth)
    dashed = [line for line in lines if line.get("stroke-dasharray")]
    assert "truth" in texts
    assert len(dashed) == len(lines) / 2
    assert all(len(points(line)) == 30 for line in dashed)
    assert "truth" not in drawn(c)[1]


def test_a_long_scan_stays_a_small_file_with_its_ends():
    _, _, lines = drawn(correction(20000))
    assert all(len(points(line)) == POINTS for line in lines)
    assert len(correction_svg(correction(20000))) < 400_000
    x = points(lines[0])[:, 0]
    assert x[-1] - x[0] == pytest.approx(points(drawn(correction(300))[2][0])[-1, 0] - x[0], abs=0.2)


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_moved_and_unknown_sigma(count):
    c = correction(count, still=("source", "object", "detector"))
    unknown = {f"{p.field}_std": getattr(c, f"{p.field}_std") * np.nan for row in ROWS for p in row}
    text = correction_svg(dataclasses.replace(c, flux=np.ones(count), **unknown))
    assert "nan" not in text
    assert "inf" not in text


def test_names_are_text_not_markup():
    root, texts, _ = drawn(correction(scan='<script>"&\x00\n'))
    assert 'Corrections of scan <script>"&??' in texts
    assert not list(root.iter(f"{SVG}script"))
    assert "http" not in correction_svg(correction()).replace("http://www.w3.org/2000/svg", "")


def test_what_is_not_finite_is_refused():
    c = correction()
    with pytest.raises(ExportError, match="picture: flux of projection 0 is not a finite number"):
        correction_svg(dataclasses.replace(c, flux=c.flux * np.nan))


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (-1e-4, 3e-4, ["-0.0001", "0.0000", "0.0001", "0.0002", "0.0003"]),
        (0, 10, ["0.0", "2.5", "5.0", "7.5", "10.0"]),
        (-12345, 54321, ["0", "20000", "40000"]),
    ],
)
def test_ticks_are_round_and_labelled_alike(low, high, labels):
    assert [label for _, label in ticks(low, high, 4)] == labels
