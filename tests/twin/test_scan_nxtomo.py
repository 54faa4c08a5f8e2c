"""Scans from NXtomo files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from tests.real_data import data_file
from twin.scan import ScanError, read_scan

KEY = np.array([2, 1, 0, 0, 3, 0, 1])
ANGLE = np.array([0, 0, 0, 0.1, 0.1, 0.2, 0.2])
START = 1772366400.0
SECONDS = np.arange(7) * 5.0 + 2.5


def nxtomo(path, *, remove=(), add=None, attributes=None):
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = np.bytes_("NXentry")
        detector = entry.create_group("instrument/detector")
        detector["image_key"] = KEY
        detector["time"] = SECONDS
        detector["time"].attrs["units"] = "s"
        detector["time"].attrs["start"] = "2026-03-01T12:00:00Z"
        entry["sample/rotation_angle"] = ANGLE
        entry["sample/rotation_angle"].attrs["units"] = "degree"
        for name in remove:
            del entry[name]
        for name, value in (add or {}).items():
            if name in entry:
                del entry[name]
            entry[name] = value
        for (name, attribute), value in (attributes or {}).items():
            entry[name].attrs[attribute] = value
    return path


TIME, DETECTOR, ROTATION = "instrument/detector/time", "instrument/detector", "sample/rotation_angle"
BEGIN, END = f"{DETECTOR}/start_time", f"{DETECTOR}/stop_time"


def test_frames_count_within_their_kind_and_invalid_ones_are_left_out(tmp_path):
    scan = read_scan(nxtomo(tmp_path / "a.nxs"))
    assert scan.kind == ("dark", "flat", "projection", "projection", "projection", "flat")
    assert scan.projection.tolist() == [0, 0, 0, 1, 2, 1]
    np.testing.assert_array_equal(scan.time, START + SECONDS[KEY != 3])
    np.testing.assert_array_equal(scan.only("projection").angle_deg, [0, 0.1, 0.2])
    assert scan.name == "a"


@pytest.mark.parametrize(
    "changes",
    [
        {"attributes": {(TIME, "start"): "2026-03-01T13:00:00+01:00"}},
        {"add": {TIME: SECONDS * 1e3}, "attributes": {(TIME, "units"): "ms", (TIME, "start"): "2026-03-01T12:00:00+00:00"}},
        {"add": {TIME: START + SECONDS}},
        {"remove": [TIME], "add": {BEGIN: START + SECONDS - 2, END: START + SECONDS + 2}},
        {"remove": [TIME], "add": {BEGIN: START + SECONDS - 2, f"{DETECTOR}/count_time": 4.0}},
        {"remove": [TIME], "add": {BEGIN: START + SECONDS - 2, f"{DETECTOR}/count_time": np.full(7, 4.0)}},
        {"add": {ROTATION: np.deg2rad(ANGLE)}, "attributes": {(ROTATION, "units"): "rad"}},
        {"add": {"title": "sample 3"}},
    ],
)  # fmt: skip
def test_the_ways_to_say_the_same(tmp_path, changes):
    scan = read_scan(nxtomo(tmp_path / "a.h5", **changes))
    np.testing.assert_allclose(scan.time, START + SECONDS[KEY != 3], rtol=0, atol=1e-6)
    np.testing.assert_allclose(scan.only("projection").angle_deg, [0, 0.1, 0.2], atol=1e-15)
    assert scan.name == ("sample 3" if "title" in changes.get("add", {}) else "a")


def test_a_start_without_zone_needs_one(tmp_path):
    path = nxtomo(tmp_path / "a.nx", attributes={(TIME, "start"): "2026-03-01T13:00:00"})
    with pytest.raises(ScanError, match="has no zone"):
        read_scan(path)
    assert read_scan(path, "Europe/Berlin").time[0] == START + 2.5
    with pytest.raises(ScanError, match="timezone 'Nowhere' is unknown"):
        read_scan(path, "Nowhere")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"remove": [TIME]}, "has neither time nor start_time .* per frame; give a scan CSV"),
        ({"remove": ["instrument"]}, "no detector with image_key under /entry/instrument"),
        ({"remove": ["sample"]}, "/entry/sample/rotation_angle is missing"),
        ({"add": {ROTATION: ANGLE[:-1]}}, r"rotation_angle has shape \(6,\), image_key has 7 frames"),
        ({"add": {ROTATION: ["x"] * 7}}, "rotation_angle is not numeric"),
        ({"attributes": {(ROTATION, "units"): "gon"}}, "has units 'gon'; give degree or rad"),
        ({"attributes": {(TIME, "units"): "h"}}, "has units 'h'; give s"),
        ({"attributes": {(TIME, "start"): "yesterday"}}, "@start is 'yesterday'; give ISO 8601"),
        ({"add": {TIME: SECONDS[::-1]}}, "frame 1: time is 5 s before the frame above"),
        ({"add": {TIME: SECONDS * np.nan}}, "frame 0: time nan is not an instant"),
        ({"add": {TIME: 1.7e12 + SECONDS}}, "give seconds since 1970, not milliseconds"),
        ({"add": {ROTATION: ANGLE * np.nan}}, "frame 2: angle_deg is not a finite number"),
        ({"add": {f"{DETECTOR}/image_key": np.ones(7)}}, "no frame of kind projection"),
        ({"add": {f"{DETECTOR}/image_key": np.full(7, 9)}}, "image_key 9 is unknown"),
        ({"add": {f"{DETECTOR}/image_key": np.zeros(0)}}, "must have one entry per frame"),
    ],
)  # fmt: skip
def test_each_fault_is_one_line_with_file_place_and_mend(tmp_path, changes, words):
    path = nxtomo(tmp_path / "a.h5", **changes)
    with pytest.raises(ScanError, match=words) as fault:
        read_scan(path)
    assert str(fault.value).startswith(str(path))
    assert "\n" not in str(fault.value)


def test_what_is_no_nxtomo(tmp_path):
    (tmp_path / "text.h5").write_text("projection,time\n")
    with pytest.raises(ScanError, match="not a readable HDF5 file"):
        read_scan(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["gone"] = h5py.ExternalLink("missing.h5", "/x")
        file["exchange/data"] = np.zeros(3)
    with pytest.raises(ScanError, match="has no NXentry"):
        read_scan(tmp_path / "other.h5")


@pytest.mark.parametrize("name", ["k11/k11-18014.nxs", "i13/24888.nxs", "tooth/tooth.h5"])
def test_real_files_without_times_per_frame_are_refused_in_one_line(name):
    path = data_file(name)
    with pytest.raises(ScanError) as fault:
        read_scan(path)
    assert str(fault.value).startswith(str(path))
    assert "\n" not in str(fault.value)
