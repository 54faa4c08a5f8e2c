import asyncio
import logging
import re
import shutil

import numpy as np
import pytest

from sensors.channel import Channel
from sensors.reading import Quality, SensorError
from sensors.timestamps import parse_time
from sensors.vendor.bruker import (
    BrukerSensor,
    ReferenceSeries,
    interpolated,
    measured_nodes,
    node_indices,
    read_log,
    read_references,
    read_shifts,
)
from tests.real_data import data_file

U = Channel("ts_u", "marker_shift", "px", address="TS_u")
V = Channel("ts_v", "marker_shift", "px", address="TS_v")


def independently(path):
    """Rows of a _TS.csv by a regular expression over the whole file."""
    return np.array(re.findall(rb"^(\d+\.\d+), (-?\d+\.\d+), (-?\d+\.\d+)", path.read_bytes(), re.M), dtype=float)


SCANS = {
    "Control01": {
        "end": "2018-02-22T21:18:41Z", "duration": 8 * 3600 + 55 * 60 + 50, "files": 3979, "projections": 3978,
        "spacing": 160, "references": 25,
        "u": [-2, -1, -1, -1, 0, -1] + [0] * 19,
        "v": [7, 6, 5, 4, 4, 3, 3] + [2] * 7 + [1] * 7 + [0] * 4,
    },
    "Swimmer01": {
        "end": "2018-02-22T07:18:31Z", "duration": 14 * 3600 + 4 * 60 + 44, "files": 3755, "projections": 3755,
        "spacing": 100, "references": 40,
        "u": [-4] * 3 + [-3] * 7 + [-2] * 4 + [-1] * 5 + [0] * 4 + [1] * 15,
        "v": [9, 8, 7, 6, 5, 5, 5] + [4] * 5 + [3] * 7 + [2] * 6 + [1] * 8 + [0] * 5,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SCANS)
def test_real_scans_hold_measurements_only_at_the_nodes(name):
    truth = SCANS[name]
    path = data_file(f"bruker/{name}/proj/{name}.log")
    log = read_log(path)
    assert log.shift_measured
    assert log.projections == truth["projections"]
    assert int(log.sections["acquisition", "number of files"][0]) == truth["files"]
    assert log.start + log.duration_s == parse_time(truth["end"])
    assert log.duration_s == truth["duration"]
    assert read_references(path.with_suffix(".oog")).files == truth["references"]
    rows = independently(path.with_name(f"{name}_TS.csv"))
    assert len(rows) == truth["projections"]
    nodes = measured_nodes(path, log)
    assert list(nodes.index) == list(range(0, truth["projections"], truth["spacing"]))
    assert np.array_equal(nodes.shift_px, rows[nodes.index, 1:])
    assert nodes.shift_px[:, 0].tolist() == truth["u"]
    assert nodes.shift_px[:, 1].tolist() == truth["v"]
    # what lies between is no measurement: the nodes alone give every row back, up to the last node
    last = nodes.index[-1] + 1
    between = interpolated(nodes, truth["projections"])[:last]
    np.testing.assert_allclose(between, rows[:last, 1:], atol=1e-6)
    # ... and behind it the curve runs to 0 at a node that has no projection any more
    beyond = nodes.index[-1] + truth["spacing"]
    steps = np.arange(last, truth["projections"])[:, None] - nodes.index[-1]
    np.testing.assert_allclose(
        nodes.shift_px[-1] * (1 - steps / (beyond - nodes.index[-1])), rows[last:, 1:], atol=1e-6
    )


def test_optics_and_exposure():
    log = read_log(data_file("bruker/Control01/proj/Control01.log"))
    assert (log.source_object_mm, log.source_detector_mm, log.camera_pixel_um, log.binning) == (40.03, 212.399, 8.8, 1)
    assert (log.voltage_kv, log.current_ua, log.exposure_ms, log.frames) == (49, 167, 890, 6)
    assert (log.rotation_step_deg, log.shift_file, log.connected_scans) == (0.05, "Control01_TS.csv", 1)
    binned = read_log(data_file("bruker/104016/head/proj/104016~00.log"))
    assert (binned.binning, binned.frames, binned.connected_scans) == (2, 1, 3)
    assert binned.duration_s == 39 * 60 + 19  # not the estimated 2h:43m:3s
    image_pixel = binned.pixel_um * binned.source_object_mm / binned.source_detector_mm
    assert image_pixel == pytest.approx(float(binned.sections["acquisition", "image pixel size (um)"][0]), rel=1e-4)


def test_the_date_in_a_log_is_the_end_of_its_scan():
    """Each scan must follow the references of the one before, and end before its images were shifted."""
    folder = data_file("bruker/104016/head/proj")
    scans = [read_log(folder / f"104016~0{k}.log") for k in range(3)]
    references = [read_log(folder / f"104016~0{k}.oog") for k in range(3)]
    for scan, reference in zip(scans, references, strict=True):
        assert 0 <= reference.start - (scan.start + scan.duration_s) < 30
    for reference, following in zip(references, scans[1:], strict=False):
        assert 0 <= following.start - (reference.start + reference.duration_s) < 30
    shifted = parse_time("2022-01-27T15:12:06Z")
    assert scans[2].start + scans[2].duration_s < shifted < scans[2].start + 2 * scans[2].duration_s


def test_sub_scans_bring_their_nodes_themselves():
    path = data_file("bruker/104016/head/proj/104016~00.log")
    log = read_log(path)
    nodes = measured_nodes(path, log)
    assert nodes.index.tolist() == [0, 133, 267, 400, 533, 667, 800, 933, 1067]
    assert nodes.shift_px[:, 0].tolist() == [-4, -3, -2, 0, 0, 0, 0, 0, 0]
    assert nodes.shift_px[:, 1].tolist() == [-1, 0, 0, 0, 0, 0, 0, 0, 0]
    # the log's own maxima tell which is which
    assert log.sections["acquisition", "maximum horizontal ts"] == ("4.0",)
    assert log.sections["acquisition", "maximum vertical ts"] == ("1.0",)
    assert np.array_equal(nodes.index, node_indices(1104, 0.2, read_references(path.with_suffix(".oog"))))
    assert interpolated(nodes, 1104).shape == (1104, 2)


@pytest.mark.parametrize("name", ["Tooth011/proj/Tooth011", "Tooth011/proj/Tooth011~03", "104016/head/proj/104016"])
def test_a_default_is_not_a_measurement(name, caplog):
    path = data_file(f"bruker/{name}.log")
    assert not read_log(path).shift_measured
    with caplog.at_level(logging.WARNING):
        assert asyncio.run(collect(path)) == []
    assert "no line 'TS modified at'" in caplog.text
    assert ("sub-scans" in caplog.text) is (read_log(path).connected_scans > 1)


@pytest.mark.parametrize("path", ["Tooth011/proj/Tooth011~04.log", "Control01/rec/Control01_rec.log",
                                  "104016/head/rec/104016_rec.log", "Swimmer01/rec/Swimmer01_rec.log",
                                  "Tooth011/rec/Tooth011_rec.log"])  # fmt: skip
def test_every_kind_of_log_can_be_read(path):
    log = read_log(data_file(f"bruker/{path}"))
    assert 1.5e9 < log.start < 1.7e9
    assert len(log.scan) == log.projections > 400
    assert log.scan.time[0] > log.start
    assert log.scan.time[-1] < log.start + log.duration_s


async def collect(path, channels=(U, V), after=None, **options):
    sensor = BrukerSensor(BrukerSensor.Options(path=path.name, **options), channels, path.parent)
    sensor.resume_after(after or {})
    await sensor.open()
    return [reading async for batch in sensor.readings() for reading in batch]


def test_readings_of_a_real_scan():
    path = data_file("bruker/Control01/proj/Control01.log")
    got = asyncio.run(collect(path, timezone="Europe/Zurich"))
    assert len(got) == 50
    assert [r.value for r in got if r.channel == "ts_v"] == SCANS["Control01"]["v"]
    assert [r.sigma for r in got] == pytest.approx([0.288675] * 50, abs=1e-6)
    assert {r.quality for r in got} == {Quality.GOOD}
    start = parse_time("2018-02-22T21:18:41+01:00") - 32150
    assert got[2].time == pytest.approx(start + 160.5 / 3978 * 32150, abs=1e-5)
    assert got[2].time == read_log(path, "Europe/Zurich").scan.time[160]
    negated = asyncio.run(collect(path, sign="negated"))
    assert [r.value for r in negated] == [-r.value for r in got]
    later = asyncio.run(collect(path, after={"ts_u": got[8].time, "ts_v": 1e12}, timezone="Europe/Zurich"))
    assert [(r.channel, r.time) for r in later] == [("ts_u", r.time) for r in got[10::2]]


def copied(tmp_path):
    folder = tmp_path / "proj"
    shutil.copytree(data_file("bruker/Control01/proj"), folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder / "Control01.log"


def edit(path, old, new):
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("ending", "old", "new", "words"),
    [
        (".log", b"[Acquisition]", b"[Aquisition]", "no section .Acquisition.; this is no SkyScan log"),
        (".log", b"Exposure (ms)", b"Exposure", "has no 'exposure .ms.'"),
        (
            ".log",
            b"Rotation Step (deg)=0.050",
            b"Rotation Step (deg)=0",
            "'rotation step .deg.' is '0', not a positive",
        ),
        (".log", b"Feb 22, 2018", b"Fev 22, 2018", "'Study Date and Time' is 'Fev 22"),
        (".log", b"Feb 22, 2018", b"Feb 30, 2018", "'Study Date and Time' is 'Feb 30"),
        (".log", b"Scan duration=08:55:50", b"Scan duration=8 hours", "'scan duration' is '8 hours'; known are"),
        (
            ".oog",
            b"Rotation Step (deg)=8.000",
            b"Rotation Step (deg)=7.000",
            "bends at projection 160, where Control01.oog",
        ),
        ("_TS.csv", b"3977.000000, 0.000000, 0.000000\r\n", b"", "3977 rows instead of the 3978 announced"),
        ("_TS.csv", b"3977.000000, 0.000000, 0.000000\r\n", b"3977.0", "a row is torn or not numeric"),
        ("_TS.csv", b"5.000000, -1.968750", b"7.000000, -1.968750", "projections are not in order"),
        ("_TS.csv", b"CURVE", b"KURVE", "this is no SkyScan shift file"),
    ],
)
def test_faults(tmp_path, ending, old, new, words):
    log = copied(tmp_path)
    edit(log.with_name(f"Control01{ending}"), old, new)
    with pytest.raises(SensorError, match=words) as error:
        asyncio.run(collect(log))
    assert str(log.parent) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_companions(tmp_path):
    log = copied(tmp_path)
    log.with_suffix(".oog").unlink()
    with pytest.raises(SensorError, match=r"Control01\.oog: no such file; without the reference series"):
        asyncio.run(collect(log))
    log.with_name("Control01_TS.csv").unlink()
    with pytest.raises(SensorError, match=r"its shifts Control01_TS\.csv are not beside it"):
        asyncio.run(collect(log))
    with pytest.raises(SensorError, match="no such file"):
        asyncio.run(collect(log.with_name("none.log")))
    with pytest.raises(SensorError, match="no such file"):
        read_shifts(log.with_name("none.csv"))


def test_channels_that_do_not_fit(tmp_path):
    path = copied(tmp_path)
    for channel, words in (
        (Channel("u", "marker_shift", "px", address="TS_x"), "channel u: address 'TS_x'; did you mean"),
        (Channel("u", "flux", "counts", address="TS_u"), "channel u: TS_u is a marker_shift in px"),
    ):
        with pytest.raises(SensorError, match=words):
            asyncio.run(collect(path, (channel,)))


def test_nodes_at_a_fractional_spacing():
    assert node_indices(10, 0.3, ReferenceSeries(9, 1.0)).tolist() == [0, 3, 7]
