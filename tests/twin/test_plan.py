"""Before a scan: probabilities, waiting times, cadence; against independent draws and against arithmetic."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from models.blur import f10
from tests.oracles.prior_machine import course
from twin import cadence, plan
from twin.budget import budget_of
from twin.cadence import Cadence, allowed_blur_m, cadences
from twin.cli import main
from twin.config import Config, load
from twin.core import Twin
from twin.history import History
from twin.plan import chance_of, plan_scan, stability
from twin.plan_words import cadence_words
from twin.profiles import load_profile
from twin.schedule import schedule, stood

GOOD = Path(__file__).resolve().parents[1] / "cases" / "good" / "good.toml"


@pytest.fixture
def few(monkeypatch):
    """Few courses: these tests ask what is done with them."""
    monkeypatch.setattr(plan, "SMOOTHED", 6)
    monkeypatch.setattr(plan, "DRAWN", 12)
    monkeypatch.setattr(plan, "WAITS_H", (0.0, 2.0))
    monkeypatch.setattr(cadence, "COURSES", 3)


def small(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = GOOD.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


def standing(config: Config) -> Twin:
    """A twin that watches a machine in balance with its room."""
    twin, belief = Twin(config), stood(schedule(config).machine.model)
    twin._filter.plain.mean[:], twin._filter.plain.cov[:] = belief.mean, belief.cov
    twin.belief, twin.time = twin._filter.belief(), 1.7e9
    return twin


def test_go_and_no_go(capsys, tmp_path, few):
    assert main(["plan", str(small(tmp_path))]) == 0
    assert capsys.readouterr().out.startswith("GO: a scan of 0.2 h begun 0 h after switching on keeps 3 um with 100 %")
    assert main(["plan", str(small(tmp_path)), "--limit", "1.5", "--wait", "1"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("NO-GO: a scan of 0.2 h begun 1 h after")
    assert "not within these" in out
    assert "nothing: the budget alone (1.54 um) misses 1.5 um" in out


def test_plan_for_programs(capsys, tmp_path, few):
    assert main(["plan", str(small(tmp_path)), "--json", "--duration", "1", "--confidence", "0.5"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert (found["duration_h"], found["confidence"], found["since"]) == (1.0, 0.5, "cold")
    assert [c["wait_h"] for c in found["chances"]] == [0.0, 2.0]
    assert all(0 <= c[k] <= 1 for c in found["chances"] for k in ("uncorrected", "corrected"))
    assert {c["what"] for c in found["cadences"]} == {"marker readings", "reference images", "bright images"}
    terms = {b["term"]: b["sigma_nm"] for b in found["budget"]}
    assert terms["spot"] == pytest.approx(1500 / math.sqrt(8 * math.log(2)) * 19 / 20)
    assert terms["drift with correction"] <= terms["drift without correction"]


def test_a_running_machine_is_planned_from_its_state(capsys, tmp_path, few):
    path = small(tmp_path)
    twin = standing(load(path))
    _keep(tmp_path, twin)
    assert main(["plan", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["since"] == 1.7e9
    assert main(["plan", str(path)]) == 0
    assert "after now (2023-11-14T22:13:20.000Z)" in capsys.readouterr().out
    assert main(["plan", str(path), "--json", "--cold"]) == 0
    assert json.loads(capsys.readouterr().out)["since"] == "cold"


def test_a_state_of_another_model_is_refused(capsys, tmp_path, few):
    path = small(tmp_path)
    twin = Twin(load(path))
    twin.time = 1.7e9
    _keep(tmp_path, twin)
    other = small(tmp_path, ("length_mm = 60.0", "length_mm = 61.0"))
    assert main(["plan", str(other)]) == 2
    assert "or plan from a cold start with --cold" in capsys.readouterr().err


def test_a_running_scan_is_asked_until_when(capsys, tmp_path):
    path = small(tmp_path, ("duration_h = 0.2", "duration_h = 4.0"))
    twin = standing(load(path))
    _keep(tmp_path, twin)
    assert main(["plan", str(path), "--running"]) == 2
    assert "no scan is running" in capsys.readouterr().err
    twin.begin_scan(1.7e9)
    _keep(tmp_path, twin)
    assert main(["plan", str(path), "--running", "--limit", "3", "--json"]) == 0
    good = json.loads(capsys.readouterr().out)
    assert good["ends_s"] == 1.7e9 + 4 * 3600
    assert good["keeps"]["corrected"] > 0.95
    assert good["stop_s"]["corrected"] == good["ends_s"]
    # the drift is a walk of 0.5 um/sqrt(h): the tighter the limit, the earlier it is left
    main(["plan", str(path), "--running", "--limit", "1.6", "--json"])
    tight = json.loads(capsys.readouterr().out)
    assert tight["keeps"]["uncorrected"] < good["keeps"]["uncorrected"]
    assert 1.7e9 < tight["stop_s"]["uncorrected"] < good["ends_s"]
    main(["plan", str(path), "--running", "--limit", "1.6"])
    assert "keeps it with 95 % until" in capsys.readouterr().out


def _keep(folder: Path, twin: Twin) -> None:
    history = History(folder / "state")
    with history.transaction():
        history.save_snapshot(twin.time, 0, {"twin": twin.snapshot()})
    history.close()


def test_stability_is_what_the_limit_leaves():
    config = load_profile("fxe160-submicron")
    allowed = stability(config)
    at_limit = f10(budget_of(config), (allowed.blur_um * 1e-6) ** 2)
    assert 0.5e6 / at_limit == pytest.approx(1.2, rel=1e-6)
    assert allowed.linear_um == pytest.approx(allowed.blur_um * math.sqrt(12))
    # aluminium of 60 mm: 1.38 um/K along a direction of length 1.02
    source = next(k for body, node, k in allowed.kelvin if (body, node) == ("source", "tube_head"))
    assert source == pytest.approx(allowed.linear_um / (1.38 * math.hypot(0.2, 1.0)))


def test_the_walk_that_is_allowed_blurs_as_much_as_the_drift_that_is():
    config = load_profile("fxe160-submicron")
    allowed, hours = stability(config), config.scan.duration_h
    steps = np.random.default_rng(4).standard_normal((4000, 300)) * allowed.walk_um_per_sqrt_h * np.sqrt(hours / 300)
    blur = np.sqrt(np.cumsum(steps, axis=1).var(axis=1).mean())
    assert blur == pytest.approx(allowed.blur_um, rel=0.05)


def test_cadence_of_a_walk_is_what_bridges_leave(monkeypatch):
    """Between exact readings every T a walk q leaves σ² = q² T/6: reference images are asked for just often enough."""
    monkeypatch.setattr(cadence, "REFERENCE_PX", 1e-3)
    monkeypatch.setattr(cadence, "COURSES", 24)
    config = load(GOOD)
    quiet = config.model_copy(
        update={
            "elements": (),
            "channels": tuple(c for c in config.channels if c.quantity == "flux"),
            "scan": config.scan.model_copy(update={"duration_h": 12.0}),
        }
    )
    budget = budget_of(quiet)
    allowed = allowed_blur_m(budget, 0.95 * f10(budget)) * 1e6
    longest_s = 6.0 * (allowed / 0.5) ** 2 * 3600.0  # q = 0.5 um/sqrt(h)
    found = next(c for c in cadences(quiet, 0.0) if c.what == "reference images")
    tried = [m * 60.0 for m in cadence.TRIED_MIN]
    assert found.every_s == max(t for t in tried if t <= longest_s * 1.1)
    assert found.left_um <= found.allowed_um == pytest.approx(allowed)


def test_cadence_in_words():
    assert cadence_words(Cadence("reference images", math.inf, 0.1, 0.2)).startswith(
        "reference images: none are needed"
    )
    assert "not even one per projection" in cadence_words(Cadence("marker readings", 0.0, 0.3, 0.2))
    assert "every 90 min; by then the flux" in cadence_words(Cadence("bright images", 5400.0, 0.01, 0.01))
    assert "once; the flux changes by 0.5 %" in cadence_words(Cadence("bright images", math.inf, 0.005, 0.01))


def test_a_plan_holds_the_wait_that_was_asked_for(few):
    found = plan_scan(load(GOOD), wait_h=1.5)
    assert [c.wait_h for c in found.chances] == [0.0, 1.5, 2.0]
    assert found.chance.wait_h == 1.5


def warming() -> Config:
    """A tube that warms up by some µm, on an otherwise quiet machine: waiting is what helps."""
    config = load_profile("fxe160-submicron")
    source = config.drift.source.model_copy(
        update={
            "warmup_um": (0.0, 4.0, 0.0),
            "warmup_min": (20.0, 200.0),
            "steps_per_day": 0.0,
            "step_um": (0.0, 0.0, 0.0),
        }
    )
    nodes = tuple(n.model_copy(update={"random_walk_k_per_sqrt_h": 0.2}) for n in config.nodes)
    return config.model_copy(update={"drift": config.drift.model_copy(update={"source": source}), "nodes": nodes})


def drawn_probability(config: Config, wait_h: float, runs: int) -> float:
    """Independent: machines drawn from the configuration; does the contrast along the axis at the limit's frequency hold?"""
    g, scan = config.geometry, config.scan
    m = g.source_detector_mm / g.source_object_mm
    voxel = g.pixel_um / m
    spot = 0.9 / 1.823 / 2.3548 * (m - 1) / m
    wobble = math.hypot(15e-6 * 20e3, 0.05) / math.sqrt(3.0)
    sigma = math.sqrt(spot**2 + (config.detector.psf_sigma_px * voxel) ** 2 + wobble**2)
    f = 0.5 / scan.resolution_limit_um
    static = math.exp(-2 * (math.pi * sigma * f) ** 2) * abs(np.sinc(f * voxel))
    begin = wait_h * 3600.0
    times = begin + np.linspace(0.0, scan.duration_h * 3600.0, 100)
    kept = 0
    for k in range(runs):
        true = course(config, wait_h + scan.duration_h, np.random.default_rng([9, k]))
        source, thing = (1e6 * true.at(times, true.moved[b])[:, 1] for b in ("source", "object"))
        content = thing - source * (m - 1) / m
        kept += static * abs(np.exp(2j * math.pi * f * content).mean()) >= 0.1
    return kept / runs


@pytest.mark.slow
def test_waiting_helps_as_much_as_independent_draws_say():
    config = warming()
    ours = [chance_of(config, wait).uncorrected for wait in (0.0, 3.0, 8.0)]
    theirs = [drawn_probability(config, wait, 250) for wait in (0.0, 3.0, 8.0)]
    assert theirs[2] > theirs[0] + 0.3  # the question has an answer
    np.testing.assert_allclose(ours, theirs, atol=0.1)  # 3 σ of the difference of two such counts


def test_a_belief_of_a_running_machine_is_begun_with():
    config = load(GOOD)
    start = stood(schedule(config).machine.model)
    start.mean[0] = 5.0
    assert schedule(config, start=start).prior.mean[0] == 5.0
    assert schedule(config).prior.mean[0] != 5.0
