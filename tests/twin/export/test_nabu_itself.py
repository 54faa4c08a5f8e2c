"""nabu reconstructs a scan whose content moved as if it had not, given our file (parallel beam; its cone beam needs CUDA).

Needs nabu 2026.1.2 with pyopencl[pocl] and pyvkfft, here or where ``$CTWIN_NABU_PYTHON`` names the interpreter.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.twin.export.corrections import correction, setup
from twin.export.nabu import NabuExporter
from twin.export.nxtomo import NxTomoExporter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SIDE = Path(__file__).with_name("nabu_side.py")
COUNT, ROWS, COLUMNS = 120, 24, 96
# column, row, depth, σ [px], height
BLOBS = [(0, 0, 0, 5, 1.0), (18, 3, 8, 4, 1.4), (-15, -4, 16, 4, 0.8), (9, 2, -22, 4.5, 1.1)]


def radiographs(angle_deg, shift_px):
    u, v = np.arange(COLUMNS) - (COLUMNS - 1) / 2, np.arange(ROWS) - (ROWS - 1) / 2
    result = np.zeros((COUNT, ROWS, COLUMNS))
    for i, (angle, (du, dv)) in enumerate(zip(np.deg2rad(angle_deg), shift_px, strict=True)):
        for x, y, z, sigma, height in BLOBS:
            column = x * np.cos(angle) - z * np.sin(angle) + du
            distance2 = (u[None, :] - column) ** 2 + (v[:, None] - y - dv) ** 2
            result[i] += 0.01 * height * sigma * np.sqrt(2 * np.pi) * np.exp(-distance2 / (2 * sigma**2))
    return result


def run_nabu(*arguments):
    python = os.environ.get("CTWIN_NABU_PYTHON")
    if not python and importlib.util.find_spec("nabu") is not None:
        python = sys.executable
    if not python:
        pytest.skip("nabu is not installed; set CTWIN_NABU_PYTHON to an interpreter that has nabu==2026.1.2")
    run = subprocess.run([python, SIDE, *arguments], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stdout[-1000:] + run.stderr[-2000:]


def test_nabu_takes_the_shift_out_and_sees_each_wrong_sign(tmp_path):
    rng = np.random.default_rng(3)
    du = 6 * (1 - np.exp(-np.arange(COUNT) / 40)) + 0.06 * rng.normal(size=COUNT).cumsum()
    shift = np.column_stack([du - du[0], -4 * np.arange(COUNT) / COUNT])
    angle = np.linspace(0, 180, COUNT, endpoint=False)
    files = {}
    for name, sign in {"right": (1, 1), "column": (-1, 1), "row": (1, -1)}.items():
        c = dataclasses.replace(correction(COUNT), angle_deg=angle, shift_px=shift * sign)
        files[name] = tmp_path / f"{name}.txt"
        NabuExporter(setup(COUNT)).write(c, files[name])
    for folder, moved in {"moved": shift, "still": 0 * shift}.items():
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / f"{folder}.npz", projections=radiographs(angle, moved), angle_deg=angle)
    record = tmp_path / "motion.nx"
    NxTomoExporter(setup(COUNT)).write(dataclasses.replace(correction(COUNT), angle_deg=angle), record)
    (tmp_path / "recorded").mkdir()
    np.savez(tmp_path / "recorded.npz", **np.load(tmp_path / "moved.npz"), record=str(record))
    wanted = [f"{name}={path}" for name, path in files.items()]
    run_nabu(str(tmp_path / "recorded.npz"), str(tmp_path / "recorded"), wanted[0])
    run_nabu(str(tmp_path / "still.npz"), str(tmp_path / "still"), "none")
    run_nabu(str(tmp_path / "moved.npz"), str(tmp_path / "moved"), "none", *wanted)

    inner = slice(5, -5), slice(12, -12), slice(12, -12)
    still = np.load(tmp_path / "still" / "none.npy")[inner]
    error = {}
    for name in ("none", *files):
        error[name] = float(np.sqrt(np.mean((np.load(tmp_path / "moved" / f"{name}.npy")[inner] - still) ** 2)))
    print("rms difference to the scan that did not move:", error)
    assert error["right"] < 0.02 * error["none"], error
    assert min(error["column"], error["row"]) > 20 * error["right"], error
    # motions recorded as transformations beside the images change nothing
    np.testing.assert_array_equal(
        np.load(tmp_path / "recorded" / "right.npy"), np.load(tmp_path / "moved" / "right.npy")
    )
