"""EPICS without an IOC: a PV Access server in this process where times are chosen, and no server at all."""

import asyncio
import contextlib
import logging
import os
import sys
import time

import pytest

from sensors import epics, epics_ca
from sensors.epics import EpicsSensor
from sensors.epics_client import Update, Variable
from sensors.reading import Quality
from tests.sensors.opening import opening
from tests.sensors.test_epics import Reading, kelvin, plain, pytestmark, sensor_of

__all__ = ["pytestmark"]  # skipped where the extra isn't installed, too

# --- a PV Access server in this process ----------------------------------------------------------


@contextlib.contextmanager
def serving(**given):
    """A server of numbers, and addresses that find it; a number is posted by ``given[name].post(…)``."""
    from p4p.nt import NTScalar
    from p4p.server import Server
    from p4p.server.raw import SharedPV

    variables = {}
    for name, (value, when) in given.items():
        variables[name] = SharedPV(nt=NTScalar("d"))
        variables[name].open(value, timestamp=when)
    with Server(providers=[variables], isolate=True) as server:
        yield variables, (f"127.0.0.1:{server.conf()['EPICS_PVA_BROADCAST_PORT']}",)


def test_at_connection_an_old_stamp_gives_way_unless_the_channel_would_be_stale():
    now = time.time()
    channels = [plain("held"), plain("stale", stale_after_s=600.0), plain("fresh"), plain("ahead")]
    stamps = {"held": now - 3600.0, "stale": now - 3600.0, "fresh": now - 5.0, "ahead": now + 7200.0}

    async def story():
        with serving(**{name: (1.0, stamp) for name, stamp in stamps.items()}) as (variables, addresses):
            async with Reading(sensor_of(addresses, channels, "pva")) as live:
                await live.count(4)
                variables["held"].post(0.0, timestamp=now - 1800.0)  # late, but no first value: its own time
                await live.count(5)
                return live.got, live.sensor.drops()

    got, drops = asyncio.run(story())
    times = {r.channel: r.time for r in got[:4]}
    assert times["stale"] == pytest.approx(stamps["stale"], abs=1e-3)
    assert times["fresh"] == pytest.approx(stamps["fresh"], abs=1e-3)
    assert all(now <= times[name] <= time.time() for name in ("held", "ahead"))
    assert got[4].time == pytest.approx(now - 1800.0, abs=1e-3)
    assert drops == {"stamped_at_connection": 1, "stamped_ahead": 1}


def test_after_an_interruption_an_unchanged_value_is_told_again():
    stamp = time.time() - 5.0

    async def story():
        with serving(room=(19.0, stamp)) as (variables, addresses):
            async with Reading(sensor_of(addresses, [kelvin("room")], "pva")) as live:
                await live.count(1)
                variables["room"].close()
                await live.count(2)
                variables["room"].open(19.0, timestamp=stamp)
                return await live.count(3, deadline=60), live.sensor.drops()

    got, drops = asyncio.run(story())
    assert [str(r.quality) for r in got] == ["good", "invalid", "good"]
    assert stamp < got[1].time < got[2].time
    assert drops == {"stamped_at_connection": 1}


def test_a_burst_of_900_arrives_whole_and_an_alarm_alone_keeps_the_value():
    start = time.time() - 1.0

    async def story():
        with serving(room=(0.0, start)) as (variables, addresses):
            async with Reading(sensor_of(addresses, [kelvin("room")], "pva")) as live:
                await live.count(1)
                for k in range(1, 901):
                    variables["room"].post(float(k), timestamp=start + 1e-3 * k)
                await live.count(901)
                variables["room"].post({"alarm.severity": 2})
                await live.count(902)
                return live.got, live.sensor.drops()

    got, drops = asyncio.run(story())
    assert [round(r.value - 273.15) for r in got] == [*range(901), 900]
    assert [round(1e3 * (r.time - start)) for r in got] == [*range(901), 900]
    assert got[-1].quality is Quality.SUSPECT
    assert drops == {}


def test_what_turns_to_text_later_is_counted_and_unknown(caplog):
    from p4p.nt import NTScalar

    async def story():
        with serving(room=(19.0, time.time())) as (variables, addresses):
            async with Reading(sensor_of(addresses, [kelvin("room")], "pva")) as live:
                await live.count(1)
                variables["room"].close()
                await live.count(2)
                variables["room"].open("warm", nt=NTScalar("s"))
                caplog.clear()
                async with asyncio.timeout(60):
                    while not live.sensor.drops():
                        task = asyncio.ensure_future(anext(live.batches))
                        await asyncio.wait([task], timeout=0.2)
                        task.cancel()
                        await asyncio.gather(task, return_exceptions=True)
                        live.batches = live.sensor.readings()
                return live.got, live.sensor.drops()

    got, drops = asyncio.run(story())
    assert [str(r.quality) for r in got] == ["good", "invalid"]
    assert drops == {"text": 1}
    assert caplog.messages == [
        "EPICS: channel room: room gives no number, it is text; dropped, further ones are counted"
    ]


def test_structures_are_refused():
    from p4p.nt import NTTable
    from p4p.server import Server
    from p4p.server.raw import SharedPV

    table = NTTable([("a", "d")])
    pv = SharedPV(initial=table.wrap([{"a": 1.0}]))
    with Server(providers=[{"table": pv}], isolate=True) as server:
        addresses = (f"127.0.0.1:{server.conf()['EPICS_PVA_BROADCAST_PORT']}",)
        words, retry = opening(sensor_of(addresses, [kelvin("t", "table")], "pva"))
    assert words == "EPICS: channel t: table gives no number, it is a structure"
    assert not retry


# --- without any server --------------------------------------------------------------------------


def test_the_environment_is_as_before(monkeypatch):
    monkeypatch.setenv("EPICS_CA_ADDR_LIST", "ioc.example")
    monkeypatch.delenv("EPICS_CA_AUTO_ADDR_LIST", raising=False)
    before = dict(os.environ)
    with epics_ca._searching("127.0.0.1"):
        assert os.environ["EPICS_CA_ADDR_LIST"] == "127.0.0.1"
        assert os.environ["EPICS_CA_AUTO_ADDR_LIST"] == "NO"
    assert dict(os.environ) == before


@pytest.mark.parametrize(("wire", "module", "library"), [("ca", "aioca", "aioca"), ("pva", "p4p.client.raw", "p4p")])
def test_a_library_that_is_absent(monkeypatch, wire, module, library):
    monkeypatch.setitem(sys.modules, module, None)
    words, retry = opening(sensor_of((), [kelvin("room")], wire))
    assert words == f"EPICS: {library} is not installed; pip install 'ctwin[epics]'"
    assert not retry


@pytest.mark.parametrize("address", ["ca://", "http://room", "two words", "pva:// room"])
def test_addresses_that_are_no_variables(address):
    words, _ = opening(sensor_of((), [kelvin("t", address)]))
    assert words.startswith(f"channel t: address {address!r} is no process variable; give its name, alone or after")


@pytest.mark.parametrize("address", ["a b", "http://a", "ca://", "", "a/b", "a,b"])
def test_places_that_are_none(address):
    with pytest.raises(ValueError, match="is none; give host"):
        EpicsSensor.Options(addresses=[address])


def test_places_by_protocol():
    options = EpicsSensor.Options(addresses=["10.0.0.255", "ca://ioc:5064", "pva://ioc:5076"])
    assert options.searched("ca") == "10.0.0.255 ioc:5064"
    assert options.searched("pva") == "10.0.0.255 ioc:5076"


def test_a_busy_machine_keeps_the_newest_and_counts_the_rest(monkeypatch):
    monkeypatch.setattr(epics, "_MOST", 10)
    sensor = sensor_of((), [kelvin("room")])
    sensor._of = sensor._located()
    for k in range(25):
        sensor._tell(Update(Variable("ca", "room"), 1.7e9 + k, float(k), 1.7e9 + k))
    assert sensor.drops() == {"overflow": 15}

    async def story():
        return await anext(sensor.readings())

    assert [round(r.value - 273.15) for r in asyncio.run(story())] == list(range(15, 25))


def test_a_server_whose_clock_is_ahead_stays_in_order():
    """The moment of the disconnect is ours; it comes after the last value, whose server is five minutes ahead."""
    sensor = sensor_of((), [kelvin("room")])
    sensor._of = sensor._located()
    room = Variable("ca", "room")
    sensor._tell(Update(room, 1.7e9, 19.0, 1.7e9 + 300.0))
    sensor._tell(Update(room, 1.7e9 + 1.0, fault="disconnected"))
    sensor._tell(Update(room, 1.7e9 + 2.0, 19.0, 1.7e9 + 300.0))
    sensor._tell(Update(room, 1.7e9 + 3.0, 19.5, 1.7e9 + 303.0))

    async def story():
        return await anext(sensor.readings())

    times = [r.time for r in asyncio.run(story())]
    assert times == sorted(set(times))
    assert times[-1] == 1.7e9 + 303.0


@pytest.fixture(autouse=True)
def quiet_libraries(caplog):
    caplog.set_level(logging.WARNING)
