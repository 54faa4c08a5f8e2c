"""The parts of ctwin verify that need no RTK: box and field of view, attenuation, verdict, words, pictures, refusals."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from contextlib import closing

import numpy as np
import pytest
import tifffile
from scipy.special import ndtr

from models.geometry import ConeBeam
from models.imaging.light import Light
from models.imaging.volume import Volume
from sensors.images.formats import open_series
from tests.twin.export.corrections import correction
from tests.twin.verify.drifting_scan import CONFIG
from twin.atomic import OutputError
from twin.cli import main
from twin.correct import Predicted
from twin.edges import Edge
from twin.export import Setup
from twin.verify import Options, VerifyError, given_series, verify
from twin.verify import rtk_fdk as rtk_fdk_file
from twin.verify.box import Box, Field, rows_of
from twin.verify.compare import compare
from twin.verify.picture import verify_svg
from twin.verify.run import flat_flux, geometries_of
from twin.verify.stack import stack_of
from twin.verify.verified import SHIFT, WITH, WITHOUT, Verified
from twin.verify.words import told, verify_csv

POSE = ConeBeam(10e-3, 50e-3, 50e-6)
SETUP = Setup(POSE, 160, 120, 40)
UNIT_UM = 10.0


def turning(count=40, size_um=0.0):
    """A turn in which the source moves by so much along u and v."""
    base = correction(count)
    zero = np.zeros((count, 3))
    source = zero.copy()
    source[:, :2] = size_um * np.linspace(0.0, 1.0, count)[:, None]
    return dataclasses.replace(
        base, angle_deg=np.arange(count) * 360.0 / count, source_um=source, object_um=zero, detector_um=zero,
        shift_px=POSE.content_shift_px(source * 1e-6, zero, zero), flux=np.linspace(1.0, 1.1, count),
    )  # fmt: skip


def seen_at(place_um, angle_deg, source_um):
    """Column and row of a point of the object, by tracing its ray: a turn about -v, then a straight line."""
    u, v, w = np.array(place_um)
    a = np.deg2rad(angle_deg)
    point = np.array([u * np.cos(a) - w * np.sin(a), v, u * np.sin(a) + w * np.cos(a)])
    source = np.array([0.0, 0.0, -10e3]) + source_um
    part = (40e3 - source[2]) / (point[2] - source[2])
    hit = source + part * (point - source)
    return (SETUP.columns - 1) / 2 + hit[0] / 50.0, (SETUP.rows - 1) / 2 + hit[1] / 50.0


def test_rows_are_those_that_the_rays_through_the_box_meet():
    moved = turning(size_um=30.0)
    box = Box((12.0, -7.0, 5.0), (30.0, 20.0))
    half = np.array([15.0, 10.0, 15.0])
    corners = [np.array(box.middle) + half * [i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    rows = [
        seen_at(corner * UNIT_UM, moved.angle_deg[k], moved.source_um[k])[1]
        for k in range(len(moved))
        for corner in corners
    ]
    still_rows = [seen_at(corner * UNIT_UM, angle, np.zeros(3))[1] for angle in moved.angle_deg for corner in corners]
    found = rows_of(box, list(geometries_of(moved, POSE, True).values()), SETUP)
    low, high = min(rows + still_rows), max(rows + still_rows)
    assert found.start == pytest.approx(low - 3.0, abs=1.0)
    assert found.stop == pytest.approx(high + 4.0, abs=1.0)


def test_what_the_field_holds_every_projection_shows():
    moved = turning(size_um=30.0)
    field = Field.of(SETUP, moved)
    rng, held = np.random.default_rng(3), 0
    for _ in range(60):
        u, w = rng.uniform(-70, 70, 2)
        v = rng.uniform(-50, 50)
        if not field.holds(np.array([u]), np.array([v]), np.array([w]), (24.0, 20.0))[0]:
            continue
        held += 1
        for k in range(0, len(moved), 5):
            for i in (-12, 12):
                for j in (-10, 10):
                    for n in (-12, 12):
                        place = np.array([u + i, v + j, w + n]) * UNIT_UM
                        column, row = seen_at(place, moved.angle_deg[k], moved.source_um[k])
                        assert -0.5 <= column <= 159.5
                        assert -0.5 <= row <= 119.5
    assert held > 10


def test_geometries_without_have_nothing_moved_and_with_a_shift_the_detector_alone():
    moved = turning(size_um=30.0)
    found = geometries_of(moved, POSE, True)
    assert list(found) == [WITHOUT, WITH, SHIFT]
    assert not found[WITHOUT].SourceOffsetX.any()
    assert found[WITH].SourceOffsetX[-1] == pytest.approx(0.030)
    assert not found[SHIFT].SourceOffsetX.any()
    # the source 30 um to the right moves the content by -(M - 1) times as much; RTK's detector goes the other way
    assert found[SHIFT].ProjectionOffsetX[-1] == pytest.approx(4 * 0.030)


# --- attenuation ---------------------------------------------------------------------------------


@pytest.fixture
def series(tmp_path):
    """40 projections of 120 × 160 px that are a ramp along u and row-dependent along v; flats after, brighter by 10 %."""
    folder = tmp_path / "images"
    folder.mkdir()
    v, u = np.mgrid[:120, :160].astype(float)
    gain = 1000.0 * (1.0 + 0.1 * np.sin(u))
    for k in range(40):
        image = gain * np.linspace(1.0, 1.1, 40)[k] * np.exp(-0.01 * u - 0.002 * v) + 50.0
        tifffile.imwrite(folder / f"p_{k:03d}.tif", image.astype(np.float32))
    tifffile.imwrite(folder / "z_flat_0.tif", (1.1 * gain + 50.0).astype(np.float32))
    tifffile.imwrite(folder / "z_dark_0.tif", np.full((120, 160), 50.0, dtype=np.float32))
    return folder


def scan_of(count=40, turn=360.0):
    from twin.scan import Scan

    return Scan(
        "mine", np.arange(count), 1.7e9 + np.arange(count), np.arange(count) * turn / count, ("projection",) * count
    )


def test_attenuation_is_that_of_the_rows_turned_over(series, tmp_path):
    with closing(open_series(series)) as opened:
        from twin.apply.lights import light_of

        flux = np.linspace(1.0, 1.1, 40)
        light = light_of(opened, flux)[0]
        positions = [k for k, frame in enumerate(opened.contents.frames) if frame.kind == "projection"]
        with stack_of(opened, light, positions, slice(30, 50), 0.05, tmp_path) as stack:
            stack.add(np.log(flux))
            v, u = np.mgrid[30:50, :160]
            true = (0.01 * u + 0.002 * v)[::-1]
            assert stack.values.shape == (40, 20, 160)
            # but for a level: whether the flats came before or after, their order alone tells here
            apart = np.asarray(stack.values[17]) - true
            assert np.ptp(apart) < 1e-4
            # y of the first row: the last detector row of the slice, upwards
            assert stack.origin_mm == pytest.approx((-79.5 * 0.05, -(49 - 59.5) * 0.05))
        with stack_of(opened, light, positions[::4], slice(0, 120), 0.05, tmp_path, 3) as coarse:
            assert coarse.values.shape == (10, 40, 53)
            assert coarse.pitch_mm == pytest.approx(0.15)
            assert coarse.origin_mm == pytest.approx((-78.5 * 0.05, -(118 - 59.5) * 0.05))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["images"]  # its file is gone


def test_without_correction_flats_count_for_what_they_were(series):
    with closing(open_series(series)) as opened:
        frames = [frame.kind for frame in opened.contents.frames]
        flux = np.linspace(1.0, 1.1, 40)
        expected = 1.1 if frames.index("flat") > frames.index("projection") else 1.0
        assert flat_flux(opened, flux) == pytest.approx(expected)


def test_no_logarithm_of_what_is_black(tmp_path):
    folder = tmp_path / "black"
    folder.mkdir()
    tifffile.imwrite(folder / "p_0.tif", np.zeros((8, 9), dtype=np.uint16))
    with closing(open_series(folder)) as opened:
        light = Light.of(np.full((8, 9), 100.0), np.full((8, 9), 2.0), (8, 9))
        with stack_of(opened, light, [0], slice(0, 8), 0.05, tmp_path) as stack:
            assert np.asarray(stack.values) == pytest.approx(-np.log(1e-4))


# --- refusals ------------------------------------------------------------------------------------


def test_a_short_scan_is_enough_if_it_has_the_fan(series):
    with pytest.raises(VerifyError, match=r"cover 180\.0 deg.*189\.1 deg"):
        given_series(series, scan_of(turn=180.0 * 40 / 39), SETUP)
    with closing(given_series(series, scan_of(turn=200.0), SETUP).series):
        pass


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (Options(at_um=(700.0, 0.0, 0.0)), "--at 700,0,0: a box of 960 × 480 um there isn't in the field of view"),
        (Options(side_px=500.0), "another --size"),
        (Options(side_px=30.0), "lower than the 20 px"),
    ],
)
def test_a_box_that_is_not_seen_is_refused(series, tmp_path, options, word):
    given = given_series(series, scan_of(), SETUP)
    with closing(given.series), pytest.raises(VerifyError) as raised:
        verify(given, turning(), Predicted(1.0, 2.0, 1.1, ()), tmp_path, options)
    assert word in str(raised.value)


def test_without_rtk_the_mend_is_told(monkeypatch):
    monkeypatch.setattr(rtk_fdk_file, "find_spec", lambda name: None)
    with pytest.raises(OutputError, match=r"pip install 'ctwin\[recon\]'"):
        rtk_fdk_file.check_rtk()


# --- verdict -------------------------------------------------------------------------------------

STEP = 0.47


def known(normal_deg, radius_mm, uncorrected_um):
    """An edge with the same number wherever none is given."""
    values = dict.fromkeys((field.name for field in dataclasses.fields(Edge)), 6.0)
    return Edge(**(values | {"normal_deg": normal_deg, "radius_mm": radius_mm, "uncorrected_um": uncorrected_um}))


RIMS = tuple(known(45.0 * k, r, 9.0) for r in (0.1, 0.2) for k in range(8))
PREDICTED = Predicted(5.0, 9.0, 6.0, (*RIMS, known(np.nan, np.nan, 8.0)))


def volume(blur, shift=0.0, noise=0.01):
    """A pin with a face."""
    first = (-28.2, -16.45, -28.2)
    w, v, u = np.meshgrid(*(f + STEP * np.arange(n) for f, n in zip(first, (121, 71, 121), strict=True)), indexing="ij")
    pin = ndtr((14.0 - np.hypot(u - shift, w)) / blur) * ndtr((v + 1.0) / blur)
    return Volume(pin + noise * np.random.default_rng(1).normal(size=pin.shape), first, STEP)


@pytest.fixture(scope="module")
def verified():
    volumes = {WITHOUT: volume(2.0, 1.5), WITH: volume(0.8)}
    edges = compare(volumes, 11.0, 4.0)
    return Verified("mine", Box((0.0, 0.0, 0.0), (57.0, 33.5)), 10.0, volumes, edges, PREDICTED)


def test_all_nine_edges_are_measured_in_the_same_places(verified):
    assert [edge.orientation for edge in verified.edges] == list(range(9))
    for edge in verified.edges:
        # of a Gaussian: 0.3415/σ, and a pixel is 10 um
        assert verified.mtf10(edge, WITHOUT)[0] == pytest.approx(100 * 0.3415 / 2.0, rel=0.05)
        assert verified.mtf10(edge, WITH)[0] == pytest.approx(100 * 0.3415 / 0.8, rel=0.05)
        assert verified.half_pitch_um(edge, WITH) == pytest.approx(500 / verified.mtf10(edge, WITH)[0])
        assert verified.width_um(edge, WITH) == pytest.approx(2.563 * 0.8 * 10.0, rel=0.05)
    assert verified.gain()[0] == pytest.approx(2.5, rel=0.04)
    assert not verified.worse


def test_predictions_stand_beside(verified):
    by_name = {edge.words: verified.predicted_um(edge, WITHOUT) for edge in verified.edges}
    assert by_name["along the axis"] == 8.0
    assert by_name["0 deg"] == 9.0


def test_the_other_way_round_the_answer_is_no(verified):
    turned = dataclasses.replace(
        verified, volumes={WITHOUT: verified.volumes[WITH], WITH: verified.volumes[WITHOUT]},
        edges=tuple(
            dataclasses.replace(e, found={WITHOUT: e.found[WITH], WITH: e.found[WITHOUT]}) for e in verified.edges
        ),
    )  # fmt: skip
    assert turned.worse
    assert "WORSE" in told(turned)[-1]


def test_equal_ones_are_not_worse():
    same = {WITHOUT: volume(0.8, noise=0.05), WITH: volume(0.8, noise=0.05)}
    done = Verified("mine", Box((0.0, 0.0, 0.0), (57.0, 33.5)), 10.0, same, compare(same, 11.0, 4.0), PREDICTED)
    assert not done.worse


def test_table_and_csv_say_the_same(verified):
    lines = told(verified)[1].splitlines()
    assert len(lines) == 2 + 9
    assert "along the axis" in lines[-1]
    rows = [line.split(",") for line in verify_csv(verified).splitlines()[1:]]
    assert {len(row) for row in rows} == {15}
    named = dict(zip(rows[0], rows[1], strict=True))
    assert float(named["mtf10_with_lp_per_mm"]) == pytest.approx(100 * 0.3415 / 0.8, rel=0.05)
    assert rows[-1][0] == ""


def test_the_picture_is_whole_and_shows_both(verified):
    svg = verify_svg(verified)
    root = ET.fromstring(svg)
    kind = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{kind}image")) == 4  # across and along, without and with
    assert len(root.findall(f".//{kind}polyline")) == 9 * 4
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in svg


def test_config_of_the_slow_test_is_right(tmp_path):
    (tmp_path / "bench.toml").write_text(CONFIG)
    assert main(["check", str(tmp_path / "bench.toml"), "--json"]) in (0, 1)
