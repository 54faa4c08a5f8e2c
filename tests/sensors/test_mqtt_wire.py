"""A broker played from a script, byte by byte (MQTT 3.1.1): what is acknowledged on which connection."""

import asyncio
import json
import socket
import threading

from sensors.channel import Channel
from sensors.mqtt import MqttSensor
from tests.real_data import ROOT

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, DISCONNECT = 1, 3, 4, 8, 14
TOPIC = b"t"


def packet(connection):
    """Kind and body of the next packet, or None when the connection has ended."""
    head = connection.recv(1)
    if not head:
        return None
    length = shift = 0
    while True:
        byte = connection.recv(1)[0]
        length |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return head[0] >> 4, body


def publish(number, *, again=False):
    payload = json.dumps({"time": 1.7e9 + number, "value": number}).encode()
    body = len(TOPIC).to_bytes(2, "big") + TOPIC + number.to_bytes(2, "big") + payload
    return bytes([0x32 | (0x08 if again else 0), len(body)]) + body


class ScriptedBroker(threading.Thread):
    """Sends 1 and 2, breaks the connection when told, sends both again, and notes what it is told."""

    def __init__(self, *, keeps_session):
        super().__init__(daemon=True)
        self.keeps_session = keeps_session
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.taken, self.break_now, self.sent_again = threading.Event(), threading.Event(), threading.Event()
        self.acknowledged = {1: [], 2: []}

    def welcome(self, connection, present):
        assert packet(connection)[0] == CONNECT
        connection.sendall(bytes([0x20, 2, int(present), 0]))
        kind, body = packet(connection)
        assert kind == SUBSCRIBE
        connection.sendall(b"\x90\x03" + body[:2] + b"\x01")

    def run(self):
        with self.server:
            with self.server.accept()[0] as first:
                self.welcome(first, present=False)
                first.sendall(publish(1))
                self.taken.wait(10)
                first.sendall(publish(2))
                self.break_now.wait(10)
            with self.server.accept()[0] as second:
                self.welcome(second, present=self.keeps_session)
                if self.keeps_session:
                    second.sendall(publish(1, again=True) + publish(2, again=True))
                second.sendall(publish(3))
                self.sent_again.set()
                while (got := packet(second)) is not None and got[0] != DISCONNECT:
                    if got[0] == PUBACK:
                        self.acknowledged[2].append(int.from_bytes(got[1], "big"))


def story(keeps_session):
    """Values of all batches, and the acknowledgements on the second connection."""
    broker = ScriptedBroker(keeps_session=keeps_session)
    broker.start()
    options = MqttSensor.Options(url=f"mqtt://127.0.0.1:{broker.port}", protocol="3.1.1")
    sensor = MqttSensor(options, [Channel("t", "temperature", "K")], ROOT)

    async def go():
        await sensor.open()
        batches = sensor.readings()
        taken = [r.value for r in await asyncio.wait_for(anext(batches), 10)]
        broker.taken.set()
        while not sensor._waiting:  # 2 has arrived, and nobody has asked for it
            await asyncio.sleep(0.01)
        broker.break_now.set()
        assert await asyncio.to_thread(broker.sent_again.wait, 10)
        got = []
        while 3.0 not in got:
            got += [r.value for r in await asyncio.wait_for(anext(batches), 10)]
        asking_on = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0.1)
        asking_on.cancel()
        await asyncio.gather(asking_on, return_exceptions=True)
        await sensor.close()
        return taken, got

    taken, got = asyncio.run(go())
    broker.join(10)
    return taken, got, broker.acknowledged[2]


def test_what_was_taken_before_the_break_is_acknowledged_once_by_its_second_copy():
    taken, got, acknowledged = story(keeps_session=True)
    assert taken == [1.0]
    assert got == [1.0, 2.0, 3.0]  # what waited unread on the lost connection is not given out twice
    assert acknowledged == [1, 2, 3]


def test_what_a_broker_has_forgotten_is_still_given_out_but_not_acknowledged():
    taken, got, acknowledged = story(keeps_session=False)
    assert taken + got == [1.0, 2.0, 3.0]
    assert acknowledged == [3]
