"""A folder of TIFF images: order, kinds, times, angles, and what is told of what doesn't fit."""

from __future__ import annotations

import os
import tracemalloc
from datetime import datetime

import numpy as np
import pytest

from sensors.images.angles import fitted, read_angles
from sensors.images.formats import READERS, open_series, reader_of
from sensors.images.unfinished import UnfinishedError
from sensors.reading import SensorError
from tests.real_data import data_file

tifffile = pytest.importorskip("tifffile")
BEGIN = 1_700_000_000.0


def write(path, value=0, *, when=None, shape=(8, 10), **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.full(shape, value, np.uint16), **more)
    if when is not None:
        os.utime(path, (when, when))


def scan(folder, count=12, first=0, name="raw_{}.tif", **more):
    for k in range(count):
        write(folder / name.format(first + k), first + k, when=BEGIN + 10.0 * k, **more)
    return folder


def kinds(series):
    return [(f.kind, f.index, int(series.image(k)[0, 0])) for k, f in enumerate(series.contents.frames)]


def notes(series):
    return " | ".join(series.contents.notes)


def test_order_is_that_of_the_numbers_and_time_that_of_writing(tmp_path):
    series = open_series(scan(tmp_path))
    assert kinds(series) == [("projection", k, k) for k in range(12)]
    assert [f.time for f in series.contents.frames] == [BEGIN + 10.0 * k for k in range(12)]
    assert (series.contents.clock, series.contents.shape, notes(series)) == ("modification time", (8, 10), "")
    assert series.contents.frames[3].place == str(tmp_path / "raw_3.tif")
    assert all(np.isnan(f.angle_deg) for f in series.contents.frames)


def test_the_tag_is_taken_when_all_have_it_in_the_zone_that_is_named(tmp_path):
    for k in range(6):  # two images per second
        write(tmp_path / f"a_{k}.tif", datetime=f"2024:03:31 01:59:{57 + k // 2:02d}", when=BEGIN)
    series = open_series(tmp_path, timezone="Europe/Berlin")
    begin = datetime.fromisoformat("2024-03-31T01:59:57+01:00").timestamp()
    assert [f.time - begin for f in series.contents.frames] == [0, 0.5, 1, 1.5, 2, 2.5]
    assert series.contents.clock == "TIFF tag DateTime"
    write(tmp_path / "a_6.tif", when=BEGIN)
    assert open_series(tmp_path).contents.clock == "modification time"


def test_images_that_were_all_converted_at_once_have_no_time(tmp_path):
    for k in range(60):
        write(tmp_path / f"a_{k}.tif", datetime="2024:03:31 10:00:00")
    series = open_series(tmp_path)
    assert np.isnan([f.time for f in series.contents.frames]).all()
    assert series.contents.clock == ""
    assert "all 60 images have the tag DateTime 2024-03-31 10:00:00: when they were converted" in notes(series)


def test_copies_whose_times_go_back_are_told(tmp_path):
    scan(tmp_path)
    os.utime(tmp_path / "raw_5.tif", (BEGIN, BEGIN))
    assert "1 modification times go back" in notes(open_series(tmp_path))


def test_flats_and_darks_by_their_names_and_folders(tmp_path):
    scan(tmp_path, 4)
    for k, name in enumerate(
        ("flat_2.tif", "flat_10.tif", "refHST0000.tif", "dark_1.tif", "Open_Beam_3.tif", "DI_1.tif")
    ):
        write(tmp_path / name, 100 + k)
    write(tmp_path / "darks" / "x_1.tif", 200)
    series = open_series(tmp_path)
    assert kinds(series) == [
        ("flat", 0, 100), ("flat", 1, 101), ("flat", 2, 104), ("flat", 3, 102),
        ("dark", 0, 103), ("dark", 1, 105), ("dark", 2, 200), *[("projection", k, k) for k in range(4)],
    ]  # fmt: skip


def test_a_sample_whose_name_says_flat_is_no_flat(tmp_path):
    scan(tmp_path, 3, name="open_foam_{}.tif")
    series = open_series(tmp_path)
    assert kinds(series) == [("projection", k, k) for k in range(3)]
    assert "the names of all images say flat; they are taken as projections" in notes(series)


def test_named_flats_and_darks_replace_those_in_the_folder(tmp_path):
    scan(tmp_path / "scan", 3)
    write(tmp_path / "scan" / "flat_1.tif", 50)
    write(tmp_path / "scan" / "dark_1.tif", 60)
    scan(tmp_path / "bright", 2, first=70)
    series = open_series(tmp_path / "scan", flat=tmp_path / "bright")
    assert kinds(series) == [
        ("flat", 0, 70), ("flat", 1, 71), ("dark", 0, 60), ("projection", 0, 0), ("projection", 1, 1), ("projection", 2, 2),
    ]  # fmt: skip
    series = open_series(tmp_path / "scan", flat=tmp_path / "scan" / "raw_0.tif", dark=tmp_path / "scan" / "dark_1.tif")
    assert kinds(series) == [("flat", 0, 0), ("dark", 0, 60), ("projection", 0, 1), ("projection", 1, 2)]
    series.close()
    write(tmp_path / "small.tif", shape=(4, 4))
    with pytest.raises(SensorError, match=r"flats and projections differ in size \(4 × 4 and 8 × 10 px\)"):
        open_series(tmp_path / "scan", flat=tmp_path / "small.tif")


def test_projections_in_the_only_other_folder(tmp_path):
    scan(tmp_path / "tiffs", 5)
    write(tmp_path / "flat_1.tif", 50)
    (tmp_path / "angles.txt").write_text("0\n1\n2\n3\n4\n")
    series = open_series(tmp_path)
    assert [k[0] for k in kinds(series)] == ["flat"] + ["projection"] * 5
    assert [f.angle_deg for f in series.contents.frames[1:]] == [0, 1, 2, 3, 4]
    scan(tmp_path / "more", 2)
    with pytest.raises(SensorError, match=r"holds 2 folders with TIFF images \(more, tiffs\); name one"):
        open_series(tmp_path)


def test_a_pattern_chooses(tmp_path):
    scan(tmp_path, 3)
    scan(tmp_path, 4, first=50, name="preview_{}.tif")
    assert len(open_series(tmp_path, pattern="raw_*").contents.frames) == 3
    with pytest.raises(SensorError, match="holds no TIFF images of projections"):
        open_series(tmp_path, pattern="nothing*")


def test_missing_images_are_told_and_keep_their_angles(tmp_path):
    scan(tmp_path, 10, first=100)
    (tmp_path / "raw_103.tif").unlink()
    (tmp_path / "raw_104.tif").unlink()
    (tmp_path / "theta.csv").write_text("\n".join(f"{k},{k / 2}" for k in range(10)))
    series = open_series(tmp_path)
    assert [f.angle_deg for f in series.contents.frames] == [0, 0.5, 1, 2.5, 3, 3.5, 4, 4.5]
    assert "2 images are missing between the others (first: number 103)" in notes(series)


def test_every_tenth_image_is_not_missing(tmp_path):
    for k in range(0, 100, 10):
        write(tmp_path / f"a_{k:04d}.tif")
    assert notes(open_series(tmp_path)) == ""


@pytest.mark.parametrize(
    ("angles", "count", "used", "words"),
    [
        ([0, 1, 2], 3, [0, 1, 2], ""),
        ([0, 1, 2, 3, 4], 3, [0, 1, 2], "5 angles for 3 projections; the first 3 are used"),
        ([0, 0, 0, 1, 2, 3, 3], 4, [0, 1, 2, 3], "2 before and 1 after the turn"),
        ([0, 0, 0, 1, 2, 3, 3], 2, [0, 1], "2 before and 1 after"),
        ([0, 0, 0, 1, 2, 3, 3], 5, [0, 0, 0, 1, 2], "the first 5 are used"),
        ([5, 5, 5, 5], 2, [5, 5], "the first 2 are used"),
        ([0, 1], 4, [0, 1, np.nan, np.nan], "the last 2 have none"),
    ],
)
def test_lists_of_angles_that_do_not_fit(angles, count, used, words):
    found, said = fitted(angles, count, "a.txt")
    np.testing.assert_array_equal(found, used)
    assert words in "".join(said)


def test_files_of_angles(tmp_path):
    path = tmp_path / "a.ang"
    for text, angles in [
        ("Proj Angle\n1:\t0.5\n2:\t1.5\n", [0.5, 1.5]),
        ("# deg\n\n1e0\n-2.5\n", [1, -2.5]),
        ("0;1\n1;2\n", [1, 2]),
    ]:
        path.write_text(text)
        assert read_angles(path) == angles
    for text, words in [("", "holds no angle"), ("1\n2\nx\n", "line 3: 'x' is no angle")]:
        path.write_text(text)
        with pytest.raises(SensorError, match=words):
            read_angles(path)


def test_an_angles_file_that_is_none_stops_nothing(tmp_path):
    scan(tmp_path, 3)
    (tmp_path / "angles.txt").write_text("1\n2\nthree\n")
    series = open_series(tmp_path)
    assert "'three' is no angle; no angles" in notes(series)
    assert np.isnan([f.angle_deg for f in series.contents.frames]).all()
    with (tmp_path / "angles.txt").open("wb") as file:
        file.truncate(10_000_000_000)
    assert "is larger than 32 MB" in notes(open_series(tmp_path))


def test_a_real_folder_with_more_angles_than_projections():
    folder = data_file("i13/image_test")
    series = open_series(folder)
    frames = series.contents.frames
    assert [sum(f.kind == kind for f in frames) for kind in ("flat", "dark", "projection")] == [1, 1, 91]
    angles = [f.angle_deg for f in frames if f.kind == "projection"]
    assert np.diff(angles) == pytest.approx(2.0, abs=0.001)
    assert (angles[0], angles[-1]) == (-88.2, 91.7999)
    assert "111 angles for 91 projections; 10 before and 10 after the turn" in notes(series)
    assert "all 91 images have the tag DateTime" in notes(series)
    alone = open_series(folder / "tiffs", flat=folder / "flat_00001.tiff", dark=folder / "dark_00001.tiff")
    assert [f.kind for f in alone.contents.frames[:3]] == ["flat", "dark", "projection"]
    assert [f.angle_deg for f in alone.contents.frames[2:]] == angles
    # as tifffile reads them
    truth = tifffile.imread(folder / "tiffs" / "raw_00090.tiff")
    np.testing.assert_array_equal(alone.image(92, slice(10, 20), slice(30, 40)), truth[10:20, 30:40])


def test_an_image_that_cannot_be_read_stops_no_other(tmp_path):
    scan(tmp_path, 6)
    (tmp_path / "raw_0.tif").write_bytes(b"")
    (tmp_path / "raw_2.tif").write_bytes((tmp_path / "raw_3.tif").read_bytes()[:100])
    (tmp_path / "raw_4.tif").write_text("a note, by mistake")
    write(tmp_path / "raw_5.tif", shape=(9, 10))
    series = open_series(tmp_path)
    assert len(series.contents.frames) == 6
    assert "raw_0.tif: is empty" in notes(series)
    for k, kind, words in [
        (0, UnfinishedError, "is empty"),
        (2, UnfinishedError, "cut off"),
        (4, SensorError, "is no TIFF file"),
        (5, SensorError, "has 9 × 10 px, the series 8 × 10 px; it belongs to another scan"),
    ]:
        with pytest.raises(kind, match=words) as fault:
            series.image(k)
        assert str(fault.value).startswith(str(tmp_path / f"raw_{k}.tif"))
        assert "\n" not in str(fault.value)
    assert series.image(3)[0, 0] == 3
    (tmp_path / "raw_3.tif").unlink()
    with pytest.raises(SensorError, match="no such file"):
        series.image(3)


def test_a_folder_with_no_image_that_can_be_read(tmp_path):
    for k in range(3):
        (tmp_path / f"a_{k}.tif").write_bytes(b"")
    with pytest.raises(UnfinishedError, match=r"a_0\.tif: is empty"):
        open_series(tmp_path)


def test_what_cannot_be_opened_is_one_line(tmp_path):
    with pytest.raises(SensorError, match="no such file or folder"):
        open_series(tmp_path / "gone")
    with pytest.raises(SensorError, match="holds no TIFF images of projections"):
        open_series(tmp_path)
    (tmp_path / "a.doc").write_text("x")
    with pytest.raises(SensorError, match=r"no reader for files '\.doc'; there are _ctdata\.txt, "):
        open_series(tmp_path / "a.doc")
    with pytest.raises(SensorError, match="timezone 'Mars' is unknown"):
        open_series(tmp_path, timezone="Mars")
    scan(tmp_path, 1)
    with pytest.raises(SensorError, match="no such file"):
        open_series(tmp_path, flat=tmp_path / "gone.tif")


def test_a_file_with_more_than_one_image_is_told(tmp_path):
    for k in range(2):
        tifffile.imwrite(tmp_path / f"a_{k}.tif", np.zeros((3, 5, 6), np.uint16), photometric="minisblack")
    assert "holds more than one image; of each file in a folder the first is used" in notes(open_series(tmp_path))


def test_hidden_files_of_other_systems_are_no_images(tmp_path):
    scan(tmp_path, 2)
    (tmp_path / "._raw_0.tif").write_bytes(b"\0\5\x16\7")
    assert len(open_series(tmp_path).contents.frames) == 2


def test_memory_does_not_grow_with_the_series(tmp_path):
    for k in range(200):
        write(tmp_path / f"a_{k:03d}.tif", k, shape=(200, 300))
    series = open_series(tmp_path)
    tracemalloc.start()
    try:
        total = sum(float(series.image(k, slice(0, None, 2)).sum()) for k in range(200))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == sum(range(200)) * 100 * 300
    assert peak < 1.5e6  # one image has 0.12 MB, a block for reading 1 MB


def test_readers_are_found_by_the_end_of_the_name():
    assert reader_of("SCAN.TIFF") == READERS[".tiff"]
    assert reader_of("x.txt") is None
