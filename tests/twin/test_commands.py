"""Each command on good input: what it prints and writes, by its content."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest

from tests.situations import machine
from twin import __version__, profiles
from twin.cli import main
from twin.export import formats

# Another machine than the configuration believes: two masses, a bar that conducts, a walk and noise of its own.
SCENARIO = """ctwin_scenario = 1
name = "small-truth"
step_s = 5.0
settle_h = 6.0
lead_h = 0.5
[room]
daily_k = 0.4
[[mass]]
name = "tube"
time_constant_min = 25.0
kelvin_per_watt = 4.0
[[bar]]
name = "arm"
body = "source"
direction = [0.0, 1.0, 0.0]
length_mm = 60.0
expansion_per_k = 21e-6
diffusivity_m2_per_s = 9e-5
cells = 12
foot = { to = "tube" }
side = { to = "room", film_min = 90.0 }
[tube]
on_at_start = false
[[tube.event]]
time_h = -0.1
[drift.source]
random_walk_um_per_sqrt_h = [0.3, 0.3, 0.3]
[[marker]]
name = "ball"
[[instrument]]
channel = "t_tube"
reads = "tube"
period_s = 20.0
[[instrument]]
channel = "i0"
noise = 4.0
"""
LONGER = (("projections = 10", "projections = 120"), ("duration_h = 0.2", "duration_h = 2.0"))
SEED = "11"


def run(capsys: Any, *arguments: object, code: int = 0) -> str:
    """What the command prints; it must end with ``code`` and have nothing to complain about."""
    capsys.readouterr()
    ended = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert (ended, err) == (code, "")
    return str(out)


def rows(path: Path) -> list[dict[str, str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def column(table: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in table])


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    """Folder of a machine and of a simulated run of it."""
    folder = tmp_path_factory.mktemp("simulated")
    config = machine(folder, *LONGER)
    (folder / "truth.toml").write_text(SCENARIO, encoding="utf-8")
    given = ("--scenario", folder / "truth.toml", "--seed", SEED, "--no-projections", "--out", folder / "run")
    assert main(["simulate", str(config), *map(str, given)]) == 0
    return folder


def test_version_and_help(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"ctwin {__version__}\n")
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    words = capsys.readouterr().out
    assert end.value.code == 0
    for command in (
        "systems",
        "init",
        "check",
        "plan",
        "demo",
        "run",
        "replay",
        "simulate",
        "correct",
        "alerts",
        "dashboards",
        "spool",
    ):
        assert re.search(rf"^    {command}\s", words, re.MULTILINE), command


def test_systems(capsys):
    lines = run(capsys, "systems").splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == list(profiles.names())
    fxe = next(line for line in lines if "fxe160" in line)
    assert "84.74" in fxe  # 42.99 mm / 0.5073 mm
    assert "590 nm" in fxe  # 50 um / 84.74
    assert "1600 projections in 11 h" in fxe


@pytest.mark.parametrize("name", profiles.names())
def test_init_then_check(capsys, tmp_path, name):
    mine = tmp_path / "mine.toml"
    assert run(capsys, "init", name, "--out", mine) == f"{mine} written; next: ctwin check {mine}\n"
    assert mine.read_text(encoding="utf-8") == profiles.text(name)
    out = run(capsys, "check", mine)
    assert out.startswith(f"{name}: M ")
    assert "reaches the scan's" in out
    mine.write_text("changed", encoding="utf-8")
    run(capsys, "init", name, "--out", mine, "--force")
    assert mine.read_text(encoding="utf-8") == profiles.text(name)


def test_init_without_out_writes_here(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(capsys, "init", "xrm2-nanoct")
    assert [path.name for path in tmp_path.iterdir()] == ["xrm2-nanoct.toml"]


def test_check_for_programs(capsys, tmp_path):
    config = machine(tmp_path, ("sigma = 0.2", "sigma = 0.01"))
    found = json.loads(run(capsys, "check", config, "--json"))
    assert all(math.isfinite(number) for number in numbers(found))
    assert found["system"] == "small-ct"
    assert found["channels"] == ["t_tube", "ball_v", "i0"]
    # a spot of 1.5 um FWHM casts (M-1)/M of its sigma into the object plane, a pixel of 50 um its M-th part; M = 20
    assert found["budget_nm"]["spot"] == pytest.approx(1500 / math.sqrt(8 * math.log(2)) * 19 / 20)
    assert found["budget_nm"]["aperture"] == pytest.approx(50000 / 20)
    before, after = found["sigma_without_readings"], found["sigma_with_readings"]
    assert set(before) == set(after) >= {"source.v", "shift.v", "flux"}
    assert all(after[name] <= before[name] * (1 + 1e-9) for name in before)
    assert after["shift.v"] < 0.3 * before["shift.v"]  # the ball sees v
    assert after["shift.u"] == pytest.approx(before["shift.u"])  # and nothing sees u
    assert "source.u" in found["hidden"]
    assert "source.v" not in found["hidden"]
    assert found["reachable"] is True
    assert len(found["digest"]) == 16
    half_pitch = found["half_pitch10_um"]
    assert half_pitch <= found["corrected_um"]["expected"] <= found["uncorrected_um"]["expected"]
    assert found["gain"] == pytest.approx(found["uncorrected_um"]["expected"] / found["corrected_um"]["expected"])
    assert {"source.u", "source.w"} <= {name for d in found["directions"] if not d["seen"] for name in d["weights"]}
    assert {one["sensor"] for one in found["one_more"]} == {
        "a thermometer on ambient",
        "a second sphere at 24 mm from the source",
    }


def test_check_draws_a_picture(capsys, tmp_path):
    config, picture = machine(tmp_path), tmp_path / "known.svg"
    assert f"  {picture}\n" in run(capsys, "check", config, "--picture", picture)
    assert picture.read_text(encoding="utf-8").startswith("<svg")


def test_check_says_no_with_code_1(capsys, tmp_path):
    config = machine(tmp_path, ("resolution_limit_um = 3.0", "resolution_limit_um = 1.0"))
    assert "does NOT reach the scan's 1 um" in run(capsys, "check", config, code=1)
    assert json.loads(run(capsys, "check", config, "--json", code=1))["reachable"] is False


def test_a_byte_order_mark_is_no_fault(capsys, tmp_path):
    config = machine(tmp_path)
    plain = run(capsys, "check", config, "--json")
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    assert run(capsys, "check", config, "--json") == plain


def test_simulate(capsys, simulated, tmp_path):
    scan, truth, readings = (rows(simulated / "run" / f"{name}.csv") for name in ("scan", "truth", "readings"))
    assert sorted(path.name for path in (simulated / "run").iterdir()) == ["readings.csv", "scan.csv", "truth.csv"]
    assert len(truth) == 120 == sum(row["kind"] == "projection" for row in scan)
    assert {row["channel"] for row in readings} == {"t_tube", "ball_v", "i0"}
    assert {row["quality"] for row in readings} == {"simulated"}
    # 2 h and the lead-in of half an hour, every 20 s
    assert sum(row["channel"] == "t_tube" for row in readings) == pytest.approx(2.5 * 180, abs=3)
    assert np.ptp(column(truth, "shift_v_px")) > 0.5
    given = ("simulate", simulated / "good.toml", "--scenario", simulated / "truth.toml", "--no-projections")
    out = run(capsys, *given, "--seed", SEED, "--out", tmp_path / "same")
    assert out.startswith(f"{len(readings)} readings, 120 projections over 2 h\n")
    for name in ("readings.csv", "scan.csv", "truth.csv"):
        assert (tmp_path / "same" / name).read_bytes() == (simulated / "run" / name).read_bytes()
    run(capsys, *given, "--seed", "12", "--out", tmp_path / "other")
    assert (tmp_path / "other" / "readings.csv").read_bytes() != (simulated / "run" / "readings.csv").read_bytes()


def test_simulate_projections(capsys, simulated, tmp_path):
    config = machine(tmp_path)
    out = run(
        capsys, "simulate", config, "--scenario", simulated / "truth.toml", "--seed", "1", "--out", tmp_path / "run"
    )
    assert str(tmp_path / "run" / "projections.h5") in out
    with h5py.File(tmp_path / "run" / "projections.h5") as file:
        detector = file["entry/instrument/detector"]
        assert int((detector["image_key"][()] == 0).sum()) == 10
        assert detector["data"].shape[0] == detector["image_key"].shape[0]
        assert detector["data"][()].max() > 0


def test_replay(capsys, simulated, tmp_path):
    out = run(
        capsys, "replay", simulated / "good.toml", "--readings", simulated / "run" / "readings.csv",
        "--scan", simulated / "run" / "scan.csv", "--withhold", "ball_v", "--out", tmp_path,
    )  # fmt: skip
    count, steps = map(int, re.match(r"(\d+) readings, (\d+) steps of 10 s", out).groups())
    assert count == len(rows(simulated / "run" / "readings.csv"))
    assert steps == pytest.approx(2.5 * 360, abs=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alerts.jsonl", "estimates.csv", "resolution.csv"]
    estimates = rows(tmp_path / "estimates.csv")
    times = column(estimates, "time") if re.match(r"[\d.]+$", estimates[0]["time"]) else [r["time"] for r in estimates]
    assert list(times) == sorted(set(times))
    assert all(
        math.isfinite(float(value)) for row in estimates for key, value in row.items() if key != "time" and value
    )
    assert rows(tmp_path / "resolution.csv")
    for line in (tmp_path / "alerts.jsonl").read_text(encoding="utf-8").splitlines():
        json.loads(line)
    scored = dict(re.findall(r"^    (\S.*?)  +(.*)$", out, re.MULTILINE))
    withheld = sum(row["channel"] == "ball_v" for row in rows(simulated / "run" / "readings.csv")) // 2
    assert int(scored["readings scored"]) == withheld
    # withheld readings scatter by their own noise of 0.2 px about the estimate, and the band knows it
    assert 0.15 < float(scored["rms error"].split()[0]) < 0.3
    assert float(scored["inside the 95 % band"].split()[0]) > 85


def test_correct_in_every_format(capsys, simulated, tmp_path):
    out = run(
        capsys, "correct", simulated / "good.toml", "--readings", simulated / "run" / "readings.csv",
        "--scan", simulated / "run" / "scan.csv", "--format", "all", "--out", tmp_path / "all",
    )  # fmt: skip
    assert "120 projections from" in out
    written = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert {"corrections.csv", "corrections.svg", "markers.csv", "nabu_translations.txt", "rtk_geometry.xml"} < set(
        written
    )
    assert len(written) == len(formats()) + 3
    assert all(str(tmp_path / "all" / name) in out for name in written)
    ours, truth = rows(tmp_path / "all" / "corrections.csv"), rows(simulated / "run" / "truth.csv")
    assert len(ours) == 120
    assert [row["projection"] for row in ours] == [row["projection"] for row in truth]
    moved = column(truth, "shift_v_px") - column(truth, "shift_v_px").mean()
    left = column(ours, "shift_v_px") - column(truth, "shift_v_px")
    left -= left.mean()
    assert np.sqrt(np.mean(left**2)) < 0.1  # the ball's noise is 0.2 px per projection
    assert np.sqrt(np.mean(left**2)) < 0.5 * np.sqrt(np.mean(moved**2))
    held = np.abs(column(ours, "shift_v_px") - column(truth, "shift_v_px")) <= 1.96 * column(ours, "shift_v_px_std")
    assert held.mean() > 0.8
    nabu = np.loadtxt(tmp_path / "all" / "nabu_translations.txt")
    assert nabu.shape == (120, 2)
    # nabu is told where the content went in (x, y); u and v are those axes, from the first projection on
    assert np.ptp(nabu[:, 1]) == pytest.approx(np.ptp(column(ours, "shift_v_px")), abs=1e-3)
    rtk = ElementTree.parse(tmp_path / "all" / "rtk_geometry.xml").getroot()
    assert len(rtk.findall("Projection")) == 120
    assert ElementTree.parse(tmp_path / "all" / "corrections.svg").getroot().tag.endswith("svg")


def test_correct_writes_what_is_asked_for(capsys, simulated, tmp_path):
    given = ("--readings", simulated / "run" / "readings.csv", "--scan", simulated / "run" / "scan.csv")
    run(capsys, "correct", simulated / "good.toml", *given, "--out", tmp_path)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["corrections.csv", "corrections.svg", "edges.csv", "markers.csv"]
    edges = rows(tmp_path / "edges.csv")
    assert len(edges) == 3 * 8 + 1  # radii, normals, and the face
    assert all(float(e["promised_um"]) <= float(e["corrected_um"]) <= 1.01 * float(e["uncorrected_um"]) for e in edges)
    # where the ball was seen, each within its noise of 0.2 px of where the smoothed model has it
    estimated = {(row["time"], row["channel"]): float(row["value"]) for row in rows(tmp_path / "markers.csv")}
    measured = [row for row in rows(simulated / "run" / "readings.csv") if (row["time"], row["channel"]) in estimated]
    left = [float(row["value"]) - estimated[row["time"], row["channel"]] for row in measured]
    assert len(left) == 120
    assert 0.15 < np.sqrt(np.mean(np.square(left))) < 0.25
    first = (tmp_path / "corrections.csv").read_bytes()
    (tmp_path / "corrections.csv").write_text("of an earlier run")
    run(capsys, "correct", simulated / "good.toml", *given, "--out", tmp_path, "--format", "table", "table")
    assert (tmp_path / "corrections.csv").read_bytes() == first


def test_run_then_correct_from_the_store(capsys, simulated, tmp_path):
    """The store's history gives the corrections that the readings themselves give."""
    config = machine(tmp_path, *LONGER)
    (tmp_path / "readings.csv").write_bytes((simulated / "run" / "readings.csv").read_bytes())
    scan = simulated / "run" / "scan.csv"
    assert "small-ct: watching" in run(capsys, "run", config, "--once", "--no-page", "--scan", scan)
    run(capsys, "correct", config, "--scan", scan, "--out", tmp_path / "store")
    run(capsys, "correct", config, "--scan", scan, "--readings", tmp_path / "readings.csv", "--out", tmp_path / "file")
    stored, direct = rows(tmp_path / "store" / "corrections.csv"), rows(tmp_path / "file" / "corrections.csv")
    assert stored == direct
    assert run(capsys, "alerts", "list", config) == "no alerts stand\n"
    assert json.loads(run(capsys, "alerts", "list", config, "--json")) == []


def test_dashboards_export(capsys, tmp_path):
    out = run(
        capsys, "dashboards", "export", "--out", tmp_path, "--influx-url", "http://db.example:8086", "--database", "lab"
    )
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["grafana/system.json", "provisioning/dashboards/ctwin.yml", "provisioning/datasources/ctwin.yml"]
    assert [line.strip() for line in out.splitlines()] == [str(tmp_path / name) for name in written]
    assert json.loads((tmp_path / written[0]).read_text(encoding="utf-8"))["panels"]
    source = (tmp_path / written[2]).read_text(encoding="utf-8")
    assert "http://db.example:8086" in source
    assert "lab" in source


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        yield from (number for inner in value for number in numbers(inner))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
