"""ctwin spool status, drain and export: with the service stopped or running."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.servers import free_port
from twin.atomic import OutputError
from twin.publish.offline import spool_drain, spool_export, spool_status
from twin.publish.spool import Spool
from twin.publish.spool_files import SpoolError
from twin.sections import Influx


def lines(first: int, number: int) -> list[str]:
    return [f"m v={i}.0 {i}" for i in range(first, first + number)]


def test_status_and_export_while_the_owner_runs(tmp_path):
    folder = tmp_path / "spool"
    with Spool(folder) as spool:
        spool.append(lines(0, 4))
        spool.append(lines(4, 4))
        batch = spool.peek(max_lines=4)
        assert batch is not None
        spool.acknowledge(batch)
        status = spool_status(folder)
        assert (status.pending_lines, status.delivered_lines, status.damaged_bytes) == (4, 4, 0)
        assert replace(status, oldest_age_s=0.0) == replace(spool.stat(), oldest_age_s=0.0)
        assert spool_export(folder, tmp_path / "out.lp") == 4
        assert (tmp_path / "out.lp").read_text() == "\n".join(lines(4, 4)) + "\n"
        assert spool.stat().pending_lines == 4, "export leaves the spool as it is"
        # and a record that is just being written is not yet one
        spool._file.write(b"# ctwin 1 5.0000")  # type: ignore[union-attr]
        assert spool_export(folder, tmp_path / "out.lp") == 4


def test_an_exported_segment_is_line_protocol_as_it_is(tmp_path):
    with Spool(tmp_path) as spool:
        spool.append(lines(0, 3))
        text = next(tmp_path.glob("0*.lp")).read_text()
    assert [row for row in text.splitlines() if not row.startswith("#")] == lines(0, 3)


@pytest.mark.parametrize("call", [spool_status, lambda f: spool_export(f, f / "x.lp"),
                                  lambda f: spool_drain(Influx(url="http://127.0.0.1:1", bucket="b"), f, f)])  # fmt: skip
def test_no_spool_there(tmp_path, call):
    with pytest.raises(SpoolError, match="no spool here"):
        call(tmp_path / "absent")
    assert not (tmp_path / "absent").exists(), "asking makes no folder"


def test_export_to_where_nothing_can_be_written(tmp_path):
    with Spool(tmp_path / "spool") as spool:
        spool.append(lines(0, 3))
    with pytest.raises(OutputError, match="create it first"):
        spool_export(tmp_path / "spool", tmp_path / "absent" / "out.lp")


def test_drain_refuses_while_the_service_runs(tmp_path):
    config = Influx(url="http://127.0.0.1:1", bucket="b")
    with Spool(tmp_path), pytest.raises(SpoolError, match=f"in use by process {os.getpid()}"):
        spool_drain(config, tmp_path, tmp_path)


def test_drain_without_a_server_ends_in_time_and_keeps_everything(tmp_path):
    with Spool(tmp_path, clock=lambda: 1.0) as spool:  # in 1970: the service's bound in age is not drain's
        spool.append(lines(0, 3))
    config = Influx(url=f"http://127.0.0.1:{free_port()}", bucket="b")
    status = spool_drain(config, tmp_path, tmp_path, timeout_s=0.3)
    assert status.pending_lines == 3
    assert status.dropped_lines == {}
