"""``ctwin correct --apply``: from readings and images to corrected images, by their content."""

from __future__ import annotations

import csv
import json
import shutil
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from sensors.images.formats import open_series
from twin.cli import main

GOOD = Path(__file__).parents[2] / "cases" / "good"
ROWS, COLUMNS, COUNT = 40, 48, 10
V, U = np.mgrid[:ROWS, :COLUMNS].astype(float)


def view(k: int, du: float = 0.0, dv: float = 0.0) -> np.ndarray:
    """Counts at any point of the detector: a blob, fading before the edges, that is elsewhere in every projection."""
    blob = np.exp(-((U + du - 23.0 - 0.3 * k) ** 2 + (V + dv - 19.0) ** 2) / (2 * 2.2**2))
    return 20000.0 * (1.0 - 0.5 * blob)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The good machine of the cases, its ball drifting and its flux rising, with a small detector; images as TIFF."""
    monkeypatch.chdir(tmp_path)
    for name in ("readings.csv", "scan.csv"):
        shutil.copy(GOOD / name, tmp_path)
    text = (GOOD / "good.toml").read_text(encoding="utf-8")
    text = text.replace("columns = 512", f"columns = {COLUMNS}").replace("rows = 512", f"rows = {ROWS}")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    lines = (tmp_path / "readings.csv").read_text(encoding="utf-8").splitlines()
    bent, seen = [], {"ball_v": 0, "i0": 0}
    for line in lines:
        cells = line.split(",")
        for name, step in (("ball_v", 0.4), ("i0", 30.0)):
            if name in cells:
                at = cells.index(name) + 1
                cells[at] = str(float(cells[at]) + step * seen[name])
                seen[name] += 1
        bent.append(",".join(cells))
    assert min(seen.values()) > 10
    (tmp_path / "readings.csv").write_text("\n".join(bent) + "\n", encoding="utf-8")
    (tmp_path / "scan").mkdir()
    for k in range(COUNT):
        tifffile.imwrite(tmp_path / "scan" / f"p_{k:03d}.tif", view(k).astype(np.float32))
    return tmp_path


@pytest.mark.parametrize("out", ["corrected", "tables/corrected.nx"])
def test_images_are_those_of_the_table(here, capsys, out):
    """What is written is the image between the pixels, where the table says that the content has gone, over the flux."""
    words = "correct mine.toml --scan scan.csv --readings readings.csv --out tables --apply scan --apply-to"
    assert main([*words.split(), out]) == 0
    told = capsys.readouterr()
    assert f"{out}: 10 projections as counts without flats, flux and shift taken out (0 flats, 0 darks" in told.out
    assert told.err == ""
    with (here / "tables" / "corrections.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(line for line in file if not line.startswith("#")))
    flux, dv = (np.array([float(row[name]) for row in table]) for name in ("flux", "shift_v_px"))
    assert np.ptp(flux) > 0.005
    assert np.ptp(dv) > 0.5
    with closing(open_series(here / out)) as series:
        for k in range(COUNT):
            between = view(k, dv=dv[k]) / flux[k]
            np.testing.assert_allclose(series.image(k), between, rtol=2e-7)
    if out.endswith(".nx"):
        with h5py.File(here / out) as file:
            said = json.loads(file["entry/process/about"].asstr()[()])
    else:
        said = json.loads((here / out / "about.json").read_text())
    assert said["provenance"][1][1].startswith("small-ct ")
    assert said["source"] == "scan"
    assert sorted(item.name for item in here.iterdir()) == sorted(
        {"mine.toml", "readings.csv", "scan.csv", "scan", "tables", out.split("/")[0]}
    )
