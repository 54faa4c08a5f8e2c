"""Scan files: what is read, and the one line for each thing that is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.atomic import OutputError
from twin.scan import Scan, ScanError, read_scan
from twin.scan_csv import write_scan

GOOD = """# ctwin scan 1
projection,time,angle_deg,kind
0,2026-03-01T12:00:00Z,,flat
0,2026-03-01T12:00:10.5Z,0,projection
1,2026-03-01T13:00:21+01:00,0.25,projection
2,1772366431.5,0.5,
1,1772366440,nan,flat
"""


def file(tmp_path, text, name="s.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_scan_file_with_all_it_may_have(tmp_path):
    scan = read_scan(file(tmp_path, GOOD))
    assert scan.name == "s"
    assert scan.kind == ("flat", "projection", "projection", "projection", "flat")
    assert scan.time.tolist() == [1772366400.0, 1772366410.5, 1772366421.0, 1772366431.5, 1772366440.0]
    shown = scan.only("projection")
    assert shown.projection.tolist() == [0, 1, 2]
    assert shown.angle_deg.tolist() == [0.0, 0.25, 0.5]
    assert scan.duration_s == 40.0
    assert np.isnan(scan.angle_deg[[0, 4]]).all()


@pytest.mark.parametrize(
    "text",
    [
        "projection,time,angle_deg\n0,1,2\n1,2,3\n",
        "\ufeffprojection,time,angle_deg\r\n0,1,2\r\n1,2,3\r\n",
        '# by hand\n\n Angle_deg , "TIME",projection,note\n2,1,0,"a,b"\n\n# between\n3,2,1,',
    ],
)
def test_other_hands_write_it_otherwise(tmp_path, text):
    scan = read_scan(file(tmp_path, text))
    assert (scan.projection.tolist(), scan.time.tolist(), scan.angle_deg.tolist()) == ([0, 1], [1, 2], [2, 3])
    assert set(scan.kind) == {"projection"}


HEADER = "projection,time,angle_deg,kind\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# ctwin scan 1\n", "is empty"),
        (HEADER, "has a header but no row"),
        ("projection,time\n0,1\n", "line 1: column 'angle_deg' is missing; there are projection, time"),
        ("projection,time,angle\n0,1,2\n", "'angle_deg' is missing; is 'angle' meant"),
        ("projection,time,time,angle_deg\n", "'time' is there twice"),
        ("projection;time;angle_deg\n0;1;2\n", "separated by commas"),
        ("0,1,2\n1,2,3\n", "column 'projection' is missing"),
        (HEADER + "0,1,2,projection\n0,2,3,projection\n", "line 3: projection 0 is there twice"),
        (HEADER + "1,1,2,projection\n0,2,3,projection\n", "line 3: projection 0 comes after 1"),
        (HEADER + "0,10,2,projection\n1,9.5,3,projection\n", "line 3: time is 0.5 s before the frame above"),
        (HEADER + "0,10,2,flat\n1,11,3,dark\n", "no frame of kind projection"),
        (HEADER + "0,10,2,projektion\n", "line 2, column kind: 'projektion' is unknown; did you mean 'projection'"),
        (HEADER + "0,2026-03-01T12:00:00,2,\n", "line 2, column time: '2026-03-01T12:00:00' has no zone"),
        (HEADER + "0,12:00,2,\n", "column time: '12:00' is neither"),
        (HEADER + "0,,2,\n", "column time: '' is neither"),
        (HEADER + "0,nan,2,\n", "line 2, column time"),
        (HEADER + "0,1772366400000,2,\n", "seconds, not milli"),
        (HEADER + "0,1,ten,\n", "line 2, column angle_deg: 'ten' is not a number"),
        (HEADER + "0,1,,\n", "line 2, column angle_deg: is empty"),
        (HEADER + "0,1,NaN,projection\n", "line 2, column angle_deg: 'NaN' is not a finite number"),
        (HEADER + "0,1,inf,flat\n", "'inf' is not a finite number"),
        (HEADER + "-1,1,2,\n", "column projection: '-1' is not a whole number"),
        (HEADER + "0.5,1,2,\n", "column projection: '0.5' is not a whole number"),
        (HEADER + "0,1,2\n", "line 2: has 3 fields but the header has 4"),
        (HEADER + "0,1,0,5,projection\n", "has 5 fields but the header has 4"),
        (HEADER + '0,1,"2,\n', "not valid CSV"),
        ("# ctwin scan 2\n" + HEADER, "version 2 of ctwin scan files is unknown"),
        ("# ctwin readings 1\ntime,channel,value\n", "is a ctwin readings file; a scan"),
        ("# ctwin scan 1\n" + HEADER + "0,1,2.5,projection", "line 3: has no line end; the file is cut off"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (HEADER.encode() + b"0,1,2,\xe9\n", r"not UTF-8 text \(byte 37\)"),
    ],
)
def test_each_fault_is_one_line_with_file_place_and_mend(tmp_path, text, words):
    path = file(tmp_path, text)
    with pytest.raises(ScanError, match=words) as fault:
        read_scan(path)
    assert str(fault.value).startswith(str(path))
    assert "\n" not in str(fault.value)


def test_what_is_no_file_and_what_is_no_scan(tmp_path):
    with pytest.raises(ScanError, match="no such file"):
        read_scan(tmp_path / "gone.csv")
    with pytest.raises(ScanError, match="holds no TIFF images of projections"):
        read_scan(tmp_path)
    file(tmp_path, GOOD, "b.csv")
    with pytest.raises(ScanError, match=r"is a folder; name one of the scans in it: b\.csv"):
        read_scan(tmp_path)
    with pytest.raises(ScanError, match=r"ending \.png is unknown; there are \.csv, \.pcp"):
        read_scan(file(tmp_path, "x", "p.png"))
    with pytest.raises(ScanError, match=r"p\.tif: "):
        read_scan(file(tmp_path, "x", "p.tif"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e6),
            st.floats(allow_nan=False, allow_infinity=False),
            st.sampled_from(["projection", "flat", "dark", "reference"]),
        ),
        min_size=1,
        max_size=8,
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10),
)
def test_reads_back_what_was_written_to_the_last_bit(tmp_path_factory, frames, name):
    time = 1.7e9 + np.cumsum([f[0] for f in frames])
    kind = (*(f[2] for f in frames[1:]), "projection")
    scan = Scan(name, np.arange(len(frames)), time, np.array([f[1] for f in frames]), kind)
    path = tmp_path_factory.mktemp("scan") / "s.csv"
    write_scan(scan, path)
    back = read_scan(path)
    assert (back.name, back.kind) == (scan.name, scan.kind)
    for field in ("projection", "time", "angle_deg"):
        np.testing.assert_array_equal(getattr(back, field), getattr(scan, field))


def test_writing_names_the_file_when_it_fails(tmp_path):
    scan = read_scan(file(tmp_path, GOOD))
    with pytest.raises(OutputError, match="is a folder"):
        write_scan(scan, tmp_path)


def test_parts_of_a_scan_have_one_length():
    with pytest.raises(ScanError, match="different lengths"):
        Scan("s", np.arange(2), np.zeros(3), np.zeros(2), ("projection",) * 2)
