"""Empty, wrong, and enormous files under every name that a reader knows: one clear line, at once, without memory."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from sensors.images.formats import READERS, open_series
from sensors.images.unfinished import UnfinishedError
from sensors.reading import SensorError

NAMES = [ending if ending.startswith("_") else f"scan{ending}" for ending in READERS]
SPARSE = 10_000_000_000


def fault_of(path):
    tracemalloc.start()
    begin = time.perf_counter()
    try:
        with pytest.raises(SensorError) as fault:
            open_series(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in str(fault.value)
    assert str(path.parent) in str(fault.value)
    assert peak < 1e8
    assert time.perf_counter() - begin < 5.0
    return fault.value


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    fault = fault_of(tmp_path / name)
    assert isinstance(fault, UnfinishedError)
    assert "is empty; not written yet" in str(fault)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "data",
    [
        b"this is text\nof another kind\n",
        b"\x89PNG\r\n\x1a\n" + b"\0\1\2\3" * 500,
        bytes(range(256)) * 40,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        b"\x89HDF\r\n\x1a\n" + bytes(2000),
        b"II*\0\x08\0\0\0" + b"\xff" * 300,
    ],
    ids=["text", "png", "bytes", "ole", "hdf5", "tiff"],
)
def test_a_file_of_another_kind(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    fault_of(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_ten_gigabytes_of_nothing(tmp_path, name):
    with (tmp_path / name).open("wb") as file:
        file.truncate(SPARSE)
    fault_of(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "magic", [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), b"\x89HDF\r\n\x1a\n", b"MM\0*\0\0\0\x08"]
)
def test_ten_gigabytes_behind_a_good_beginning(tmp_path, name, magic):
    with (tmp_path / name).open("wb") as file:
        file.write(magic)
        file.truncate(SPARSE)
    fault_of(tmp_path / name)
