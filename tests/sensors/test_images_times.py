"""Times of projections: tables with their faults, cadences, stamps of the end of an exposure."""

from __future__ import annotations

import math

import pytest

from sensors.images.recorded import numbers_of
from sensors.images.series import Frame
from sensors.images.times import NoTimeError, TimesTable, Timing, start_of
from sensors.reading import SensorError

T0 = 1_700_000_000.0


def table(tmp_path, text, **how):
    path = tmp_path / "times.csv"
    path.write_text(text)
    return TimesTable(path, **how)


def test_rows_by_their_number_or_their_order(tmp_path):
    one = table(
        tmp_path,
        f"# ctwin scan 1\nprojection,time,angle_deg,kind\n0,{T0},,flat\n3,{T0 + 1},0.5,projection\n5,{T0 + 2},,\n",
    )
    assert one.of(3) == (T0 + 1, 0.5)
    assert one.of(5)[0] == T0 + 2
    assert math.isnan(one.of(5)[1])
    assert len(one) == 2
    other = table(tmp_path, f"time\n{T0}\n\n{T0 + 7}\n")
    assert [other.of(k)[0] for k in (0, 1)] == [T0, T0 + 7]
    with pytest.raises(NoTimeError, match="no row for projection 2") as told:
        other.of(2)
    assert not told.value.retry


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty; give a table with a column 'time'"),
        ("when\n", "line 1: no column 'time'"),
        ("projection,time\n0\n", "line 2, 1 fields; the row is torn"),
        ("projection,time\n0.5,1700000000\n", "line 2, column 'projection': must be a whole number from 0"),
        ("projection,time\n-1,1700000000\n", "must be a whole number from 0"),
        ("projection,time\n,1700000000\n", "must be a whole number from 0"),
        ("time\n2026-03-01 10:00\n", "line 2, column 'time': '2026-03-01 10:00' has no zone"),
        ("projection,time\n1,1700000000\n1,1700000001\n", "line 3: projection 1 a second time"),
        ("time,angle_deg\n1700000000,north\n", "column 'angle_deg': 'north' is not a number"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path, text, words):
    with pytest.raises(SensorError) as told:
        table(tmp_path, text)
    assert words in str(told.value)
    assert str(told.value).startswith(f"{tmp_path / 'times.csv'}")


def test_a_table_that_is_no_text(tmp_path):
    (tmp_path / "times.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SensorError, match="no text in UTF-8"):
        TimesTable(tmp_path / "times.csv")
    with pytest.raises(SensorError, match="can't be read") as told:
        TimesTable(tmp_path / "nowhere.csv", growing=True)
    assert told.value.retry


def test_a_growing_table_is_read_again_when_it_has_changed(tmp_path):
    one = table(tmp_path, "", growing=True)
    with pytest.raises(NoTimeError) as told:
        one.of(0)
    assert told.value.retry
    (tmp_path / "times.csv").write_text("time\n1700000000\n17000")
    assert one.of(0)[0] == T0
    with pytest.raises(NoTimeError):
        one.of(1)


def test_stamps_of_the_end_are_moved_to_the_middle(tmp_path):
    timing, frame = Timing(exposure_s=6.0), Frame(0, time=T0, angle_deg=1.5, place="a.tif")
    assert timing.of(0, frame, "modification time") == (T0 - 3, 1.5)
    assert timing.of(0, frame, "TIFF tag DateTime") == (T0 - 3, 1.5)
    assert timing.of(0, frame, "NXdetector/time") == (T0, 1.5)
    with pytest.raises(NoTimeError, match=r"a.tif: says no time; give a table of times, or a cadence"):
        timing.of(0, Frame(0, place="a.tif"))
    told = Timing(table(tmp_path, f"time,angle_deg\n{T0 + 9},\n{T0 + 9},7.0\n"), exposure_s=6.0)
    assert told.of(0, frame, "modification time") == (T0 + 9, 1.5)
    assert told.of(1, frame) == (T0 + 9, 7.0)
    assert told.angle(1) == 7.0
    assert math.isnan(told.angle(2))


def test_words_for_people(tmp_path):
    assert Timing().words("TIFF tag DateTime") == "TIFF tag DateTime"
    assert Timing(cadence_s=2.5, start=T0).words("modification time") == "cadence of 2.5 s"
    assert Timing(table(tmp_path, "time\n")).words("").endswith("times.csv")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1700000000", T0), ("2026-07-01T10:00:00", 1782892800.0), ("2026-07-01T10:00:00+00:00", 1782900000.0)],
)
def test_beginnings(text, seconds):
    assert start_of(text, "Europe/Berlin") == seconds


@pytest.mark.parametrize("text", ["soon", "2026-13-01T00:00:00", "1e300", "12:00"])
def test_no_beginnings(text):
    with pytest.raises(ValueError, match=r"is no time|beyond the year"):
        start_of(text, "UTC")


@pytest.mark.parametrize(
    ("places", "numbers"),
    [
        (["a_5.tif", "a_6.tif", "a_8.tif"], [0, 1, 3]),
        (["a_0.tif", "a_360.tif", "a_720.tif"], [0, 1, 2]),
        (["a.tif", "b.tif"], [0, 1]),
        (["a_3.tif", "a_2.tif"], [0, 1]),
        (["s.h5, frame 50", "s.h5, frame 51"], [0, 1]),
        ([], []),
    ],
)
def test_gaps_in_numbers_are_gaps_in_time(places, numbers):
    assert numbers_of(places) == numbers
