"""How a broker is reached: options, credentials, TLS, and a paho client with a persistent session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sensors.reading import SensorError

CONNECT_TIMEOUT_S = 10.0


class MqttOptions(BaseModel):
    """Broker and session.

    ``password_file`` holds one line ``user:password``. ``client_id`` names the session at the broker: it must be
    its own for each program and stay the same over restarts. ``session_expiry_s`` is how long the broker keeps an
    absent client's messages (MQTT 5; 3.1.1 leaves it to the broker), ``receive_maximum`` how many
    unacknowledged messages it may have under way (MQTT 5).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str
    client_id: Annotated[str, Field(min_length=1, max_length=64)] = "ctwin"
    password_file: str | None = None
    ca_file: str | None = None
    keepalive_s: Annotated[int, Field(ge=5, le=65535)] = 30
    payload: Literal["json", "plain"] = "json"
    protocol: Literal["5", "3.1.1"] = "5"
    session_expiry_s: Annotated[int, Field(gt=0, le=0xFFFFFFFF)] = 7 * 86400
    receive_maximum: Annotated[int, Field(gt=0, le=65535)] = 1000

    @field_validator("url")
    @classmethod
    def _broker(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise ValueError("name no user in the url; put user:password into password_file")
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("must be mqtt://host[:port] or mqtts://host[:port]")
        if parts.port == 0:  # reading the port raises ValueError for one beyond 65535
            raise ValueError("port 0 is none")
        return url

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (8883 if parts.scheme == "mqtts" else 1883)


def new_client(options: MqttOptions, base: Path) -> paho.Client:
    """Client that acknowledges by hand and reconnects by itself after 1 s, 2 s … 60 s; SensorError for a bad file."""
    five = options.protocol == "5"
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        clean_session=None if five else False,
        protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        manual_ack=True,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.reconnect_delay_set(1, 60)
    if options.password_file is not None:
        client.username_pw_set(*_password(base / options.password_file))
    if options.url.startswith("mqtts:"):
        try:
            client.tls_set(str(base / options.ca_file) if options.ca_file else None)
        except OSError as error:
            raise SensorError(f"ca_file {options.ca_file}: {error.strerror or error}; give a PEM file") from None
    return client


def connect(client: paho.Client, options: MqttOptions) -> None:
    """Connect to the session that the broker keeps; raises OSError."""
    how: dict[str, Any] = {}
    if options.protocol == "5":
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = options.session_expiry_s
        properties.ReceiveMaximum = options.receive_maximum
        how = {"clean_start": False, "properties": properties}
    client.connect(*options.address, options.keepalive_s, **how)


def _password(path: Path) -> tuple[str, str]:
    try:
        user, colon, password = path.read_text(encoding="utf-8").strip().partition(":")
    except (OSError, UnicodeDecodeError) as error:
        raise SensorError(f"password_file {path}: {getattr(error, 'strerror', 'not UTF-8')}; check it") from None
    if not colon:
        raise SensorError(f"password_file {path}: must hold one line user:password")
    return user, password
