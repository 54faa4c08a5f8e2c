"""Images beside the logs of Nikon, Waygate and Bruker consoles. The real logs come without images: tests write small ones."""

from __future__ import annotations

import os
import shutil
from datetime import datetime

import numpy as np
import pytest

from sensors.channel import UNITS
from sensors.images.formats import open_series
from sensors.reading import SensorError
from sensors.vendor.bruker_series import read_bruker_log
from sensors.vendor.nikon import read_ctdata
from sensors.vendor.waygate_pcj import read_pcj, refined
from sensors.vendor.waygate_run import read_waygate_run
from tests.real_data import data_file
from twin.scan import ScanError, read_scan

tifffile = pytest.importorskip("tifffile")
BEGIN = 1_700_000_000.0


def image(path, value, when=BEGIN):
    tifffile.imwrite(path, np.full((6, 8), value, np.uint16))
    os.utime(path, (when, when))


def named(series):
    return {s.name: s.values for s in series.contents.streams}


def notes(series):
    return " | ".join(series.contents.notes)


def known_units(series):
    return all(s.unit in UNITS[s.quantity] for s in series.contents.streams)


# --- Nikon ---------------------------------------------------------------------------------------


def nikon(folder, *, count=6, images=range(1, 6), dated=True, settings=True, jitter=0.0):
    """As the files of a scan of an XT H 225 look (xray-imaging/meta-cli), with fewer rows."""
    folder = folder / ("Lego 1 [2023-10-18 11.22.08]" if dated else "Lego 1")
    folder.mkdir(parents=True)
    rows = [f"{k}\t{0.0342 + 0.2295 * (k - 1):08.4f}\t{2.8319 + 0.708 * (k - 1):08.4f}" for k in range(1, count + 1)]
    head = ["Projections\tFrames\tExposure(ms)", f"{count - 1}\t1\t708.00", "Projection\tAngle(deg)\tTime(s)"]
    (folder / "_ctdata.txt").write_bytes(("\r\n".join([*head, *rows]) + "\r\n").encode())
    if settings:
        text = (
            "[XTekCT]\nName=Lego 1\nProjections=5\nInitialAngle=40.2\nAngularStep=0.25\n[Xrays]\nXraykV=90\nXrayuA=32\n"
        )
        (folder / "Lego 1.xtekct").write_text(text)
        (folder / "Lego 1_01.xtekct").write_text("[XTekCT]\nName=Lego 1_01\n")
    for k in images:
        image(folder / f"Lego 1_{k:04d}.tif", k, BEGIN + 2.8319 + 0.708 * (k - 1) + jitter * (k % 2))
    return folder


@pytest.mark.parametrize("ending", ["", "_ctdata.txt", "Lego 1.xtekct"])
def test_a_nikon_scan_by_its_folder_or_either_file(tmp_path, ending):
    folder = nikon(tmp_path)
    series = open_series(folder / ending, timezone="Europe/London")
    begin = datetime.fromisoformat("2023-10-18T11:22:08+01:00").timestamp()
    frames = series.contents.frames
    assert [(f.kind, f.index, int(series.image(k)[0, 0])) for k, f in enumerate(frames)] == [
        ("projection", k, k + 1) for k in range(5)
    ]
    assert [f.time - begin for f in frames] == pytest.approx([2.8319 + 0.708 * k for k in range(5)], abs=1e-6)
    assert [f.angle_deg for f in frames] == pytest.approx([0.0342 + 0.2295 * k for k in range(5)], abs=1e-4)
    assert named(series) == {"XraykV": (90.0,) * 5, "XrayuA": (32.0,) * 5}
    assert known_units(series)
    assert series.contents.clock == "_ctdata.txt and the folder's name"
    assert series.contents.name == "Lego 1"
    assert notes(series) == "_ctdata.txt: 1 of 6 rows have no image"


def test_without_a_date_the_images_modification_times_tell_the_beginning(tmp_path):
    series = open_series(nikon(tmp_path / "a", dated=False))
    assert [f.time - BEGIN for f in series.contents.frames] == pytest.approx(
        [2.8319 + 0.708 * k for k in range(5)], abs=1e-6
    )
    assert series.contents.clock == "_ctdata.txt, from the images' modification times"
    assert "their beginning is taken from the images' modification times" in notes(series)
    series = open_series(nikon(tmp_path / "b", dated=False, jitter=100.0))
    assert "modification times don't fit them (copies?)" in notes(series)
    assert series.contents.clock == "modification time"


def test_settings_alone_give_equal_steps(tmp_path):
    folder = nikon(tmp_path, dated=False)
    (folder / "_ctdata.txt").unlink()
    series = open_series(folder)
    assert [f.angle_deg for f in series.contents.frames] == pytest.approx([40.2 + 0.25 * k for k in range(5)])
    assert series.contents.clock == "modification time"
    assert "no _ctdata.txt, so angles are those of equal steps" in notes(series)


def test_a_nikon_scan_as_a_scan(tmp_path):
    folder = nikon(tmp_path)
    scan = read_scan(folder / "_ctdata.txt", "Europe/London")
    assert (scan.name, scan.projection.tolist()) == ("Lego 1", [0, 1, 2, 3, 4, 5])
    assert scan.duration_s == pytest.approx(5 * 0.708)
    with pytest.raises(ScanError, match="tells seconds but not since when; keep it in its folder") as fault:
        read_scan(nikon(tmp_path / "b", dated=False) / "_ctdata.txt")
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the third line isn't"),
        ("a\nb\nc\n", "the third line isn't"),
        ("P\n5 1\nProjection Angle(deg) Time(s)\n1 0 0\n", "line 2: must hold projections, frames and exposure"),
        ("P\n5 1 708\nProjection Angle(deg) Time(s)\n", "no projections; the scan has not begun"),
        ("P\n5 1 708\nProjection Angle(deg) Time(s)\n1 0.1 0.5\n2 0.3\n", "line 5: '2 0.3' is torn"),
    ],
)
def test_a_ctdata_that_is_none(tmp_path, text, words):
    (tmp_path / "_ctdata.txt").write_text(text)
    with pytest.raises(SensorError, match=words) as fault:
        read_ctdata(tmp_path / "_ctdata.txt")
    assert str(fault.value).startswith(str(tmp_path))
    assert "\n" not in str(fault.value)


# --- Waygate -------------------------------------------------------------------------------------

PCJ = ";ImgNr\tXS\t\tYS\t\tZS\t\tRS\t\tXD\t\tWarmup\tVSenCnt\tTimeStamp\tChangeCnt\n"


def pcj_of(numbers, seconds, *, unstamped=3):
    """As datos|x writes it: two tabs in the header, a tab at the end of each row, no stamp in the first three."""
    rows = ""
    for k, (n, s) in enumerate(zip(numbers, seconds, strict=True)):
        stamp = 0 if k < unstamped else round(s * 1e3)
        rows += f"{n}\t0.0\t232.7\t-41.5\t{0.2769231 * (n - 1):.7f}\t{(n % 3) * 0.2:.1f}\t0\t0\t{stamp}\t0\t\n"
    return f"[Info]\nNumImages={len(numbers)}\n\n[Data]\n{PCJ}{rows}"


PCA = (
    "[General]\nVersion=2.4\n[CT]\nWnd_L=0\nWnd_T=0\nWnd_R=10\nWnd_B=10\n[DetectorShift]\nEnable=1\nAmplitude=5\n[CalibImages]\n"
    "GainImg=S:\\DATA\\scan_409_bright_100kV.tif\nOffsetImg=S:\\DATA\\Offset 1000.tif\n"
)


@pytest.mark.parametrize("ending", ["", "scan_409.pcp", "scan_409.pca", "scan_409.pcj"])
def test_a_waygate_scan_with_all_its_files(tmp_path, ending):
    shutil.copy(data_file("waygate/scan_409.pcp"), tmp_path)
    truth = [line.split("\t") for line in (tmp_path / "scan_409.pcp").read_text("latin-1").splitlines()[2:]]
    ticks = np.array([datetime.fromisoformat(row[10] + "+00:00").timestamp() for row in truth])
    moments = ticks[0] + 0.3 + 2.0 * np.arange(1301)  # the true ones; the clock shows their whole seconds
    (tmp_path / "scan_409.pcj").write_text(pcj_of(range(1, 1302), moments - ticks[0] - 0.55))
    (tmp_path / "scan_409.pca").write_text(PCA)
    for k in (1, 2, 3, 700, 1300):
        image(tmp_path / f"scan_409_{k:04d}.tif", k)
    for name in ("scan_409_bright_100kV.tif", "Offset 1000.tif"):
        image(tmp_path / name, 9)
    again = "1\nImgNr\tRotPos\tU\tI\tMeanGV\tDevGV\tDose\tUse\tCValue\tXDShift\tTime\n"
    row = "\t44.400\t100\t118\t4377.8\t-0.1\t0.0\t1\t0.000\t0\t2023-05-30 16:49:37\n"
    (tmp_path / "scan_409ASO_.pcp").write_text(again + f"112{row}224{row}")
    image(tmp_path / "scan_409ASO_0224.tif", 5)
    series = open_series(tmp_path / ending, timezone="Europe/Berlin")
    frames = series.contents.frames
    assert [(f.kind, f.index) for f in frames] == [
        ("flat", 0), ("dark", 0), *[("projection", k) for k in range(5)], ("reference", 0),
    ]  # fmt: skip
    rows = [0, 1, 2, 699, 1299]
    columns = {
        name: [float(truth[k][at]) for k in rows] for name, at in (("U", 2), ("I", 3), ("MeanGV", 4), ("XDShift", 9))
    }
    found = named(series)
    assert {name: list(found[name]) for name in columns} == columns
    assert set(found) == {*columns, "XS", "YS", "ZS", "XD"}
    assert known_units(series)
    assert [f.angle_deg for f in frames[2:7]] == pytest.approx([0.2769231 * k for k in rows], abs=1e-6)
    # within the second of the .pcp, and equally spaced as the milliseconds are
    times = np.array([f.time for f in frames[2:7]]) + 7200
    assert (np.abs(times - ticks[rows] - 0.5) <= 0.5).all()
    assert times[4] - times[3] == pytest.approx(1200.0, abs=0.01)
    assert series.contents.clock.startswith("scan_409.pcj, TimeStamp on the clock of the .pcp")
    assert (frames[7].angle_deg, frames[7].time) == (
        44.4,
        datetime.fromisoformat("2023-05-30T16:49:37+02:00").timestamp() + 0.5,
    )
    assert "1296 of 1301 rows have no image" in notes(series)
    assert "MeanGV is the mean of columns 0–10, rows 0–10" in notes(series)
    assert "shuttled by up to 5 px" in notes(series)


@pytest.mark.parametrize(("name", "rows"), [("scan_409", 1301), ("scan_411", 1901)])
def test_real_waygate_logs_whole(tmp_path, name, rows):
    shutil.copy(data_file(f"waygate/{name}.pcp"), tmp_path)
    log = read_waygate_run(tmp_path / f"{name}.pcp", "Europe/Berlin")
    assert len(log.number) == len(log.time) == rows
    assert {s.name: len(s.values) for s in log.streams} == dict.fromkeys(("U", "I", "MeanGV", "XDShift"), rows)
    flux = next(s for s in log.streams if s.name == "MeanGV").values
    assert 100 * (flux[-1] / flux[0] - 1) == pytest.approx({"scan_409": 3.14, "scan_411": 0.07}[name], abs=0.01)
    with pytest.raises(SensorError, match=f"{name}.pcp: its folder holds no TIFF images of projections"):
        open_series(tmp_path)


def test_two_scans_in_a_folder_must_be_named():
    with pytest.raises(SensorError, match=r"holds 2 scans \(scan_409\.pcp, scan_411\.pcp\); name one of them"):
        open_series(data_file("waygate"))


def test_milliseconds_that_do_not_fit_are_not_taken():
    ticks = np.arange(50) * 4.0
    assert refined(ticks, ticks * 1.02) is None
    assert refined(ticks, np.full(50, np.nan)) is None
    moments = ticks + np.random.default_rng(0).uniform(0, 1, 50)
    times, half = refined(np.floor(moments), moments - 17.0)
    assert np.abs(times - moments).max() <= half + 1e-9
    assert half < 0.1


def test_a_pcj_alone_has_no_date(tmp_path):
    (tmp_path / "a.pcj").write_text(pcj_of(range(1, 7), 4.0 * np.arange(6) + 3))
    for k in range(6):
        image(tmp_path / f"a_{k}.tif", k, BEGIN + 4.0 * k)
    series = open_series(tmp_path)
    assert [f.time - BEGIN for f in series.contents.frames] == pytest.approx([4.0 * k for k in range(6)])
    assert "no .pcp beside it" in notes(series)
    assert "images count from 0, rows from 1; taken in this order" in notes(series)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no line ;ImgNr XS YS"),
        ("[Data]\n" + PCJ, "no projections"),
        ("[Data]\n;ImgNr XS\n1 2\n", "line 2: columns ImgNr XS instead of"),
        ("[Data]\n" + PCJ + "1\t0\t0\t0\t0\t0\t0\t0\n", "line 3: .* is torn"),
        ("[Data]\n" + PCJ + "1\t0\t0\t0\t0\t0\t0\t0\tx\t0\n", "line 3: .* is torn"),
    ],
)
def test_a_pcj_that_is_none(tmp_path, text, words):
    (tmp_path / "a.pcj").write_text(text)
    with pytest.raises(SensorError, match=words) as fault:
        read_pcj(tmp_path / "a.pcj")
    assert "\n" not in str(fault.value)


def test_settings_without_a_log_are_told(tmp_path):
    (tmp_path / "a.pca").write_text(PCA)
    with pytest.raises(SensorError, match=r"neither \.pcp nor \.pcj is there"):
        open_series(tmp_path)


# --- Bruker --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "end", "duration", "files", "projections", "spacing", "widest"),
    [  # two layouts of date and duration; 1172 counts one file more than it has shifted
        ("Control01", "2018-02-22T21:18:41+01:00", 8 * 3600 + 55 * 60 + 50, 3979, 3978, 160, 7),
        ("Swimmer01", "2018-02-22T07:18:31+01:00", 14 * 3600 + 4 * 60 + 44, 3755, 3755, 100, 9),
    ],
)
def test_real_logs_with_images(tmp_path, name, end, duration, files, projections, spacing, widest):
    for item in data_file(f"bruker/{name}/proj").iterdir():
        shutil.copy(item, tmp_path)
    wanted = (0, 1, spacing, spacing + 1, files - 1)
    for k in wanted:
        image(tmp_path / f"{name}_{k:04d}.tif", k)
    image(tmp_path / f"{name}_spr.tif", 1)
    series = open_series(tmp_path, timezone="Europe/Zurich")
    frames = series.contents.frames
    assert [int(series.image(k)[0, 0]) for k in range(5)] == list(wanted)
    assert [f.angle_deg for f in frames] == pytest.approx([0.05 * k for k in wanted])
    begin, step = datetime.fromisoformat(end).timestamp() - duration, duration / projections
    assert [f.time - begin for f in frames] == pytest.approx([(k + 0.5) * step for k in wanted], abs=1e-3)
    found = named(series)
    assert np.isfinite(found["TS_v"]).tolist() == [True, False, True, False, False]
    whole = read_bruker_log(tmp_path / f"{name}.log", "Europe/Zurich")
    shifts = next(s.values for s in whole.streams if s.name == "TS_v")
    assert (len(shifts), np.nanmax(shifts)) == (files, widest)
    assert np.flatnonzero(np.isfinite(shifts)).tolist() == list(range(0, projections, spacing))
    assert set(found) == {"Source Voltage (kV)", "Source Current (uA)", "TS_u", "TS_v"}
    assert known_units(series)
    assert series.contents.clock == f"{name}.log, equally spaced"
    assert "no time per projection; they are equally spaced" in notes(series)
    assert "1 images whose names aren't" in notes(series)


def test_a_real_log_among_connected_scans(tmp_path):
    for item in data_file("bruker/104016/head/proj").iterdir():
        shutil.copy(item, tmp_path)
    for part in (0, 1):
        for k in range(4):
            image(tmp_path / f"104016~0{part}{k:08d}.tif", 10 * part + k)
    with pytest.raises(SensorError, match=r"holds 3 scans \(104016~00\.log, 104016~01\.log, 104016~02\.log\)"):
        open_series(tmp_path)
    series = open_series(tmp_path / "104016~01.log", timezone="Europe/Zurich")
    assert [int(series.image(k)[0, 0]) for k in range(4)] == [10, 11, 12, 13]
    assert [f.angle_deg for f in series.contents.frames] == pytest.approx([0, 0.2, 0.4, 0.6])
    assert named(series)["Source Voltage (kV)"] == (70,) * 4
    first = open_series(tmp_path / "104016~00.log", timezone="Europe/Zurich").contents.frames[0].time
    end, duration = datetime.fromisoformat("2022-01-27T13:32:59+01:00").timestamp(), 39 * 60 + 19
    assert first == pytest.approx(end - duration * (1 - 0.5 / 1104), abs=0.01)
    assert series.contents.frames[0].time > first + duration


def test_a_log_without_measured_shifts(tmp_path):
    shutil.copy(data_file("bruker/Tooth011/proj/Tooth011~01.log"), tmp_path)
    image(tmp_path / "Tooth011~0100000000.tif", 3)
    series = open_series(tmp_path)
    assert set(named(series)) == {"Source Voltage (kV)", "Source Current (uA)"}
    assert "the scanner measured no shifts" in notes(series)


def test_shifts_that_are_not_beside_the_log_stop_nothing(tmp_path):
    shutil.copy(data_file("bruker/Control01/proj/Control01.log"), tmp_path)
    image(tmp_path / "Control01_0000.tif", 3)
    assert "are not beside it" in notes(open_series(tmp_path))


@pytest.mark.parametrize("number", ["999999999", "inf", "nan", "-3", "many"])
def test_a_number_of_files_that_cannot_be_is_one_line(tmp_path, number):
    text = data_file("bruker/Control01/proj/Control01.log").read_text("latin-1")
    (tmp_path / "a.log").write_text(text.replace("Number of Files= 3979", f"Number of Files= {number}"), "latin-1")
    with pytest.raises(SensorError, match=f"'number of files' is '{number}', not a positive number") as fault:
        open_series(tmp_path / "a.log")
    assert "\n" not in str(fault.value)


def test_the_log_of_another_program_is_no_scan(tmp_path):
    (tmp_path / "acquisition.log").write_text("10:00 started\n10:05 ended\n")
    image(tmp_path / "a_1.tif", 3)
    assert open_series(tmp_path).contents.clock == "modification time"
    with pytest.raises(SensorError, match="no section"):
        open_series(tmp_path / "acquisition.log")


def test_images_of_another_name_are_taken_by_their_numbers(tmp_path):
    shutil.copy(data_file("waygate/scan_409.pcp"), tmp_path)
    for k in range(3):
        image(tmp_path / f"img{k + 1}.tif", k)
    series = open_series(tmp_path)
    assert len(named(series)["U"]) == 3
    assert "images aren't named 'scan_409' as scan_409.pcp is; taken by their numbers" in notes(series)
