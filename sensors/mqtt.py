"""Readings from an MQTT broker: QoS 1, a persistent session, acknowledged after the journal's commit.

Each channel's address is its topic (its name, if it has none). The broker keeps what is published while ctwin is
away and sends it again until it is acknowledged, which happens when the next batch is asked for. After a lost
connection messages can therefore come twice; with times of their own (``payload = "json"``) the second is dropped
by its identical time.

**The broker's own limit.** Mosquitto keeps at most 1000 messages for an absent or slow client, beside those in
flight, and silently drops the rest (``max_queued_messages``): of a burst of 3000 an absent ctwin gets 1000. Set
``max_queued_messages 0`` (and ``persistence true``, so that they survive its own restart) in mosquitto.conf; no
setting here can bring back what the broker has dropped. What is in flight is limited
by ``receive_maximum``, so a burst waits at the broker, not in memory here. MQTT 3.1.1 has no such word; there the
broker's ``max_inflight_messages`` (20) holds, which is slower.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from sensors.block import Reduce
from sensors.channel import Channel
from sensors.mqtt_client import CONNECT_TIMEOUT_S, MqttOptions, connect, new_client
from sensors.mqtt_payload import decode, decode_block
from sensors.reading import Reading, SensorError
from sensors.rows import RowError
from sensors.vibration import Reducer, is_accelerometer, plain_reductions

_LOG = logging.getLogger("ctwin.sensors.mqtt")
_UNTHROTTLED = 10_000  # QoS 0 messages are not throttled by the broker; beyond this they are dropped and counted
_TAKEN_OVER = 142
_FLAPPING = 5  # connections lost within _FLAPPING_S: Mosquitto 2.0 doesn't say that a session was taken over
_FLAPPING_S = 30.0
_PASSING = {136, 137, 151, 159}  # unavailable, busy, quota exceeded, connection rate exceeded


@dataclass(frozen=True, slots=True)
class _Message:
    connection: int
    mid: int
    qos: int
    topic: str
    payload: bytes
    retained: bool
    arrival: float


class MqttSensor:
    """Topics of one broker as channels; kind ``mqtt``. It reconnects by itself, after 1 s, 2 s … 60 s."""

    class Options(MqttOptions):
        """Keys of the kind ``mqtt``."""

    def __init__(
        self, options: Options, channels: Sequence[Channel], base: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._options = options
        self._reducer: Reduce = Reducer(plain_reductions(channels))
        self._channels = (*channels, *Reducer(plain_reductions(channels)).channels)
        self._subscribed_to = tuple(channels)
        self._base = base
        self._clock = clock
        self._topics: dict[str, list[Channel]] = {}
        for channel in channels:
            self._topics.setdefault(channel.address or channel.name, []).append(channel)
        self._where = "broker {}:{}".format(*options.address)
        self._lock = threading.Lock()
        self._waiting: deque[_Message] = deque()
        self._connection = 0
        self._drops: dict[str, int] = {}
        self._lost: deque[float] = deque(maxlen=_FLAPPING)
        self._fault: SensorError | None = None
        self._client: paho.Client | None = None
        self._subscribed = threading.Event()
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def channels(self) -> Sequence[Channel]:
        """Channels whose topics are subscribed, and those derived from accelerometers among them."""
        return self._channels

    def reduce_with(self, reduce: Reduce, channels: Sequence[Channel]) -> None:
        """Turn blocks of acceleration into readings of these channels by a machine's own modes."""
        self._reducer, self._channels = reduce, (*self._subscribed_to, *channels)

    def drops(self) -> Mapping[str, int]:
        """Messages that gave no reading, by cause."""
        with self._lock:
            return dict(self._drops)

    async def open(self) -> None:
        """Connect and subscribe; the broker's own answer is awaited."""
        for topic in self._topics:
            if "+" in topic or "#" in topic:
                raise SensorError(
                    f"channel {self._topics[topic][0].name}: address {topic!r} has a wildcard; give one topic"
                )
        await self.close()
        self._loop, self._arrived = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._waiting.clear()
            self._drops.clear()
            self._lost.clear()
            self._fault = None
        self._subscribed.clear()
        client = self._client = new_client(self._options, self._base)
        client.on_connect, client.on_subscribe = self._on_connect, self._on_subscribe
        client.on_message, client.on_disconnect = self._on_message, self._on_disconnect
        await asyncio.to_thread(self._connect, client)
        fault = self._fault
        if fault is not None:
            await self.close()
            raise fault

    async def readings(self) -> AsyncIterator[Sequence[Reading]]:
        """Give what has arrived; asking on acknowledges it to the broker. Never ends by itself."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._fault is not None:
                raise self._fault
            with self._lock:
                messages = list(self._waiting)
                self._waiting.clear()
            batch = [reading for message in messages for reading in self._decoded(message)]
            if batch:
                yield batch
            self._acknowledge(messages)

    async def close(self) -> None:
        """Leave the broker, which keeps the session; what was not acknowledged comes again."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    # --- in the event loop's thread --------------------------------------------------------------

    def _connect(self, client: paho.Client) -> None:
        try:
            connect(client, self._options)
        except ssl.SSLCertVerificationError as error:
            self._fault = SensorError(f"{self._where}: {error.verify_message}; name its authority in ca_file")
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            self._fault = SensorError(f"{self._where}: {reason}; is it running, and reachable from here?", retry=True)
        else:
            client.loop_start()
            if not self._subscribed.wait(CONNECT_TIMEOUT_S):
                self._fault = SensorError(f"{self._where}: no answer; is this port an MQTT listener?", retry=True)

    def _decoded(self, message: _Message) -> list[Reading]:
        channels = self._topics.get(message.topic)
        try:
            if channels is None:
                raise RowError("unknown_topic", "not a channel's topic; a subscription of an earlier configuration")
            if message.retained and self._options.payload == "plain":
                raise RowError("retained", "a retained plain number, of unknown age")
            return [reading for c in channels for reading in self._read(message, c)]
        except RowError as fault:
            if self._count(fault.cause) == 1:
                _LOG.warning("%s, topic %s: %s; dropped, further ones are counted", self._where, message.topic, fault)
            return []

    def _read(self, message: _Message, channel: Channel) -> Sequence[Reading]:
        if is_accelerometer(channel):
            return self._reducer(decode_block(message.payload, channel))
        return (decode(message.payload, channel, message.arrival, self._options.payload),)

    def _acknowledge(self, messages: Sequence[_Message]) -> None:
        client = self._client
        with self._lock:
            for message in messages:
                # After a reconnection the broker sends it again, and that copy is acknowledged. Acknowledging both
                # could hit another message that has been given the same number meanwhile.
                if client is not None and message.qos and message.connection == self._connection:
                    client.ack(message.mid, message.qos)

    def _count(self, cause: str) -> int:
        with self._lock:
            self._drops[cause] = self._drops.get(cause, 0) + 1
            return self._drops[cause]

    # --- in paho's thread ------------------------------------------------------------------------

    def _on_connect(
        self, client: paho.Client, _data: Any, flags: paho.ConnectFlags, code: ReasonCode, _properties: Any
    ) -> None:
        if code.is_failure:
            if not self._subscribed.is_set():
                self._fail(
                    f"refuses the connection: {code}; check password_file, client_id and protocol",
                    retry=code.value in _PASSING,
                )
            return
        with self._lock:
            self._connection += 1
            if flags.session_present:  # then everything that was not acknowledged comes again
                self._waiting.clear()
        if self._options.protocol == "5":
            fresh = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            client.subscribe([(topic, fresh) for topic in self._topics])
        else:
            client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, _mid: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        refused = [topic for topic, code in zip(self._topics, codes, strict=False) if code.is_failure]
        if refused:
            self._fail(f"refuses the subscription of {', '.join(refused)}; check its access list", retry=False)
        self._subscribed.set()

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        with self._lock:
            full = message.qos == 0 and len(self._waiting) >= _UNTHROTTLED
            if not full:
                self._waiting.append(
                    _Message(
                        self._connection,
                        message.mid,
                        message.qos,
                        message.topic,
                        bytes(message.payload),
                        message.retain,
                        self._clock(),
                    )
                )
            first = len(self._waiting) == 1
        if full:
            self._count("overflow")
        elif first:
            self._wake()

    def _on_disconnect(
        self, _client: paho.Client, _data: Any, flags: paho.DisconnectFlags, code: ReasonCode, _properties: Any
    ) -> None:
        if self._client is None or not code.is_failure:
            return  # closed from here
        _LOG.warning("%s: connection lost (%s); trying again", self._where, code)
        now = time.monotonic()
        self._lost.append(now)
        taken_over = flags.is_disconnect_packet_from_server and code.value == _TAKEN_OVER
        if taken_over or (len(self._lost) == self._lost.maxlen and now - self._lost[0] < _FLAPPING_S):
            mine = f"client_id {self._options.client_id!r}"
            self._fail(f"connections don't last; perhaps another program uses {mine}: give each its own", retry=True)

    def _fail(self, words: str, *, retry: bool) -> None:
        self._fault = SensorError(f"{self._where}: {words}", retry=retry)
        self._subscribed.set()
        self._wake()

    def _wake(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._arrived.set)
