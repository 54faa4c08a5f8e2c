"""Scans from the logs of real machines."""

from __future__ import annotations

import numpy as np
import pytest

from tests.real_data import data_file
from twin.scan import ScanError, read_scan


def test_a_waygate_log():
    scan = read_scan(data_file("waygate/scan_409.pcp"), "Europe/Berlin")
    assert len(scan) == 1301
    assert scan.projection[[0, -1]].tolist() == [0, 1300]
    assert scan.angle_deg[[0, 1, -1]].tolist() == [0.0, 0.277, 360.0]
    assert scan.time[0] == 1685433500.0  # 2023-05-30 09:58:20 in Berlin's summer
    assert scan.duration_s == 43 * 60 + 20
    assert set(scan.kind) == {"projection"}
    assert read_scan(data_file("waygate/scan_409.pcp")).time[0] == 1685433500.0 + 7200


@pytest.mark.parametrize(
    ("name", "count", "hours", "last_deg"), [("Control01", 3978, 8.93, 198.85), ("Swimmer01", 3755, 14.08, 187.7)]
)
def test_a_bruker_log(name, count, hours, last_deg):
    scan = read_scan(data_file(f"bruker/{name}/proj/{name}.log"), "Europe/Zurich")
    assert len(scan) == count
    assert scan.duration_s / 3600 == pytest.approx(hours, abs=0.01)
    assert scan.angle_deg[-1] == pytest.approx(last_deg)
    assert np.all(np.diff(scan.time) > 0)


@pytest.mark.parametrize("name", ["a.pcp", "a.log"])
@pytest.mark.parametrize("text", ["", "neither this nor that\n"])
def test_a_log_that_is_none_is_one_line(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ScanError, match=f"{name}") as fault:
        read_scan(path)
    assert "\n" not in str(fault.value)


def test_an_unknown_zone_is_said():
    with pytest.raises(ScanError, match="timezone 'Berlin' is unknown"):
        read_scan(data_file("waygate/scan_409.pcp"), "Berlin")
