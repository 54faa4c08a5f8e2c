"""Zeiss .txrm and .xrm: a real scan, and written files for what it doesn't show."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import numpy as np
import pytest

from sensors.channel import UNITS
from sensors.images.formats import open_series
from sensors.images.unfinished import UnfinishedError
from sensors.reading import SensorError
from tests.real_data import data_file
from tests.sensors.compound_writer import write_compound
from twin.scan import ScanError, read_scan

olefile = pytest.importorskip("olefile")
COUNT, SHAPE = 205, (60, 40)
IMAGES = np.random.default_rng(5).integers(0, 60000, (COUNT, *SHAPE), dtype=np.uint16)


def ints(*values):
    return struct.pack(f"<{len(values)}i", *values)


def floats(values, kind="f4"):
    return np.asarray(values, f"<{kind}").tobytes()


def dates(count, start="01/02/20 23:59:58"):
    begin = datetime.strptime(start, "%m/%d/%y %H:%M:%S").replace(tzinfo=UTC).timestamp()
    stamps = [datetime.fromtimestamp(begin + k // 2, UTC).strftime("%m/%d/%Y %H:%M:%S") for k in range(count)]
    return b"".join(stamp.encode().ljust(40, b"\0") for stamp in stamps)


def streams(images=IMAGES, kind=5, **more):
    count, rows, columns = images.shape
    found = {
        "ImageInfo/NoOfImages": ints(count),
        "ImageInfo/ImagesTaken": ints(count),
        "ImageInfo/ImageWidth": ints(columns),
        "ImageInfo/ImageHeight": ints(rows),
        "ImageInfo/DataType": ints(kind),
        "ImageInfo/Angles": floats(np.arange(count) * 0.5),
        "ImageInfo/Date": dates(count),
    }
    found |= {f"ImageData{k // 100 + 1}/Image{k + 1}": image.tobytes() for k, image in enumerate(images)}
    return found | more


def named(series):
    return {s.name: s for s in series.contents.streams}


def test_a_real_scan():
    path = data_file("txrm/txrm_test_chip_tomo.txrm")
    series = open_series(path, timezone="America/Chicago")
    try:
        contents = series.contents
        assert (len(contents.frames), contents.shape, contents.clock) == (7, (256, 256), "ImageInfo/Date")
        begin = datetime.fromisoformat("2015-11-09T18:19:21-06:00").timestamp()
        assert [f.time - begin for f in contents.frames] == [0, 8, 17, 25, 33, 42, 51]
        assert contents.frames[0].angle_deg == pytest.approx(-45.018, abs=1e-3)
        found = named(series)
        assert found["X-Shifts"].values == pytest.approx(
            [0.25915927, -0.94368505, 1.2806183, -1.0771115, 1.1047357, -0.95592856, 0.33221108]
        )
        assert found["MetrologyXShifts"].values == found["X-Shifts"].values
        assert (found["X-Shifts"].quantity, found["X-Shifts"].unit) == ("marker_shift", "px")
        assert found["IonChamberCurrent"].values == (230, 228, 230, 231, 233, 232, 229)
        assert np.isnan(found["Temperature"].values).all()
        assert (found["Sample Theta"].quantity, found["Sample Theta"].unit) == ("angle", "deg")
        assert (found["Detector Z"].unit, found["Sample X"].unit) == ("mm", "um")
        assert sum(s.quantity in ("displacement", "angle") for s in contents.streams) == 35  # 36 axes, one in eV
        assert any("99999 is no temperature" in note for note in contents.notes)
        assert any("MetrologyShiftsApplied: set" in note for note in contents.notes)
        # read by hand: olefile and the layout that the reader's docstring states
        with olefile.OleFileIO(str(path)) as file:
            truth = np.frombuffer(file.openstream("ImageData1/Image3").read(), "<u2").reshape(256, 256)
        np.testing.assert_array_equal(series.image(2), truth)
        np.testing.assert_array_equal(series.image(2, slice(10, 200, 3), slice(5, 9)), truth[10:200:3, 5:9])
    finally:
        series.close()
        series.close()


def test_a_real_single_image_brings_its_flat():
    series = open_series(data_file("txrm/test_chip00.xrm"))
    assert [(f.kind, f.index) for f in series.contents.frames] == [("flat", 0), ("projection", 0)]
    assert series.image(0).shape == series.image(1).shape == (512, 512)
    assert named(series)["Temperature"].values == (-30.0,)
    series.close()


def test_a_real_scan_as_a_scan():
    scan = read_scan(data_file("txrm/txrm_test_chip_tomo.txrm"))
    assert (len(scan), scan.duration_s, set(scan.kind)) == (7, 51.0, {"projection"})


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("interleave", [False, True])
def test_hundreds_of_images_however_their_sectors_lie(tmp_path, sector, interleave):
    series = open_series(write_compound(tmp_path / "a.txrm", streams(), sector=sector, interleave=interleave))
    assert len(series.contents.frames) == COUNT
    for k in (0, 99, 100, 200, COUNT - 1):
        np.testing.assert_array_equal(series.image(k), IMAGES[k])
        np.testing.assert_array_equal(series.image(k, slice(7, 50, 2), slice(3, None, 5)), IMAGES[k, 7:50:2, 3::5])
    assert series.image(0, slice(5, 5)).shape == (0, 40)
    # two images per second: the second one half a second later; the night is passed
    assert [f.time - series.contents.frames[0].time for f in series.contents.frames[:6]] == [0, 0.5, 1, 1.5, 2, 2.5]
    series.close()


def test_floats_stay_floats(tmp_path):
    images = np.random.default_rng(6).random((3, 50, 30)).astype(np.float32)
    series = open_series(write_compound(tmp_path / "a.txrm", streams(images, kind=10)))
    assert series.image(1).dtype == np.float32
    np.testing.assert_array_equal(series.image(1), images[1])
    series.close()


def test_every_stream_that_is_there_and_none_that_is_not(tmp_path):
    count = 4
    rng = np.random.default_rng(1)
    shifts = {f"Alignment/{name}": floats(rng.normal(size=count)) for name in (
        "X-Shifts", "Y-Shifts", "SourceDriftXShifts", "SourceDriftYShifts", "EncoderXShifts", "TemperatureXShifts",
        "AMCDriftXShifts", "StaticRunoutX", "DitherYShifts")}  # fmt: skip
    temperatures = np.array([[20.5, 99999, 30], [20.6, 99999, 31], [20.7, 99999, 99999], [20.8, 99999, 33]])
    path = write_compound(tmp_path / "a.txrm", streams(IMAGES[:count], **shifts, **{
        "Alignment/StaticRunoutTable": floats(np.zeros(361)),
        "Alignment/ReferenceShifts": floats(np.zeros(2 * count)),
        "Alignment/SourceDriftApplied": ints(1),
        "AMC/Alignment/XShifts": floats([1.0, 2.0, 3.0, 4.0], "f8"),
        "TemperatureInfo/Temperatures": floats(temperatures),
        "ImageInfo/XrayVoltage": floats([80] * count),
        "ImageInfo/XrayCurrent": floats([87.5] * count),
        "ImageInfo/Voltage": floats([80.0]),
        "ImageInfo/Temperature": ints(-59),
    }))  # fmt: skip
    series = open_series(path)
    found = named(series)
    for name, data in shifts.items():
        np.testing.assert_array_equal(found[name.split("/")[1]].values, np.frombuffer(data, "<f4"))
    assert found["AMC XShifts"].values == (1, 2, 3, 4)
    assert "StaticRunoutTable" not in found
    assert "ReferenceShifts" not in found
    assert found["Temperatures 1"].values == pytest.approx((20.5, 20.6, 20.7, 20.8))
    assert np.isnan(found["Temperatures 2"].values).all()
    np.testing.assert_array_equal(np.isnan(found["Temperatures 3"].values), [0, 0, 1, 0])
    assert found["XrayVoltage"].values == (80,) * count
    assert found["Voltage"].values == (80,) * count
    assert found["Temperature"].values == (-59,) * count
    assert all(s.unit in UNITS[s.quantity] for s in series.contents.streams)
    assert any("SourceDriftApplied: set" in note for note in series.contents.notes)
    series.close()


def test_a_scan_that_was_stopped_has_the_images_that_were_taken(tmp_path):
    found = {name: data for name, data in streams().items() if name != "ImageData2/Image151"}
    series = open_series(write_compound(tmp_path / "a.txrm", found))
    assert len(series.contents.frames) == 150
    assert any("150 of 205 images are there" in note for note in series.contents.notes)
    series.close()


def test_dates_that_cannot_be_read_are_no_times(tmp_path):
    more = {"ImageInfo/Date": dates(2) + b"31/12/20 10:00:00".ljust(40, b"\0") + b"\0" * 40}
    series = open_series(write_compound(tmp_path / "a.txrm", streams(IMAGES[:4], **more)))
    assert np.isfinite([f.time for f in series.contents.frames]).tolist() == [True, True, False, False]
    assert any("2 of 4 images have no readable date" in note for note in series.contents.notes)
    with pytest.raises(ScanError, match="time nan is not an instant"):
        read_scan(tmp_path / "a.txrm")
    series.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ImageInfo/NoOfImages": None}, "tells no images"),
        ({"ImageInfo/DataType": ints(99)}, "pixels of type 99 are unknown"),
        ({"ImageInfo/ImageWidth": ints(1 << 30)}, "has 4800 of .* bytes; no images, or cut off"),
        ({"ImageData1/Image1": b"short" * 900}, "has 4500 of 4800 bytes"),
        ({"ImageInfo/ImageHeight": b""}, "tells no images"),
    ],
)
def test_what_is_wrong_inside_is_one_line(tmp_path, change, words):
    found = {name: data for name, data in (streams(IMAGES[:3]) | change).items() if data is not None}
    path = write_compound(tmp_path / "a.txrm", found)
    with pytest.raises(SensorError, match=words) as fault:
        open_series(path)
    assert str(fault.value).startswith(str(path))
    assert "\n" not in str(fault.value)


def test_flipped_bytes_never_give_anything_but_one_line(tmp_path):
    path = write_compound(tmp_path / "a.txrm", streams(IMAGES[:3]))
    whole = path.read_bytes()
    entries = [
        whole.index(name.encode("utf-16-le"))
        for name in ("Root Entry", "ImageInfo", "NoOfImages", "DataType", "Image1")
    ]
    places = [
        *range(0, 512, 7),
        *(at + k for at in entries for k in range(0, 128, 5)),
        *range(len(whole) - 1024, len(whole), 9),
    ]
    said = []
    for k in places:
        bad = bytearray(whole)
        bad[k : k + 2] = bytes(255 - b for b in bad[k : k + 2])
        path.write_bytes(bad)
        try:
            series = open_series(path)
            try:
                series.image(1)
            finally:
                series.close()
        except SensorError as error:
            said.append(str(error))
    assert len(said) > 30
    assert not any("\n" in line for line in said)


def test_a_file_cut_anywhere_is_one_line(tmp_path):
    path = write_compound(tmp_path / "a.txrm", streams(IMAGES[:20]))
    whole = path.read_bytes()
    for part in (100, 511, 600, 5000, len(whole) // 2, len(whole) - 3000, len(whole) - 100):
        path.write_bytes(whole[:part])
        with pytest.raises(SensorError) as fault:
            open_series(path).close()
        assert "\n" not in str(fault.value)


def test_a_file_that_is_cut_while_it_is_open_fails_for_the_lost_images_only(tmp_path):
    path = write_compound(tmp_path / "a.txrm", streams())
    series = open_series(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    np.testing.assert_array_equal(series.image(0), IMAGES[0])
    with pytest.raises(UnfinishedError, match=r"a\.txrm, image 205: has .* of 4800 bytes"):
        series.image(COUNT - 1)
    series.close()
