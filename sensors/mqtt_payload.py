"""What a message's payload says: a JSON object with time and value, or a plain number."""

from __future__ import annotations

import json
import math
from typing import Literal

import numpy as np

from sensors.block import Block, admit_block
from sensors.channel import Channel
from sensors.reading import Reading
from sensors.rows import RowError, checked_sigma, quality_of, seconds


def decode(payload: bytes, channel: Channel, arrival: float, form: Literal["json", "plain"]) -> Reading:
    """Turn a payload into a Reading, value and σ in the channel's unit.

    ``json`` is ``{"time": …, "value": …}`` with, if wanted, ``"sigma"`` and ``"quality"``; time is ISO 8601 with a
    zone or POSIX seconds, a value of ``null`` is an invalid reading, further keys are left alone. ``plain`` is a
    number, and its time is that of its arrival: readings that waited at the broker get a wrong time.

    Raises
    ------
    RowError
        With the cause it is counted by: ``empty``, ``bad_json``, ``no_time``, ``bad_time``, ``no_value``,
        ``bad_value``, ``bad_sigma``, ``bad_quality``.

    Examples
    --------
    >>> decode(b'{"time": 1.5e9, "value": 21.5}', Channel("t", "temperature", "degC"), 0.0, "json").value
    294.65
    """
    if not payload.strip():
        raise RowError("empty", "an empty payload")
    if form == "plain":
        return channel.admit(arrival, _plain(payload))
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        raise RowError("bad_json", f"no JSON: {payload[:40]!r}") from None
    if not isinstance(data, dict):
        raise RowError(
            "bad_json", f'no object {{"time": …, "value": …}}: {payload[:40]!r}; for numbers set payload = "plain"'
        )
    for key in ("time", "value"):
        if key not in data:
            raise RowError(f"no_{key}", f"no {key!r} in {payload[:80]!r}")
    try:
        time = seconds(data["time"])
    except ValueError as error:
        raise RowError("bad_time", f"time {error}") from None
    quality = data.get("quality") or ""
    if not isinstance(quality, str):
        raise RowError("bad_quality", f"quality {quality!r} is no word")
    return channel.admit(
        time, _number("value", data["value"]), checked_sigma(_number("sigma", data.get("sigma"))), quality_of(quality)
    )


def decode_block(payload: bytes, channel: Channel) -> Block:
    """Turn a payload with samples into a Block: ``{"time": …, "rate_hz": …, "samples": […]}``, whatever ``payload`` says.

    ``time`` is that of the first sample; ``null`` in the samples, or anything that is no number, makes the block invalid.

    Raises
    ------
    RowError
        With the cause it is counted by: ``empty``, ``bad_json``, ``no_time``, ``bad_time``, ``no_rate_hz``, ``bad_rate``,
        ``no_samples``, ``bad_samples``, ``short``.
    """
    if not payload.strip():
        raise RowError("empty", "an empty payload")
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        raise RowError("bad_json", f"no JSON: {payload[:40]!r}") from None
    if not isinstance(data, dict):
        raise RowError("bad_json", f'no object {{"time": …, "rate_hz": …, "samples": […]}}: {payload[:40]!r}')
    for key in ("time", "rate_hz", "samples"):
        if key not in data:
            raise RowError(f"no_{key}", f"no {key!r} in {payload[:80]!r}")
    try:
        time = seconds(data["time"])
    except ValueError as error:
        raise RowError("bad_time", f"time {error}") from None
    rate, samples = data["rate_hz"], data["samples"]
    if not isinstance(rate, int | float) or isinstance(rate, bool):
        raise RowError("bad_rate", f"rate_hz {rate!r} is no number")
    if not isinstance(samples, list):
        raise RowError("bad_samples", f"samples must be a list of numbers, not {type(samples).__name__}")
    raw = [_number("samples", value) if not isinstance(value, list | dict | str) else math.nan for value in samples]
    return admit_block(channel, time, _number("rate_hz", rate), np.array(raw, dtype=float))


def _plain(payload: bytes) -> float:
    try:
        return float("_" if b"_" in payload else payload.decode("ascii"))
    except ValueError:
        raise RowError("bad_value", f"no number: {payload[:40]!r}") from None


def _number(key: str, value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise RowError(f"bad_{key}", f"{key} {value!r} is no number")
