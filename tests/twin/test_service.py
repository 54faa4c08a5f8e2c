"""The service: sources under supervision, silence, health, and what its end means."""

from __future__ import annotations

import asyncio
import time
import tomllib

import pytest

from sensors import registry
from sensors.reading import Reading, SensorError
from tests.endtoend.machine import T0, config_text, csv_text, readings
from tests.endtoend.scripted import ScriptedSensor
from twin import service as module
from twin.config import validate
from twin.history import HistoryError, open_to_read, read_batches, read_scan_records
from twin.service import Service

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setitem(registry.KINDS, "scripted", "tests.endtoend.scripted:ScriptedSensor")
    monkeypatch.setattr(module, "RETRY_S", (0.02, 0.1))
    monkeypatch.setattr(module, "TICK_S", 0.05)
    for book in (ScriptedSensor.SCRIPTS, ScriptedSensor.OPENS, ScriptedSensor.TAKEN, ScriptedSensor.DROPS):
        book.clear()


def configured(*, startup="retry", second="", stale_s=60.0, **scripts):
    """The small machine with two scripted sensors: lab (all channels but the room's) and room."""
    text = config_text(f'kind = "scripted"\nscript = "lab"\nstartup = "{startup}"', stale_s=stale_s)
    room = f'[[sensor]]\nname = "room"\nkind = "scripted"\nscript = "room"\nstartup = "{second or startup}"\n'
    text = text.replace('name = "t_room"\nsensor = "lab"', 'name = "t_room"\nsensor = "room"')
    text = text.replace("[[channel]]", f"{room}[[channel]]", 1)
    ScriptedSensor.SCRIPTS.update({"lab": ["hang"], "room": ["hang"], **scripts})
    return validate(tomllib.loads(text), "test")


def room(*ages, value=294.15, t=None):
    now = time.time() if t is None else t
    return [Reading("t_room", now - age, value, 0.02) for age in ages]


def tube(*ages):
    return [Reading("t_tube", time.time() - age, 295.15, 0.05) for age in ages]


def journal(folder):
    connection = open_to_read(folder / "state")
    try:
        return [r for batch in read_batches(connection) for r in batch.readings]
    finally:
        connection.close()


def watch(service, story, linger=True):
    """Run the service beside a story, which ends it."""

    async def both():
        running = asyncio.create_task(service.run(linger=linger))
        try:
            await asyncio.wait_for(story(), 20)
        finally:
            service.stop()
            await running

    asyncio.run(both())


async def until(condition, deadline_s=10.0):
    end = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.01)
    return value


def states(service):
    return {source.state.name: source.state.state for source in service.sources}


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (SensorError("the logger is gone", retry=True), "ok"),
        (SensorError("that file is no log"), "failed"),
        (ZeroDivisionError("a fault in the sensor's code"), "ok"),
    ],
)
def test_a_failing_sensor_stops_no_other(tmp_path, fault, state, caplog):
    batches = [tube(30 - k) for k in range(20)]
    config = configured(lab=[*batches, "hang"], room=[room(40), fault, room(20), "hang"])
    service = Service(config, tmp_path, page=False)

    async def story():
        await until(lambda: ScriptedSensor.TAKEN["lab"] == 20 and states(service)["room"] == state)
        if state == "ok":
            await until(lambda: ScriptedSensor.TAKEN["room"] == 2)

    watch(service, story)
    got = journal(tmp_path)
    assert sum(r.channel == "t_tube" for r in got) == 20
    assert sum(r.channel == "t_room" for r in got) == (2 if state == "ok" else 1)
    assert str(fault) in caplog.text, "and it is told"


def test_startup_fail_reports_all_failures_together(tmp_path):
    ScriptedSensor.OPENS.update(lab=[SensorError("lab: no such port")], room=[SensorError("room: wrong password")])
    service = Service(configured(startup="fail"), tmp_path, page=False)
    with pytest.raises(SensorError) as told:
        asyncio.run(service.run())
    assert str(told.value).splitlines() == ["lab: no such port", "room: wrong password"]
    Service(configured(), tmp_path, page=False).history.close()  # and it has let go of the store


def test_startup_retry_goes_on_trying_and_tells_why(tmp_path):
    faults = [SensorError("lab: refused", retry=True)] * 3
    ScriptedSensor.OPENS["lab"] = [*faults]
    service = Service(configured(lab=[tube(5), "hang"]), tmp_path, page=False)
    seen = []

    async def story():
        await until(lambda: seen.append(service.health()) or ScriptedSensor.TAKEN["lab"])

    watch(service, story)
    assert any("sensor lab is retrying: lab: refused" in h.reasons and not h.ready and h.alive for h in seen)
    assert service.sources[0].state.state == "ok"


def test_startup_ignore_is_not_missed(tmp_path):
    ScriptedSensor.OPENS["room"] = [SensorError("room: not there", retry=True)]
    service = Service(configured(second="ignore", lab=[tube(5), "hang"]), tmp_path, page=False)

    async def story():
        await until(lambda: states(service) == {"lab": "ok", "room": "failed"})
        assert service.health().ready

    watch(service, story)


def test_a_required_sensor_that_failed_makes_a_run_to_the_end_fail(tmp_path):
    config = configured(lab=[tube(5)], room=[room(5), SensorError("log.csv, line 3: no number")])
    service = Service(config, tmp_path, page=False)
    with pytest.raises(SensorError, match="line 3"):
        asyncio.run(service.run(linger=False))
    assert len(journal(tmp_path)) == 2, "what was read before is kept"


def test_an_unplugged_sensor_raises_an_alert_while_nothing_arrives(tmp_path):
    config = configured(lab=[tube(3, 2, 1), "hang"], room=[room(1.0), "hang"], stale_s=1.5)
    service = Service(config, tmp_path, page=False)

    async def story():
        await until(lambda: ScriptedSensor.TAKEN == {"lab": 1, "room": 1} or len(journal(tmp_path)) == 4)
        assert not [a for a in service.pipeline.alerts() if a.rule == "room-silent"]
        alert = await until(lambda: next((a for a in service.pipeline.alerts() if a.rule == "room-silent"), None))
        assert "active" in str(alert.state)
        assert service.pipeline.history.rows() == 2, "nothing has come meanwhile"

    watch(service, story)


def test_drops_by_cause_reach_the_page_and_the_metrics(tmp_path):
    now = time.time()
    twice = [*room(100, t=now), *room(100, t=now), *room(200, t=now), *room(50, t=now)]
    future = [Reading("t_room", now + 4000.0, 294.0)]
    ScriptedSensor.DROPS["room"] = {"bad_json": 7}
    config = configured(lab=["hang"], room=[twice, future, room(*range(40, 0, -5), t=now), "hang"])
    service = Service(config, tmp_path, page=False)

    async def story():
        await until(lambda: len(journal(tmp_path)) == 13)
        await until(lambda: service.pipeline.board.state())

    watch(service, story)
    sensors = {s["name"]: s for s in service.pipeline.board.state()["sensors"]}
    (channel,) = sensors["room"]["channels"]
    assert channel["drops"] == {"identical": 1, "backwards": 1, "ahead": 1}
    assert sensors["room"]["drops"] == {"bad_json": 7}
    text = service.metrics()
    for cause in ("identical", "backwards", "ahead"):
        assert f'ctwin_channel_drops_total{{source="room",channel="t_room",cause="{cause}"}} 1\n' in text
    assert 'ctwin_source_drops_total{source="room",cause="bad_json"} 7\n' in text
    assert 'ctwin_source_samples_total{source="room"} 13\n' in text


def test_asking_for_the_next_batch_comes_after_the_commit(tmp_path, monkeypatch):
    """The acknowledgement is given by asking on; a batch that can't be committed is never acknowledged."""
    service = Service(configured(room=[room(30), room(20), room(10), "hang"]), tmp_path, page=False)
    original, taken = service.pipeline.take, []

    def take(readings, *args, **options):
        assert ScriptedSensor.TAKEN["room"] == len(taken), "not before this one is committed"
        if len(taken) == 2:
            raise HistoryError("the disk is full")
        taken.append(original(readings, *args, **options))

    monkeypatch.setattr(service.pipeline, "take", take)
    with pytest.raises(HistoryError, match="disk is full"):
        asyncio.run(service.run())
    assert len(journal(tmp_path)) == 2
    assert ScriptedSensor.TAKEN["room"] == 2


def test_health_tells_a_stuck_loop_and_a_journal_that_takes_nothing(tmp_path, monkeypatch):
    service = Service(configured(lab=[tube(5), "hang"]), tmp_path, page=False)
    found = {}

    async def story():
        await until(lambda: states(service) == {"lab": "ok", "room": "ok"})
        found["well"] = service.health()
        monkeypatch.setattr(module, "STUCK_S", 0.1)
        time.sleep(0.15)  # the loop is stuck: this blocks it
        found["stuck"] = service.health()
        monkeypatch.setattr(module, "STUCK_S", 30.0)
        service.history.connection.execute("PRAGMA query_only = 1")
        found["read-only"] = service.health()
        service.history.connection.execute("PRAGMA query_only = 0")

    watch(service, story)
    assert (found["well"].alive, found["well"].ready, found["well"].reasons) == (True, True, ())
    assert (found["stuck"].alive, found["stuck"].ready) == (False, False)
    assert "not turned" in found["stuck"].reasons[0]
    assert (found["read-only"].alive, found["read-only"].ready) == (True, False)
    assert "permissions" in found["read-only"].reasons[0]


def test_a_stop_keeps_everything_and_a_second_start_goes_on(tmp_path):
    now = time.time()
    rows = room(*range(100, 50, -1), t=now)
    for part in (rows[:25], rows[25:]):
        service = Service(configured(room=[part, "hang"]), tmp_path, page=False)

        async def story():
            await until(lambda: ScriptedSensor.TAKEN["room"] == 1)

        watch(service, story)
    assert journal(tmp_path) == rows
    assert service.history.path.exists()


def test_a_record_read_once_leaves_final_corrections_of_every_scan_in_it(tmp_path):
    """Also when the last batch comes while the corrections so far are still being worked out."""
    count = (
        '[[channel]]\nname = "image"\nsensor = "lab"\nquantity = "projection"\nunit = "number"\naddress = "ct/image"\n'
    )
    text = config_text('kind = "csv"\npath = "log.csv"', more=count)
    config = validate(tomllib.loads(text.replace("projections = 60", "projections = 60\nends_after_min = 1.0")), "test")
    rows = readings(700, seed=3)
    for begin in (60.0, 340.0):
        rows += [Reading("image", T0 + begin + 3.0 * k, float(k)) for k in range(60)]
    (tmp_path / "log.csv").write_text(csv_text(sorted(rows, key=lambda r: r.time)))
    service = Service(config, tmp_path, page=False)
    asyncio.run(service.run(linger=False))
    connection = open_to_read(tmp_path / "state")
    records = read_scan_records(connection)
    connection.close()
    assert [record.started - T0 for record in records] == [60.0, 340.0]
    assert all(record.ended is not None for record in records)
    for record in records:
        assert (tmp_path / "state" / "scans" / record.name / "rtk_geometry.xml").is_file()
