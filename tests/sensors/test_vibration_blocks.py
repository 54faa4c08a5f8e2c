"""Blocks: files of three kinds say the same; what is clipped, torn, empty or dead is told in one line; the rest goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import struct

import numpy as np
import pytest

from models.vibration import Mode
from sensors import conformance
from sensors.block import admit_block
from sensors.block_files import is_waveform_table, read_blocks
from sensors.block_folder import BlocksSensor
from sensors.channel import Channel
from sensors.mqtt_payload import decode_block
from sensors.reading import Quality, SensorError
from sensors.rows import RowError
from sensors.shaker import ShakerSensor
from sensors.vibration import OBJECT_PLANE, Reducer, Reduction, Sight, band_hz
from tests.sensors.waveform_files import write_csv, write_hdf5, write_wav

T0 = 1772360100.0  # 2026-03-01T10:15:00Z
NAME = "acc-2026-03-01T101500Z"
RATE = 1000.0
ACC = Channel("acc_u", "acceleration", "g", address="1", full_scale=0.5)
SECOND = Channel("acc_v", "acceleration", "g", address="2", full_scale=0.5)


def motion_g(seconds=20.0, seed=1):
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    return 0.01 * np.sin(2 * np.pi * 35.3 * t) + 0.002 * rng.standard_normal(t.size)


def blocks(path, *channels, block_s=100.0):
    return [b for group in read_blocks(path, {c.address: c for c in channels}, block_s) for b in group]


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [2, 3, 4])
def test_wav_of_every_width_is_the_motion_within_a_step(tmp_path, width):
    given = motion_g()
    (found,) = blocks(write_wav(tmp_path / f"{NAME}.wav", given, width=width), ACC)
    assert (found.channel, found.time, found.rate_hz, found.quality) == ("acc_u", T0, RATE, Quality.GOOD)
    assert found.samples == pytest.approx(given * 9.80665, abs=1.1 * 0.5 * 9.80665 / 2 ** (8 * width - 1))


def test_eight_bits_are_offset_binary(tmp_path):
    (found,) = blocks(write_wav(tmp_path / f"{NAME}.wav", 20 * motion_g(), width=1), ACC)
    assert found.samples == pytest.approx(20 * 9.80665 * motion_g(), abs=0.5 * 9.80665 / 64)


def test_three_kinds_of_file_say_the_same(tmp_path):
    given = motion_g()
    t = T0 + np.arange(given.size) / RATE
    wav = write_wav(tmp_path / f"{NAME}.wav", given, width=4)
    csv = write_csv(tmp_path / "a.csv", **{"time": t, "1": given})
    hdf5 = write_hdf5(tmp_path / "a.h5", **{"1": given})
    found = [blocks(path, ACC)[0] for path in (wav, csv, hdf5)]
    for one in found:
        assert one.time == pytest.approx(T0, abs=1e-6)
        assert one.rate_hz == pytest.approx(RATE, rel=1e-7)  # stamps in a double are good to 0.2 µs
        assert one.samples == pytest.approx(found[0].samples, abs=1e-7)


def test_a_long_file_is_cut_and_its_channels_stay_together(tmp_path):
    path = write_wav(tmp_path / f"{NAME}.wav", motion_g(34.0), motion_g(34.0, 2))
    groups = list(read_blocks(path, {"1": ACC, "2": SECOND}, 10.0))
    assert [[b.channel for b in group] for group in groups] == [["acc_u", "acc_v"]] * 3
    assert [group[0].time - T0 for group in groups] == [0.0, 10.0, 20.0]
    assert [round(group[0].seconds) for group in groups] == [10, 10, 14], "a short rest joins the block before it"


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("acc-2026-03-01T101500Z.wav", T0),
        ("2026-03-01T10-15-00.250Z_floor.wav", T0 + 0.25),
        ("20260301T111500+0100.wav", T0),
        ("x_2026-03-01_10.15.00Z.wav", T0),
    ],
)
def test_the_time_of_a_wav_stands_in_its_name(tmp_path, name, time):
    assert blocks(write_wav(tmp_path / name, motion_g(1.0)), ACC)[0].time == pytest.approx(time)


def torn_wav(folder):
    path = write_wav(folder / f"{NAME}.wav", motion_g())
    path.write_bytes(path.read_bytes()[:30_000])
    return path


def float_wav(folder):
    path = folder / f"{NAME}.wav"
    data = motion_g(1.0).astype("<f4").tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 3, 1, 1000, 4000, 4, 32,
                       b"data", len(data))  # fmt: skip
    path.write_bytes(head + data)
    return path


def text_as(name, text):
    def make(folder):
        path = folder / name
        path.write_text(text)
        return path

    return make


ROWS = "".join(f"{T0 + k / 100:.3f},{math.sin(k)}\n" for k in range(200))
BAD = {
    "truncated": (torn_wav, "truncated: 9985 of 20000 samples are there; record or copy it again"),
    "float WAV": (float_wav, "no WAV file of whole numbers (unknown format: 3); export 16, 24 or 32 bit PCM"),
    "no WAV": (
        text_as(f"{NAME}.wav", "hello, this is not a wave"),
        "no WAV file of whole numbers (file does not start",
    ),
    "nothing in it": (text_as(f"{NAME}.wav", ""), "not a whole WAV file (it ends within its header); record it again"),
    "no samples": (lambda f: write_wav(f / f"{NAME}.wav", np.zeros(0)), "no samples; record it again"),
    "no time": (lambda f: write_wav(f / "acc.wav", motion_g(1.0)), "its name holds no time"),
    "no such day": (lambda f: write_wav(f / "2026-13-01T101500Z.wav", motion_g(1.0)), "time in its name:"),
    "short": (lambda f: write_wav(f / f"{NAME}.wav", motion_g(0.05)), "50 samples are too few for a spectrum"),
    "no column": (text_as("a.csv", "time,x\n" + ROWS), "column '1' is missing; known: time, x"),
    "no row": (text_as("a.csv", "time,1\n"), "no samples; only a header is there"),
    "no text": (text_as("a.csv", ""), "no table of numbers"),
    "bad time": (text_as("a.csv", "time,1\nyesterday,1.0\n"), "column 'time': 'yesterday' is neither ISO 8601"),
    "standing": (text_as("a.csv", f"time,1\n{T0},1.0\n{T0},1.0\n"), "its times do not advance"),
    "gap": (text_as("a.csv", "time,1\n" + ROWS + f"{T0 + 60},0.0\n"), "samples are not evenly spaced (row 200 lies"),
    "other ending": (text_as("a.flac", ""), "ending .flac holds no blocks; there are .wav, .csv, .h5, .hdf5"),
    "no HDF5": (text_as("a.h5", "hello"), "can't be read:"),
    "no data set": (lambda f: write_hdf5(f / "a.h5", other=motion_g(1.0)), "data set '1' is missing; known: other"),
    "no rate": (lambda f: write_hdf5(f / "a.h5", rate="fast", **{"1": motion_g(1.0)}), "time or rate_hz: could not"),
    "rate of nothing": (lambda f: write_hdf5(f / "a.h5", rate=0.0, **{"1": motion_g(1.0)}), "a rate of 0 Hz is none"),
    "missing": (lambda f: f / f"{NAME}.wav", "no such file; check the path"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_line_with_its_mend(tmp_path, kind):
    make, words = BAD[kind]
    path = make(tmp_path)
    with pytest.raises(SensorError) as told:
        blocks(path, ACC)
    assert str(told.value).startswith(f"{path}: ")
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_a_wav_needs_a_number_and_a_full_scale(tmp_path):
    path = write_wav(tmp_path / f"{NAME}.wav", motion_g(1.0))
    for channel, words in (
        (Channel("a", "acceleration", "g", address="7", full_scale=1.0), "give a number from 1 to 1"),
        (Channel("a", "acceleration", "g", address="left", full_scale=1.0), "give a number from 1 to 1"),
        (Channel("a", "acceleration", "mg", address="1"), "say what the full scale of a WAV file means in mg"),
    ):
        with pytest.raises(SensorError, match=words):
            blocks(path, channel)


def test_a_table_of_waveforms_is_told_from_a_table_of_readings(tmp_path):
    waveforms = write_csv(tmp_path / "a.csv", **{"time": [T0], "1": [0.0]})
    readings = text_as("b.csv", "# ctwin readings 1\ntime,channel,value\n")(tmp_path)
    assert is_waveform_table(waveforms, {"1"})
    assert not is_waveform_table(waveforms, {"2"})
    assert not is_waveform_table(readings, {"1", "value", "channel"})


# --- one block ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bend", "full_scale", "quality", "words"),
    [
        (lambda x: x, 0.5, Quality.GOOD, ""),
        (lambda x: np.clip(x, -0.009, 0.009), math.nan, Quality.SUSPECT, "clipped"),
        (lambda x: np.clip(60 * x, -0.5, 0.5), 0.5, Quality.SUSPECT, "clipped"),
        (
            lambda x: np.where(np.arange(x.size) == 7, np.nan, x),
            0.5,
            Quality.INVALID,
            "1 of 20000 samples are no numbers",
        ),
        (lambda x: 0 * x, 0.5, Quality.INVALID, "all samples are 0: the sensor is dead"),
        (lambda x: np.round(x / 0.005) * 0.005, math.nan, Quality.GOOD, ""),  # coarse steps are no clipping
    ],
)
def test_quality_of_a_block(bend, full_scale, quality, words):
    channel = Channel("acc", "acceleration", "g", full_scale=full_scale)
    block = admit_block(channel, T0, RATE, bend(motion_g()))
    assert block.quality is quality
    assert words in block.remark


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        (b"", "empty"),
        (b"{", "bad_json"),
        (b"[1]", "bad_json"),
        (b'{"rate_hz": 100, "samples": []}', "no_time"),
        (b'{"time": "noon", "rate_hz": 100, "samples": []}', "bad_time"),
        (b'{"time": 1.7e9, "samples": []}', "no_rate_hz"),
        (b'{"time": 1.7e9, "rate_hz": "1 kHz", "samples": [1]}', "bad_rate"),
        (b'{"time": 1.7e9, "rate_hz": -5, "samples": [1]}', "bad_rate"),
        (b'{"time": 1.7e9, "rate_hz": NaN, "samples": [1]}', "bad_rate"),
        (b'{"time": 1.7e9, "rate_hz": 100}', "no_samples"),
        (b'{"time": 1.7e9, "rate_hz": 100, "samples": 5}', "bad_samples"),
        (b'{"time": 1.7e9, "rate_hz": 100, "samples": []}', "empty"),
        (b'{"time": 1.7e9, "rate_hz": 100, "samples": [1, 2]}', "short"),
    ],
)
def test_payloads_that_are_no_block(payload, cause):
    with pytest.raises(RowError) as told:
        decode_block(payload, ACC)
    assert told.value.cause == cause


def test_a_payload_is_a_block():
    data = {"time": "2026-03-01T10:15:00Z", "rate_hz": 1000, "samples": motion_g(1.0).tolist()}
    block = decode_block(json.dumps(data).encode(), ACC)
    assert (block.time, block.rate_hz, block.quality) == (T0, 1000.0, Quality.GOOD)
    assert block.samples == pytest.approx(motion_g(1.0) * 9.80665)
    data["samples"][3] = None
    assert decode_block(json.dumps(data).encode(), ACC).quality is Quality.INVALID
    data["samples"][3] = "x"
    assert decode_block(json.dumps(data).encode(), ACC).quality is Quality.INVALID


# --- reduction ---------------------------------------------------------------------------------


MODES = (Mode(35.0, 0.02),)


def reducer(modes=MODES, rate_every=300.0):
    sights = (
        Sight(OBJECT_PLANE, tuple(modes)),
        Sight("wire", tuple(Mode(m.frequency_hz, m.damping, 2e6) for m in modes)),
    )
    return Reducer({"acc_u": Reduction(ACC, sights if modes else (), 0.02, 1.0, rate_every)})


def test_what_a_block_becomes():
    block = admit_block(ACC, T0, RATE, motion_g())
    found = {r.channel: r for r in reducer()(block)}
    assert {r.time for r in found.values()} == {T0 + 10.0}
    names = [n for n in found if ".band." not in n]
    assert names == ["acc_u", "acc_u.base", "acc_u.blur", "acc_u.jitter", "acc_u.jitter.wire"]
    assert found["acc_u"].value == pytest.approx(9.80665 * math.hypot(0.01 / math.sqrt(2), 0.002), rel=0.02)
    assert found["acc_u.jitter.wire"].value == pytest.approx(2e6 * found["acc_u.jitter"].value, rel=1e-9)
    assert all(0 < found[n].sigma < found[n].value for n in names)
    bands = {band_hz(n): r.value for n, r in found.items() if ".band." in n}
    assert max(bands, key=bands.get) == pytest.approx(39.4, abs=0.1)  # 35.1 to 44.2 Hz
    assert 20 < len(bands) < 30
    assert set(found) <= {"acc_u", *(c.name for c in reducer().channels)}


def test_a_spectrum_comes_now_and_then_only():
    reduce = reducer()
    counts = [
        sum(".band." in r.channel for r in reduce(admit_block(ACC, T0 + k, RATE, motion_g()))) for k in (0, 20, 320)
    ]
    assert counts[0] == counts[2] > 0 == counts[1]


def test_without_modes_nothing_is_said_of_blur():
    found = {r.channel for r in reducer(())(admit_block(ACC, T0, RATE, motion_g()))}
    assert {n for n in found if ".band." not in n} == {"acc_u", "acc_u.base"}


def test_faults_are_told_once_and_kept_from_the_estimate(caplog):
    reduce = reducer()
    clipped = admit_block(ACC, T0, RATE, np.clip(60 * motion_g(), -0.5, 0.5))
    dead = admit_block(ACC, T0 + 20, RATE, 0 * motion_g())
    slow = admit_block(ACC, T0 + 40, 50.0, motion_g())
    with caplog.at_level(logging.WARNING):
        for block in (clipped, dead, slow, clipped, dead, slow):
            readings = reduce(block)
            assert readings
            assert not any(r.quality.usable for r in readings)
    assert [record.getMessage() for record in caplog.records] == [
        "channel acc_u: clipped: 6803 of 20000 samples at the full scale; its motion was larger than it says; kept as "
        "suspect, not used; further ones are not told",
        "channel acc_u: all samples are 0: the sensor is dead or not connected; its blocks are not used; further ones are "
        "not told",
        "channel acc_u: a rate of 50 Hz can't see the mode of 35 Hz; sample at least 87.5 times a second; further ones are "
        "not told",
    ]


# --- sources -----------------------------------------------------------------------------------


def gather(sensor, enough=None):
    async def run():
        await sensor.open()
        got = []
        stream = sensor.readings()
        async for batch in stream:
            got += batch
            if enough is not None and enough(got):
                break
        await stream.aclose()
        await sensor.close()
        return got

    return asyncio.run(asyncio.wait_for(run(), 20))


def make_sensor(folder, **options):
    return BlocksSensor(BlocksSensor.Options(**{"path": ".", "poll_s": 0.01, **options}), (ACC,), folder)


def fill(folder, *minutes):
    for minute in minutes:
        write_wav(folder / f"acc-2026-03-01T10{minute:02d}00Z.wav", motion_g(2.0, minute))


def rms_times(readings):
    return [r.time for r in readings if r.channel == "acc_u"]


def test_a_bad_file_in_a_folder_is_left_out_and_the_rest_goes_on(tmp_path, caplog):
    fill(tmp_path, 15, 17)
    (tmp_path / "acc-2026-03-01T101600Z.wav").write_bytes(b"RIFF")
    (tmp_path / "notes.txt").write_text("not for us")
    sensor = make_sensor(tmp_path)
    with caplog.at_level(logging.WARNING):
        got = gather(sensor)
    assert rms_times(got) == [T0 + 1.0, T0 + 121.0]
    assert sensor.drops() == {"truncated": 1}
    assert [r.getMessage() for r in caplog.records] == [
        f"{tmp_path / 'acc-2026-03-01T101600Z.wav'}: not a whole WAV file (it ends within its header); record it again; "
        "left out"
    ]


def test_a_folder_that_is_being_filled(tmp_path):
    """A file still being written is waited for; one that never becomes whole is given up and the next is read."""
    fill(tmp_path, 15)
    whole = (tmp_path / "acc-2026-03-01T101500Z.wav").read_bytes()
    (tmp_path / "acc-2026-03-01T101500Z.wav").write_bytes(whole[:100])
    sensor = make_sensor(tmp_path, follow=True, patience_s=30.0)

    async def run():
        await sensor.open()
        stream = sensor.readings()
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.wait([waiting], timeout=0.2)
        assert not waiting.done(), "not whole yet"
        (tmp_path / "acc-2026-03-01T101500Z.wav").write_bytes(whole)
        first = await waiting
        (tmp_path / "acc-2026-03-01T101600Z.wav").write_bytes(b"no wave at all, and never will be one")
        fill(tmp_path, 17)
        second = await anext(stream)
        await stream.aclose()
        return [*first, *second]

    got = asyncio.run(asyncio.wait_for(run(), 20))
    assert rms_times(got) == [T0 + 1.0, T0 + 121.0]
    assert sensor.drops() == {"unreadable": 1}


def test_a_truncated_file_is_given_up_at_last(tmp_path):
    fill(tmp_path, 15, 16)
    path = tmp_path / "acc-2026-03-01T101500Z.wav"
    path.write_bytes(path.read_bytes()[:200])
    sensor = make_sensor(tmp_path, follow=True, patience_s=0.0)
    assert rms_times(gather(sensor, enough=lambda got: rms_times(got))) == [T0 + 61.0]
    assert sensor.drops() == {"truncated": 1}


@pytest.mark.parametrize(
    ("options", "channels", "words"),
    [
        ({"path": "nowhere"}, (ACC,), "no such file or folder"),
        ({"path": f"{NAME}.wav", "follow": True}, (ACC,), "needs the folder that the recorder fills"),
        ({}, (Channel("t", "temperature", "degC"),), "no channel of quantity 'acceleration'"),
    ],
)
def test_what_can_not_be_opened(tmp_path, options, channels, words):
    write_wav(tmp_path / f"{NAME}.wav", motion_g(1.0))
    sensor = BlocksSensor(BlocksSensor.Options(**{"path": ".", **options}), channels, tmp_path)
    with pytest.raises(SensorError, match=words):
        asyncio.run(sensor.open())


def maker(kind, folder):
    if kind == "shaker":
        given = ShakerSensor.Options(start=T0, blocks=4, block_s=2.0, tones=((35.0, 0.01),))
        return lambda: ShakerSensor(given, (ACC,), folder)
    if kind == "file":
        write_wav(folder / f"{NAME}.wav", motion_g(20.0))
        return lambda: make_sensor(folder, path=f"{NAME}.wav", block_s=2.0)
    fill(folder, 15, 16, 17)
    return lambda: make_sensor(folder, follow=kind == "folder followed")


@pytest.mark.parametrize("name", [check.name for check in conformance.checks(lambda: None)])
@pytest.mark.parametrize("kind", ["file", "folder", "folder followed", "shaker"])
def test_kinds_of_waveforms_conform(kind, name, tmp_path):
    {check.name: check for check in conformance.checks(maker(kind, tmp_path))}[name]()


def test_a_shaker_says_that_it_is_one_and_is_the_same_again():
    given = ShakerSensor.Options(start=T0, blocks=2, tones=((35.0, 0.01),))
    first, again = (gather(ShakerSensor(given, (ACC, SECOND), None)) for _ in range(2))
    assert first == again
    assert {r.quality for r in first} == {Quality.SIMULATED}
    rms = {r.channel: r.value for r in first if "." not in r.channel}
    assert rms["acc_u"] == pytest.approx(0.01 / math.sqrt(2), rel=0.02)
    assert rms["acc_u"] != rms["acc_v"]
