"""Against a real IOC over both protocols, and a PV Access server in this process where times are chosen."""

import asyncio
import contextlib
import importlib.util
import logging
import math
import os
import sys
import time

import pytest

from sensors import conformance, epics, epics_ca
from sensors.channel import Channel
from sensors.epics import EpicsSensor
from sensors.epics_client import Update, Variable
from sensors.reading import Quality, SensorError
from tests.real_data import ROOT
from tests.sensors.epics_ioc import Ioc, free_port
from tests.sensors.opening import opening

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("aioca", "p4p", "pvxslibs")),
    reason="ctwin[epics] is not installed",
)
WIRES = ("ca", "pva")
PORTS = free_port(), free_port()  # the same for a second try: Channel Access has one list of addresses in a process
DATABASE = """
record(ai, "tube") {
  field(VAL, "21.5") field(PINI, "YES")
  field(HIGH, "40") field(HSV, "MINOR") field(HIHI, "60") field(HHSV, "MAJOR") field(LOLO, "-100") field(LLSV, "INVALID")
}
record(ai, "room") { field(VAL, "19") field(PINI, "YES") }
record(mbbi, "shutter") { field(ZRST, "closed") field(ONST, "open") field(VAL, "1") field(PINI, "YES") }
record(bi, "scanning") { field(ZNAM, "no") field(ONAM, "yes") field(VAL, "0") field(PINI, "YES") }
record(longin, "count") { field(VAL, "7") field(PINI, "YES") }
record(ai, "unset") { }
record(ai, "unclocked") { field(VAL, "3") field(TSE, "-2") field(PINI, "YES") }
record(bo, "gate") { field(VAL, "1") field(PINI, "YES") }
record(ai, "secret") { field(VAL, "5") field(PINI, "YES") field(ASG, "guarded") }
record(stringin, "words") { field(VAL, "21.5") field(PINI, "YES") }
record(waveform, "wave") { field(FTVL, "DOUBLE") field(NELM, "10") field(PINI, "YES") }
"""


def kelvin(name, address="", **more):
    return Channel(name, "temperature", "degC", address=address, **more)


def plain(name, **more):
    return Channel(name, "scan", "on", address=name, **more)


@pytest.fixture(scope="module")
def ioc(tmp_path_factory):
    one = Ioc(tmp_path_factory.mktemp("ioc"), DATABASE, *PORTS).start()
    yield one
    one.kill()


def sensor_of(addresses, channels, wire="ca", **options):
    return EpicsSensor(EpicsSensor.Options(addresses=addresses, protocol=wire, **options), channels, ROOT)


class Reading:
    """An opened sensor whose readings are taken until something is so."""

    def __init__(self, sensor):
        self.sensor, self.got = sensor, []

    async def __aenter__(self):
        await self.sensor.open()
        self.batches = self.sensor.readings()
        return self

    async def until(self, done, deadline=20.0):
        async with asyncio.timeout(deadline):
            while not done(self.got):
                self.got += await anext(self.batches)
        return self.got

    async def count(self, n, deadline=20.0):
        return await self.until(lambda got: len(got) >= n, deadline)

    async def __aexit__(self, *_):
        await self.batches.aclose()
        await self.sensor.close()


def values(got, channel):
    return [r.value for r in got if r.channel == channel]


# --- a real IOC ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
def test_values_units_alarms_and_the_servers_time(ioc, wire):
    async def story():
        async with Reading(sensor_of(ioc.addresses, [kelvin("t_tube", "tube")], wire)) as live:
            await live.count(1)
            before = time.time()
            ioc.do("dbpf tube 45", "dbpf tube 65", "dbpf tube -200", "dbpf tube 21.5")
            await live.count(5)
            return live.got, before, time.time(), live.sensor.drops()

    got, before, after, drops = asyncio.run(story())
    assert [r.value for r in got] == pytest.approx([294.65, 318.15, 338.15, 73.15, 294.65])
    assert [str(r.quality) for r in got] == ["good", "good", "suspect", "invalid", "good"]
    assert all(before - 1e-3 <= r.time <= after for r in got[1:])
    assert len({r.time for r in got}) == 5
    assert drops.keys() <= {"stamped_at_connection"}  # of a machine so slow that the IOC is older than 30 s


@pytest.mark.parametrize("wire", WIRES)
def test_whole_numbers_switches_and_choices(ioc, wire):
    channels = [plain("count"), plain("scanning"), plain("shutter"), kelvin("room"), kelvin("twice", "room")]

    async def story():
        async with Reading(sensor_of(ioc.addresses, channels, wire)) as live:
            await live.count(5)
            ioc.do("dbpf scanning 1", "dbpf shutter closed")
            await live.count(7)
            ioc.do("dbpf scanning 0", "dbpf shutter open")
            return await live.count(9)

    got = asyncio.run(story())
    assert values(got, "count") == [7.0]
    assert values(got, "scanning") == [0.0, 1.0, 0.0]
    assert values(got, "shutter") == [1.0, 0.0, 1.0]
    assert values(got, "room") == values(got, "twice") == [292.15]


@pytest.mark.parametrize("wire", WIRES)
def test_prefixes_choose_the_protocol(ioc, wire):
    other = next(w for w in WIRES if w != wire)

    async def story():
        channels = [kelvin("a", "room"), kelvin("b", f"{other}://room")]
        async with Reading(sensor_of(ioc.addresses, channels, wire)) as live:
            return await live.count(2), {str(v) for v in live.sensor._connected}

    got, connected = asyncio.run(story())
    assert {r.channel for r in got} == {"a", "b"}
    assert connected == {"ca://room", "pva://room"}


@pytest.mark.parametrize("wire", WIRES)
def test_a_record_without_value_or_clock(ioc, wire):
    """Never processed: invalid, and EPICS' own year 1990; a clock that isn't set: a good value with its time of arrival."""

    async def story():
        before = time.time()
        async with Reading(sensor_of(ioc.addresses, [kelvin("unset"), kelvin("unclocked")], wire)) as live:
            return before, await live.count(2), live.sensor.drops()

    before, got, drops = asyncio.run(story())
    quality = {r.channel: r.quality for r in got}
    assert quality == {"unset": Quality.INVALID, "unclocked": Quality.GOOD}
    assert all(before <= r.time <= time.time() for r in got)
    assert drops == {"stamped_before_1991": 2}


@pytest.mark.parametrize("wire", WIRES)
def test_text_and_arrays_are_refused_together(ioc, wire, caplog):
    words, retry = opening(sensor_of(ioc.addresses, [kelvin("a", "words"), kelvin("b", "wave"), kelvin("room")], wire))
    array = "it is an array of 10" if wire == "ca" else "it is an array of 0"
    assert words == f"EPICS: channel b: wave gives no number, {array}; channel a: words gives no number, it is text"
    assert not retry
    assert caplog.messages == []  # raised, not logged


def test_channel_access_takes_back_the_right_to_read(ioc):
    """PV Access' server goes on for a monitor that it has once allowed."""

    async def story():
        async with Reading(sensor_of(ioc.addresses, [kelvin("secret")])) as live:
            await live.count(1)
            ioc.do("dbpf gate 0")
            await live.count(2)
            ioc.do("dbpf secret 6", "dbpf gate 1")
            await live.count(3)
            ioc.do("dbpf gate 0")
            return await live.count(4), live.sensor.drops()

    try:
        got, drops = asyncio.run(story())
        words, retry = opening(sensor_of(ioc.addresses, [kelvin("secret")]))
    finally:
        ioc.do("dbpf gate 1", "dbpf secret 5")
    assert [str(r.quality) for r in got] == ["good", "invalid", "good", "invalid"]
    assert values(got, "secret")[2] == pytest.approx(279.15)
    assert drops["refused"] == 2
    assert words == "EPICS: channel secret: secret gives no number, its server allows no reading"
    assert not retry


@pytest.mark.parametrize("wire", WIRES)
def test_one_that_does_not_answer_is_told_and_the_others_are_read(ioc, wire, caplog):
    channels = [kelvin("room"), kelvin("a", "no:such"), kelvin("b", "nor:such")]

    async def story():
        async with Reading(sensor_of(ioc.addresses, channels, wire, timeout_s=0.5)) as live:
            return await live.count(1)

    assert values(asyncio.run(story()), "room") == [292.15]
    assert caplog.messages == ["EPICS: no answer from no:such, nor:such; they are read once they appear"]


@pytest.mark.parametrize("wire", WIRES)
def test_none_that_answers(ioc, wire):
    channels = [kelvin(f"t{k}", f"no:such:{k}") for k in range(5)]
    words, retry = opening(sensor_of(ioc.addresses, channels, wire, timeout_s=0.2))
    assert words.startswith(
        "EPICS: no answer from no:such:0, no:such:1, no:such:2 and 2 more within 0.2 s; is its server"
    )
    assert retry


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", [check.name for check in conformance.checks(lambda: None)])
def test_conformance(ioc, wire, name):
    channels = [kelvin("room"), plain("scanning")]
    ioc.do("dbpf room 19", "dbpf scanning 0")  # not more than 30 s old

    def make():
        return sensor_of(ioc.addresses, channels, wire)

    {check.name: check for check in conformance.checks(make)}[name]()


@pytest.mark.slow
@pytest.mark.parametrize("wire", WIRES)
def test_killed_and_started_again(ioc, wire, caplog):
    """Unknown in between, and told so once for all variables; then it goes on by itself."""
    channels = [kelvin("t_tube", "tube"), kelvin("room"), plain("shutter")]

    def invalid(got):
        return [r for r in got if r.quality is Quality.INVALID]

    async def story():
        async with Reading(sensor_of(ioc.addresses, channels, wire)) as live:
            await live.count(3)
            before = time.time()
            ioc.kill()
            await live.until(lambda got: len(invalid(got)) == 3)
            gone = time.time()
            await asyncio.to_thread(ioc.start)
            await live.until(lambda got: len(got) >= 9, deadline=60)
            ioc.do("dbpf room 20")
            await live.count(10)
            return before, gone, live.got

    before, gone, got = asyncio.run(story())
    assert {r.channel for r in invalid(got)} == {"t_tube", "room", "shutter"}
    assert all(before <= r.time <= gone and math.isnan(r.value) for r in invalid(got))
    assert values(got[6:], "t_tube") == pytest.approx([294.65])
    assert values(got[6:], "room") == pytest.approx([292.15, 293.15])
    for name in ("t_tube", "room", "shutter"):
        times = [r.time for r in got if r.channel == name]
        assert times == sorted(set(times))
    assert caplog.messages == ["EPICS: room, shutter, tube disconnected; unknown until back"]


@pytest.mark.slow
@pytest.mark.parametrize("wire", WIRES)
def test_a_server_that_appears_later(ioc, wire):
    ioc.kill()

    async def story():
        sensor = sensor_of(ioc.addresses, [kelvin("room")], wire, timeout_s=0.5)
        with pytest.raises(SensorError, match="no answer from room") as error:
            await sensor.open()
        assert error.value.retry
        await asyncio.to_thread(ioc.start)
        async with Reading(sensor_of(ioc.addresses, [kelvin("room")], wire, timeout_s=60)) as live:
            return await live.count(1)

    assert values(asyncio.run(story()), "room") == [292.15]


@pytest.mark.parametrize("wire", WIRES)
def test_a_burst_ends_with_the_newest(ioc, wire):
    """A server merges what a client is too slow for, so some of 500 may be missing, but not the last one."""

    async def story():
        async with Reading(sensor_of(ioc.addresses, [kelvin("room")], wire)) as live:
            await live.count(1)
            ioc.do(*(f"dbpf room {k}" for k in range(1, 501)), "dbpf room 19")
            return (await live.until(lambda got: len(got) > 1 and got[-1].value == 292.15 and got[-2].value > 300))[
                1:-1
            ]

    got = [round(r.value - 273.15) for r in asyncio.run(story())]
    assert got == sorted(set(got))
    assert set(got) <= set(range(1, 501))
    assert got[-1] == 500


def test_channel_access_has_one_list_of_addresses_in_a_process(ioc):
    asyncio.run(opened_and_closed(sensor_of(ioc.addresses, [kelvin("room")])))
    words, retry = opening(sensor_of((f"127.0.0.1:{free_port()}",), [kelvin("room")]))
    assert words.startswith(f"EPICS: this process already searches 127.0.0.1:{ioc.ca}; Channel Access has one list")
    assert not retry


async def opened_and_closed(sensor):
    await sensor.open()
    await sensor.close()


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
