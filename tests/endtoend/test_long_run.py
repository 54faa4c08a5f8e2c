"""A day of readings of eight channels every second, in accelerated time, while the server is away: nothing grows."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from tests.endtoend.machine import T0
from tests.endtoend.small import admitted, batches, small
from tests.servers import free_port
from twin.history import History
from twin.pipeline import Pipeline
from twin.publish.influx import Publisher
from twin.publish.line_protocol import Tags
from twin.scan import Scan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HOURS, WARM_H = 24, 4
SPOOL_MB = 16


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_a_day_of_readings_leaves_memory_and_store_as_they_should_be(tmp_path):
    server = f'[publish.influx]\nurl = "http://127.0.0.1:{free_port()}"\nbucket = "b"\nspool_mb = {SPOOL_MB}'
    config = small(more=server)
    assert config.publish.influx is not None
    usual = config.estimator.model_copy(update={"forecast_every_s": 600.0, "snapshot_every_s": 600.0, "grid_s": 10.0})
    config = config.model_copy(update={"estimator": usual})
    publisher = Publisher(config.publish.influx, Tags("lab-1", "small"), tmp_path / "spool", tmp_path)
    history = History(tmp_path / "state")
    scan = Scan("day", np.arange(2000), T0 + 40.0 * np.arange(2000), np.zeros(2000), ("projection",) * 2000)
    pipeline = Pipeline(config, history, publisher=publisher, scan=scan)
    publisher.start()
    resident, snapshots, taken = [], [], 0
    try:
        for hour in range(HOURS):
            rows = admitted(config, 3600, seed=hour, t0=T0 + 3600.0 * hour)
            for batch in batches(rows, 160):
                pipeline.take(batch, None)
            taken += len(rows)
            with history.transaction():
                history.prune(pipeline.twin.time - 86400.0 / 4)
            del rows, batch
            gc.collect()
            resident.append(resident_mb())
            row = history.connection.execute("SELECT length(data) FROM snapshot ORDER BY time DESC").fetchone()
            snapshots.append(row[0])
        kept = history.connection.execute("SELECT COUNT(*) FROM reading").fetchone()[0]
        size = sum(file.stat().st_size for file in (tmp_path / "state").iterdir())
        spool = sum(file.stat().st_size for file in (tmp_path / "spool").iterdir())
    finally:
        publisher.stop()
        history.close()
    told = f"RSS {resident[WARM_H - 1]:.0f} -> {resident[-1]:.0f} MB, {size / kept:.0f} bytes per reading kept"
    print(f"{taken} readings; {told}; snapshot {snapshots[-1]} bytes; spool {spool / 1e6:.1f} MB")
    assert taken > 650_000
    assert resident[-1] - resident[WARM_H - 1] < 15.0, told
    assert kept < taken / 3.5, "what is old is forgotten"
    assert size / kept < 200.0, told
    # it swings with the instants of the past (32 at most) and the hypotheses about steps (32 at most), and is bounded by both
    assert max(snapshots) < 200e3
    assert spool < 1.1e6 * SPOOL_MB
