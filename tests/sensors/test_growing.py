import pytest

from sensors.growing import GrowingFile
from sensors.reading import SensorError


def test_a_torn_line_of_a_replaced_file_is_forgotten(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\r\ntw")
    file = GrowingFile(path)
    assert file.lines() == [(1, "one")]
    path.write_bytes(b"")
    assert file.lines() == []
    assert file.restarts == 1
    path.write_bytes(b"three\nfo")
    assert file.lines() == [(1, "three")]
    assert file.rest() == [(2, "fo")]
    assert file.rest() == []
    file.close()
    file.close()


def test_a_closed_file_goes_on_where_it_stood(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\ntw")
    file = GrowingFile(path)
    assert file.lines() == [(1, "one")]
    file.close()
    with path.open("ab") as more:
        more.write(b"o\n")
    assert file.lines() == [(2, "two")]
    assert file.restarts == 0
    file.close()


def test_a_long_line_over_several_chunks_is_one_line(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 700_000 + b"\ny\n")
    file = GrowingFile(path)
    got = file.lines()
    assert [len(line) for _, line in got] == [700_000, 1]
    file.close()


def test_a_folder_in_its_place_may_be_retried(tmp_path):
    file = GrowingFile(tmp_path)
    with pytest.raises(SensorError, match=r"can't be read: .*; check the share") as error:
        file.lines()
    assert error.value.retry
