"""A real Mosquitto that keeps everything for an absent client, and a publisher that loses nothing."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.servers import free_port, wait_until

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def mosquitto(folder: Path) -> Iterator[int]:
    """Port of a running broker without a limit to its queues."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed")
    data, port = folder / "mosquitto", free_port()
    data.mkdir(parents=True)
    conf = folder / "mosquitto.conf"
    conf.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nuser {getpass.getuser()}\n"
        f"persistence true\npersistence_location {data}/\n"
    )
    with (folder / "mosquitto.log").open("ab") as log:
        process = subprocess.Popen([PROGRAM, "-c", str(conf)], stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Sender:
    """Publishes with QoS 1, in order; what :meth:`send` has returned from is at the broker."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(200)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def send(self, messages: Sequence[tuple[str, str]]) -> None:
        for k in range(0, len(messages), 200):  # paho looks at all that wait whenever one is acknowledged
            infos = [self._client.publish(topic, payload, 1) for topic, payload in messages[k : k + 200]]
            for info in infos:
                info.wait_for_publish(30)
                assert info.is_published()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
