"""Drift that SkyScan measured on two real scans: forecast of the second half, corrections of the whole."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.optimize import least_squares

from sensors.vendor.bruker import read_shifts
from tests.real_data import ROOT, data_file
from twin.assembly import assemble
from twin.cli import main
from twin.config import load
from twin.correct import correct
from twin.export import read_corrections
from twin.recorded import read_record
from twin.scan import read_scan
from twin.scoring import score

SCANS = {"Control01": "skyscan-1172", "Swimmer01": "skyscan-1272"}


def case(name):
    config = load(ROOT / "examples" / f"{SCANS[name]}.toml")
    log = data_file(f"bruker/{name}/proj/{name}.log")
    return config, log, [r for batch in read_record(config, [log]) for r in batch]


def forecast(name, channel):
    """Score of the second half's nodes, forecast from the first half's (both axes withheld), and the nodes."""
    config, _, readings = case(name)
    nodes = [r for r in readings if r.channel == channel]
    half = nodes[(len(nodes) + 1) // 2 - 1].time
    known = [r for r in readings if r.time <= half or r.channel == channel]
    return score(assemble(config), known, channel, lambda _, r: r.time > half), nodes


def exponential(nodes):
    """Peer: one exponential with offset, fitted to the first half's nodes with scipy."""
    half = (len(nodes) + 1) // 2
    t = np.array([r.time - nodes[0].time for r in nodes]) / 3600.0
    y = np.array([r.value for r in nodes])
    fits = [
        least_squares(
            lambda p: p[0] + p[1] * np.exp(-t[:half] / np.exp(p[2])) - y[:half],
            [y[half - 1], y[0] - y[half - 1], start],
            bounds=([-100, -100, np.log(0.05)], [100, 100, np.log(100)]),
        )
        for start in np.log([0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 30.0])
    ]
    best = min(fits, key=lambda f: f.cost).x
    return best[0] + best[1] * np.exp(-t[half:] / np.exp(best[2])) - y[half:]


@pytest.mark.parametrize(("name", "count", "every"), [("Control01", 25, 160), ("Swimmer01", 38, 100)])
def test_only_nodes_are_readings(name, count, every):
    _, log, readings = case(name)
    nodes = [r for r in readings if r.channel == "ts_v"]
    assert len(nodes) == count
    scan = read_scan(log).only("projection")
    index = np.searchsorted(scan.time, [r.time for r in nodes])
    assert np.all(np.diff(index) == every)
    assert all(r.value == round(r.value) for r in readings)
    assert {round(r.sigma, 6) for r in readings} == {round(12**-0.5, 6)}


def test_second_half_is_forecast_at_least_as_well_as_by_the_better_peer():
    errors, hold, fitted = [], [], []
    for name in SCANS:
        result, nodes = forecast(name, "ts_v")
        half = (len(nodes) + 1) // 2
        assert len(result.time) == len(nodes) - half
        assert result.inside >= 0.9
        assert result.half_width <= 4.0
        errors.append(result.error)
        hold.append(nodes[half - 1].value - np.array([r.value for r in nodes[half:]]))
        fitted.append(exponential(nodes))

    def pooled(parts):
        return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))

    assert pooled(hold) == pytest.approx(1.85, abs=0.1)  # the peers are who the issue says they are: 1.39 and 2.10 …
    assert pooled(fitted) == pytest.approx(1.64, abs=0.1)  # … 0.98 and 1.95
    assert pooled(errors) <= min(pooled(hold), pooled(fitted))


@pytest.mark.parametrize("name", list(SCANS))
def test_horizontal_forecast_keeps_its_band(name):
    result, _ = forecast(name, "ts_u")
    assert result.inside >= 0.9
    assert result.half_width <= 4.0


@pytest.mark.parametrize("name", list(SCANS))
def test_corrections_agree_with_the_vendors_curve(name):
    config, log, readings = case(name)
    found = correct(assemble(config), [readings], read_scan(log)).correction
    curve = read_shifts(log.with_name(f"{name}_TS.csv")).shift_px
    # the log holds shifts to apply; the content moved the other way (examples/skyscan-*.toml)
    apart = found.shift_px + (curve - curve[0])
    apart -= apart.mean(axis=0)
    assert (
        np.abs(apart).max() <= 0.75
    )  # the curve joins whole pixels by lines: each node within 0.5 px, and noise of σ 0.3
    assert np.sqrt(np.mean(apart**2)) <= 12**-0.5
    inside = np.abs(apart) <= 1.96 * np.sqrt(found.shift_px_std**2 + 1.0 / 12.0)
    assert inside.mean() >= 0.95


def test_files_have_as_many_rows_as_projections(tmp_path, capsys):
    _, log, _ = case("Control01")
    code = main(
        [
            "correct",
            str(ROOT / "examples/skyscan-1172.toml"),
            "--scan",
            str(log),
            "--readings",
            str(log),
            "--format",
            "all",
            "--out",
            str(tmp_path),
        ]
    )
    assert code == 0
    assert "3978 projections" in capsys.readouterr().out
    assert len(read_corrections(tmp_path / "corrections.csv")) == 3978
    assert np.loadtxt(tmp_path / "nabu_translations.txt").shape == (3978, 2)
    assert len(ElementTree.parse(tmp_path / "rtk_geometry.xml").findall("Projection")) == 3978
