"""Kind ``images``: options, addresses, units, a finished series and a followed folder, and the shipped promises."""

from __future__ import annotations

import asyncio
import math
from itertools import count

import numpy as np
import pytest
import tifffile
from pydantic import ValidationError

from sensors import conformance
from sensors.channel import Channel
from sensors.images.projections import ImagesSensor
from sensors.reading import Quality, SensorError
from tests.sensors.image_folder import COLUMNS, ROWS, T0, data, name_of, place_of, stripe, use_centroid, write

WIRE = {"name": "wire", "marker": "wire", "window": f"0:{COLUMNS},0:{ROWS}"}
FREE = {"name": "free", "marker": "flux", "window": "30:40,0:12"}
CHANNELS = (
    Channel("n", "marker_shift", "px", address="wire_n"),
    Channel("tilt", "angle", "rad", address="wire_angle"),
    Channel("sharp", "marker_blur", "px", address="wire_blur"),
    Channel("depth", "ratio", "percent", address="wire_contrast"),
    Channel("i0", "flux", "counts", address="free_flux"),
)


@pytest.fixture(autouse=True)
def _centroid(monkeypatch):
    use_centroid(monkeypatch)


def sensor(folder, channels=CHANNELS, **keys):
    given = {"path": "scan", "look": [WIRE, FREE], "poll_s": 0.01, "follow": False, **keys}
    return ImagesSensor(ImagesSensor.Options.model_validate(given), channels, folder)


def fill(folder, numbers=range(5), **how):
    (folder / "scan").mkdir(exist_ok=True)
    for number in numbers:
        write(folder / "scan", number, **how)


def run(one, most=math.inf):
    """Readings until it ends, is quiet, or has given ``most`` batches."""

    async def gather():
        await one.open()
        got, batches = [], one.readings()
        for k in count():
            if k >= most:
                break
            try:
                got += await asyncio.wait_for(anext(batches), 0.4)
            except (StopAsyncIteration, TimeoutError):
                break
        await batches.aclose()
        await one.close()
        return got

    return asyncio.run(gather())


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("name", [check.name for check in conformance.checks(lambda: None)])
def test_it_conforms(name, follow, tmp_path):
    fill(tmp_path, range(20))
    checks = conformance.checks(lambda: sensor(tmp_path, follow=follow))
    {check.name: check for check in checks}[name]()


@pytest.mark.parametrize("follow", [False, True])
def test_values_come_in_the_units_of_their_channels(tmp_path, follow):
    fill(tmp_path)
    got = run(sensor(tmp_path, follow=follow))
    assert len(got) == 5 * len(CHANNELS)
    first = {r.channel: r for r in got[: len(CHANNELS)]}
    assert first["n"].value == pytest.approx(place_of(0), abs=0.01)
    assert first["n"].sigma == 0.01
    assert first["tilt"].value == pytest.approx(math.pi / 2)
    assert first["tilt"].sigma == pytest.approx(math.radians(0.01))
    assert first["depth"].value == pytest.approx(0.5)
    assert first["i0"].value == pytest.approx(20000, rel=1e-3)
    assert sorted({r.time for r in got}) == pytest.approx([T0 + 10.0 * k for k in range(5)], abs=1e-4)
    assert {r.quality for r in got} == {Quality.GOOD}


def test_a_lost_or_doubtful_marker_says_so(tmp_path):
    fill(tmp_path, range(3))
    (tmp_path / "scan" / name_of(1)).write_bytes(data(1, image=np.full((ROWS, COLUMNS), 20000, np.uint16)))
    (tmp_path / "scan" / name_of(2)).write_bytes(data(2, image=(stripe(2) // 3).astype(np.uint16)))
    got = [r for r in run(sensor(tmp_path)) if r.channel == "n"]
    assert [r.quality for r in got] == [Quality.GOOD, Quality.INVALID, Quality.SUSPECT]
    assert math.isnan(got[1].value)


def test_one_that_cannot_be_read_is_left_out_of_a_finished_series(tmp_path, caplog):
    fill(tmp_path)
    (tmp_path / "scan" / name_of(2)).write_bytes(data(2)[:300])
    one = sensor(tmp_path)
    assert len(run(one)) == 4 * len(CHANNELS)
    assert one.drops() == {"unreadable": 1}
    assert f"{name_of(2)}: has 300 of" in caplog.text


@pytest.mark.parametrize("follow", [False, True])
def test_going_on_after_a_restart(tmp_path, follow):
    fill(tmp_path)
    got = run(sensor(tmp_path, follow=follow))
    newest = {r.channel: r.time for r in got if r.time < T0 + 25}
    one = sensor(tmp_path, follow=follow)
    one.resume_after(newest)
    again = run(one)
    assert [(r.channel, r.time) for r in again] == [(r.channel, r.time) for r in got if r.time > T0 + 25]


def test_a_channel_that_is_new_gets_what_the_others_have(tmp_path):
    fill(tmp_path)
    got = run(sensor(tmp_path, follow=True))
    one = sensor(tmp_path, follow=True)
    one.resume_after({c.name: T0 + 40 + 4e-6 for c in CHANNELS if c.name != "i0"})
    again = run(one)
    assert [(r.channel, r.time) for r in again] == [(r.channel, r.time) for r in got if r.channel == "i0"]


def test_bright_and_dark_images_in_the_folder_are_no_projections(tmp_path):
    fill(tmp_path)
    for name, level in (("white field 3.tif", 20000), ("black 4.tif", 0)):
        tifffile.imwrite(tmp_path / "scan" / name, np.full((ROWS, COLUMNS), level, np.uint16))
    keys = {"flat": "scan/white field 3.tif", "dark": "scan/black 4.tif"}
    for follow in (False, True):
        assert len(run(sensor(tmp_path, follow=follow, **keys))) == 5 * len(CHANNELS)


def test_a_cadence_and_a_table(tmp_path):
    fill(tmp_path, range(3))
    got = run(sensor(tmp_path, cadence_s=30.0, start="2026-03-01T10:00:00Z", exposure_s=4.0))
    assert sorted({r.time for r in got}) == [1772359202.0, 1772359232.0, 1772359262.0]
    (tmp_path / "times.csv").write_text("# a comment\ntime\n2026-03-01T10:00:00Z\n2026-03-01T10:01:00Z\n")
    with pytest.raises(SensorError, match=r"times.csv: no row for projection 2"):
        run(sensor(tmp_path, times="times.csv"))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"folder": "x"}, "Extra inputs"),
        ({"cadence_s": 3.0}, "cadence_s and start belong together"),
        ({"start": "noon", "cadence_s": 3.0}, "'noon' is no time"),
        ({"start": "2026-03-01T10:00:00Z", "cadence_s": 3.0, "times": "t.csv"}, "exclude each other"),
        ({"timezone": "Mars"}, "timezone 'Mars' is unknown"),
        ({"look": [WIRE, WIRE]}, "look 'wire' is there twice"),
        ({"look": [{**WIRE, "window": "5:2"}]}, "'5:2' is no window"),
        ({"look": [{**WIRE, "window": "5:7,0:5"}]}, "less than 16 px"),
        ({"look": [{"name": "free", "marker": "flux"}]}, "needs its window"),
        ({"look": [{**WIRE, "reference": "first.tif"}]}, "a wire is compared with no reference"),
        ({"look": [{**FREE, "diameter_px": 3.0}]}, "has no diameter"),
        ({"look": [{**WIRE, "marker": "ball"}]}, "'patch', 'edge', 'bright' or 'flux'"),
        ({"photons_per_count": 0.0}, "greater than 0"),
    ],
)
def test_wrong_keys_are_refused(keys, words):
    with pytest.raises(ValidationError, match=words):
        ImagesSensor.Options.model_validate({"path": "scan", **keys})


@pytest.mark.parametrize(
    ("channel", "words"),
    [
        (Channel("wire_m", "marker_shift", "px"), "is called 'wire_m'; did you mean 'wire_n'"),
        (Channel("wire_n", "displacement", "um"), "wire_n is a marker_shift; set quantity"),
        (Channel("temperature", "temperature", "degC"), "is called 'temperature'; known: wire_n"),
    ],
)
def test_a_channel_must_have_an_address(tmp_path, channel, words):
    fill(tmp_path, range(1))
    with pytest.raises(SensorError, match=words):
        run(sensor(tmp_path, (channel,), follow=True))


def test_what_is_not_there_is_told_at_once(tmp_path):
    with pytest.raises(SensorError, match="no such file or folder") as told:
        run(sensor(tmp_path, follow=True))
    assert told.value.retry
    with pytest.raises(SensorError, match="no such file or folder") as told:
        run(sensor(tmp_path))
    assert not told.value.retry
    fill(tmp_path)
    with pytest.raises(SensorError, match="set follow = false"):
        run(sensor(tmp_path, path=f"scan/{name_of(0)}", follow=True))
    with pytest.raises(SensorError, match=r"bright.tif: no such file"):
        run(sensor(tmp_path, flat="bright.tif", follow=True))
    with pytest.raises(SensorError, match=r"times.csv: the table of times can't be read"):
        run(sensor(tmp_path, times="times.csv", follow=True))


def test_streams_of_a_vendor_are_addresses_of_a_finished_series(tmp_path, monkeypatch):
    from sensors.images import options
    from sensors.images.series import Contents, Frame, Stream

    class Vendor:
        contents = Contents(
            "v", [Frame(k, time=T0 + k, place=f"v.txrm, projection {k}") for k in range(3)], (ROWS, COLUMNS),
            [Stream("Temperature", "temperature", "degC", [21.0, math.nan, 21.5])],
        )  # fmt: skip

        def image(self, position, rows=slice(None), columns=slice(None)):
            return stripe(position)[rows, columns]

        def close(self):
            pass

    monkeypatch.setattr(options, "open_series", lambda *_, **__: Vendor())
    (tmp_path / "scan").mkdir()
    channel = Channel("t_cabinet", "temperature", "K", address="Temperature")
    got = run(sensor(tmp_path, (channel,)))
    assert [r.value for r in got][::2] == [294.15, 294.65]
    assert [r.quality for r in got] == [Quality.GOOD, Quality.INVALID, Quality.GOOD]
