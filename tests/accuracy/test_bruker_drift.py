"""Drift that SkyScan measured on two real scans: forecast of the second half, corrections of the whole."""

from __future__ import annotations

import tomllib
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.optimize import least_squares

from sensors.vendor.bruker import read_shifts
from tests.real_data import ROOT, data_file
from twin.assembly import assemble
from twin.cli import main
from twin.config import load, validate
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


def forecast(name, channel, part=0.5):
    """Score of the later nodes, forecast from the first ``part`` of them (both axes withheld), and all nodes."""
    config, _, readings = case(name)
    nodes = [r for r in readings if r.channel == channel]
    last = nodes[known_of(len(nodes), part) - 1].time
    known = [r for r in readings if r.time <= last or r.channel == channel]
    return score(assemble(config), known, channel, lambda _, r: r.time > last), nodes


def known_of(count, part):
    return int(np.ceil(count * part - 1e-9))


def hold(t, y, ahead):
    return np.full(len(ahead), y[-1])


def line(t, y, ahead):
    """Peer: a line through all known nodes."""
    return np.polyval(np.polyfit(t, y, 1), ahead)


def late_line(t, y, ahead):
    """Peer: a line through the later half of the known nodes."""
    half = len(t) // 2
    return line(t[half:], y[half:], ahead)


def exponential(t, y, ahead):
    """Peer: one exponential with offset, fitted with scipy."""
    fits = [
        least_squares(
            lambda p: p[0] + p[1] * np.exp(-t / np.exp(p[2])) - y,
            [y[-1], y[0] - y[-1], start],
            bounds=([-100, -100, np.log(0.05)], [100, 100, np.log(100)]),
        )
        for start in np.log([0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 30.0])
    ]
    best = min(fits, key=lambda f: f.cost).x
    return best[0] + best[1] * np.exp(-ahead / np.exp(best[2]))


PEERS = {"hold": hold, "line": line, "late line": late_line, "exponential": exponential}


def peer_error(peer, nodes, part=0.5):
    t = np.array([r.time - nodes[0].time for r in nodes]) / 3600.0
    y = np.array([r.value for r in nodes])
    k = known_of(len(nodes), part)
    return peer(t[:k], y[:k], t[k:]) - y[k:]


def pooled(parts):
    return float(np.sqrt(np.mean(np.concatenate(parts) ** 2)))


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


@pytest.mark.parametrize("axis", ["ts_v", "ts_u"])
def test_second_half_is_forecast_at_least_as_well_as_by_the_peers(axis):
    """Both axes. A line through the later half of the known nodes is left to the next test: see there."""
    errors, others = [], {name: [] for name in PEERS}
    for name in SCANS:
        result, nodes = forecast(name, axis)
        assert len(result.time) == len(nodes) - known_of(len(nodes), 0.5)
        assert result.inside >= 0.9
        assert result.half_width <= 4.0
        errors.append(result.error)
        for label, peer in PEERS.items():
            others[label].append(peer_error(peer, nodes))
        row = ", ".join(f"{label} {pooled(found[-1:]):.2f}" for label, found in others.items())
        print(f"{name} {axis}: ours {result.rms:.2f} px, inside {result.inside:.2f}, ± {result.half_width:.1f}; {row}")
    peers = {label: pooled(found) for label, found in others.items()}
    print(f"pooled {axis}: ours {pooled(errors):.2f};", ", ".join(f"{label} {rms:.2f}" for label, rms in peers.items()))
    if axis == "ts_v":  # the peers are who the plan says they are: 1.39 and 2.10, 0.98 and 1.95
        assert peers["hold"] == pytest.approx(1.85, abs=0.1)
        assert peers["exponential"] == pytest.approx(1.64, abs=0.1)
    assert pooled(errors) <= min(peers["hold"], peers["line"], peers["exponential"])


PARTS = (0.35, 0.5, 0.65, 0.8)


def test_forecasts_from_any_part_of_the_scan_are_the_best():
    """From a third to four fifths of the nodes, both scans, both axes.

    From the half, vertically, the line through the later half of the known nodes happens to run along what comes (0.5 px,
    ours 1.0); from other parts it is far off. No rule tells beforehand when to trust it, so all parts count together.
    """
    errors, inside, widths, others = [], [], [], {name: [] for name in PEERS}
    for name in SCANS:
        for axis in ("ts_v", "ts_u"):
            for part in PARTS:
                result, nodes = forecast(name, axis, part)
                errors.append(result.error)
                inside.append(np.abs(result.error) <= 1.96 * result.sigma)
                widths.append(result.half_width)
                for label, peer in PEERS.items():
                    others[label].append(peer_error(peer, nodes, part))
    peers = {label: pooled(found) for label, found in others.items()}
    held = float(np.mean(np.concatenate(inside)))
    print(f"all parts: ours {pooled(errors):.2f}, inside {held:.3f}, widest ± {max(widths):.1f};", peers)
    assert pooled(errors) < min(peers.values())
    assert held >= 0.93


def test_another_machine_with_the_same_prior_in_pixels():
    """The three sub-scans of 104016 (SkyScan 2214, 38 min each, nine nodes): the prior of the examples, none of it adapted.

    The first has moved 4 px in a quarter of an hour and then stands still, which nobody foresees but hold-last.
    """
    table = tomllib.loads((ROOT / "examples" / "skyscan-1272.toml").read_text(encoding="utf-8"))
    spot_um_per_px = 7.4 * 60.68906 / (272.13988 - 60.68906)
    source_object, source_detector, binned = 27.251, 313.563, 149.6
    scale = binned * source_object / (source_detector - source_object) / spot_um_per_px
    table["geometry"] |= {
        "source_object_mm": source_object, "source_detector_mm": source_detector, "pixel_um": binned
    }  # fmt: skip
    table["marker"][0]["source_marker_mm"] = source_object
    drift = table["drift"]["source"]
    for key in ("random_walk_um_per_sqrt_h", "rate_walk_um_per_h_per_sqrt_h", "warmup_um"):
        drift[key] = [scale * value for value in drift[key]]
    config = validate(table, "skyscan-2214")
    errors, inside, others = [], [], {name: [] for name in PEERS}
    for scan in ("104016~00", "104016~01", "104016~02"):
        readings = [r for b in read_record(config, [data_file(f"bruker/104016/head/proj/{scan}.log")]) for r in b]
        for axis in ("ts_v", "ts_u"):
            nodes = [r for r in readings if r.channel == axis]
            last = nodes[known_of(len(nodes), 0.5) - 1].time
            known = [r for r in readings if r.time <= last or r.channel == axis]
            result = score(assemble(config), known, axis, lambda _, r, last=last: r.time > last)
            errors.append(result.error)
            inside.append(np.abs(result.error) <= 1.96 * result.sigma)
            for label, peer in PEERS.items():
                others[label].append(peer_error(peer, nodes))
            row = ", ".join(f"{label} {pooled(found[-1:]):.2f}" for label, found in others.items())
            print(f"{scan} {axis}: ours {result.rms:.2f}, inside {result.inside:.2f}, ± {result.half_width:.1f}; {row}")
    peers = {label: pooled(found) for label, found in others.items()}
    assert pooled(errors) < min(peers["line"], peers["late line"], peers["exponential"])
    assert np.mean(np.concatenate(inside)) >= 0.9


def test_priors_are_the_machines_not_the_scans():
    """Both examples state the same drift: nothing in it was set for the one scan or the other."""
    stated = [load(ROOT / "examples" / f"{example}.toml").drift for example in SCANS.values()]
    assert stated[0] == stated[1]


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
