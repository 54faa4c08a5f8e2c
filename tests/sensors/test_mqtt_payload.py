import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sensors.channel import Channel
from sensors.mqtt_client import MqttOptions, new_client
from sensors.mqtt_payload import decode
from sensors.reading import Quality, Reading, SensorError
from sensors.rows import RowError

CHANNEL = Channel("t", "temperature", "degC", sigma=0.1)
NOW = 1.7e9


@pytest.mark.parametrize(
    ("payload", "reading"),
    [
        ('{"time": 1600000000, "value": 20}', Reading("t", 1.6e9, 293.15, 0.1)),
        ('{"time": "2020-09-13T12:26:40Z", "value": 20, "sigma": 0.5}', Reading("t", 1.6e9, 293.15, 0.5)),
        (
            '{"value": 20, "time": 1600000000.5, "quality": "Suspect", "battery": 3}',
            Reading("t", 1600000000.5, 293.15, 0.1, Quality.SUSPECT),
        ),
    ],
)
def test_json(payload, reading):
    assert decode(payload.encode(), CHANNEL, NOW, "json") == reading


@pytest.mark.parametrize("value", ["null", "NaN", "Infinity", "1" + "0" * 400])
def test_no_value_is_an_invalid_reading(value):
    got = decode(f'{{"time": 1600000000, "value": {value}}}'.encode(), CHANNEL, NOW, "json")
    assert (got.time, got.quality) == (1.6e9, Quality.INVALID)


def test_plain_is_stamped_on_arrival():
    assert decode(b" 21.5\n", CHANNEL, NOW, "plain") == Reading("t", NOW, 294.65, 0.1)
    assert math.isnan(decode(b"nan", CHANNEL, NOW, "plain").value)


@pytest.mark.parametrize(
    ("payload", "form", "cause"),
    [
        (b"", "json", "empty"), (b" ", "plain", "empty"),
        (b"{", "json", "bad_json"), (b"21.5", "json", "bad_json"), (b"\xff\xfe", "json", "bad_json"),
        (b"[" * 100_000, "json", "bad_json"),
        (b'{"value": 1}', "json", "no_time"), (b'{"time": 1}', "json", "no_value"),
        (b'{"time": "2020-01-01T00:00:00", "value": 1}', "json", "bad_time"),
        (b'{"time": 1600000000000, "value": 1}', "json", "bad_time"),
        (b'{"time": true, "value": 1}', "json", "bad_time"), (b'{"time": null, "value": 1}', "json", "bad_time"),
        (b'{"time": 1' + b"0" * 400 + b', "value": 1}', "json", "bad_time"),
        (b'{"time": 1, "value": "hot"}', "json", "bad_value"), (b'{"time": 1, "value": [1]}', "json", "bad_value"),
        (b'{"time": 1, "value": 1, "sigma": 0}', "json", "bad_sigma"),
        (b'{"time": 1, "value": 1, "sigma": "wide"}', "json", "bad_sigma"),
        (b'{"time": 1, "value": 1, "quality": "fine"}', "json", "bad_quality"),
        (b'{"time": 1, "value": 1, "quality": 192}', "json", "bad_quality"),
        (b"warm", "plain", "bad_value"), (b"1_0", "plain", "bad_value"), ("²".encode(), "plain", "bad_value"),
    ],
)  # fmt: skip
def test_bad_payloads_have_a_cause(payload, form, cause):
    with pytest.raises(RowError) as error:
        decode(payload, CHANNEL, NOW, form)
    assert error.value.cause == cause


@given(
    st.binary(max_size=200) | st.text(alphabet='{}[]",:timevalue0123456789.eE+-nNul ', max_size=60).map(str.encode),
    st.sampled_from(["json", "plain"]),
)
def test_nothing_crashes(payload, form):
    try:
        reading = decode(payload, CHANNEL, NOW, form)
    except RowError:
        return
    assert math.isfinite(reading.time)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://broker", "must be mqtt://host"), ("broker:1883", "must be mqtt://host"), ("mqtt://", "must be mqtt"),
        ("mqtt://broker/topic", "must be mqtt"), ("mqtt://me:secret@broker", "password_file"),
        ("mqtt://broker:99999", "[Pp]ort"), ("mqtt://broker:0", "port 0"),
    ],
)  # fmt: skip
def test_bad_urls(url, words):
    with pytest.raises(ValidationError, match=words) as error:
        MqttOptions(url=url)
    assert "secret" not in error.value.errors()[0]["msg"]


def test_addresses():
    assert MqttOptions(url="mqtt://broker").address == ("broker", 1883)
    assert MqttOptions(url="mqtts://broker/").address == ("broker", 8883)
    assert MqttOptions(url="mqtt://[::1]:1884").address == ("::1", 1884)


def test_credentials(tmp_path):
    for text, words in (
        (None, "No such file"),
        ("justpassword\n", "one line user:password"),
        (b"\xff\xfe:", "not UTF-8"),
    ):
        path = tmp_path / "broker.password"
        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(SensorError, match=words) as error:
            new_client(MqttOptions(url="mqtt://broker", password_file=path.name), tmp_path)
        assert "justpassword" not in str(error.value)
    with pytest.raises(SensorError, match=r"ca_file no\.pem: No such file"):
        new_client(MqttOptions(url="mqtts://broker", ca_file="no.pem"), tmp_path)
