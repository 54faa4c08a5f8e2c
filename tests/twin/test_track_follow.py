"""``ctwin track --follow``: a folder being filled, appended to, ended and gone on with."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager

import pytest

from sensors.images.follower import Follower
from sensors.images.live import LiveFolder
from sensors.reading import SensorError
from tests.sensors.image_folder import COLUMNS, ROWS, data, name_of, use_centroid, write
from tests.twin.test_track import readings
from twin import track_follow
from twin.cli import main


@pytest.fixture
def scan(tmp_path, monkeypatch):
    use_centroid(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(track_follow, "POLL_S", 0.01)
    monkeypatch.setattr(track_follow, "PATIENCE_S", 0.0)
    (tmp_path / "scan").mkdir()
    return tmp_path / "scan"


@pytest.fixture
def until(monkeypatch):
    """Stop when so many projections have been taken, or when a test says so."""
    wanted = {"count": 0}
    step = LiveFolder.step

    @contextmanager
    def told_to_stop():
        stop, taken = threading.Event(), []

        def stepping(self, *most):
            seen = step(self, *most)
            taken.extend(seen)
            if len(taken) >= wanted["count"]:
                stop.set()
            return seen

        monkeypatch.setattr(LiveFolder, "step", stepping)
        yield stop

    monkeypatch.setattr(track_follow, "_told_to_stop", told_to_stop)
    return lambda count: wanted.update(count=count)


def follow(*words):
    window = () if "--window" in words or "--find" in words else ("--window", f"0:{COLUMNS},0:{ROWS}")
    return main(["track", "scan", "--marker", "wire", "--follow", "--out", "out.csv", *window, *words])


def times(scan):
    return [r.time for r in readings(scan.parent / "out.csv") if r.channel == "wire_n"]


def test_it_goes_on_with_each_projection_once(scan, until, capsys):
    for number in (0, 1, 2):
        write(scan, number)
    (scan / name_of(3)).write_bytes(data(3)[:200])
    until(3)
    assert follow() == 0
    first = times(scan)
    assert len(first) == 3
    write(scan, 4)
    (scan / name_of(3)).write_bytes(data(3))
    with (scan.parent / "out.csv").open("a") as file:
        file.write("1700000040.0,wire_n,10.0")  # a torn row of a run that was killed
    until(2)
    assert follow() == 0
    assert times(scan) == [*first, *sorted(set(times(scan)) - set(first))]
    assert len(set(times(scan))) == 5
    said = capsys.readouterr().out
    assert "scan: 5 projections" in said
    assert "wire: 5 good, 0 suspect, 0 lost" in said
    assert (scan.parent / "out.svg").exists()


def test_a_window_that_was_found_stays(scan, until):
    write(scan, 0)
    until(1)
    words = ["track", "scan", "--marker", "wire", "--follow", "--out", "out.csv"]
    assert main(words) == 0
    write(scan, 1)
    until(1)
    assert main(words) == 0
    values = [r.value for r in readings(scan.parent / "out.csv") if r.channel == "wire_n"]
    assert values == pytest.approx([6.0, 6.01], abs=0.01)


def test_bad_files_are_counted_in_the_summary(scan, until, capsys, caplog):
    for number in range(5):
        write(scan, number)
    (scan / name_of(1)).write_bytes(b"")
    (scan / name_of(2)).write_bytes(b"no image")
    until(3)
    assert follow() == 0
    assert "3 projections, 1 empty, 1 unreadable" in capsys.readouterr().out
    assert caplog.text.count("left out") == 2


def test_a_share_that_is_gone_for_a_while(scan, until, monkeypatch, caplog):
    write(scan, 0)
    until(1)
    poll, troubles = Follower.poll, [SensorError("scan: can't be read", retry=True)] * 3

    def failing(self, now):
        if troubles:
            raise troubles.pop()
        poll(self, now)

    monkeypatch.setattr(Follower, "poll", failing)
    assert follow() == 0
    assert len(times(scan)) == 1
    assert caplog.text.count("waiting for it") == 1


def test_nothing_came(scan, until, capsys):
    until(0)
    assert follow() == 0
    assert "no projection has come" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_good_order(scan, number):
    write(scan, 0)
    before = signal.getsignal(number)
    timer = threading.Timer(0.5, lambda: signal.raise_signal(number))
    timer.start()
    try:
        assert follow() == 0
    finally:
        timer.join()
    assert signal.getsignal(number) is before
    assert len(times(scan)) == 1


def test_other_options_are_refused(scan, until, capsys):
    write(scan, 0)
    until(1)
    assert follow() == 0
    assert follow("--window", "0:20,0:12") == 2
    assert "was begun with window" in capsys.readouterr().err
