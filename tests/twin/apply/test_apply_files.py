"""Files written beside their place, and a file for HDF5 that keeps faults."""

from __future__ import annotations

import errno
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.twin.apply import moving_scan as moving
from tests.twin.apply.test_apply import Counting
from twin.apply import Plan, apply
from twin.apply.beside import beside
from twin.apply.steady import SteadyFile
from twin.atomic import OutputError

FULL = Path("/dev/full")
on_linux = pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")


def test_a_folder_that_can_not_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("kept")
    plain = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError(errno.EACCES, "not now")
        return plain(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with (
        pytest.raises(OutputError, match="out: not written: no permission to write"),
        beside(tmp_path / "out") as making,
    ):
        making.mkdir()
    assert [str(item.relative_to(tmp_path)) for item in sorted(tmp_path.rglob("*"))] == ["out", "out/old"]
    assert (tmp_path / "out" / "old").read_text() == "kept"


def test_what_h5py_writes_is_what_it_reads(tmp_path):
    steady = SteadyFile(tmp_path / "a.h5")
    with h5py.File(steady, "w") as file:
        file["a"] = np.arange(1000.0)
    steady.finish()
    steady.close()
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["a"], np.arange(1000.0))


@on_linux
def test_a_full_disk_is_kept_from_hdf5_and_told_at_the_end():
    steady = SteadyFile(FULL)
    assert steady.write(b"12345") == 5
    assert steady.fault.errno == errno.ENOSPC
    first = steady.fault
    assert steady.write(b"12345") == 5
    assert steady.truncate(10) == 10
    assert steady.fault is first
    with pytest.raises(OSError, match="No space left"):
        steady.finish()
    steady.close()


@on_linux
def test_a_disk_that_fills_up_ends_the_pass_at_once(tmp_path, monkeypatch):
    """No image is read any more, and the next ones neither: 50 projections would take hours in vain."""

    class Filling(SteadyFile):
        def write(self, data):
            if series.looks[3] and self.fault is None:
                self._file.close()
                self._file = FULL.open("w+b", buffering=0)
            return super().write(data)

    series = Counting(50, (moving.ROWS, moving.COLUMNS))
    setup = type(moving.SETUP)(moving.SETUP.pose, moving.COLUMNS, moving.ROWS, 50)
    monkeypatch.setattr("twin.apply.nxtomo_file.SteadyFile", Filling)
    with pytest.raises(OutputError, match=r"a\.nx: not written: the disk is full"):
        apply(Plan(series, tmp_path / "a.nx"), moving.correction(50), setup)
    assert max(position for position in series.looks if position < 51) <= 4
    assert list(tmp_path.iterdir()) == []
