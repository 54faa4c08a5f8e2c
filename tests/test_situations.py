"""Surroundings that go wrong: a taken port, a store in use or damaged, another model, a full disk, no permission.

One clear line, exit code 2, and what was there stays as it was. Input that is wrong by itself is in ``tests/cases``.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import socket
from pathlib import Path

import pytest

from tests.servers import free_port, wait_until
from tests.situations import SmallDisk, ctwin, machine, readings_in, running, sums, without_privilege
from twin.cli import main
from twin.publish.lock import FolderLock
from twin.publish.spool import Spool

WARM = ("t_tube > 40", "t_tube > 25")
FOLLOW = ('path = "readings.csv"', 'path = "readings.csv"\nfollow = true\npoll_s = 0.05')


@pytest.fixture
def told(capsys, monkeypatch):
    """Run the command in this process; its exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        capsys.readouterr()
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as end:
            code = int(end.code)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def watched(tmp_path, told) -> Path:
    """A machine whose service has run once: 121 readings and one alert in its store."""
    page = f'\n[http]\nlisten = "127.0.0.1:{free_port()}"\n'
    config = machine(tmp_path / "ct", WARM, extra=page)
    assert told("run", config, "--once", "--no-page")[0] == 0
    assert readings_in(config.parent / "state") == 121
    return config


@pytest.fixture
def disk(tmp_path):
    """A small disk."""
    made = SmallDisk(tmp_path / "disk")
    yield made
    made.close()


def refused(answer: tuple[int, str, str], pattern: str) -> None:
    """Exit code 2, nothing on stdout, one line that fits wholly."""
    code, out, err = answer
    assert re.fullmatch(f"ctwin: {pattern}\n", err), err
    assert (code, out) == (2, "")


def test_a_taken_port(tmp_path, told):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = machine(tmp_path, extra=f'\n[http]\nlisten = "127.0.0.1:{port}"\n')
        refused(
            told("run", config, "--once"),
            rf"http.listen: 127.0.0.1:{port} is in use, perhaps by another ctwin: end that one or choose another port",
        )
    code, out, _ = told("run", config, "--once")  # and the refusal left no lock behind
    assert (code, readings_in(tmp_path / "state")) == (0, 121)
    assert f"http://127.0.0.1:{port}/" in out


def test_a_store_in_use(watched, told):
    store = watched.parent / "state"
    alert = json.loads(told("alerts", "list", watched, "--json")[1])[0]["id"]
    before = sums(watched.parent)
    lock = FolderLock(store / "lock")
    try:
        refused(
            told("run", watched, "--once", "--no-page"), rf"{re.escape(str(store))}: process \d+ uses this store; .*"
        )
        refused(
            told("alerts", "ack", watched, alert, "--by", "Kim"),
            r"the service holds the store but does not answer at 127.0.0.1:\d+; was it started with --no-page\?",
        )
    finally:
        lock.release()
    after = sums(watched.parent)
    assert {**after, "state/lock": ""} == {**before, "state/lock": ""}


def test_acknowledging_what_is_not_there(watched, told):
    known = json.loads(told("alerts", "list", watched, "--json")[1])
    assert [(a["name"], a["state"], a["message"]) for a in known] == [
        ("tube-warm", "active-unacknowledged", "t_tube = 25.55, > 25")
    ]
    name = known[0]["id"]
    typo = name[:-2] + "zz"
    refused(told("alerts", "ack", watched, typo, "--by", "Kim"), rf"no alert '{typo}' stands; did you mean '{name}'\?")
    assert json.loads(told("alerts", "list", watched, "--json")[1]) == known
    code, out, err = told("alerts", "ack", watched, name, "--by", "Kim", "--comment", "cooling off")
    assert (code, out, err) == (0, f"{name} acknowledged by Kim\n", "")
    after = json.loads(told("alerts", "list", watched, "--json")[1])[0]
    assert (after["by"], after["comment"], after["state"]) == ("Kim", "cooling off", "active-acknowledged")


def test_a_snapshot_of_another_model(watched, told):
    before = sums(watched.parent / "state")
    right = watched.read_text(encoding="utf-8")
    watched.write_text(right + "\n[drift.object]\nrandom_walk_um_per_sqrt_h = [0.1, 0.1, 0.1]\n", encoding="utf-8")
    refused(
        told("run", watched, "--once", "--no-page"),
        "the stored snapshot belongs to model [0-9a-f]{16}, this configuration makes model [0-9a-f]{16}; start with an "
        "empty store, or restore the configuration it was made with",
    )
    assert readings_in(watched.parent / "state") == 121
    assert set(sums(watched.parent / "state")) >= set(before)
    watched.write_text(right, encoding="utf-8")
    assert told("run", watched, "--once", "--no-page")[0] == 0  # and the store still serves its own


@pytest.mark.parametrize("how", ["garbled", "cut", "another-program"])
def test_a_damaged_store(watched, told, how):
    file = watched.parent / "state" / "history.sqlite"
    good = bytearray(file.read_bytes())
    if how == "garbled":
        good[4096:-100:3] = bytes(b ^ 0x5A for b in good[4096:-100:3])
    elif how == "cut":
        del good[len(good) // 2 :]
    else:
        good[:16] = b"not SQLite at al"
    file.write_bytes(good)
    place = re.escape(str(file.parent))
    scan, out = watched.parent / "scan.csv", watched.parent / "out"
    for arguments in (
        ("run", watched, "--once", "--no-page"),
        ("correct", watched, "--scan", scan, "--out", out),
        ("alerts", "list", watched),
        ("alerts", "ack", watched, "x", "--by", "Kim"),
    ):
        refused(told(*arguments), f"{place}.*(damaged|malformed|not a database).*")
        assert file.read_bytes() == good, arguments
    assert not out.exists()


def test_a_spool_in_use_or_without_its_token(tmp_path, told):
    influx = '\n[publish.influx]\nurl = "http://127.0.0.1:9"\nbucket = "ct"\ntoken_file = "token"\n'
    config = machine(tmp_path, extra=influx)
    folder = tmp_path / "state" / "spool"
    with Spool(folder, max_bytes=1e6, max_age_s=1e6) as spool:
        spool.append(["ctwin,site=lab value=1 1700000000000000000"])
        refused(told("spool", "drain", config, "--timeout", "5"), rf"{re.escape(str(folder))}: .*process.*")
    refused(
        told("spool", "drain", config, "--timeout", "5"),
        r"http://127.0.0.1:9.*: nothing is delivered: .*token: the token can't be read: No such file or directory; "
        rf"the lines stay in {re.escape(str(folder))}",
    )
    code, out, _ = told("spool", "export", config, "--out", tmp_path / "left.lp")
    assert (code, (tmp_path / "left.lp").read_text()) == (0, "ctwin,site=lab value=1 1700000000000000000\n"), out


def test_a_demo_deletes_nothing_that_no_demo_made(watched, told):
    before = sums(watched.parent / "state")
    refused(
        told("demo", "--out", watched.parent),
        rf"{re.escape(str(watched.parent / 'state'))}: is there already, and no demo made it; choose another --out",
    )
    assert sums(watched.parent / "state") == before
    (watched.parent / "state" / "made-by-demo").touch()
    lock = FolderLock(watched.parent / "state" / "lock")
    try:
        refused(told("demo", "--out", watched.parent), r".*state: in use by process \d+; end that demo, or choose .*")
    finally:
        lock.release()
    assert readings_in(watched.parent / "state") == 121


@pytest.mark.slow
def test_two_processes_on_one_store(tmp_path):
    port = free_port()
    config = machine(tmp_path, WARM, FOLLOW, extra=f'\n[http]\nlisten = "127.0.0.1:{port}"\n')
    store = tmp_path / "state"
    with running(config) as first:
        wait_until(lambda: readings_in(store) == 121)
        refused(ctwin("run", config), rf"{re.escape(str(store))}: process {first.pid} uses this store; .*")
        alert = json.loads(ctwin("alerts", "list", config, "--json")[1])[0]["id"]
        wrong = ctwin("alerts", "ack", config, "nothing-like-it", "--by", "Kim")
        refused(wrong, f"no alert 'nothing-like-it' stands; there is {alert}")
        assert ctwin("alerts", "ack", config, alert, "--by", "Kim") == (0, f"{alert} acknowledged by Kim\n", "")
        with (tmp_path / "readings.csv").open("a") as log:
            log.write("2026-03-02T08:15:10Z,t_tube,25.56,\n")
        wait_until(lambda: readings_in(store) == 122)  # the first goes on, untouched
    assert first.returncode == 0
    assert json.loads(ctwin("alerts", "list", config, "--json")[1])[0]["by"] == "Kim"


@pytest.mark.slow
def test_a_full_disk_under_outputs(tmp_path, disk):
    config = machine(tmp_path / "ct")
    out = disk.folder / "out"
    out.mkdir()
    for name in ("corrections.csv", "rtk_geometry.xml", "estimates.csv", "readings.csv", "grafana"):
        (out / name).write_text("of an earlier run\n")
    disk.fill()
    before = sums(disk.folder)
    readings, scan = config.parent / "readings.csv", config.parent / "scan.csv"
    full = "not written: the disk is full; free some space or write elsewhere"
    for arguments in (
        ("correct", config, "--scan", scan, "--readings", readings, "--format", "all", "--out", out),
        ("replay", config, "--readings", readings, "--out", out),
        ("init", "xrm2-nanoct", "--out", out / "new.toml"),
    ):
        refused(ctwin(*arguments), f"{re.escape(str(out))}/[a-z_]+[.][a-z]+: {full}")
        assert sums(disk.folder) == before


@pytest.mark.slow
def test_a_disk_that_fills_under_the_projections_of_a_simulation(tmp_path, disk):
    config = tmp_path / "fxe.toml"
    assert ctwin("init", "fxe160-submicron", "--out", config)[0] == 0
    out = disk.folder / "out"  # 4 MB hold the tables, not the projections
    refused(
        ctwin("simulate", config, "--seed", 1, "--out", out),
        r".*projections\.h5: not written: the disk is full; free some space or write elsewhere",
    )
    assert sorted(path.name for path in out.iterdir()) == ["readings.csv", "scan.csv", "truth.csv"]


@pytest.mark.slow
def test_a_disk_that_fills_under_the_store(tmp_path, disk):
    """However early it fills, the run ends with one line, and goes on to the same store when there is room again."""
    config = machine(disk.folder / "ct")
    for size in (100, 140, 180, 240, 320, 420):
        disk.size(size)
        code, _, err = ctwin("run", config, "--once", "--no-page")
        if code == 0:
            break
        lines = err.splitlines()
        assert code == 2
        assert re.fullmatch("ctwin: .*(the disk is full; free some space|disk I/O error).*", lines[-1]), err
        assert len(lines) == 1, err
    else:
        pytest.fail("420 KB should have sufficed")
    assert size > 100
    disk.size(4000)
    assert ctwin("run", config, "--once", "--no-page")[0] == 0
    assert readings_in(disk.folder / "ct" / "state") == 121


@pytest.mark.slow
def test_no_permission(tmp_path):
    prefix = without_privilege()
    config = machine(tmp_path / "ct", WARM)
    assert ctwin("run", config, "--once", "--no-page", prefix=prefix)[0] == 0
    readings, scan, store = config.parent / "readings.csv", config.parent / "scan.csv", config.parent / "state"
    alert = json.loads(ctwin("alerts", "list", config, "--json")[1])[0]["id"]
    before = sums(tmp_path)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    hidden = tmp_path / "hidden.csv"
    shutil.copy(scan, hidden)
    hidden.chmod(0)
    for path in (*store.iterdir(), store):
        path.chmod(path.stat().st_mode & 0o555)
    denied = "no permission to write in that folder, or the file is open elsewhere; change one or write elsewhere"
    correct = ("correct", config, "--scan", scan, "--readings", readings)
    for arguments, pattern in (
        ((*correct, "--out", closed), f".*closed/corrections.csv: not written: {denied}"),
        ((*correct, "--out", closed / "new"), f".*closed/new: the folder can't be created: {denied}"),
        (("init", "xrm2-nanoct", "--out", closed / "a.toml"), f".*a.toml: not written: {denied}"),
        (("dashboards", "export", "--out", closed), f".*closed/grafana: the folder can't be created: {denied}"),
        (("demo", "--out", closed), f".*closed/state: the folder can't be created: {denied}"),
        (("run", config, "--once", "--no-page"), ".*state: the store can't be written: .*"),
        (("alerts", "ack", config, alert, "--by", "Kim"), f".*state: the store can't be written: {denied}"),
        (("check", hidden), ".*hidden.csv: can't be read: Permission denied"),
        (("correct", config, "--scan", hidden, "--out", closed), ".*hidden.csv: can't be read: Permission denied"),
        ((*correct[:-1], hidden, "--out", closed), ".*hidden.csv: can't be read: Permission denied.*"),
    ):
        refused(ctwin(*arguments, prefix=prefix), pattern)
    hidden.chmod(0o600)
    hidden.unlink()
    assert sums(tmp_path) == before
    assert not list(closed.iterdir())
    # what only reads goes on reading
    assert "tube-warm" in ctwin("alerts", "list", config, prefix=prefix)[1]
    for path in (store, *store.iterdir()):
        path.chmod(path.stat().st_mode | 0o200)
