"""The file of a track that is followed: whatever a kill leaves of it and its ledger, each projection is in it once."""

from __future__ import annotations

import random

import pytest

from twin.atomic import OutputError
from twin.track import HEAD
from twin.track_file import TrackFile

WHAT = {"projections": "scan", "marker": "wire", "window": "0:4,0:4"}


def rows(number):
    return f"{number}.5,wire_n,{number},,good\n{number}.5,wire_blur,1,,good\n"


def add(file, number):
    file.add(f"proj {number} ä.tif", rows(number))


def test_it_goes_on_where_it_was(tmp_path):
    out = tmp_path / "out.csv"
    file = TrackFile(out, WHAT)
    assert file.done == []
    add(file, 0)
    file.close()
    file = TrackFile(out, WHAT)
    assert file.done == ["proj 0 ä.tif"]
    add(file, 1)
    file.close()
    assert out.read_text() == HEAD + rows(0) + rows(1)


def test_a_kill_at_any_byte(tmp_path):
    """Rows are in the file before their line is in the ledger; of the last one of both any part may be there."""
    out, ledger = tmp_path / "out.csv", tmp_path / "out.csv.done"
    file = TrackFile(out, WHAT)
    for number in range(3):
        add(file, number)
    file.close()
    text, lines = out.read_bytes(), ledger.read_bytes()
    before = len(lines) - len(lines.splitlines(keepends=True)[-1])
    states = [(k, before) for k in range(len(HEAD + rows(0) + rows(1)), len(text) + 1)]
    states += [(len(text), k) for k in range(before, len(lines) + 1)]
    for length, told in states:
        out.write_bytes(text[:length])
        ledger.write_bytes(lines[:told])
        file = TrackFile(out, WHAT)
        assert len(file.done) == (3 if told == len(lines) else 2)
        for number in range(len(file.done), 4):
            add(file, number)
        file.close()
        assert out.read_text() == HEAD + "".join(map(rows, range(4)))


def test_a_power_cut_that_lost_rows_but_not_their_lines(tmp_path):
    out = tmp_path / "out.csv"
    file = TrackFile(out, WHAT)
    for number in range(5):
        add(file, number)
    file.close()
    out.write_bytes(out.read_bytes()[: len(HEAD + rows(0) + rows(1)) + random.Random(1).randrange(20)])
    file = TrackFile(out, WHAT)
    assert len(file.done) == 2
    file.close()
    assert out.read_text() == HEAD + rows(0) + rows(1)


def test_a_window_that_was_found_is_kept(tmp_path):
    out = tmp_path / "out.csv"
    file = TrackFile(out, {**WHAT, "window": None})
    assert file.what["window"] is None
    file.note({**file.what, "window": "3:9,0:4"})
    add(file, 0)
    file.close()
    file = TrackFile(out, {**WHAT, "window": None})
    assert file.what["window"] == "3:9,0:4"
    file.close()


def test_another_track_is_refused(tmp_path):
    out = tmp_path / "out.csv"
    TrackFile(out, WHAT).close()
    with pytest.raises(
        OutputError, match="was begun with marker 'wire', not 'sphere'; give the same, or another --out"
    ):
        TrackFile(out, {**WHAT, "marker": "sphere"})
    TrackFile(out, WHAT).close()


def test_what_is_there_already_is_refused(tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("precious")
    with pytest.raises(OutputError, match="is there already, and not from --follow"):
        TrackFile(out, WHAT)
    assert out.read_text() == "precious"
    out.unlink()
    (tmp_path / "out.csv.done").write_text("else\n")
    with pytest.raises(OutputError, match=r"is there without out.csv"):
        TrackFile(out, WHAT)
    out.write_text(HEAD)
    with pytest.raises(OutputError, match="is no ledger of a track"):
        TrackFile(out, WHAT)


def test_one_process_at_a_time(tmp_path):
    file = TrackFile(tmp_path / "out.csv", WHAT)
    with pytest.raises(OutputError, match=r"process \d+ writes it; stop that one first"):
        TrackFile(tmp_path / "out.csv", WHAT)
    file.close()
    TrackFile(tmp_path / "out.csv", WHAT).close()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match=r"out.csv: not written"):
        TrackFile(tmp_path / "nowhere" / "out.csv", WHAT)
