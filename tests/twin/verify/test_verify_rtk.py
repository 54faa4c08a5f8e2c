"""ctwin verify as a whole: a noisy scan that drifts, RTK, and the oracle's own measurement of its own reconstruction."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.oracles.edge_mtf import face, rim
from tests.twin.verify.drifting_scan import BORE_PX, SCANNER, UNIT_MM, Drifting, make
from twin.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).parents[3]
SIDE = ROOT / "tests" / "oracles" / "rtk_reconstruct.py"
FINE = 0.43


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that has itk-rtk and what ctwin needs, or skip."""
    found = os.environ.get("CTWIN_RTK_PYTHON", sys.executable)
    asked = subprocess.run(
        [found, "-c", "import itk, h5py, numba, pydantic, tifffile"], capture_output=True, check=False
    )
    if asked.returncode:
        pytest.skip("no interpreter has itk-rtk and ctwin; set CTWIN_RTK_PYTHON to one with pip install -e '.[recon]'")
    return found


def run(python: str, scan: Drifting, *more: str) -> tuple[subprocess.CompletedProcess[str], list[dict[str, str]]]:
    done = subprocess.run(
        [python, "-W", "error", "-m", "twin", *scan.command(*more)], capture_output=True, text=True, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}, timeout=1200, check=False,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    lines = (scan.folder / "out" / "verify.csv").read_text().splitlines()
    return done, list(csv.DictReader(lines[1:]))


@pytest.fixture(scope="module")
def turn(tmp_path_factory) -> Drifting:
    return make(tmp_path_factory.mktemp("turn"), nxtomo=True)


@pytest.fixture(scope="module")
def at_bore(python, turn) -> list[dict[str, str]]:
    u, w = (c * UNIT_MM * 1e3 for c in BORE_PX[:2])
    done, rows = run(python, turn, f"--at={u},2,{w}", "--size", "80", "--shift")
    assert done.returncode == 0
    return rows


@pytest.fixture(scope="module")
def oracle(python, turn, at_bore, tmp_path_factory) -> dict[str, tuple[np.ndarray, float]]:
    """MTF10 [lp/mm] of the bore's wall where ours looked, and of the face, from projections without noise."""
    folder = tmp_path_factory.mktemp("oracle")
    main([
        "correct", str(turn.folder / "bench.toml"), "--scan", str(turn.folder / "scan.csv"), "--readings",
        str(turn.folder / "readings.csv"), "--format", "rtk", "--out", str(folder / "with"),
    ])  # fmt: skip
    still = (turn.folder / "still").resolve()
    still.mkdir()
    lines = (turn.folder / "readings.csv").read_text().splitlines()
    parts = [line.split(",") for line in lines[2:]]
    calm = [f"{t},{c},{'0' if c.startswith('ball') else v}" for t, c, v in parts]
    (still / "readings.csv").write_text("\n".join([*lines[:2], *calm, ""]))
    main([
        "correct", str(turn.folder / "bench.toml"), "--scan", str(turn.folder / "scan.csv"), "--readings",
        str(still / "readings.csv"), "--format", "rtk", "--out", str(folder / "without"),
    ])  # fmt: skip
    np.save(folder / "line.npy", turn.line[:, ::-1].astype(np.float32))
    walls = [row for row in at_bore if row["normal_deg"]]
    step, half = FINE * UNIT_MM, BORE_PX[2] + 13.0
    wide, high = 2 * round(half / FINE) + 1, 2 * round(8.0 / FINE) + 1
    v = float(np.mean([float(row["v_um"]) for row in walls])) / (UNIT_MM * 1e3)
    first = [
        BORE_PX[0] * UNIT_MM - wide // 2 * step, -v * UNIT_MM - high // 2 * step, -BORE_PX[1] * UNIT_MM - wide // 2 * step
    ]  # fmt: skip
    face_u, face_w = 0.0, -45.0  # far from the bore
    tall = 2 * round(14.0 / FINE) + 1
    block = [face_u * UNIT_MM - 20 * step, -(tall // 2) * step, -face_w * UNIT_MM - 20 * step]
    jobs = [
        {"projections": str(folder / "line.npy"), "geometry": str(folder / name / "rtk_geometry.xml"), "pixel": SCANNER.pixel,
         "boxes": [[first, [step] * 3, [wide, high, wide]], [block, [step] * 3, [41, tall, 41]]],
         "out": str(folder / f"{name}.npz")} for name in ("without", "with")
    ]  # fmt: skip
    (folder / "jobs.json").write_text(json.dumps(jobs))
    asked = subprocess.run(
        [python, SIDE, folder / "jobs.json"], capture_output=True, text=True, timeout=1200, check=False
    )
    assert asked.returncode == 0, asked.stderr[-2000:]
    x = (np.arange(wide) - wide // 2) * FINE
    # outward of the dense side is into the bore: the oracle's normals point out of the circle
    normals = np.array([float(row["normal_deg"]) + 180.0 for row in walls])
    found = {}
    for job in jobs:
        boxes = np.load(str(job["out"]))
        wall = rim(np.moveaxis(boxes["box0"], 1, 0), x, x, BORE_PX[2], normals, half_wedge_deg=18.0)
        y = (np.arange(tall) - tall // 2) * FINE
        found[Path(str(job["out"])).stem] = (wall / UNIT_MM, face(boxes["box1"], -y) / UNIT_MM)
    return found


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name] or "nan") for row in rows])


def test_what_is_told_is_what_the_oracle_measures(at_bore, oracle):
    """With correction all; without, an edge is drawn double, and where its curve touches 10 % twice it may be none."""
    walls = [row for row in at_bore if row["normal_deg"]]
    assert len(walls) == 8
    for name, least, limit in (("with", 8, 0.03), ("without", 5, 0.05)):
        ours, theirs = column(walls, f"mtf10_{name}_lp_per_mm"), oracle[name][0]
        apart = np.abs(ours / theirs - 1.0)
        print(name, ours.round(), theirs.round(), apart.round(3))
        assert np.isfinite(apart).sum() >= least
        assert np.nanmedian(apart) <= limit
        assert np.count_nonzero(apart <= 2.5 * limit) >= least
        face_ours = column([row for row in at_bore if not row["normal_deg"]], f"mtf10_{name}_lp_per_mm")[0]
        print(name, face_ours, oracle[name][1])
        assert face_ours == pytest.approx(oracle[name][1], rel=2.5 * limit)


def test_the_gain_is_there_and_as_predicted(at_bore):
    ours = {name: column(at_bore, f"half_pitch_{name}_um") for name in ("without", "with", "shift")}
    said = {name: column(at_bore, f"predicted_{name}_um") for name in ("without", "with")}
    assert np.nanmedian(ours["without"] / ours["with"]) > 1.5
    assert np.nanmin(ours["without"] / ours["with"]) > 1.0
    assert np.median(np.abs(ours["with"] / said["with"] - 1.0)) < 0.05
    assert np.nanmedian(np.abs(ours["without"] / said["without"] - 1.0)) < 0.10
    assert ours["shift"] == pytest.approx(ours["with"], rel=0.08)  # a weak cone near the axis
    widths = {name: column(at_bore, f"width_10_90_{name}_um") for name in ("without", "with")}
    assert np.all(widths["without"] > widths["with"])


def test_it_finds_a_region_by_itself(python, turn):
    done, rows = run(python, turn)
    assert done.returncode == 0
    assert len(rows) >= 6
    assert "times that without" in done.stdout
    assert (turn.folder / "out" / "verify.svg").stat().st_size > 50_000


def test_a_short_scan_in_a_folder_of_tiff(python, tmp_path):
    # an edge is seen from one side alone, so only what moves meanwhile blurs it
    scan = make(tmp_path, count=240, range_deg=240.0, walking=6.0)
    done, rows = run(python, scan)
    assert done.returncode == 0
    assert "less than a whole turn" in done.stdout
    assert np.nanmedian(column(rows, "mtf10_with_lp_per_mm") / column(rows, "mtf10_without_lp_per_mm")) > 1.1
    assert np.nanmedian(column(rows, "half_pitch_with_um")) == pytest.approx(0.99, rel=0.1)  # the static budget's


def test_with_a_wrong_sign_the_answer_is_no(python, tmp_path):
    scan = make(tmp_path, size=0.5, sign=-1.0)
    done, _ = run(python, scan)
    assert done.returncode == 1
    assert "WORSE with correction than without" in done.stdout
