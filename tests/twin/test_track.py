"""``ctwin track``: readings, summary and picture of a finished series, with a stripe and a tracker of the tests."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from sensors.channel import Channel
from sensors.csv_log import read_readings
from sensors.images.trackers import QUANTITIES
from sensors.reading import Quality
from tests.sensors.image_folder import COLUMNS, ROWS, T0, data, name_of, place_of, stripe, use_centroid, write
from twin.cli import main

WINDOW = ("--window", f"0:{COLUMNS},0:{ROWS}")


@pytest.fixture
def scan(tmp_path, monkeypatch):
    """A folder of 30 projections, one lost and one doubtful, in the working folder."""
    use_centroid(monkeypatch)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "scan"
    folder.mkdir()
    for number in range(30):
        write(folder, number)
    (folder / name_of(7)).write_bytes(data(7, image=np.full((ROWS, COLUMNS), 20000, np.uint16)))
    (folder / name_of(8)).write_bytes(data(8, image=(stripe(8) // 3).astype(np.uint16)))
    return folder


def track(*words):
    return main(["track", "scan", "--marker", "wire", *words])


def readings(path):
    channels = {
        f"{name}_{suffix}": Channel(f"{name}_{suffix}", *QUANTITIES[suffix])
        for name in ("wire", "free", "left")
        for suffix in QUANTITIES
    }
    return [r for batch in read_readings(path, channels) for r in batch]


def test_readings_of_a_folder(scan, capsys):
    assert track(*WINDOW, "--free", "30:40,0:12", "--out", "out.csv") == 0
    lines = (scan.parent / "out.csv").read_text().splitlines()
    assert lines[:2] == ["# ctwin readings 1", "time,channel,value,sigma,quality"]
    got = readings(scan.parent / "out.csv")
    n = [r for r in got if r.channel == "wire_n"]
    assert [r.time for r in n] == [T0 + 10.0 * k for k in range(30)]
    good = [r for r in n if r.quality is Quality.GOOD]
    assert len(good) == 28
    assert [r.value for r in good] == pytest.approx([place_of(k) for k in range(30) if k not in (7, 8)], abs=0.01)
    assert {r.sigma for r in good} == {0.01}
    assert (n[7].quality, n[8].quality) == (Quality.INVALID, Quality.SUSPECT)
    assert math.isnan(n[7].value)
    assert "2023-11-14T22:14:30.000000Z,wire_n,,,invalid" in lines
    assert {r.channel for r in got} == {
        "wire_n",
        "wire_angle",
        "wire_blur",
        "wire_contrast",
        "free_flux",
        "free_structure",
    }
    said = capsys.readouterr().out
    for words in (
        "scan: 30 projections; times: TIFF tag DateTime",
        "wire: 28 good, 1 suspect, 1 lost",
        "lost: drowned in noise (1)",
        "suspect: too few counts (1)",
        "wire_n: 10.000 to 10.290 px, peak to peak 0.29, sigma per projection 0.01 px",
        "wire_blur: median 2 px",
        "free: 30 good",
    ):
        assert words in said


def test_a_picture_comes_with_it(scan):
    assert track(*WINDOW, "--out", "out.csv") == 0
    picture = (scan.parent / "out.svg").read_text()
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")
    assert picture.count("<polygon") == 2  # bands of position and blur
    assert picture.count('r="2.5"') == 2  # the doubtful one
    assert len(re.findall(r"±2 σ", picture)) == 1
    assert "nan" not in picture
    assert track(*WINDOW, "--out", "out.csv", "--picture", "other.svg") == 0
    assert (scan.parent / "other.svg").read_text() == picture


def test_where_the_marker_is(scan, capsys):
    assert track("--find") == 0
    said = capsys.readouterr().out
    assert f"projection 0: wire in --window 4:{COLUMNS - 4},0:{ROWS}" in said
    assert "wire_n 6.007 ± 0.01 px" in said
    assert not list(scan.parent.glob("*.csv"))
    assert track("--find", "--out", "found.csv") == 0
    assert readings(scan.parent / "found.csv")[0].value == pytest.approx(place_of(0) - 4, abs=0.01)


def test_nothing_to_be_found(scan, capsys):
    for path in scan.iterdir():
        path.write_bytes(data(0, image=np.full((ROWS, COLUMNS), 900, np.uint16)))
    assert track("--find") == 2
    assert "no wire is found in its first projection; give its --window" in capsys.readouterr().err
    assert track(*WINDOW, "--cadence", "1", "--start", "2026-03-01T10:00:00Z", "--out", "out.csv") == 1
    assert {r.quality for r in readings(scan.parent / "out.csv")} == {Quality.INVALID}
    assert "wire: 0 good, 0 suspect, 30 lost" in capsys.readouterr().out


def test_another_name(scan):
    assert track(*WINDOW, "--name", "left", "--out", "out.csv") == 0
    assert readings(scan.parent / "out.csv")[0].channel == "left_n"


def test_times_by_a_cadence_and_by_a_table(scan, capsys):
    (scan / name_of(3)).unlink()
    cadence = ("--cadence", "20", "--start", "2026-03-01T11:00:00", "--timezone", "Europe/Berlin", "--exposure", "5")
    assert track(*WINDOW, *cadence, "--out", "out.csv") == 0
    times = [r.time for r in readings(scan.parent / "out.csv") if r.channel == "wire_n"]
    assert times == [1772359202.5 + 20 * k for k in range(30) if k != 3]
    said = capsys.readouterr().out
    assert "times: cadence of 20 s" in said
    assert "note:" in said
    assert "1 images are missing" in said
    rows = "".join(f"{k},{T0 + k * k},{k}\n" for k in range(30))
    (scan.parent / "times.csv").write_text(f"projection,time,angle_deg\n{rows}")
    assert track(*WINDOW, "--times", "times.csv", "--out", "out.csv") == 0
    times = [r.time for r in readings(scan.parent / "out.csv") if r.channel == "wire_n"]
    assert times == [T0 + k * k for k in range(30) if k != 3]


def test_modification_times_where_there_is_nothing_better(scan, capsys):
    for number in range(30):
        write(scan, number, tag=False, modified_s=T0 + 3.5 * number)
    assert track(*WINDOW, "--exposure", "2", "--out", "out.csv") == 0
    times = [r.time for r in readings(scan.parent / "out.csv") if r.channel == "wire_n"]
    assert times == [T0 + 3.5 * k - 1 for k in range(30)]
    assert "times: modification time" in capsys.readouterr().out


def test_two_projections_never_share_an_instant(scan):
    (scan.parent / "times.csv").write_text("time\n" + f"{T0}\n" * 30)
    assert track(*WINDOW, "--times", "times.csv", "--out", "out.csv") == 0
    times = [r.time for r in readings(scan.parent / "out.csv") if r.channel == "wire_n"]
    assert len(set(times)) == 30
    assert sorted(times) == times


def test_some_that_cannot_be_read(scan, capsys, caplog):
    (scan / name_of(2)).write_bytes(b"")
    (scan / name_of(4)).write_bytes(b"no image")
    (scan / name_of(5)).write_bytes(data(5)[:-9])
    assert track(*WINDOW, "--out", "out.csv") == 0
    said = capsys.readouterr().out
    assert "27 projections, 3 unreadable" in said
    for number in (2, 4, 5):
        assert caplog.text.count(f"{name_of(number)}: ") == 1
    assert len([r for r in readings(scan.parent / "out.csv") if r.channel == "wire_n"]) == 27


def test_none_that_can_be_read(scan, capsys):
    for path in scan.iterdir():
        path.write_bytes(b"no image")
    (scan.parent / "out.csv").write_text("# ctwin readings 1\nof an earlier run")
    assert track(*WINDOW, "--out", "out.csv") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert (scan.parent / "out.csv").read_text().endswith("of an earlier run")


def test_bright_and_dark_images_are_used(scan, monkeypatch):
    from sensors.images import trackers

    seen = []
    make = trackers.make
    monkeypatch.setattr(trackers, "make", lambda marker, first, light, **known: seen.append(light) or make(marker))
    tifffile.imwrite(scan.parent / "bright.tif", np.full((3, ROWS, COLUMNS), 300, np.uint16), photometric="minisblack")
    tifffile.imwrite(scan.parent / "dark.tif", np.full((ROWS, COLUMNS), 100, np.uint16))
    lights = ("--flat", "bright.tif", "--dark", "dark.tif", "--photons-per-count", "4")
    assert track("--window", "2:30,1:11", *lights, "--out", "out.csv") == 0
    (light,) = seen
    assert light.flat.shape == (10, 28)
    assert (light.flat == 200).all()
    assert (light.dark == 100).all()
    assert light.variance_per_count == 0.25
    assert light.full_scale == 65535


def test_an_input_is_never_written_over(scan, capsys):
    (scan.parent / "times.csv").write_text("# ctwin readings\ntime\n" + "".join(f"{T0 + k}\n" for k in range(30)))
    assert track(*WINDOW, "--times", "times.csv", "--out", "times.csv") == 2
    assert "never overwritten" in capsys.readouterr().err
    (scan.parent / "mine.csv").write_text("precious")
    assert track(*WINDOW, "--out", "mine.csv") == 2
    assert (scan.parent / "mine.csv").read_text() == "precious"
    assert track(*WINDOW, "--out", f"scan/{name_of(1)}") == 2
    assert track(*WINDOW, "--out", "a.csv", "--picture", f"scan/{name_of(1)}") == 2
    assert (scan / name_of(1)).read_bytes() == data(1)
