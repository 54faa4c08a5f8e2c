"""Projections themselves as a scan: times and angles by their files, by a cadence, by a full turn."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import tifffile

from sensors.images.times import Timing
from tests.test_cases import CASES
from twin.cli import main
from twin.scan import ScanError, read_scan

T0 = 1.7e9


def folder(place, numbers=range(6), flats=0):
    """TIFF files written 10 s apart."""
    place.mkdir()
    for k, number in enumerate(numbers):
        path = place / f"scan_{number:04d}.tif"
        tifffile.imwrite(path, np.full((8, 8), 100 + k, np.uint16))
        os.utime(path, (T0 + 10.0 * k, T0 + 10.0 * k))
    for k in range(flats):
        tifffile.imwrite(place / f"flat_{k}.tif", np.full((8, 8), 500, np.uint16))
    return place


def test_a_folder_by_the_times_of_its_files(tmp_path):
    scan = read_scan(folder(tmp_path / "probe", [3, 4, 5, 7, 8, 9], flats=1))
    assert scan.name == "probe"
    assert scan.projection.tolist() == [0, 1, 2, 4, 5, 6]  # one of seven is lost
    assert scan.time.tolist() == [T0 + 10.0 * k for k in range(6)]
    assert scan.angle_deg == pytest.approx(360.0 / 7.0 * np.array([0, 1, 2, 4, 5, 6]))


def test_a_folder_by_a_cadence(tmp_path):
    timing = Timing(cadence_s=7.0, start=T0, exposure_s=4.0)
    scan = read_scan(folder(tmp_path / "probe"), None, timing)
    assert scan.time.tolist() == [T0 + 2.0 + 7.0 * k for k in range(6)]


def test_a_folder_of_anything_else_is_refused_in_one_line(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("nothing here")
    with pytest.raises(ScanError, match="holds no TIFF images of projections"):
        read_scan(tmp_path / "notes")


def test_the_command_takes_a_folder_and_its_cadence(tmp_path, capsys, monkeypatch):
    """Corrections of the good case's readings for a folder of projections within them."""
    shutil.copytree(CASES / "good", tmp_path / "good")
    images = folder(tmp_path / "probe", range(10))
    words = ["correct", "good/good.toml", "--scan", str(images), "--readings", "good/readings.csv", "--out", "out"]
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2  # by their files' times the projections are years away
    assert "no reading falls into it" in capsys.readouterr().err
    assert main([*words, "--start", "2026-03-02T08:00:30Z"]) == 2
    assert "--start and --cadence belong together" in capsys.readouterr().err
    assert main([*words, "--start", "2026-03-02T08:00:30Z", "--cadence", "20"]) == 0
    scan = read_scan(tmp_path / "out" / "corrections.csv")
    assert np.diff(scan.time) == pytest.approx(np.full(9, 20.0))
    assert scan.angle_deg == pytest.approx(36.0 * np.arange(10))
