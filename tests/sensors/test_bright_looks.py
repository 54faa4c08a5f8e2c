"""Looks at bright images and at edges: those of a series at their own times, a folder of them, and real ones."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
import tifffile
from scipy.special import ndtr

from models.imaging.bright_window import BrightWindow
from models.imaging.fix import Verdict
from models.imaging.light import Light
from sensors.images.formats import open_series
from sensors.images.illumination import Illumination
from sensors.images.looking import Look, Looker
from sensors.images.options import ImagesOptions
from sensors.images.recorded import sightings
from sensors.images.region import Region
from sensors.images.times import Timing
from sensors.reading import SensorError
from tests.real_data import data_file
from twin.cli import main

T0, ROWS, COLUMNS = 1_700_000_000, 48, 64
BRIGHT, EDGE = Look("bright", "bright"), Look("knife", "edge", Region(0, COLUMNS, 0, ROWS))


def write(path, image, time):
    tifffile.imwrite(
        path, image.astype(np.uint16), datetime=datetime.fromtimestamp(time, UTC).strftime("%Y:%m:%d %H:%M:%S")
    )


def beam(factor=1.0, tilt=0.0):
    """Counts of the beam: ``factor`` brighter, ``tilt`` from the left to the right end."""
    u = np.linspace(-0.5, 0.5, COLUMNS)
    return 8000.0 * factor * np.tile(1.0 + tilt * u, (ROWS, 1))


def knife(blur=1.5):
    """A straight edge, 6° from the columns, with a Gaussian blur beside the pixel's aperture."""
    v, u = np.mgrid[:ROWS, :COLUMNS]
    across = (u - 31.0) * np.cos(0.105) + (v - 24.0) * np.sin(0.105)
    return 1000.0 + 3000.0 * ndtr(across / np.hypot(blur, np.sqrt(1.0 / 12.0)))


@pytest.fixture
def folder(tmp_path):
    """Edges every minute, bright images in between every ten minutes: brighter by 1 % and tilted by 1 % each time."""
    rng = np.random.default_rng(2)
    for k in range(30):
        write(tmp_path / f"proj_{k:03d}.tif", rng.poisson(knife()), T0 + 60 * k)
    for k in range(3):
        write(tmp_path / f"flat_{k:03d}.tif", rng.poisson(beam(1.0 + 0.01 * k, 0.01 * k)), T0 + 600 * k + 30)
    return tmp_path


def seen(folder, looks):
    faults = Counter()
    found = list(sightings(open_series(folder), Timing(), looks, Looker(looks, Illumination(open_series)), faults))
    assert not faults
    return found


def test_each_kind_of_image_in_its_turn(folder):
    found = seen(folder, [EDGE, BRIGHT])
    times = [one.time for one in found]
    assert times == sorted(times)
    bright = [one for one in found if "bright" in one.fixes]
    assert [one.time - T0 for one in bright] == [30.0, 630.0, 1230.0]
    assert len(found) == 33
    assert all(("knife" in one.fixes) != ("bright" in one.fixes) for one in found)
    assert bright[0].values == {}  # what the others are compared with
    for k, one in enumerate(bright[1:], start=1):
        for address, truth in (("bright_factor", 1.0 + 0.01 * k), ("bright_tilt_u", 0.01 * k), ("bright_tilt_v", 0.0)):
            value = one.values[address]
            assert abs(value.value - truth) < 4.0 * value.sigma + 1e-4
            assert value.sigma < 0.002
        assert one.values["bright_spot_growth"].value == 0.0
        assert "bright_spot_u" not in one.values


def test_an_edge_tells_its_blur_and_modulation(folder):
    values = [one.values for one in seen(folder, [EDGE])]
    blur = np.array([v["knife_blur"].value for v in values])
    sigma = np.array([v["knife_blur"].sigma for v in values])
    assert abs(blur.mean() - 1.5) < 4.0 * sigma.mean() / np.sqrt(len(values)) + 0.005
    # of a Gaussian beside a pixel across the edge
    f = np.linspace(0.0, 0.5, 5001)
    half = f[np.argmin(np.abs(np.exp(-2.0 * (np.pi * f * 1.5) ** 2) * np.sinc(f) - 0.5))]
    assert np.mean([v["knife_sfr50"].value for v in values]) == pytest.approx(half, rel=0.02)


def test_a_folder_of_nothing_but_bright_images(folder):
    for path in folder.glob("proj_*"):
        path.unlink()
    for path in list(folder.glob("flat_*")):
        path.rename(folder / path.name.replace("flat", "b"))
    assert [one.values.get("bright_factor") is not None for one in seen(folder, [BRIGHT])] == [False, True, True]


def test_projections_are_no_bright_images(folder):
    """Something in the beam is not a second spot of a million per cent."""
    found = seen(folder, [BRIGHT])
    assert all(one.fixes["bright"].verdict is Verdict.GOOD for one in found)
    light = BrightWindow(Light.plain((ROWS, COLUMNS)), beam())
    fix = light.look(np.random.default_rng(1).poisson(knife()).astype(np.uint16))
    assert fix.verdict is Verdict.LOST
    assert "no bright image" in fix.reason


def test_no_bright_image_or_no_time_is_one_line(folder):
    for path in folder.glob("flat_*"):
        path.unlink()
    with pytest.raises(SensorError, match="holds no bright image, only 30 projection"):
        seen(folder, [EDGE, BRIGHT])


def test_live_they_need_a_sensor_of_their_own():
    look = [{"name": "b", "marker": "bright"}, {"name": "w", "marker": "wire"}]
    with pytest.raises(ValueError, match="a sensor of their own"):
        ImagesOptions.model_validate({"path": "scan", "look": look})
    assert ImagesOptions.model_validate({"path": "scan", "look": look[:1]}).follow
    assert not ImagesOptions.model_validate({"path": "scan", "follow": False, "look": look}).follow


def factors(path):
    rows = [line.split(",") for line in path.read_text().splitlines() if not line.startswith("#")]
    return np.array([float(row[2]) for row in rows if row[1] == "bright_factor"])


def test_bright_images_of_k11(tmp_path):
    """50 before the scan and 50 after it: 1.52 % brighter, and nothing else has changed."""
    out = tmp_path / "bright.csv"
    assert main(["track", str(data_file("k11/k11-18014.nxs")), "--marker", "bright", "--out", str(out)]) == 0
    found = factors(out)
    assert len(found) == 99
    assert found[49:].mean() / found[:49].mean() == pytest.approx(1.0152, abs=5e-4)
    assert ",0,,good" in next(line for line in out.read_text().splitlines() if "spot_growth" in line)
