"""Scenario files: what is shipped loads, what is wrong is said with file, key and mend."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from twin.config import ConfigError, load
from twin.simulate.machine import simulate
from twin.simulate.scenario import Scenario, load_scenario, shipped_names, shipped_scenario

PACKAGE = Path(__file__).resolve().parents[3] / "twin" / "simulate"


@pytest.mark.parametrize("name", ["xrm2-nanoct", "fxe160-submicron"])
def test_shipped_scenarios_bear_the_names_of_profiles(name: str) -> None:
    made = shipped_scenario(name)
    assert isinstance(made, Scenario)
    assert made.name == name
    assert name in shipped_names()
    assert made.bars
    assert made.jumps


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "s.toml"
    path.write_text('ctwin_scenario = 1\nname = "s"\n' + text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_scenario(path)
    return [line.removeprefix(f"{path}: ") for line in caught.value.problems]


BAR = (
    '[[bar]]\nname = "b"\nbody = "source"\ndirection = [0, 1, 0]\nlength_mm = 50\n'
    "expansion_per_k = 2e-5\ndiffusivity_m2_per_s = 1e-5\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("leed_h = 3\n", "leed_h: unknown key; did you mean 'lead_h'?"),
        ("[room]\nmean_c = 3\n", "room.mean_c: unknown key; did you mean 'mean_degc'?"),
        ("[[room.door]]\ntime_h = 3\n", "room.door[1].depth_k: missing; add it"),
        ("lead_h = -1\n", "lead_h: must be at least 0 (given: -1)"),
        (BAR, "bar[b]: a bar needs at least one of foot, head and side, or it has no temperature"),
        (BAR + "foot = { to = 'rom' }\n", "bar[b].foot.to: 'rom' is not defined; known: room"),
        (BAR + "foot = { too = 'room' }\n", "bar[b].foot.too: unknown key; did you mean 'to'?"),
        (
            BAR.replace('"source"', '"sorce"') + "foot = { to = 'room' }\n",
            "bar[b].body: must be source, object, detector or marker:NAME",
        ),
        (
            "[[mass]]\nname = 'a'\nfollows = 'b'\ntime_constant_min = 3\n",
            "mass[a].follows: 'b' is not defined before it; known: room",
        ),
        (2 * "[[instrument]]\nchannel = 't'\n", "instrument 't': given 2 times; names must differ"),
        ("[[instrument]]\nchannel = 't'\nloss = 2\n", "instrument[t].loss: must be at most 1"),
        ("[[instrument]]\nchannel = 't'\nreads = 'air'\n", "instrument[t].reads: 'air' is not defined; known: room"),
        ("[drift.marker]\n", "drift.marker: must be source, object, detector or marker:NAME"),
    ],
)
def test_a_fault_is_one_line_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert any(line.startswith(expected) for line in found), found
    assert all("\n" not in line for line in found)


def test_all_faults_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "leed_h = 3\nstep_s = 0\n[flux]\nlevel = 3\n")) == 3


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; shipped scenarios: fxe160-submicron, xrm2-nanoct"):
        load_scenario(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("ctwin_scenario = ", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_scenario(broken)
    broken.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_scenario(broken)
    with pytest.raises(ConfigError, match="scenario 'xrm3': not shipped"):
        shipped_scenario("xrm3")


def test_the_simulator_has_physics_of_its_own() -> None:
    allowed = {"sensors.reading", "sensors.channel", "twin.config", "twin.sections", "twin.atomic", "twin.faults"}
    files = sorted(PACKAGE.glob("*.py"))
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in ("models", "alerts", "dashboards", "importlib"), f"{file.name}: {name}"
                if name.split(".")[0] in ("twin", "sensors"):
                    assert name in allowed or name.startswith("twin.simulate."), f"{file.name}: {name}"


@pytest.mark.parametrize("name", ["xrm2-nanoct", "fxe160-submicron"])
def test_a_shipped_scenario_plays_with_the_profile_of_its_name(name: str) -> None:
    config = load(PACKAGE.parent / "profiles" / f"{name}.toml")
    run = simulate(config, shipped_scenario(name), seed=1)
    assert set(run.record.channel.tolist()) == set(range(len(config.channels)))
    assert len(run.truth.time) == config.scan.projections


def test_the_scenario_of_the_one_wire_is_its_failure() -> None:
    """Spot and wire mount move by about 0.6 µm rms each, uncorrelated enough that the wire says little of the spot."""
    config = load(PACKAGE.parent / "profiles" / "fxe160-submicron.toml")
    run = simulate(config, shipped_scenario("fxe160-submicron"), seed=1)
    spot, mount = (run.parts[body].total * 1e6 for body in ("source", "marker:wire"))
    for moved in (spot, mount):
        across = moved[:, :2] - moved[:, :2].mean(axis=0)
        assert np.sqrt((across**2).sum(axis=1).mean()) == pytest.approx(0.6, abs=0.12)
    # mostly along v, where an upright wire sees nothing
    assert spot[:, 1].std() > 2.5 * spot[:, 0].std()
