"""Recorded waveforms through the command: files of blocks beside a table of readings, and what the check says."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from sensors.csv_log import write_readings
from tests.oracles.oscillator import exposed, floor_motion, shaken
from tests.sensors.waveform_files import write_csv, write_wav
from tests.situations import machine
from twin.channels import channels_of
from twin.cli import main
from twin.config import load
from twin.history import open_to_read, read_batches
from twin.profiles import load_profile
from twin.recorded import read_record
from twin.sections import ChannelSection
from twin.service import Service
from twin.simulate.machine import simulate
from twin.simulate.scenario import shipped_scenario
from twin.spectrum_picture import spectrum_svg

T0 = 1_772_438_400.0  # 2026-03-02T08:00:00Z, where the good readings begin
RATE = 500.0
ACC = """
[[mode]]
frequency_hz = 35.0
damping = 0.02
axis = "v"
[[sensor]]
name = "floor"
kind = "blocks"
path = "waveforms"
[[channel]]
name = "floor_v"
sensor = "floor"
quantity = "acceleration"
unit = "m/s2"
axis = "v"
address = "1"
full_scale = 2.0
"""
FLOOR = floor_motion(np.random.default_rng(1), 60, RATE, level=0.02)


@pytest.fixture
def place(tmp_path, monkeypatch):
    machine(tmp_path, extra=ACC)
    write_wav(tmp_path / "acc-2026-03-02T080000Z.wav", FLOOR, rate=int(RATE), full_scale=2.0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path):
    text = path.read_text(encoding="utf-8").split("\n", 1)[1]
    return list(csv.DictReader(io.StringIO(text)))


def test_a_record_of_waveforms_replays_beside_a_table_of_readings(place, capsys):
    assert (
        main(["replay", "good.toml", "--readings", "readings.csv", "acc-2026-03-02T080000Z.wav", "--out", "out"]) == 0
    )
    found = [float(row["vibration_v_nm"]) for row in rows(place / "out" / "estimates.csv") if row.get("vibration_v_nm")]
    w = 2 * np.pi * 35.0
    moved = shaken([1.0], [w * w], [0.04 * w], FLOOR, RATE)[2000:, 0]
    blur, _ = exposed(moved, int(20 * RATE))
    assert np.mean(np.square(found)) == pytest.approx(blur * 1e18, rel=0.25)  # a minute of a resonance of 2.2 Hz width
    assert "readings" in capsys.readouterr().out
    picture = ElementTree.parse(place / "out" / "vibration-floor_v.svg").getroot()
    words = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert "35 Hz, object" in words
    bars = [element for element in picture.iter() if element.tag.endswith("rect")][1:]
    assert len(bars) > 10
    heights = [float(bar.get("height")) for bar in bars]
    assert 0 < min(heights) < max(heights) <= 340 - 64 - 52


def test_a_picture_without_a_spectrum_says_so():
    nothing = {"channel": "a<b", "axis": "v", "blur_nm": None, "jitter_nm": None}
    picture = spectrum_svg({**nothing, "spectrum": {"frequency_hz": [], "rms_um_per_s2": []}}, ())
    assert "no spectrum yet" in picture
    assert "a&lt;b" in picture


def test_a_table_of_waveforms_says_the_same_as_the_wav(place):
    t = T0 + np.arange(FLOOR.size) / RATE
    write_csv(place / "acc.csv", **{"time": t, "1": FLOOR})
    config = load(place / "good.toml")
    of_wav, of_csv = (
        {(r.channel, round(r.time, 3)): r.value for batch in read_record(config, [place / name]) for r in batch}
        for name in ("acc-2026-03-02T080000Z.wav", "acc.csv")
    )
    assert of_wav.keys() == of_csv.keys()
    assert all(of_csv[key] == pytest.approx(value, rel=2e-3, abs=1e-12) for key, value in of_wav.items())


def test_readings_that_blocks_became_replay_as_readings(place):
    """What a journal holds can be written out and read again: the blocks themselves are not needed."""
    config = load(place / "good.toml")
    readings = [r for batch in read_record(config, [place / "acc-2026-03-02T080000Z.wav"]) for r in batch]
    write_readings(place / "kept.csv", readings, channels_of(config))
    again = [r for batch in read_record(config, [place / "kept.csv"]) for r in batch]
    assert [(r.channel, r.time) for r in again] == [(r.channel, r.time) for r in readings]
    assert [r.value for r in again] == pytest.approx([r.value for r in readings], rel=1e-12)


def test_check_tells_modes_in_both_forms(place, capsys):
    main(["check", "good.toml"])
    assert "  35 Hz, v, object, damping 0.02: 203 nm far below, 5.07e+03 nm at the resonance" in capsys.readouterr().out
    main(["check", "good.toml", "--json"])
    (mode,) = json.loads(capsys.readouterr().out)["modes"]
    assert mode["accelerometers"] == ["floor_v"]
    assert mode["at_resonance_nm"] == pytest.approx(25 * mode["below_nm"])
    assert mode["jitter_share"] < 1e-3


def test_a_service_takes_blocks_through_the_machines_own_modes(place):
    """From the source's reduction to the journal, the page and the metrics; the readings say that they are simulated."""
    text = (
        (place / "good.toml")
        .read_text(encoding="utf-8")
        .replace(
            'kind = "blocks"\npath = "waveforms"',
            f'kind = "shaker"\nstart = {T0}\nblocks = 12\ntones = [[25.0, 0.005]]',
        )
    )
    (place / "shaken.toml").write_text(text, encoding="utf-8")
    service = Service(load(place / "shaken.toml"), place, page=False)
    asyncio.run(service.run(linger=False))
    (heard,) = service.pipeline.board.state()["vibration"]
    alone = 0.005 / (2 * np.pi * 35.0) ** 2 / (1 - (25 / 35) ** 2) / np.sqrt(2)
    assert heard["blur_nm"] == pytest.approx(alone * 1e9, rel=0.1)
    assert 'ctwin_vibration_nanometres{channel="floor_v",axis="v",of="blur"}' in service.metrics()
    connection = open_to_read(place / "state")
    kept = [r for batch in read_batches(connection) for r in batch.readings if r.channel.startswith("floor_v")]
    connection.close()
    assert sum(r.channel == "floor_v.blur" for r in kept) == 12
    assert {str(r.quality) for r in kept} == {"simulated"}


def test_a_machine_with_accelerometers_can_be_simulated_without_them():
    config = load_profile("xrm2-nanoct")
    added = ChannelSection(name="floor_v", sensor=config.sensors[0].name, quantity="acceleration", unit="mg", axis="v")
    config = config.model_copy(update={"channels": (*config.channels, added)})
    run = simulate(config, shipped_scenario("xrm2-nanoct"), 1)
    delivered = {reading.channel for batch in run.batches(600.0) for reading in batch}
    assert delivered == {channel.name for channel in config.channels} - {"floor_v"}
