"""Scans of the running program: begun and ended by a broker, by files appearing, by an operator; corrected as they grow."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sensors.reading import Reading
from tests.endtoend.broker import Sender, mosquitto
from tests.endtoend.machine import ROOT, T0, Program, await_, config_text, message, readings, running
from tests.servers import free_port
from twin.export import formats
from twin.history import ScanRecord, open_to_read, read_scan_records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BUSY = '[[channel]]\nname = "busy"\nsensor = "lab"\nquantity = "scan"\nunit = "on"\naddress = "ct/busy"\n'
IMAGE = '[[channel]]\nname = "image"\nsensor = "{0}"\nquantity = "projection"\nunit = "number"\naddress = "{1}"\n'
STAGE = '[[channel]]\nname = "stage"\nsensor = "{0}"\nquantity = "angle"\nunit = "deg"\naddress = "{1}"\n'
SCAN_S, IMAGE_S, COUNT = 300, 4.0, 60  # a scan within the record, in its fourth to eighth minute


def ctwin(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twin", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def scans(state: Path) -> list[ScanRecord]:
    if not (state / "history.sqlite").exists():
        return []
    with closing(open_to_read(state)) as connection:
        return read_scan_records(connection)


def corrected(program: Program, deadline_s: float = 60.0) -> ScanRecord:
    """The last scan, once its corrections are final."""
    await_(lambda: (found := scans(program.state)) and found[-1].ended is not None, deadline_s, 0.1)
    return scans(program.state)[-1]


def corrections(path: Path) -> tuple[np.ndarray, dict[str, str]]:
    """Rows and what the comment lines say."""
    lines = path.read_text().splitlines()
    said = dict(json.loads(line.split(": ", 1)[1]) for line in lines if line.startswith("# provenance: "))
    rows = [line.split(",") for line in lines if not line.startswith("#")][1:]
    return np.array([[float(cell) for cell in row if "T" not in cell] for row in rows]), said


def corrected_by(config: Path, scan: object, out: Path) -> np.ndarray:
    """Rows of ``corrections.csv`` that the command writes from the store."""
    done = ctwin("correct", config, "--scan", scan, "--out", out)
    assert done.returncode == 0, done.stderr
    return corrections(out / "corrections.csv")[0]


def the_record() -> list[Reading]:
    """What the machine says over a quarter of an hour, and a scan in it; raw values, in order of time."""
    rows = readings(900, seed=51)
    rows += [Reading("busy", T0 + SCAN_S - 10.0, 1.0), Reading("busy", T0 + SCAN_S + IMAGE_S * COUNT + 1.0, 0.0)]
    for k in range(COUNT):
        at = T0 + SCAN_S + IMAGE_S * k
        rows += [Reading("stage", at - 1.5, 6.0 * k), Reading("image", at, float(k + 1))]
    return sorted(rows, key=lambda r: r.time)


def scan_csv(path: Path) -> Path:
    """The same scan as a file."""
    rows = [f"{k + 1},{T0 + SCAN_S + IMAGE_S * k!r},{6.0 * k}" for k in range(COUNT)]
    path.write_text("\n".join(["projection,time,angle_deg", *rows]) + "\n")
    return path


def test_a_broker_begins_and_ends_it_and_a_kill_in_its_middle_changes_nothing(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    config = home / "machine.toml"
    rows = the_record()
    middle = next(i for i, r in enumerate(rows) if r.channel == "image" and r.value == 40.0)
    with mosquitto(tmp_path / "broker") as port:
        sensor = f'kind = "mqtt"\nurl = "mqtt://127.0.0.1:{port}"\nclient_id = "ct"\nstartup = "fail"'
        config.write_text(
            config_text(sensor, more=BUSY + IMAGE.format("lab", "ct/image") + STAGE.format("lab", "ct/stage"))
        )
        sender = Sender(port)
        with running(config) as program:
            program.start_to_watch()
            sender.send([message(r) for r in rows[:middle]])
            name = await_(lambda: scans(program.state), 30)[0].name
            growing = program.state / "scans" / name / "corrections.csv"
            await_(growing.exists, 60)
            early, said = corrections(growing)
            program.kill()
            assert 1 <= len(early) <= 40
            assert said["state"] == f"under way, {len(early)} of 60 projections so far; replaced when it is over"
            assert {p.name for p in growing.parent.iterdir() if not p.name.startswith(".")} <= {
                "corrections.csv",
                "corrections.svg",
                "markers.csv",
            }
            program.start_to_watch()
            sender.send([message(r) for r in rows[middle:]])
            record = corrected(program)
            assert program.stop() == 0, program.said()[-2000:]
        sender.close()
    assert (record.name, record.started) == (name, T0 + SCAN_S - 10.0)
    final, said = corrections(growing)
    assert len(final) == COUNT
    assert "state" not in said
    assert len(list(growing.parent.iterdir())) >= len(formats())
    # the same from the store by name, and from a scan file that says the same
    by_name, by_file = (
        corrected_by(config, scan, tmp_path / "again") for scan in (name, scan_csv(tmp_path / "scan.csv"))
    )
    assert by_name == pytest.approx(by_file, rel=1e-9, abs=1e-12)
    # readings of after the scan, which the service didn't wait for, move a value by what they take off its variance
    gained = np.maximum(final[:, 16:] ** 2 - by_name[:, 16:] ** 2, 0.0)
    assert (np.abs((by_name - final)[:, 3:16]) < 3.5 * np.sqrt(gained) + 1e-9).all()
    # with a better calibration, later: the tube's head is half as long
    better = home / "better.toml"
    better.write_text(config.read_text().replace("length_mm = 50.0", "length_mm = 25.0"))
    other = corrected_by(better, name, tmp_path / "redone")
    assert other.shape == final.shape
    assert np.abs(other - final).max() > 1e-3


def test_files_appearing_begin_it_and_silence_ends_it(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    config = tmp_path / "machine.toml"
    sensor = 'kind = "images"\npath = "images"\npoll_s = 0.1\ntimes = "times.csv"'
    channels = IMAGE.format("lab", "projection") + STAGE.format("lab", "angle")
    log = '[[sensor]]\nname = "log"\nkind = "csv"\npath = "log.csv"\nfollow = true\n[[channel]]'
    text = config_text(sensor, grid_s=0.5, late_s=0.5).replace('\nsensor = "lab"', '\nsensor = "log"')
    text = text.replace("[[channel]]", log, 1).replace("projections = 60", "projections = 12\nends_after_min = 0.05")
    config.write_text(text + channels)
    (tmp_path / "log.csv").write_text(f"time,channel,value\n{time.time() - 5.0!r},ct/t_room,21.0\n")
    table = tmp_path / "times.csv"
    table.write_text("projection,time,angle_deg\n")
    with running(config) as program:
        program.start_to_watch()
        begun = []
        for k in range(12):
            begun.append(time.time())
            with table.open("a") as file:
                file.write(f"{k},{begun[-1]!r},{30.0 * k}\n")
            tifffile.imwrite(folder / f"scan_{k:04d}.tif", np.full((16, 16), 1000 + k, np.uint16))
            time.sleep(0.3)  # the pace of the detector
        record = corrected(program)
        assert program.stop() == 0, program.said()[-2000:]
    name, number, times, angles, _ = json.loads(record.data)
    assert number == list(range(12))
    assert times == begun
    assert angles == pytest.approx([30.0 * k for k in range(12)])
    assert name == record.name
    rows, _ = corrections(program.state / "scans" / name / "corrections.csv")
    assert len(rows) == 12


def test_an_operator_begins_and_ends_it_by_the_command_line(tmp_path):
    config, port = tmp_path / "machine.toml", free_port()
    sensor = 'kind = "csv"\npath = "log.csv"\nfollow = true\npoll_s = 0.05'
    page = f'[http]\nlisten = "127.0.0.1:{port}"\n'
    config.write_text(config_text(sensor, grid_s=0.5, late_s=0.5, more=page))
    log = tmp_path / "log.csv"
    log.write_text("time,channel,value\n")

    def say() -> None:
        with log.open("a") as file:
            file.write(f"{time.time()!r},ct/t_room,21.0\n")

    none = ctwin("scans", "begin", config)
    assert (none.returncode, "no service answers" in none.stderr) == (2, True)
    with running(config) as program:
        program.options = ()
        command = [sys.executable, "-m", "twin", "run", str(config)]
        with program.log.open("ab") as out:
            program.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        await_(lambda: "watching" in program.said(), 60)
        say()
        begun = ctwin("scans", "begin", config, "--name", "Probe 7")
        assert begun.returncode == 0, begun.stderr
        assert begun.stdout.startswith("scan Probe 7 begun at ")
        twice = ctwin("scans", "begin", config)
        assert (twice.returncode, twice.stderr) == (2, "ctwin: scan 'Probe 7' is under way; end it first\n")
        started = await_(lambda: not say() and scans(program.state), 60, 0.5)[0].started
        await_(lambda: not say() and time.time() > started + 20.0, 60, 0.5)
        assert ctwin("scans", "end", config).returncode == 0
        await_(lambda: not say() and scans(program.state)[0].ended is not None, 60, 0.5)
        listed = json.loads(ctwin("scans", "list", config, "--json").stdout)
        again = ctwin("scans", "begin", config, "--name", "probe 7")
        assert (again.returncode, "there is a scan 'probe 7' already" in again.stderr) == (2, True)
        assert program.stop() == 0, program.said()[-2000:]
    (scan,) = listed
    # planned: 60 projections in 6 minutes, of which the operator let three or more be taken
    assert 3 <= scan["projections"] <= 9
    assert (scan["name"], scan["state"]) == ("Probe 7", "corrected")
    rows, _ = corrections(Path(scan["corrections"]) / "corrections.csv")
    assert len(rows) == scan["projections"]
