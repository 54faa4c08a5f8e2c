import asyncio
import csv
import itertools
from datetime import UTC, datetime

import numpy as np
import pytest

from sensors.channel import Channel
from sensors.reading import Quality, SensorError
from sensors.timestamps import parse_time
from sensors.vendor.waygate import WaygateSensor, read_pcp
from tests.real_data import data_file

VOLTAGE = Channel("kv", "voltage", "kV", address="U")
CURRENT = Channel("ua", "current", "uA", address="I")
FLUX = Channel("flux", "flux", "counts", address="MeanGV")
SHUTTLE = Channel("shuttle", "detector_shift", "px", address="XDShift")
CHANNELS = (VOLTAGE, CURRENT, FLUX, SHUTTLE)

VERSION = "datos|x 2 acquisition 2.4.0\r\n"
HEAD = "ImgNr\tRotPos\tU\tI\tMeanGV\tDevGV\tDose\tUse\tCValue\tXDShift\tTime\r\n"


def row(image, second, flux=3000.0, use=1):
    return f"{image}\t{image / 4:.3f}\t90\t109\t{flux}\t-0.9\t0.0\t{use}\t0.000\t-5\t2023-05-30 09:58:{second:02d}\r\n"


def pcp(folder, *lines):
    path = folder / "scan.pcp"
    path.write_bytes("".join((VERSION, HEAD, *lines)).encode("latin-1"))
    return path


def independently(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(itertools.islice(file, 1, None), delimiter="\t"))


@pytest.mark.parametrize(
    ("name", "rows", "first", "last", "seconds", "fluxes"),
    [
        ("scan_409", 1301, "2023-05-30T09:58:20Z", "2023-05-30T10:41:40Z", 2600.0, (3151.3, 3250.3)),
        ("scan_411", 1901, "2023-05-30T12:41:47Z", "2023-05-30T14:48:28Z", 7601.0, (2225.6, 2227.2)),
    ],
)
def test_real_logs(name, rows, first, last, seconds, fluxes):
    path = data_file(f"waygate/{name}.pcp")
    log = read_pcp(path)
    assert (len(log.time), log.name) == (rows, name)
    assert (log.time[0], log.time[-1]) == (parse_time(first), parse_time(last))
    assert log.time[-1] - log.time[0] == seconds
    assert (log.flux[0], log.flux[-1]) == fluxes
    assert (log.angle_deg[0], log.angle_deg[-1]) == (0.0, 360.0)
    assert log.use.all()
    assert np.array_equal(log.projection, np.arange(1, rows + 1))
    assert np.array_equal(log.scan.projection, np.arange(rows))
    truth = independently(path)
    for column, values in (
        ("U", log.voltage_kv),
        ("I", log.current_ua),
        ("MeanGV", log.flux),
        ("XDShift", log.detector_shift_px),
        ("RotPos", log.angle_deg),
    ):
        assert np.array_equal(values, [float(r[column]) for r in truth])
    stamps = [datetime.strptime(r["Time"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() for r in truth]
    assert np.array_equal(log.time, stamps)


def sensor_of(path, channels=CHANNELS, **options):
    return WaygateSensor(WaygateSensor.Options(path=path.name, **options), channels, path.parent)


async def collect(sensor):
    await sensor.open()
    return [reading async for batch in sensor.readings() for reading in batch]


def test_a_real_scan_as_readings_in_si_units():
    path = data_file("waygate/scan_409.pcp")
    got = asyncio.run(collect(sensor_of(path)))
    assert len(got) == 4 * 1301
    first = {r.channel: r for r in got[:4]}
    assert {name: r.value for name, r in first.items()} == pytest.approx(
        {"kv": 90e3, "ua": 109e-6, "flux": 3151.3, "shuttle": -5.0}
    )
    assert all(r.quality is Quality.GOOD for r in got)
    flux = np.array([r.value for r in got if r.channel == "flux"])
    assert 1.02 < flux[-100:].mean() / flux[:100].mean() < 1.03  # the cold start


def test_timezone_shifts_the_wall_clock(tmp_path):
    path = pcp(tmp_path, row(1, 20))
    assert read_pcp(path, "Europe/Berlin").time[0] == parse_time("2023-05-30T09:58:20+02:00")
    with pytest.raises(SensorError, match="timezone 'Berlin' is unknown; give a name such as"):
        asyncio.run(sensor_of(path, timezone="Berlin").open())


def test_rows_within_one_second_keep_their_order_without_looking_ahead(tmp_path):
    path = pcp(tmp_path, row(1, 20), row(2, 20), row(3, 20), row(4, 21), row(5, 23), row(6, 23))
    offsets = read_pcp(path).time - parse_time("2023-05-30T09:58:20Z")
    np.testing.assert_allclose(offsets, [0, 1 / 2, 2 / 3, 1, 3, 3.5], atol=1e-6)


def test_rows_not_to_be_used_are_suspect_and_empty_values_invalid(tmp_path):
    path = pcp(tmp_path, row(1, 20, use=0), row(2, 22, flux=""))
    got = {(r.channel, r.time % 60): r.quality for r in asyncio.run(collect(sensor_of(path)))}
    assert got["flux", 20] is Quality.SUSPECT
    assert got["flux", 22] is Quality.INVALID
    assert got["kv", 22] is Quality.GOOD


def test_followed_as_the_scan_goes_on(tmp_path):
    path = tmp_path / "scan.pcp"
    path.write_text(VERSION[:10])
    text = VERSION + HEAD + "".join(row(k, 2 * k, 3000 + k) for k in range(1, 20))

    async def story():
        sensor = sensor_of(path, (FLUX,), follow=True, poll_s=0.005)
        await sensor.open()
        batches = sensor.readings()
        got = []
        for cut in range(10, len(text) + 50, 50):
            path.write_text(text[:cut], newline="")  # rewritten in place: same file, longer
            whole = max(0, text[:cut].count("\r\n") - 2)
            while len(got) < whole:
                got += await asyncio.wait_for(anext(batches), 10)
            assert len(got) == whole
        await batches.aclose()
        return got

    got = asyncio.run(story())
    assert [r.value for r in got] == [3000 + k for k in range(1, 20)]
    path.write_text(text, newline="")
    assert [r.time for r in got] == list(read_pcp(path).time)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (VERSION + HEAD.replace("MeanGV", "Mean"), "line 2: column MeanGV is missing among ImgNr"),
        (VERSION, "no line of column names"),
        ("", "no line of column names"),
        (VERSION + HEAD, "no projections"),
        (VERSION + HEAD + row(1, 20) + "2\t0.2", "line 4, 2 fields instead of 11; the row is torn"),
        (
            VERSION + HEAD + row(1, 20).replace("2023-05-30", "30.05.2023"),
            "line 3, column 'Time': '30.05.2023 09:58:20'",
        ),
        (VERSION + HEAD + row(1, 20, flux="3,1"), "line 3, column 'MeanGV': '3,1' is not a number"),
        (VERSION + HEAD + row(1, 20).replace("1\t", "\t", 1), "line 3, column 'ImgNr': no number"),
        ("\x89PNG\0\0\0\n", "line 1: binary data"),
    ],
)
def test_faults(tmp_path, text, words):
    path = tmp_path / "scan.pcp"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SensorError, match=words) as error:
        read_pcp(path)
    assert str(error.value).startswith(str(path))


def test_channels_that_do_not_fit_the_columns(tmp_path):
    path = pcp(tmp_path, row(1, 20))
    for channel, words in (
        (
            Channel("kv", "voltage", "V", address="U"),
            "column U holds voltage in kV; set quantity = 'voltage' and unit = 'kV'",
        ),
        (Channel("gv", "flux", "counts", address="MeanGv"), "address 'MeanGv' is no column; did you mean 'MeanGV'"),
    ):
        with pytest.raises(SensorError, match=words):
            asyncio.run(sensor_of(path, (channel,)).open())
