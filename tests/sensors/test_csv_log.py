import asyncio
import math
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensors.channel import Channel
from sensors.csv_log import CsvSensor, read_readings, write_readings
from sensors.reading import Quality, Reading, SensorError

TUBE = Channel("t_tube", "temperature", "degC", address="T1", sigma=0.05, valid=(5.0, 80.0))
SPOT = Channel("wire", "marker_shift", "px")
CHANNELS = {"t_tube": TUBE, "wire": SPOT}
T0 = 1_700_000_000.0


def text_file(folder, text, name="log.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def all_of(path, channels=CHANNELS, **how):
    return [reading for batch in read_readings(path, channels, **how) for reading in batch]


def test_units_sigma_quality_order_and_comments(tmp_path):
    path = text_file(
        tmp_path,
        (
            "\ufeff# ctwin readings 1\r\n# from the lab\r\nquality,time,channel,sigma,value\r\n"
            "good,2023-11-14T22:13:20Z,t_tube,0.1,21.5\r\n"
            'suspect,2023-11-14T23:13:10+01:00,"wire",,-0.25\r\n'
            "\r\n"
            ",1700000001.5,t_tube,,\r\n"
            "simulated,1700000002,wire,1,nan\r\n"
            ",1700000003,t_tube,,99"
        ),
    )
    got = all_of(path)
    assert got[0] == Reading("t_tube", T0, 294.65, 0.1, Quality.GOOD)
    assert (got[1].time, got[1].value, got[1].quality) == (T0 - 10, -0.25, Quality.SUSPECT)
    assert math.isnan(got[1].sigma)
    assert got[2].quality is Quality.INVALID
    assert math.isnan(got[2].value)
    assert got[2].sigma == 0.05
    assert got[3].quality is Quality.INVALID
    assert (got[4].value, got[4].quality) == (pytest.approx(372.15), Quality.INVALID)  # outside valid
    assert len(got) == 5


HEAD = "time,channel,value\n"
FAULTS = {
    "unknown column": (
        "time,channel,value,qualty\n",
        "line 1, column 4: unknown column 'qualty'; did you mean 'quality'?",
    ),
    "missing column": ("# x\ntime,value\n", "line 2: column 'channel' is missing"),
    "column twice": ("time,channel,value,time\n", "column 4: column 'time' is given twice"),
    "no header": ("1700000000,t_tube,21\n", "line 1: no header; the first line must be time,channel,value"),
    "semicolons": ("time;channel;value\n", "line 1: columns are not separated by commas"),
    "newer version": ("# ctwin readings 2\n" + HEAD, "line 1: 'ctwin readings 2' can't be read"),
    "no zone": (HEAD + "2023-11-14T22:13:20,t_tube,21\n", "line 2, column 'time': '2023-11-14T22:13:20' has no zone"),
    "milliseconds": (HEAD + "1700000000000,t_tube,21\n", "line 2, column 'time'.*not milli-"),
    "bad time": (HEAD + "yesterday,t_tube,21\n", "line 2, column 'time': 'yesterday' is neither"),
    "bad number": (HEAD + "1700000000,t_tube,21.5C\n", "line 2, column 'value': '21.5C' is not a number"),
    "decimal comma": (HEAD + "1700000000,t_tube,21,5\n", "line 2, 4 fields instead of 3"),
    "unknown channel": (
        HEAD + "1700000000,t_tub,21\n",
        "line 2, column 'channel': 't_tub' is no channel; did you mean 't_tube'",
    ),
    "bad sigma": ("time,channel,value,sigma\n1700000000,t_tube,21,-1\n", "line 2, column 'sigma': -1 is not positive"),
    "bad quality": (
        "time,channel,value,quality\n1700000000,t_tube,21,god\n",
        "line 2, column 'quality': 'god'.*mean 'good'",
    ),
    "torn last line": (HEAD + "1700000000,t_tube,21\n17000000", "line 3, 1 fields instead of 3; the row is torn"),
    "open quote": (HEAD + '1700000000,"t_tube,21\n', "line 2, a quote is not closed"),
    "empty": ("", "empty; the first line must be"),
    "only comments": ("# ctwin readings 1\n", "empty; the first line must be"),
    "binary": (b"time,channel,value\n1700000000,t_tube,21\n\x89HDF\xff\xfe\n", "line 3: binary data"),
    "zeros after a power cut": (HEAD.encode() + b"1700000000,t_tube,21\n\0\0\0\0", "line 3: binary data"),
    "UTF-16": ("time,channel,value\n".encode("utf-16"), "line 1: binary data or another encoding"),
    "no line ends": (b"x" * (3 << 20), "line 1: no line end within 1 MiB"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_names_file_place_and_mend_in_one_line(tmp_path, name):
    text, words = FAULTS[name]
    path = text_file(tmp_path, text)
    with pytest.raises(SensorError, match=words) as error:
        all_of(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert not error.value.retry


def test_missing_file_and_folder(tmp_path):
    for suffix in (".csv", ".parquet"):
        with pytest.raises(SensorError, match="no such file"):
            all_of(tmp_path / f"none{suffix}")
    with pytest.raises(SensorError, match="is a folder"):
        all_of(tmp_path)


def readings():
    numbers = st.floats(-1e6, 1e6)
    return st.lists(
        st.builds(
            lambda name, time, raw, sigma, quality: CHANNELS[name].admit(time, raw, sigma, quality),
            st.sampled_from(sorted(CHANNELS)),
            st.floats(T0, T0 + 1e6),
            numbers | st.just(math.nan),
            st.floats(1e-6, 1e3),
            st.sampled_from(Quality),
        ),
        min_size=1,
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(given_readings=readings(), chunk=st.integers(1, 5))
def test_round_trip(tmp_path, suffix, given_readings, chunk):
    path = tmp_path / f"round{suffix}"
    assert write_readings(path, given_readings, CHANNELS) == len(given_readings)
    got = all_of(path, chunk=chunk)
    assert [(r.channel, r.time, r.quality) for r in got] == [(r.channel, r.time, r.quality) for r in given_readings]
    np.testing.assert_allclose([r.value for r in got], [r.value for r in given_readings], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose([r.sigma for r in got], [r.sigma for r in given_readings], rtol=1e-12)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = text_file(tmp_path, "precious")

    def broken():
        yield Reading("wire", T0, 1.0)
        raise OSError(28, "No space left on device")

    with pytest.raises(SensorError, match="No space left on device; nothing was replaced"):
        write_readings(path, broken(), CHANNELS)
    assert path.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv"]


def test_chunks_stream_in_constant_memory(tmp_path):
    path = tmp_path / "long.csv"
    with path.open("w") as file:
        file.write(HEAD)
        for k in range(60_000):
            file.write(f"{T0 + k},wire,{k % 7}\n")
    tracemalloc.start()
    sizes = [len(batch) for batch in read_readings(path, CHANNELS)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(sizes) == 60_000
    assert max(sizes) == 4096
    assert peak < 8e6  # the readings of the whole would be over 10 MB


@pytest.mark.parametrize(
    "times",
    [
        pd.to_datetime([T0, T0 + 0.25], unit="s", utc=True),
        pd.to_datetime([T0, T0 + 0.25], unit="s", utc=True).tz_convert("Asia/Tokyo"),
        [T0, T0 + 0.25],
        ["2023-11-14T22:13:20Z", "2023-11-14T23:13:20.250+01:00"],
    ],
)
def test_parquet_as_others_write_it(tmp_path, times):
    path = tmp_path / "log.parquet"
    frame = pd.DataFrame({"time": times, "channel": pd.Categorical(["t_tube", "wire"]), "value": [21.5, None]})
    frame.to_parquet(path, index=False)
    first, second = all_of(path)
    assert first == Reading("t_tube", T0, 294.65, 0.05)
    assert (second.time, second.quality) == (T0 + 0.25, Quality.INVALID)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            {"time": pd.to_datetime([T0], unit="s"), "channel": ["wire"], "value": [1.0]},
            "'time': timestamps have no zone",
        ),
        ({"time": [T0], "channel": ["wire"], "value": ["high"]}, "'value': holds .*string; it must be a number"),
        ({"time": [T0], "channel": [3], "value": [1.0]}, "'channel': holds int64; it must be text"),
        ({"time": [T0], "channel": ["wir"], "value": [1.0]}, "row 1, column 'channel': 'wir' is no channel; did you"),
        ({"time": [T0, None], "channel": ["wire"] * 2, "value": [1.0, 2.0]}, "row 2, column 'time'"),
        (
            {"time": [T0], "channel": ["wire"], "value": [1.0], "sigma": [0.0]},
            "row 1, column 'sigma': 0 is not positive",
        ),
        ({"time": [T0], "channel": ["wire"], "valeu": [1.0]}, "column 3: unknown column 'valeu'; did you mean 'value'"),
    ],
)
def test_parquet_faults(tmp_path, columns, words):
    path = tmp_path / "log.parquet"
    pq.write_table(pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False), path)
    with pytest.raises(SensorError, match=words):
        all_of(path)


def test_a_torn_parquet_file_is_one_line(tmp_path):
    path = tmp_path / "log.parquet"
    write_readings(path, [Reading("wire", T0, 1.0)], CHANNELS)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SensorError, match="not a whole Parquet file") as error:
        all_of(path)
    assert "\n" not in str(error.value)


# --- the sensor -----------------------------------------------------------------------------------


def sensor_of(path, **options):
    return CsvSensor(CsvSensor.Options(path=path.name, **options), [TUBE, SPOT], path.parent)


async def collect(sensor):
    await sensor.open()
    return [reading async for batch in sensor.readings() for reading in batch]


def test_whole_by_address_and_resumed(tmp_path):
    path = text_file(tmp_path, HEAD + "".join(f"{T0 + k},{c},{k}\n" for k in range(6) for c in ("T1", "wire")))
    assert len(asyncio.run(collect(sensor_of(path)))) == 12
    resumed = sensor_of(path)
    resumed.resume_after({"t_tube": T0 + 3, "wire": T0 + 4})
    got = asyncio.run(collect(resumed))
    assert [(r.channel, r.time - T0) for r in got] == [("t_tube", 4), ("t_tube", 5), ("wire", 5)]


def test_open_tells_what_is_wrong(tmp_path):
    for path, follow, retry in ((tmp_path / "no.csv", False, False), (tmp_path / "no.csv", True, True)):
        with pytest.raises(SensorError, match="no such file") as error:
            asyncio.run(sensor_of(path, follow=follow).open())
        assert error.value.retry is retry
    with pytest.raises(SensorError, match="no header"):
        asyncio.run(sensor_of(text_file(tmp_path, "1,2,3\n")).open())
    with pytest.raises(SensorError, match="Parquet file can't be followed"):
        asyncio.run(sensor_of(tmp_path / "a.parquet", follow=True).open())


class Follower:
    """Follows a file; each ``take`` waits for the next batch, which acknowledges the one before."""

    def __init__(self, sensor):
        self.sensor = sensor

    async def __aenter__(self):
        await self.sensor.open()
        self.batches = self.sensor.readings()
        return self

    async def take(self, n):
        got = []
        while len(got) < n:
            got += await asyncio.wait_for(anext(self.batches), 10)
        return [r.value for r in got]

    async def __aexit__(self, *_):
        await self.batches.aclose()
        await self.sensor.close()


def append(path, text):
    with path.open("ab") as file:
        file.write(text.encode())


def test_followed_while_it_grows_with_torn_lines_and_bad_rows(tmp_path):
    path = text_file(tmp_path, "")

    async def story():
        async with Follower(sensor_of(path, follow=True, poll_s=0.01)) as log:
            append(path, "time,chan")
            waiting = asyncio.ensure_future(log.take(1))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            append(path, f"nel,value\n{T0},wire,1\n{T0 + 1},wire,2")
            assert await waiting == [1.0]
            append(path, f"5\n{T0 + 2},wire,high\nrubbish\n{HEAD}{T0 + 3},wire,4\n")  # a restarted logger's header
            assert await log.take(2) == [25.0, 4.0]
            return log.sensor.drops()

    assert asyncio.run(story()) == {"bad_value": 1, "torn": 1}


def test_truncation_and_rotation_are_noticed_and_nothing_acknowledged_comes_twice(tmp_path):
    path = text_file(tmp_path, HEAD + f"{T0},wire,1\n{T0 + 1},wire,2\n")

    async def story():
        async with Follower(sensor_of(path, follow=True, poll_s=0.01)) as log:
            assert await log.take(2) == [1.0, 2.0]
            append(path, f"{T0 + 2},wire,3\n")
            assert await log.take(1) == [3.0]
            # what was acknowledged is T0+1 (and T0+2 by asking on); a shorter file repeats the last row
            waiting = asyncio.ensure_future(log.take(1))
            await asyncio.sleep(0.05)
            path.write_text(f"time,value,channel\n{T0 + 2},3,wire\n{T0 + 3},4,wire\n"[:-1] + "\n")
            assert await waiting == [4.0]
            append(path, f"{T0 + 4},5,wire\n")
            path.rename(tmp_path / "log.1")
            waiting = asyncio.ensure_future(log.take(1))
            assert await waiting == [5.0]  # written just before the rotation
            waiting = asyncio.ensure_future(log.take(1))
            await asyncio.sleep(0.05)  # no file of that name for a while
            text_file(tmp_path, HEAD + f"{T0 + 5},wire,6\n")
            assert await waiting == [6.0]

    asyncio.run(story())


def test_an_unacknowledged_batch_comes_again(tmp_path):
    path = text_file(tmp_path, HEAD + f"{T0},wire,1\n")
    sensor = sensor_of(path, follow=True, poll_s=0.01)

    async def first():
        async with Follower(sensor) as log:
            return await log.take(1)

    assert asyncio.run(first()) == [1.0]
    assert asyncio.run(first()) == [1.0]
