"""A folder being filled: order, patience, half-written and late files, and no more work than there are files."""

from __future__ import annotations

import logging
import os
import time
import tracemalloc

import pytest

from sensors.images.follower import Follower
from sensors.reading import SensorError


class Filling:
    """A follower with a clock of its own; a file is whole when it ends with '.'."""

    def __init__(self, folder, **how):
        self.folder, self.now = folder, 0.0
        self.follower = Follower(folder, **how)

    def write(self, *numbers, text="x."):
        for number in numbers:
            (self.folder / f"proj_{number:04d}.tif").write_text(text)

    def poll(self, after_s=1.0):
        """Numbers given by one look, each read when its turn came."""
        self.now += after_s
        self.follower.poll(self.now)
        given = []
        for file in self.follower.ready(self.now):
            text = file.path.read_text()
            if text.endswith("."):
                self.follower.accept(file)
                given.append(file.number)
            else:
                hopeless = text.startswith("bad")
                self.follower.refuse(file, self.now, "truncated", f"{file.path}: cut off", hopeless=hopeless)
        return given


@pytest.fixture
def filling(tmp_path):
    return Filling(tmp_path, patience_s=60.0)


def test_a_file_is_given_once_it_stands_still(filling):
    filling.write(0, 1)
    assert filling.poll() == []
    assert filling.poll() == [0, 1]
    assert filling.poll() == []
    filling.write(2, text="x")
    assert filling.poll() == []
    filling.write(2, text="xx.")
    assert filling.poll() == []
    assert filling.poll() == [2]


def test_files_written_out_of_order_are_given_in_order(filling):
    filling.write(0)
    filling.poll()
    assert filling.poll() == [0]
    filling.write(2, 3)
    assert [filling.poll() for _ in range(5)] == [[]] * 5
    filling.write(1)
    assert filling.poll() == []
    assert filling.poll() == [1, 2, 3]


def test_a_missing_one_is_passed_over_told_counted_and_given_late(filling, caplog):
    filling.write(0)
    filling.poll()
    filling.poll()
    filling.write(2, 3)
    with caplog.at_level(logging.WARNING):
        assert filling.poll() == []
        assert filling.poll(59.0) == []
        assert filling.poll(2.0) == [2, 3]
    assert [r.message.partition(": ")[2] for r in caplog.records] == [
        "projection 1 has not come within 60 s; passed over"
    ]
    assert filling.follower.drops == {"passed_over": 1}
    filling.write(1, 4)
    assert filling.poll() == []
    assert filling.poll() == [1, 4]
    assert filling.poll() == []


def test_several_missing_ones_are_told_together(filling, caplog):
    filling.write(0, 1, 2, 3, 4, 9)
    filling.poll()
    assert filling.poll() == [0, 1, 2, 3, 4]
    assert filling.poll(60.0) == [9]
    assert "4 of the projections 5 to 8 have not come within 60 s; passed over" in caplog.text
    assert filling.follower.drops == {"passed_over": 4}


def test_a_half_written_one_holds_the_others_back_for_a_while(filling, caplog):
    filling.write(0, 2)
    filling.write(1, text="x")
    filling.poll()
    assert filling.poll() == [0]
    assert filling.poll(30.0) == []
    filling.write(1, text="xy.")
    assert filling.poll() == []
    assert filling.poll() == [1, 2]
    filling.write(3, text="x")
    filling.write(4)
    assert filling.poll() == []
    assert filling.poll(61.0) == [4]
    assert caplog.text.count("left out") == 1
    assert filling.follower.drops == {"truncated": 1}
    filling.write(3, text="xyz.")
    filling.poll()
    assert filling.poll() == [3]
    assert filling.poll(100.0) == []


def test_one_that_keeps_growing_is_passed_over_and_given_when_it_is_whole(filling, caplog):
    filling.write(0)
    filling.poll()
    filling.poll()
    filling.write(2)
    for k in range(70):
        filling.write(1, text="x" * (k + 1))
        given = filling.poll()
        assert given == ([2] if k == 60 else [])
    assert "proj_0001.tif: not whole after 60 s; passed over until it is" in caplog.text
    filling.write(1)
    filling.poll()
    assert filling.poll() == [1]


def test_what_can_never_be_read_holds_nothing_back(filling):
    filling.write(0, 2)
    filling.write(1, text="bad")
    filling.poll()
    assert filling.poll() == [0, 2]
    assert filling.follower.drops == {"truncated": 1}
    assert filling.poll(100.0) == []
    filling.write(1, text="good.")
    filling.poll()
    assert filling.poll() == [1]


@pytest.mark.parametrize("step", [360, 13])
def test_numbers_that_count_something_else_are_not_awaited(filling, step):
    filling.write(*range(0, 20 * step, step))
    filling.poll()
    given = filling.poll()
    assert given == list(range(0, 20 * step, step))
    assert filling.follower.drops == {}


def test_without_patience_nothing_is_awaited(tmp_path):
    filling = Filling(tmp_path, patience_s=0.0)
    filling.write(0, 2)
    filling.poll()
    assert filling.poll() == [0, 2]


def test_other_files_of_the_folder_are_left_alone(tmp_path, caplog):
    filling = Filling(tmp_path, without=frozenset({tmp_path / "proj_0007.tif"}))
    filling.write(0, 7)
    for name in ("scan.log", "flat_0001.tif", "overview.tif", "notes 3.txt"):
        (tmp_path / name).write_text("x.")
    (tmp_path / "inside").mkdir()
    filling.poll()
    assert filling.poll() == [0]
    told = [r.message.partition(str(tmp_path) + os.sep)[2].partition(";")[0] for r in caplog.records]
    assert sorted(told) == [
        "flat_0001.tif: is no projection but a flat by its name",
        "overview.tif: has no number in its name",
    ]
    assert filling.follower.drops == {"not_a_projection": 2}


def test_a_pattern_says_what_projections_are_called(tmp_path):
    filling = Filling(tmp_path, pattern="flat*.dat")
    filling.write(0)
    (tmp_path / "flat_3.dat").write_text("x.")
    filling.poll()
    assert filling.poll() == [3]


def test_an_emptied_folder_is_another_scan(filling):
    filling.write(0, 1)
    filling.poll()
    assert filling.poll() == [0, 1]
    for path in filling.folder.iterdir():
        path.unlink()
    assert filling.poll() == []
    filling.write(0)
    filling.poll()
    assert filling.poll() == [0]


def test_a_file_that_vanishes_before_its_turn_is_forgotten(filling):
    filling.write(0, 1)
    filling.poll()
    (filling.folder / "proj_0001.tif").unlink()
    assert filling.poll() == [0]


def test_a_folder_that_cannot_be_read_may_come_back(filling):
    filling.folder.rmdir()
    with pytest.raises(SensorError, match="check the share") as told:
        filling.poll()
    assert told.value.retry


def test_what_was_given_before_is_skipped(filling):
    filling.write(0, 1, 3)
    filling.follower.skip(["proj_0000.tif", "proj_0001.tif"])
    filling.poll()
    assert filling.poll() == []
    filling.write(2)
    filling.poll()
    assert filling.poll() == [2, 3]
    assert [path.name for path in filling.follower.given] == [f"proj_000{k}.tif" for k in range(4)]


def test_what_nobody_took_comes_again_at_once(filling):
    filling.write(0, 1, 2)
    filling.poll()
    filling.now += 1
    filling.follower.poll(filling.now)
    turns = filling.follower.ready(filling.now)
    taken = []
    for file in turns:
        filling.follower.accept(file)
        taken.append(file)
        if len(taken) == 2:
            break
    filling.follower.give_back(taken)
    assert filling.poll() == [0, 1, 2]


@pytest.mark.slow
def test_ten_thousand_files_cost_no_more_than_their_number(tmp_path):
    """Time per file must not grow with their number, nor memory beyond a name and a record each."""
    spent = []
    for count in (1000, 10_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"proj_{number:05d}.tif").write_text("x.")
        filling = Filling(folder)
        begin = time.process_time()
        filling.poll()
        assert len(filling.poll()) == count
        for _ in range(3):
            assert filling.poll() == []
        spent.append((time.process_time() - begin) / count)
    assert spent[1] < 4 * spent[0]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(5):
            filling.poll()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000
