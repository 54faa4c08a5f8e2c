"""Against a real Mosquitto: what is acknowledged when, what survives kills and restarts, what the broker drops."""

import asyncio
import contextlib
import getpass
import json
import math
import shutil
import signal
import socket
import subprocess
import sys
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from sensors import conformance, mqtt
from sensors.channel import Channel
from sensors.mqtt import MqttSensor
from sensors.reading import SensorError
from sensors.timestamps import TimestampPolicy
from tests.real_data import ROOT
from tests.sensors.opening import opening

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed"),
]
T0 = 1.7e9
TUBE = Channel("t_tube", "temperature", "degC", address="lab/tube")
ROOM = Channel("lab/room", "temperature", "degC")
CHANNELS = (TUBE, ROOM)
UNLIMITED = "max_queued_messages 0\n"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    def __init__(self, folder, conf="", auth="allow_anonymous true\n"):
        self.folder, self.port, self.process = folder, free_port(), None
        self.scheme = "mqtts" if "certfile" in conf else "mqtt"
        head = f"listener {self.port} 127.0.0.1\n"
        data = folder / "mosquitto"
        data.mkdir()
        user = (
            f"user {getpass.getuser()}\n"  # started as root it would become another user, without access to the folder
        )
        self.conf = folder / "mosquitto.conf"
        self.conf.write_text(f"{head}{conf}{auth}{user}persistence true\npersistence_location {data}/\n")

    def start(self):
        self.log = (self.folder / "mosquitto.log").open("ab")
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.conf)], stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.02)
        raise RuntimeError((self.folder / "mosquitto.log").read_text())

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None
            self.log.close()

    def sensor(self, channels=CHANNELS, **options):
        given = MqttSensor.Options(url=f"{self.scheme}://127.0.0.1:{self.port}", **options)
        return MqttSensor(given, channels, self.folder)

    def publish(self, messages, qos=1, retain=False):
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.max_inflight_messages_set(1000)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        sent = [client.publish(topic, payload, qos, retain) for topic, payload in messages]
        for info in sent:
            info.wait_for_publish(20)
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def broker(tmp_path):
    one = Broker(tmp_path, UNLIMITED).start()
    yield one
    one.stop()


def message(k, topic="lab/tube"):
    return topic, json.dumps({"time": T0 + k, "value": 20 + k / 100, "sigma": 0.1})


def messages(*numbers):
    return [message(k) for k in numbers]


class Taking:
    """Opens a sensor; ``until`` asks on (and thereby acknowledges) until so many different readings have come."""

    def __init__(self, sensor):
        self.sensor, self.got, self.policy = sensor, [], TimestampPolicy()

    async def __aenter__(self):
        await self.sensor.open()
        self.batches = self.sensor.readings()
        return self

    async def until(self, count, deadline=20.0):
        async def go():
            while len(self.got) < count:
                await self.one()

        await asyncio.wait_for(go(), deadline)
        return self.numbers

    async def one(self):
        batch = await anext(self.batches)
        self.got += [r for r in batch if self.policy.judge(r.channel, r.time) is None]

    async def quiet(self, seconds=0.4):
        """Ask on and see that nothing new comes."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.one(), seconds)
        return self.numbers

    @property
    def numbers(self):
        return [round(r.time - T0) for r in self.got]

    async def __aexit__(self, *_):
        await self.batches.aclose()
        await self.sensor.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_readings_arrive_and_only_asking_on_acknowledges(broker, protocol):
    async def story():
        async with Taking(broker.sensor(protocol=protocol)) as first:
            broker.publish([*messages(0, 1), message(7, "lab/room")])
            assert sorted(await first.until(3)) == [0, 1, 7]
            tube = next(r for r in first.got if r.channel == "t_tube")
            assert (tube.value, tube.sigma) == (293.15, 0.1)
            assert {r.channel for r in first.got} == {"t_tube", "lab/room"}
        # the batches before the last one were acknowledged, the last was not
        async with Taking(broker.sensor(protocol=protocol)) as second:
            await second.until(1)
            again = await second.quiet()
            assert again
            assert set(again) <= {0, 1, 7}
        async with Taking(broker.sensor(protocol=protocol)) as third:
            assert await third.quiet() == []
            assert third.sensor.drops() == {}

    asyncio.run(story())


@pytest.mark.parametrize("name", [check.name for check in conformance.checks(lambda: None)])
def test_conformance(broker, name):
    def make():
        broker.publish(messages(0, 1, 2), retain=True)
        return broker.sensor()

    {check.name: check for check in conformance.checks(make)}[name]()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_broker_restarted_in_the_midst_loses_nothing(broker, protocol):
    async def story():
        async with Taking(broker.sensor(protocol=protocol)) as live:
            broker.publish(messages(*range(10)))
            await live.until(10)
            broker.stop()
            broker.start()
            broker.publish(messages(*range(10, 20)))  # perhaps before the sensor is back
            assert await live.until(20) == list(range(20))
            broker.publish(messages(*range(20, 30)))
            assert await live.until(30) == list(range(30))
        async with Taking(broker.sensor(protocol=protocol)) as after:
            await after.quiet()
            assert set(after.numbers) <= set(range(20, 30))  # at most the batch that nobody asked beyond

    asyncio.run(story())


def test_acknowledging_a_batch_of_a_lost_connection_hits_no_other_message(broker):
    """A batch taken before the connection broke is acknowledged after: then its numbers belong to the second copies."""

    async def story():
        async with Taking(broker.sensor(receive_maximum=10)) as live:
            broker.publish(messages(*range(30)))
            await live.until(1)
            broker.stop()
            broker.start()
            await asyncio.sleep(2.5)  # reconnected; the broker has sent the batch again
            assert await live.until(30) == list(range(30))

    asyncio.run(story())


def burst_received(broker, slow, **options):
    """How many of 3000 messages arrive when the consumer is away, or present but doesn't ask on."""

    async def story():
        async with Taking(broker.sensor(**options)) as live:  # the session exists from here on
            if slow:
                broker.publish(messages(0))
                await live.until(1)
                await asyncio.to_thread(broker.publish, messages(*range(1, 3000)))
                with contextlib.suppress(TimeoutError):
                    await live.until(3000, deadline=4)
                return live.numbers
        await asyncio.to_thread(broker.publish, messages(*range(3000)))
        async with Taking(broker.sensor(**options)) as late:
            with contextlib.suppress(TimeoutError):
                await late.until(3000, deadline=4)
            return late.numbers

    return asyncio.run(story())


@pytest.mark.parametrize(("slow", "options"), [(False, {}), (True, {}), (True, {"receive_maximum": 20}),
                                               (False, {"protocol": "3.1.1"})])  # fmt: skip
def test_a_burst_of_3000_waits_at_the_broker(broker, slow, options):
    assert burst_received(broker, slow, **options) == list(range(3000))


@pytest.mark.parametrize(("slow", "at_most"), [(False, 1000), (True, 1000 + 20)])
def test_mosquittos_default_queue_drops_most_of_a_burst(tmp_path, slow, at_most):
    """Why the documentation asks for max_queued_messages 0."""
    broker = Broker(tmp_path).start()
    try:
        got = burst_received(broker, slow, receive_maximum=20)
    finally:
        broker.stop()
    assert len(got) < 3000
    assert len(got) <= at_most + 1
    assert "max_queued_messages 0" in mqtt.__doc__


CONSUMER = """
import asyncio, sys
from pathlib import Path
from sensors.channel import Channel
from sensors.mqtt import MqttSensor

async def main():
    options = MqttSensor.Options(url=sys.argv[1], receive_maximum=50)
    sensor = MqttSensor(options, [Channel("t_tube", "temperature", "degC", address="lab/tube")], Path("."))
    await sensor.open()
    committed = 0
    print("ready", flush=True)
    async for batch in sensor.readings():
        for reading in batch:
            print(round(reading.time - 1.7e9), flush=True)   # the journal: what is printed is committed
            committed += 1
            if committed == 120:
                print("hold", flush=True)
                await asyncio.sleep(60)                      # killed here, within a batch
asyncio.run(main())
"""


def test_kill_9_before_the_acknowledgement_loses_nothing(broker):
    url = f"mqtt://127.0.0.1:{broker.port}"
    consumer = subprocess.Popen([sys.executable, "-c", CONSUMER, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert consumer.stdout.readline() == "ready\n"
        broker.publish(messages(*range(300)))
        journal = []
        for line in consumer.stdout:
            if line == "hold\n":
                break
            journal.append(int(line))
    finally:
        consumer.send_signal(signal.SIGKILL)
        consumer.wait(10)
        consumer.stdout.close()
    assert journal == list(range(120))

    async def the_rest():
        async with Taking(broker.sensor()) as live:
            await live.until(1)
            with contextlib.suppress(TimeoutError):
                await live.until(300 - live.numbers[0], deadline=5)
            return live.numbers

    rest = asyncio.run(the_rest())
    # what the broker had not been told comes again, from within the journal on, without a gap up to the end
    assert 0 < rest[0] <= 120
    assert rest == list(range(rest[0], 300))


def test_bad_payloads_are_counted_and_do_not_come_again(broker):
    bad = [("lab/tube", payload) for payload in ("", "{", "21", '{"value": 1}', '{"time": 1e9, "value": "x"}')]

    async def story():
        async with Taking(broker.sensor()) as live:
            broker.publish([*bad, message(1), ("lab/tube", "{"), message(2)])
            assert await live.until(2) == [1, 2]
            assert live.sensor.drops() == {"empty": 1, "bad_json": 3, "no_time": 1, "bad_value": 1}
            broker.publish(bad[1:2])
            await live.quiet()
        async with Taking(
            broker.sensor((ROOM,))
        ) as other:  # the earlier subscription of lab/tube is still in the session
            broker.publish(messages(3))
            assert await other.quiet() == []
            assert other.sensor.drops() == {"unknown_topic": 1}

    asyncio.run(story())


def test_plain_numbers_are_stamped_on_arrival_and_retained_ones_refused(broker):
    async def story():
        broker.publish([("lab/tube", "99")], retain=True)
        async with Taking(broker.sensor(payload="plain")) as live:
            before = time.time()
            broker.publish([("lab/tube", "21.5"), ("lab/room", "nan")])
            await live.until(2)
            assert live.got[0].value == 294.65
            assert all(before <= r.time <= time.time() for r in live.got)
            assert live.sensor.drops() == {"retained": 1}

    asyncio.run(story())


def test_unthrottled_qos_0_is_bounded_and_counted(broker, monkeypatch):
    monkeypatch.setattr(mqtt, "_UNTHROTTLED", 50)

    async def story():
        async with Taking(broker.sensor()) as live:
            broker.publish(messages(*range(200)), qos=0)
            end = time.monotonic() + 20.0
            # waits without giving way to the loop, so that nothing is taken meanwhile
            while live.sensor.drops().get("overflow", 0) < 150 and time.monotonic() < end:
                time.sleep(0.01)
            assert await live.until(50) == list(range(50))
            assert live.sensor.drops() == {"overflow": 150}

    asyncio.run(story())


def test_another_program_with_the_same_session_is_told(broker, monkeypatch):
    monkeypatch.setattr(mqtt, "_FLAPPING", 2)

    async def story():
        async with Taking(broker.sensor()) as first, Taking(broker.sensor()):
            with pytest.raises(SensorError, match="perhaps another program uses client_id 'ctwin': give each"):
                await first.until(1)

    asyncio.run(story())


def test_no_broker_names_it_and_may_be_retried():
    port = free_port()
    words, retry = opening(MqttSensor(MqttSensor.Options(url=f"mqtt://127.0.0.1:{port}"), CHANNELS, ROOT))
    assert words.startswith(f"broker 127.0.0.1:{port}: Connection refused; is it running")
    assert retry


def test_a_port_that_is_no_broker(monkeypatch):
    monkeypatch.setattr(mqtt, "CONNECT_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        words, retry = opening(MqttSensor(MqttSensor.Options(url=url), CHANNELS, ROOT))
    assert "no answer; is this port an MQTT listener?" in words
    assert retry


def test_wildcards_are_refused(broker):
    words, _ = opening(broker.sensor((Channel("t", "temperature", "degC", address="lab/#"),)))
    assert words == "channel t: address 'lab/#' has a wildcard; give one topic"


@pytest.fixture
def guarded(tmp_path):
    passwords, access = tmp_path / "passwords", tmp_path / "access"
    subprocess.run(["mosquitto_passwd", "-c", "-b", passwords, "ctwin", "s3cret"], check=True)
    access.write_text("user ctwin\ntopic read lab/tube\n")
    for path in (passwords, access):
        path.chmod(0o644)
    auth = f"allow_anonymous false\npassword_file {passwords}\nacl_file {access}\n"
    one = Broker(tmp_path, auth=auth).start()
    yield one
    one.stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_users(guarded, protocol):
    (guarded.folder / "good").write_text("ctwin:s3cret\n")
    (guarded.folder / "bad").write_text("ctwin:guess\n")
    words, retry = opening(guarded.sensor((TUBE,), password_file="bad", protocol=protocol))
    assert "refuses the connection" in words
    assert "check password_file" in words
    assert "guess" not in words
    assert not retry
    words, _ = opening(guarded.sensor(protocol=protocol))
    assert "refuses the connection" in words

    async def story():
        async with Taking(guarded.sensor((TUBE,), password_file="good", protocol=protocol)) as live:
            return await live.quiet(0.1)

    assert asyncio.run(story()) == []


# paho leaves the socket of a refused certificate to the garbage collector
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
def test_encrypted(tmp_path):
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=tmp_path)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2",
            "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")  # fmt: skip
    (tmp_path / "key.pem").chmod(0o644)
    broker = Broker(tmp_path, f"certfile {tmp_path}/cert.pem\nkeyfile {tmp_path}/key.pem\n").start()

    async def story():
        async with Taking(broker.sensor(ca_file="cert.pem")) as live:
            return await live.quiet(0.1)

    try:
        assert asyncio.run(story()) == []
        words, retry = opening(broker.sensor())
        assert "name its authority in ca_file" in words
        assert not retry
    finally:
        broker.stop()


# --- waveforms ---------------------------------------------------------------------------------

FLOOR = Channel("floor_v", "acceleration", "mg", address="lab/floor")


def block(k, samples=10_000):
    wave = [round(3.0 * math.sin(0.22 * (k * samples + i)), 4) for i in range(samples)]
    return "lab/floor", json.dumps({"time": T0 + 10.0 * k, "rate_hz": 1000, "samples": wave})


def test_blocks_survive_a_death_before_their_acknowledgement(broker):
    """Blocks of 100 kB that were not acknowledged come again, bad ones are counted, a thermometer beside them reads on."""
    channels = (FLOOR, TUBE)

    async def story():
        await (first := broker.sensor(channels)).open()
        broker.publish([block(0), ("lab/floor", '{"time": 1.7e9, "rate_hz": 1000, "samples": []}'), message(1)])
        batch = await asyncio.wait_for(anext(first.readings()), 20)
        await first.close()  # the batch was never acknowledged
        async with Taking(broker.sensor(channels)) as again:
            broker.publish([block(1), ("lab/floor", "no block at all")])
            while {r.time for r in again.got if r.channel == "floor_v"} != {T0 + 5.0, T0 + 15.0}:
                await asyncio.wait_for(again.one(), 20)
            await again.quiet()
            return batch, again.got, again.sensor.drops()

    batch, got, drops = asyncio.run(story())
    assert batch[0].channel in ("floor_v", "t_tube")
    rms = [r.value for r in got if r.channel == "floor_v"]
    assert rms == pytest.approx([3 * 9.80665e-3 / math.sqrt(2)] * 2, rel=1e-3)
    assert sum(r.channel == "t_tube" for r in got) == 1
    assert drops == {"empty": 1, "bad_json": 1}
