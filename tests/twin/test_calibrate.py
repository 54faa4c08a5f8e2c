"""ctwin calibrate on a machine simulated by steps of its equations: what it finds, says, writes and refuses."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.oracles.warm_machine import CONFIG, Truth, run, switching
from twin.calibrate import calibrate, grid_of, own_sigma_of
from twin.channels import channels_of
from twin.cli import main
from twin.config import load, validate
from twin.free import free_of
from twin.missing_evidence import missing_evidence

TRUTH = Truth(target_min=26.0, kelvin_per_watt=0.6, source=1.3, object=0.8, near_noise=0.2, room_noise=0.01)
HOURS = 6.0


@pytest.fixture(scope="module")
def log() -> str:
    rows = run(TRUTH, np.random.default_rng(2), HOURS, switching(HOURS))
    return "# ctwin readings 1\ntime,channel,value\n" + "".join(f"{t:.3f},{n},{v:.7g}\n" for t, n, v in rows)


@pytest.fixture
def place(tmp_path, monkeypatch, log):
    (tmp_path / "bench.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "readings.csv").write_text(log, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


ARGUMENTS = ["calibrate", "bench.toml", "--readings", "readings.csv", "--out", "new.toml"]


def test_the_command_writes_a_better_configuration_and_says_so(place, capsys):
    assert main([*ARGUMENTS, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = {p["name"]: p for p in told["parameters"]}
    for name, true in (
        ("node[target].time_constant_min", 26.0),
        ("node[target].kelvin_per_watt", 0.6),
        ("element[1: source by target].sensitivity", 1.3),
        ("channel[near_u].sigma", 0.2),
    ):
        assert found[name]["determined"]
        assert abs(found[name]["after"] - true) <= 3.0 * found[name]["sigma"]
    assert told["loglik_after"] > told["loglik_before"] + 100
    new, old = load(place / "new.toml"), load(place / "bench.toml")
    assert new.nodes[1].time_constant_min == pytest.approx(26.0, rel=0.05)
    assert new.elements[0].sensitivity == pytest.approx(1.3, rel=0.1)
    assert new.elements[0].sensitivity_sigma < 0.5 * old.elements[0].sensitivity_sigma
    assert new.geometry == old.geometry
    text = (place / "new.toml").read_text(encoding="utf-8")
    assert "# from the tube's manual; calibrated 20" in text
    assert "# The room is measured, the tube head too; nobody has a thermometer on the stage." in text
    assert (place / "bench.toml").read_text(encoding="utf-8") == CONFIG
    picture = ElementTree.parse(place / "new.svg").getroot()
    assert picture.tag.endswith("svg")
    assert sum(1 for line in picture.iter() if line.tag.endswith("polyline")) == 10  # five channels, before and after


@pytest.mark.slow
def test_the_table_names_what_the_record_does_not_determine(place, capsys):
    assert main(ARGUMENTS) == 0
    told = capsys.readouterr().out
    assert "95 % interval" in told
    rest = told.split("Not determined by this record:")[1]
    assert "node[stage].random_walk_k_per_sqrt_h: " in rest
    assert "next: ctwin check new.toml" in told
    # and what is calibrated can be calibrated again
    assert main(["calibrate", "new.toml", "--readings", "readings.csv", "--out", "newer.toml"]) == 0
    first, second = load(place / "new.toml"), load(place / "newer.toml")
    assert second.nodes[1].time_constant_min == pytest.approx(first.nodes[1].time_constant_min, rel=0.01)
    comments = [line.count("calibrated 20") for line in (place / "newer.toml").read_text(encoding="utf-8").splitlines()]
    assert max(comments) == 1


def readings(config, power, seed=2, hours=HOURS, channels=None):
    known = channels_of(config)
    rows = run(TRUTH, np.random.default_rng(seed), hours, power)
    return [known[n].admit(t, v) for t, n, v in rows if channels is None or n in channels]


def without_target_thermometer():
    data = tomllib.loads(CONFIG)
    data["channel"] = [c for c in data["channel"] if c["name"] != "t_target"]
    return validate(data, "bench")


@pytest.mark.slow
@pytest.mark.parametrize("switched", [False, True])
def test_heating_needs_a_record_in_which_the_tube_is_switched(switched):
    config = without_target_thermometer()
    channels = {c.name for c in config.channels}
    power = switching(HOURS) if switched else [(0.0, True)]
    done = calibrate(config, readings(config, power, channels=channels))
    free, found = next(
        (f, r) for f, r in zip(done.free, done.result.found, strict=True) if f.name == "node[target].kelvin_per_watt"
    )
    if switched:
        # without a thermometer on the target only the product with the sensitivity is seen: known to 30 % at best
        assert found.narrowed < 0.5
    else:
        assert not found.determined
        assert "the tube is switched" in missing_evidence(free, found, done)
        assert done.after.nodes[1].kelvin_per_watt == config.nodes[1].kelvin_per_watt


def test_one_marker_alone_separates_nothing():
    """Both elements on one unmeasured node and one marker: their sensitivities are known only together."""
    data = tomllib.loads(CONFIG)
    data["channel"] = [c for c in data["channel"] if c["name"] in ("t_room", "t_target", "sample_v", "kv", "ua")]
    data["element"][1]["node"] = "target"
    config = validate(data, "bench")
    done = calibrate(config, readings(config, switching(HOURS), channels={c.name for c in config.channels}))
    found = {r.parameter.name: r for r in done.result.found}
    source, other = (found[f"element[{k}].sensitivity"] for k in ("1: source by target", "2: object by target"))
    assert not source.determined
    assert not other.determined
    assert source.partners == (other.parameter.name,)
    assert other.partners == (source.parameter.name,)


def test_readings_with_their_own_sigma_keep_it():
    config = validate(tomllib.loads(CONFIG), "bench")
    known = channels_of(config)
    rows = run(TRUTH, np.random.default_rng(3), 2.0, switching(2.0))
    own = own_sigma_of(config, [known[n].admit(t, v, 0.3 if n == "near_u" else float("nan")) for t, n, v in rows])
    assert own == ("near_u",)
    names = [f.name for f in free_of(config, own)]
    assert "channel[near_u].sigma" not in names
    assert "channel[near_v].sigma" in names


def test_nothing_determined_is_exit_code_1_and_no_file(place, capsys):
    lines = (place / "readings.csv").read_text().splitlines()
    few = [line for line in lines[2:] if ",near_u," in line][:2]
    (place / "few.csv").write_text("\n".join([*lines[:2], *few]) + "\n")
    assert main(["calibrate", "bench.toml", "--readings", "few.csv", "--out", "new.toml"]) == 1
    assert "nothing could be determined; no file written" in capsys.readouterr().out
    assert not (place / "new.toml").exists()
    assert not (place / "new.svg").exists()


@pytest.mark.slow
def test_an_existing_file_is_overwritten_by_force(place, capsys):
    (place / "new.toml").write_text("mine\n")
    assert main([*ARGUMENTS, "--force"]) == 0
    assert load(place / "new.toml").system.name == "bench"


def test_a_long_record_is_put_on_a_coarser_grid():
    config = validate(tomllib.loads(CONFIG.replace("grid_s = 60.0", "grid_s = 10.0")), "bench")
    few = readings(config, [(0.0, True)], hours=0.5)

    def after(hours):
        return grid_of(config, [few[0], replace(few[0], time=few[0].time + 3600.0 * hours)])

    assert after(5.0) == 10.0
    assert after(40.0) == 80.0
    assert after(4000.0) == 300.0  # a quarter of the shortest time constant, however long the record
