"""Every file-reading kind passes the shipped checks, and each check catches a sensor that breaks its promise."""

import math

import pytest

from sensors import conformance
from sensors.channel import Channel
from sensors.conformance import NotConformingError
from sensors.csv_log import CsvSensor, write_readings
from sensors.reading import Quality, Reading
from sensors.vendor.bruker import BrukerSensor
from sensors.vendor.waygate import WaygateSensor
from tests.real_data import data_file

CHANNEL = Channel("wire", "marker_shift", "px")
T0 = 1.7e9
KINDS = ("csv", "csv followed", "parquet", "waygate", "waygate followed", "bruker")


def maker(kind, folder):
    name, _, followed = kind.partition(" ")
    how = {"follow": True, "poll_s": 0.01} if followed else {}
    if name == "waygate":
        path = data_file("waygate/scan_409.pcp")
        channels = (Channel("flux", "flux", "counts", address="MeanGV"), Channel("kv", "voltage", "kV", address="U"))
        return lambda: WaygateSensor(WaygateSensor.Options(path=path.name, **how), channels, path.parent)
    if name == "bruker":
        path = data_file("bruker/Control01/proj/Control01.log")
        channels = (Channel("TS_u", "marker_shift", "px"), Channel("v", "marker_shift", "px", address="TS_v"))
        return lambda: BrukerSensor(BrukerSensor.Options(path=path.name), channels, path.parent)
    path = folder / ("log.parquet" if name == "parquet" else "log.csv")
    write_readings(path, [Reading("wire", T0 + k, k / 7, 0.5) for k in range(20)], {"wire": CHANNEL})
    return lambda: CsvSensor(CsvSensor.Options(path=path.name, **how), (CHANNEL,), folder)


@pytest.mark.parametrize("name", [check.name for check in conformance.checks(lambda: None)])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_conform(kind, name, tmp_path):
    {check.name: check for check in conformance.checks(maker(kind, tmp_path))}[name]()


class Fake:
    """Gives one batch; options break one promise each."""

    channels = (CHANNEL,)
    given = False

    def __init__(self, reading=None, *, closes_once=False, forgets=False, resumes=True, cause="bad_row"):
        self.reading = reading or Reading("wire", T0, 1.0)
        self.closes_once, self.forgets, self.resumes, self.cause = closes_once, forgets, resumes, cause
        self.after = -math.inf

    async def open(self):
        self.is_open = True

    async def readings(self):
        if not self.reading.time <= self.after and not (self.forgets and Fake.given):
            Fake.given = self.forgets
            yield [self.reading]

    async def close(self):
        if self.closes_once:
            del self.is_open

    def resume_after(self, times):
        if self.resumes:
            self.after = max(times.values())

    def drops(self):
        return {self.cause: 1}


def run(**how):
    failed = []
    Fake.given = False
    for check in conformance.checks(lambda: Fake(**how)):
        try:
            check()
        except NotConformingError:
            failed.append(check.name)
    return failed


def test_a_good_fake_passes():
    assert run() == []


@pytest.mark.parametrize(
    ("how", "failing"),
    [
        ({"reading": Reading("other", T0, 1.0)}, "declared"),
        ({"reading": Reading("wire", math.nan, 1.0)}, "well_formed"),
        ({"reading": Reading("wire", T0, math.nan)}, "well_formed"),
        ({"reading": Reading("wire", T0, 1.0, -1.0)}, "well_formed"),
        ({"reading": Reading("wire", T0, 1.0, quality="good")}, "well_formed"),
        ({"closes_once": True}, "closing"),
        ({"forgets": True}, "acknowledging"),
        ({"resumes": False}, "resuming"),
        ({"cause": "no such thing"}, "counting"),
    ],
)
def test_each_check_catches_its_fault(how, failing):
    assert failing in run(**how)


def test_a_value_of_none_may_be_invalid():
    assert run(reading=Reading("wire", T0, math.nan, quality=Quality.INVALID)) == []
