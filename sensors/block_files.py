"""Waveforms in files: WAV (numbered channels), CSV (a column per channel), HDF5 (a data set per channel) → Blocks.

A long file is cut into blocks of equal length. WAV holds no absolute time: its name must.
"""

from __future__ import annotations

import itertools
import math
import re
import wave
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from sensors.block import Block, Samples, admit_block
from sensors.channel import Channel
from sensors.reading import SensorError
from sensors.rows import RowError, nearest, seconds
from sensors.timestamps import parse_time

ENDINGS = (".wav", ".csv", ".h5", ".hdf5")
UNEVEN = 1.5  # periods by which a stamp may lie beside an even grid
COARSE_S = 2e-3  # stamps in whole milliseconds are no fault
_STAMP = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)[T_](\d\d)[:.-]?(\d\d)[:.-]?(\d\d(?:\.\d+)?)(Z|[+-]\d\d:?\d\d)")


class TruncatedError(SensorError):
    """A file ends before its header says; its writer may still be at work."""


def read_blocks(path: Path, channels: Mapping[str, Channel], block_s: float) -> Iterator[list[Block]]:
    """Blocks of a file, those of one stretch of time together.

    Parameters
    ----------
    path : Path
    channels : mapping of address to Channel
        Number of the channel from 1 (WAV), column (CSV), data set (HDF5).
    block_s : float
        Length of a block; a rest shorter than half of it is joined to the block before.

    Raises
    ------
    SensorError
        One line with file, place and mend.
    """
    try:
        readers = {".wav": _wav, ".csv": _csv, ".h5": _hdf5, ".hdf5": _hdf5}
        reader = readers.get(path.suffix.lower())
        if reader is None:
            raise SensorError(
                f"{path}: ending {path.suffix or '(none)'} holds no blocks; there are {', '.join(ENDINGS)}"
            )
        blocks = [block for found in reader(path, channels) for block in _cut(path, *found, block_s)]
        blocks.sort(key=lambda block: block.time)  # the channels of one moment together, as a live source gives them
        for _, group in itertools.groupby(blocks, key=lambda block: block.time):
            yield list(group)
    except FileNotFoundError:
        raise SensorError(f"{path}: no such file; check the path") from None
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise SensorError(f"{path}: can't be read: {reason}; write it again, or check who may read it") from None


def _cut(path: Path, channel: Channel, time: float, rate_hz: float, raw: Samples, block_s: float) -> Iterator[Block]:
    length = max(round(block_s * rate_hz), 1) if math.isfinite(rate_hz) else 1
    count = max(int(len(raw) / length + 0.5), 1)
    try:
        for k in range(count):
            part = raw[k * length : (k + 1) * length if k < count - 1 else len(raw)]
            yield admit_block(channel, time + k * length / rate_hz if rate_hz > 0 else time, rate_hz, part)
    except RowError as fault:
        raise SensorError(f"{path}: channel {channel.name}: {fault}") from None


Found = Iterator[tuple[Channel, float, float, Samples]]


def _wav(path: Path, channels: Mapping[str, Channel]) -> Found:
    time = _time_in_name(path)
    try:
        with wave.open(str(path), "rb") as file:
            width, count, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            frames, data = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        reason = str(error) or "it ends within its header"
        if not str(error):
            raise TruncatedError(f"{path}: not a whole WAV file ({reason}); record it again") from None
        raise SensorError(f"{path}: no WAV file of whole numbers ({reason}); export 16, 24 or 32 bit PCM") from None
    if len(data) < frames * width * count:
        have = len(data) // (width * count)
        raise TruncatedError(f"{path}: truncated: {have} of {frames} samples are there; record or copy it again")
    if not frames:
        raise SensorError(f"{path}: no samples; record it again")
    columns = _pcm(data, width).reshape(frames, count)
    for address, channel in channels.items():
        number = int(address) if address.isdecimal() else 0
        if not 1 <= number <= count:
            known = f"has {count} channels, and {address!r} is none; give a number from 1 to {count}"
            raise SensorError(f"{path}: channel[{channel.name}].address: the file {known}")
        if not math.isfinite(channel.full_scale):
            mend = f"say what the full scale of a WAV file means in {channel.unit}"
            raise SensorError(f"{path}: channel[{channel.name}].full_scale: missing; {mend}")
        yield channel, time, float(rate), columns[:, number - 1] * channel.full_scale


def _pcm(data: bytes, width: int) -> Samples:
    """Whole numbers of 1 to 4 bytes as fractions of the full scale."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(float) - 128.0) / 128.0
    if width == 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
        whole = parts[:, 0] | parts[:, 1] << 8 | (parts[:, 2] - ((parts[:, 2] & 128) << 1)) << 16
        return np.asarray(whole / 2.0**23)
    return np.frombuffer(data, "<i2" if width == 2 else "<i4").astype(float) / 2.0 ** (8 * width - 1)


def _time_in_name(path: Path) -> float:
    found = _STAMP.search(path.name)
    if found is None:
        raise SensorError(
            f"{path}: its name holds no time, and a WAV file has no other; name it after its beginning, such as "
            "acc-2026-03-01T101500Z.wav"
        )
    year, month, day, hour, minute, second, zone = found.groups()
    try:
        return parse_time(f"{year}-{month}-{day}T{hour}:{minute}:{second}{zone}")
    except ValueError as error:
        raise SensorError(f"{path}: time in its name: {error}") from None


def is_waveform_table(path: Path, addresses: set[str]) -> bool:
    """Whether a CSV file has a column of samples for one of the channels (a table of readings has none)."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            head = next((line for line in file if line.strip() and not line.startswith("#")), "")
    except (OSError, UnicodeDecodeError):
        return False
    names = {name.strip() for name in head.split(",")}
    return "time" in names and "value" not in names and bool(names & addresses)


def _csv(path: Path, channels: Mapping[str, Channel]) -> Found:
    try:
        table = pd.read_csv(path, comment="#", skipinitialspace=True, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).splitlines()[0].removeprefix("Error tokenizing data. C error: ")
        raise SensorError(
            f"{path}: no table of numbers ({reason}); give a header time,COLUMN… and a row per sample"
        ) from None
    for name in ("time", *channels):
        if name not in table.columns:
            raise SensorError(f"{path}: column {name!r} is missing; {nearest(name, table.columns)}")
    if not len(table):
        raise SensorError(f"{path}: no samples; only a header is there")
    time, rate_hz = _even(path, table["time"])
    for name, channel in channels.items():
        raw = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
        yield channel, time, rate_hz, np.asarray(raw, dtype=float)


def _even(path: Path, column: Any) -> tuple[float, float]:
    """Instant of the first row, and the rate; SensorError where the stamps are uneven."""
    try:
        stamps = np.array([seconds(value) for value in column.tolist()])
    except ValueError as error:
        raise SensorError(f"{path}: column 'time': {error}") from None
    if len(stamps) < 2 or stamps[-1] <= stamps[0]:
        raise SensorError(f"{path}: its times do not advance, so they give no rate; a row per sample, in order")
    period = (stamps[-1] - stamps[0]) / (len(stamps) - 1)
    beside = np.abs(stamps - stamps[0] - period * np.arange(len(stamps)))
    worst = int(beside.argmax())
    if beside[worst] > max(UNEVEN * period, COARSE_S):
        raise SensorError(
            f"{path}: samples are not evenly spaced (row {worst + 1} lies {beside[worst]:.3g} s beside a period of "
            f"{period:.3g} s); a gap needs a file of its own on each side"
        )
    return float(stamps[0]), 1.0 / period


def _hdf5(path: Path, channels: Mapping[str, Channel]) -> Found:
    with h5py.File(path, "r") as file:
        for name, channel in channels.items():
            found = file.get(name)
            if not isinstance(found, h5py.Dataset) or found.ndim != 1:
                raise SensorError(f"{path}: data set {name!r} is missing; {nearest(name, file)}")
            missing = [key for key in ("time", "rate_hz") if key not in found.attrs]
            if missing:
                raise SensorError(f"{path}: data set {name!r} has no attribute {missing[0]!r}; give time and rate_hz")
            stamp = found.attrs["time"]
            try:
                time = seconds(stamp if isinstance(stamp, str) else float(stamp))
                rate_hz = float(found.attrs["rate_hz"])
            except (TypeError, ValueError) as error:
                raise SensorError(f"{path}: data set {name!r}, time or rate_hz: {error}") from None
            yield channel, time, rate_hz, np.asarray(found[()], dtype=float)
