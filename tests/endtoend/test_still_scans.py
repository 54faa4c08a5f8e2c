"""Scans of others in which nothing drifted (i13, tooth): no step, drift or alarm comes of them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.real_data import data_file
from twin.cli import main

START, CADENCE = 1_772_359_200, 1.13  # s
GOOD = Path(__file__).parent.parent / "cases" / "good" / "good.toml"
CAMERA = """
[[sensor]]
name = "camera"
kind = "images"
path = "scan"
cadence_s = {cadence}
start = "{start}"
{light}
[[sensor.look]]
name = "free"
marker = "flux"
window = "{window}"
[[channel]]
name = "i0"
sensor = "camera"
address = "free_flux"
quantity = "flux"
unit = "counts"
[[alert]]
name = "flux-jumps"
when = "abs(flux_step) > 0"
[[alert]]
name = "does-not-fit"
when = "model_misfit > 1"
[[sink]]
name = "log"
kind = "log"
"""
SCANS = {
    # the freest part of i13, above the sample
    "i13/image_test/tiffs": ("60:100,0:24", 'flat = "{0}/flat_00001.tiff"\ndark = "{0}/dark_00001.tiff"', 91),
    "tooth/tooth.h5": ("0:80,0:2", "", 181),
}
# a storage ring between two fillings: i13's ion chamber falls by 0.34 % in 103 s
FLUX = "[estimator]\ngrid_s = 1.0\n[flux]\nrandom_walk_percent_per_sqrt_h = 2.0\n"


def replayed(folder: Path, series: Path, window: str, light: str, projections: int) -> tuple[list[str], np.ndarray]:
    """Alerts raised, and the estimated flux relative to the first one, of a series read by a camera."""
    machine = GOOD.read_text().split("[[sensor]]")[0].replace("[[node]]", FLUX + "[[node]]", 1)
    config = folder / "machine.toml"
    config.write_text(machine + CAMERA.format(window=window, light=light, cadence=CADENCE, start=START))
    scan = folder / "scan.csv"
    rows = "".join(f"{k},{START + CADENCE * k},{k},projection\n" for k in range(projections))
    scan.write_text(f"# ctwin scan 1\nprojection,time,angle_deg,kind\n{rows}")
    out = folder / "out"
    assert main(["replay", str(config), "--readings", str(series), "--scan", str(scan), "--out", str(out)]) == 0
    raised = [
        json.loads(line)["message"]
        for line in (out / "alerts.jsonl").read_text().splitlines()
        if json.loads(line)["transition"] == "raised"
    ]
    lines = (out / "estimates.csv").read_text().splitlines()
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    return raised, np.array([float(row["flux_relative"]) for row in rows])


@pytest.mark.parametrize("name", SCANS)
def test_a_still_scan_raises_nothing(name, tmp_path):
    window, light, projections = SCANS[name]
    series = data_file(name)
    raised, flux = replayed(tmp_path, series, window, light.format(series.parent.as_posix()), projections)
    assert raised == []
    assert len(flux) >= 10
    assert np.ptp(flux) < 0.005


def test_the_same_scan_with_a_step_of_two_percent_does(tmp_path):
    """What the test above could not see if its rules or its camera were deaf."""
    path = tmp_path / "tooth.h5"
    shutil.copyfile(data_file("tooth/tooth.h5"), path)
    with h5py.File(path, "a") as file:
        dark = file["exchange/data_dark"][...].astype(float).mean(axis=0)
        data = file["exchange/data"]
        data[90:] = np.round(dark + 0.98 * (data[90:] - dark)).astype(data.dtype)
    window, light, projections = SCANS["tooth/tooth.h5"]
    raised, flux = replayed(tmp_path, path, window, light, projections)
    assert any("flux_step" in message for message in raised)
    assert flux[-1] / flux[len(flux) // 4] == pytest.approx(0.98, abs=0.004)
