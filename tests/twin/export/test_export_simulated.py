"""Files of a simulated run are scans and corrections; its exact perspective agrees with the geometry for RTK."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.geometry import ConeBeam
from tests.twin.simulate.machines import scenario, wire_config
from twin.export import Setup, make, read_corrections, registry
from twin.export.rtk import matrices, rtk_pose
from twin.scan import read_scan
from twin.simulate.files import write_run
from twin.simulate.machine import simulate


@pytest.fixture(scope="module")
def run():
    drift = {
        "source": {"random_walk_um_per_sqrt_h": [2.0, 1.5, 3.0]},
        "object": {"random_walk_um_per_sqrt_h": [1.0] * 3},
    }
    return simulate(wire_config(projections=20), scenario(drift=drift), 1)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_run(run, folder, projections=True, crop=(8, 6))
    return folder


def test_scan_file_and_projection_file_are_one_scan(folder):
    table, images = read_scan(folder / "scan.csv"), read_scan(folder / "projections.h5")
    assert table.kind == images.kind
    np.testing.assert_array_equal(table.projection, images.projection)
    np.testing.assert_allclose(table.time, images.time, rtol=0, atol=2e-6)
    shown = table.only("projection")
    np.testing.assert_allclose(shown.angle_deg, images.only("projection").angle_deg, atol=1e-7)
    truth = read_scan(folder / "truth.csv")
    np.testing.assert_array_equal(truth.time, shown.time)
    assert len(truth) == 20


def test_truth_as_rtk_geometry_moves_the_axis_as_the_simulator_did(run, folder, tmp_path):
    truth = read_corrections(folder / "truth.csv")
    np.testing.assert_allclose(truth.source_um, run.truth.source_um, rtol=1e-8, atol=1e-12)
    g = run.config.geometry
    pose = ConeBeam(g.source_object_mm * 1e-3, g.source_detector_mm * 1e-3, g.pixel_um * 1e-6)
    image = matrices(rtk_pose(truth, pose)) @ [0.0, 0.0, 0.0, 1.0]
    there = image[:, :2] / image[:, 2:] / (g.pixel_um * 1e-3) * [1, -1]
    assert np.ptp(truth.shift_px, axis=0).min() > 0.1
    np.testing.assert_allclose(there - there[0], truth.shift_px, atol=2e-3 * np.ptp(truth.shift_px))
    # without σ, for nobody stated one, all formats take it
    for name in registry.FORMATS:
        exporter = make(name, Setup(pose, g.columns, g.rows, 20))
        exporter.write(truth, tmp_path / exporter.filename)
    again = read_corrections(tmp_path / "corrections.csv")
    for field in dataclasses.fields(again):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(truth, field.name))
