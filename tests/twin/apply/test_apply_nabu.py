"""nabu reconstructs the corrected projections of a scan whose content moved and whose flux rose as if neither had.

Needs nabu as ``tests/twin/export/test_nabu_itself.py`` does.
"""

from __future__ import annotations

import dataclasses
from contextlib import closing

import h5py
import numpy as np
import pytest

from models.geometry import ConeBeam
from tests.twin.export.corrections import correction
from tests.twin.export.test_nabu_itself import COLUMNS, COUNT, ROWS, radiographs, run_nabu
from twin.apply import apply, plan
from twin.export import Setup

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
# nabu divides by the pixel; nabu_side.py writes 1 um
SETUP = Setup(ConeBeam(10e-3, 50e-3, 1e-6), COLUMNS, ROWS, COUNT)


def test_nabu_reads_and_reconstructs_corrected_projections(tmp_path):
    rng = np.random.default_rng(3)
    du = 6 * (1 - np.exp(-np.arange(COUNT) / 40)) + 0.06 * rng.normal(size=COUNT).cumsum()
    shift = np.column_stack([du - du[0], -4 * np.arange(COUNT) / COUNT])
    angle, flux = np.linspace(0, 180, COUNT, endpoint=False), np.linspace(1.0, 1.02, COUNT)
    for name, moved in {"moved": shift, "still": 0 * shift}.items():
        (tmp_path / name).mkdir()
        np.savez(tmp_path / f"{name}.npz", projections=radiographs(angle, moved), angle_deg=angle)
        run_nabu(str(tmp_path / f"{name}.npz"), str(tmp_path / name), "none")
    with h5py.File(tmp_path / "moved" / "scan.nx", "r+") as file:
        file["entry/instrument/detector/data"][2:] *= flux[:, None, None]
    given = dataclasses.replace(correction(COUNT), angle_deg=angle, shift_px=shift, flux=flux)
    planned = plan(tmp_path / "moved" / "scan.nx", tmp_path / "corrected.nx", SETUP)
    with closing(planned.series):
        apply(planned, given, SETUP)
    run_nabu(str(tmp_path / "moved.npz"), str(tmp_path / "moved"), f"images@{tmp_path / 'corrected.nx'}")

    inner = slice(5, -5), slice(12, -12), slice(12, -12)
    still = np.load(tmp_path / "still" / "none.npy")[inner]
    left, uncorrected = (
        float(np.sqrt(np.mean((np.load(tmp_path / "moved" / f"{name}.npy")[inner] - still) ** 2)))
        for name in ("images", "none")
    )
    print("rms difference to the scan that did not move:", left, "uncorrected:", uncorrected)
    assert left < 0.02 * uncorrected
