"""astra-toolbox, ctsimu and nxtomo read our files and mean by them what we do.

Needs astra-toolbox 2.5.0 and ctsimu 1.7.0, here or where ``$CTWIN_RTK_PYTHON`` names the interpreter, and nxtomo 3.1.1,
here or where ``$CTWIN_NABU_PYTHON`` does. ASTRA's cone beam needs CUDA: its fan beam on the CPU projects the plane v = 0.
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

from tests.twin.export.corrections import setup
from tests.twin.export.independent_projector import COLUMNS, PIXEL, ROWS, SDD, SOD, pixel
from tests.twin.export.test_export_geometries import BODIES, MUTANTS, UNEVEN
from tests.twin.export.test_export_rtk import CASES, POINTS
from twin.export import make

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SIDE = Path(__file__).with_name("consumers_side.py")
EVERY = {**CASES, "uneven angles": UNEVEN}


def ask(module, variable, *arguments):
    python = os.environ.get(variable)
    has = [python, "-c", f"import importlib.util as u; raise SystemExit(u.find_spec({module!r}) is None)"]
    if not python or subprocess.run(has, check=False).returncode:
        python = sys.executable if importlib.util.find_spec(module) is not None else None
    if not python:
        pytest.skip(f"{module} is not installed; set {variable} to an interpreter that has it")
    run = subprocess.run([python, SIDE, *arguments], capture_output=True, text=True, timeout=500, check=False)
    assert run.returncode == 0, run.stdout[-1000:] + run.stderr[-2000:]
    return json.loads(run.stdout.rsplit("\nJSON ", 1)[1])


def written(name, cases, folder):
    files = {}
    for case, c in cases.items():
        exporter = make(name, setup(len(c)))
        files[case] = folder / f"{len(files)}-{exporter.filename}"
        exporter.write(c, files[case])
    return files


# --- ASTRA -------------------------------------------------------------------------------------


def test_astra_takes_the_geometry_and_makes_the_same_for_a_scan_without_drift(tmp_path):
    files = written("astra", EVERY, tmp_path)
    still = CASES["nothing"]
    circle = [(-np.deg2rad(still.angle_deg)).tolist(), PIXEL, [COLUMNS, ROWS], SOD, SDD - SOD]
    said = ask("astra", "CTWIN_RTK_PYTHON", "astra", json.dumps(circle), *map(str, files.values()))
    for path in files.values():
        answer = said[str(path)]
        assert answer["type"] == "cone_vec"
        assert answer["size"] == [ROWS, 12, COLUMNS]
        with np.load(path) as g:
            np.testing.assert_allclose(answer["vectors_mm"], g["vectors_mm"], rtol=0, atol=1e-12)
    # ASTRA's own cone geometry has its rows along +z, we have them along -z
    with np.load(files["nothing"]) as g:
        np.testing.assert_allclose(g["vectors_mm"] * np.repeat([1, -1], [9, 3]), said["circle"], rtol=0, atol=1e-12)


FLAT = [[0.0, 0.0], [0.2, 0.2], [-0.25, 0.15], [0.05, -0.3]]


def worst_in_plane_px(columns, c):
    worst = 0.0
    for (u, w), said in zip(FLAT, columns, strict=True):
        for i in range(len(c)):
            moved = [getattr(c, body)[i] * 1e-3 for body in BODIES]
            worst = max(worst, abs(said[i] - pixel([u, 0, w], c.angle_deg[i], *moved)[0]))
    return worst


def test_astra_itself_projects_points_of_the_plane_where_they_are(tmp_path):
    in_plane = {f: getattr(CASES["all moving"], f) * [1, 0, 1] for f in BODIES}
    # not along the rows of ASTRA's pixels, where lines through them jump
    true = dataclasses.replace(CASES["all moving"], **in_plane, angle_deg=CASES["all moving"].angle_deg + 17.0)
    cases = {"true": true, "turning back": dataclasses.replace(true, angle_deg=-true.angle_deg)}
    wanted = {name: change for name, change in MUTANTS.items() if not ("v" in name.split()[-1] or "u for v" in name)}
    cases |= {name: dataclasses.replace(true, **change(true)) for name, change in wanted.items()}
    files = written("astra", cases, tmp_path)
    said = ask("astra", "CTWIN_RTK_PYTHON", "astra-plane", json.dumps(FLAT), *map(str, files.values()))
    off = {}
    for name, path in files.items():
        off[name] = worst_in_plane_px(said[str(path)], cases[name] if name == "turning back" else true)
    print("largest distance to the independent projector [px]:", off)
    assert max(off["true"], off["turning back"]) < 0.005, off
    assert min(off[name] for name in wanted) > 0.1, off


# --- CTSimU ------------------------------------------------------------------------------------


def by_matrices(matrices, c):
    worst = 0.0
    for i, matrix in enumerate(np.array(matrices)):
        moved = [getattr(c, body)[i] * 1e-3 for body in BODIES]
        for u, v, w in POINTS:
            x, y, scale = matrix @ [-w, u, -v, 1.0]
            place = np.array([(COLUMNS - 1) / 2 + x / scale / PIXEL, (ROWS - 1) / 2 + y / scale / PIXEL])
            worst = max(worst, float(np.abs(place - pixel([u, v, w], c.angle_deg[i], *moved)).max()))
    return worst


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory):
    true = CASES["all moving"]
    cases = EVERY | {name: dataclasses.replace(true, **change(true)) for name, change in MUTANTS.items()}
    files = written("ctsimu", cases, tmp_path_factory.mktemp("ctsimu"))
    said = ask("ctsimu", "CTWIN_RTK_PYTHON", "ctsimu", *map(str, files.values()))
    return {case: said[str(path)] for case, path in files.items()}


@pytest.mark.parametrize("case", EVERY)
def test_ctsimu_itself_puts_points_where_they_are(scenarios, case):
    assert by_matrices(scenarios[case]["matrices"], EVERY[case]) < 1e-6


@pytest.mark.parametrize("case", EVERY)
def test_ctsimu_computes_the_matrices_of_openct(scenarios, case, tmp_path):
    path = written("openct", {case: EVERY[case]}, tmp_path)[case]
    ours = json.loads(path.read_text(encoding="utf-8"))["projections"]["matrices"]
    np.testing.assert_allclose(ours, scenarios[case]["matrices"], rtol=0, atol=1e-11)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_ctsimu_shows_a_slip(scenarios, mutant):
    assert by_matrices(scenarios[mutant]["matrices"], CASES["all moving"]) > 0.5


def test_ctsimu_reads_uncertainty_and_keeps_provenance(scenarios):
    c = CASES["all moving"]
    assert scenarios["all moving"]["sigma_mm"] == pytest.approx(c.source_um_std[:, 2].max() * 1e-3, rel=1e-12)
    assert scenarios["all moving"]["kept"].startswith("ctwin scenario")


# --- nxtomo ------------------------------------------------------------------------------------


def test_nxtomo_reads_motions_in_metres_and_chains(tmp_path):
    files = written("nxtomo", EVERY, tmp_path)
    said = ask("nxtomo", "CTWIN_NABU_PYTHON", "nxtomo", *map(str, files.values()))
    for case, c in EVERY.items():
        answer = said[str(files[case])]
        np.testing.assert_allclose(answer["rotation_angle"], c.angle_deg, rtol=0, atol=1e-12)
        source, sample, detector = (getattr(c, body) * [-1e-6, -1e-6, 1e-6] for body in BODIES)
        source[:, 2] -= SOD * 1e-3
        detector[:, 2] += (SDD - SOD) * 1e-3
        places = {"sample": sample, "instrument/source": source, "instrument/detector": detector}
        for k, axis in enumerate("xyz"):
            np.testing.assert_allclose(answer[f"{axis}_translation"], sample[:, k], rtol=0, atol=1e-15)
            for body, place in places.items():
                step = answer[body][axis]
                assert step["type"] == "translation"
                assert step["vector"] == np.eye(3)[k].tolist()
                assert step["depends_on"] == ("y", "z", ".")[k]
                np.testing.assert_allclose(step["values"], place[:, k], rtol=0, atol=1e-15)
        turn = answer["sample"]["rotation_angle"]
        assert (turn["type"], turn["vector"], turn["depends_on"]) == ("rotation", [0.0, 1.0, 0.0], "x")
        np.testing.assert_allclose(turn["values"], np.deg2rad(c.angle_deg), rtol=0, atol=1e-12)
