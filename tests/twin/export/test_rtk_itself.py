"""RTK reads our geometry and puts points, and a whole phantom, where they are.

Needs itk-rtk 2.7.0, here or in the environment whose interpreter ``$CTWIN_RTK_PYTHON`` names.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.twin.export.corrections import POSE, correction, setup
from tests.twin.export.independent_projector import COLUMNS, PIXEL, ROWS, SDD, SOD, turned
from tests.twin.export.test_export_rtk import CASES, MUTANTS, mutant, worst_px
from twin.export import rtk as product
from twin.export.rtk import RtkExporter, render

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SIDE = Path(__file__).with_name("rtk_side.py")


def ask_rtk(*arguments):
    python = os.environ.get("CTWIN_RTK_PYTHON")
    if not python and importlib.util.find_spec("itk") is not None:
        python = sys.executable
    if not python:
        pytest.skip("itk-rtk is not installed; set CTWIN_RTK_PYTHON to an interpreter that has itk-rtk==2.7.0")
    run = subprocess.run([python, SIDE, *arguments], capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.rsplit("\nJSON ", 1)[1])


def write_mutant(monkeypatch, name, path):
    with monkeypatch.context() as patch:
        patch.setattr(product, "rtk_pose", lambda c, p: mutant(name, c))
        path.write_text(render(CASES["all moving"], setup()))


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtk")
    files = {}
    for name, case in CASES.items():
        files[name] = folder / f"case {len(files)}.xml"
        RtkExporter(setup()).write(case, files[name])
    with pytest.MonkeyPatch.context() as patch:
        for name in MUTANTS:
            files[f"mutant {name}"] = folder / f"mutant {len(files)}.xml"
            write_mutant(patch, name, files[f"mutant {name}"])
    # RTK must not take a matrix that contradicts its parameters
    text = files["source"].read_text()
    rows = text.split("<Matrix>\n", 1)
    first, rest = rows[1].split(None, 1)
    files["contradiction"] = folder / "contradiction.xml"
    files["contradiction"].write_text(f"{rows[0]}<Matrix>\n {float(first) + 0.01!r} {rest}")
    said = ask_rtk("matrices", *map(str, files.values()))
    return {name: said[str(path)] for name, path in files.items()}


@pytest.mark.parametrize("name", CASES)
def test_rtk_puts_points_on_the_pixel_where_they_are(answers, name):
    assert len(answers[name]) == len(CASES[name])
    assert worst_px(np.array(answers[name]), CASES[name]) < 1e-6


@pytest.mark.parametrize("name", MUTANTS)
def test_rtk_shows_a_slipped_sign_or_axis(answers, name):
    assert worst_px(np.array(answers[f"mutant {name}"]), CASES["all moving"]) > 0.1


def test_rtk_compares_matrix_and_parameters(answers):
    assert "error" in answers["contradiction"]


# smooth blobs: centre (u, v, w) [mm], σ [mm], height
BLOBS = [
    ((0.0, 0.0, 0.0), 0.08, 1.0), ((0.25, -0.2, 0.1), 0.06, 1.4), ((-0.25, 0.15, 0.2), 0.06, -0.8),
    ((0.08, 0.2, -0.25), 0.07, 1.1), ((-0.2, -0.2, -0.2), 0.07, 0.9),
]  # fmt: skip


def radiographs(c):
    """Line integrals through the blobs, exact, (N, rows, columns), row 0 at the top (v smallest)."""
    u = (np.arange(COLUMNS) - (COLUMNS - 1) / 2) * PIXEL
    v = (np.arange(ROWS) - (ROWS - 1) / 2) * PIXEL
    result = np.zeros((len(c), ROWS, COLUMNS))
    for i in range(len(c)):
        s, o, d = (getattr(c, f"{body}_um")[i] * 1e-3 for body in ("source", "object", "detector"))
        spot = np.array([0, 0, -SOD]) + s
        ends = np.stack(np.broadcast_arrays(u[None, :] + d[0], v[:, None] + d[1], SDD - SOD + d[2]), axis=-1)
        ray = (ends - spot) / np.linalg.norm(ends - spot, axis=-1, keepdims=True)
        for centre, sigma, height in BLOBS:
            away = turned(np.array(centre), c.angle_deg[i]) + o - spot
            miss2 = (away**2).sum() - (ray @ away) ** 2
            result[i] += height * sigma * np.sqrt(2 * np.pi) * np.exp(-miss2 / (2 * sigma**2))
    return result


def phantom(n, voxel):
    """The blobs on RTK's grid: array axes z, y, x with (u, v, w) = (x, -y, -z)."""
    a = (np.arange(n) - (n - 1) / 2) * voxel
    z, y, x = np.meshgrid(a, a, a, indexing="ij")
    return sum(h * np.exp(-((x - u) ** 2 + (-y - v) ** 2 + (-z - w) ** 2) / (2 * s**2)) for (u, v, w), s, h in BLOBS)


def test_a_drifting_scan_is_reconstructed_as_if_nothing_had_moved(tmp_path):
    count, size, voxel = 120, 64, 0.016
    c = correction(count, seed=11)
    angle = -360.0 / count * np.arange(count)  # the sense that the cases above use less
    c = dataclasses.replace(
        c,
        angle_deg=angle,
        **{f: getattr(c, f) * 0.2 for f in ("source_um", "object_um", "detector_um")},
    )
    still = dataclasses.replace(c, **{f: 0 * getattr(c, f) for f in ("source_um", "object_um", "detector_um")})
    flip = {f: getattr(c, f) * [1, -1, 1] for f in ("source_um", "object_um", "detector_um")}
    files = {}
    for name, said in {"true": c, "nominal": still, "v flipped": dataclasses.replace(c, **flip)}.items():
        files[name] = tmp_path / f"{name}.xml"
        RtkExporter(setup(count)).write(said, files[name])
    shared = {"size": size, "voxel": voxel, "pixel": PIXEL, "phantom": phantom(size, voxel)}
    flipped = slice(None), slice(None, None, -1)
    np.savez(tmp_path / "drifting.npz", projections=radiographs(c)[flipped], **shared)
    np.savez(tmp_path / "ideal.npz", projections=radiographs(still)[flipped], **shared)
    drifting = ask_rtk("fdk", str(tmp_path / "drifting.npz"), *map(str, files.values()))
    ideal = ask_rtk("fdk", str(tmp_path / "ideal.npz"), str(files["nominal"]))[str(files["nominal"])]
    error = {name: drifting[str(path)] for name, path in files.items()}
    print("rms error of the reconstruction:", {"nothing moved": ideal, **error})
    assert POSE.magnification == SDD / SOD
    assert error["true"] < 1.5 * ideal, (ideal, error)
    assert error["nominal"] > 50 * error["true"], (ideal, error)
    assert error["v flipped"] > 50 * error["true"], (ideal, error)
