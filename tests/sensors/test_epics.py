"""EPICS against a real IOC over both protocols."""

import asyncio
import importlib.util
import math
import time

import pytest

from sensors import conformance
from sensors.channel import Channel
from sensors.epics import EpicsSensor
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
