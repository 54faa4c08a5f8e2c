"""Files of a run: what stands in them is what the run holds; images agree with the truth."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.twin.simulate.machines import nano_config, scenario, wire_config
from twin.atomic import OutputError
from twin.simulate.files import write_run
from twin.simulate.images import expected, exposures, write_projections
from twin.simulate.machine import simulate
from twin.simulate.phantom import BODIES, OPTICAL_DEPTH, depth_of_phantom, depth_of_sphere, depth_of_wire, turned
from twin.simulate.run import Run


def rows(path: Path) -> tuple[str, list[dict[str, str]]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[0], list(csv.DictReader(line for line in lines if not line.startswith("#")))


def seconds(text: str) -> float:
    assert text.endswith("Z")
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture(scope="module")
def run() -> Run:
    drift = {"source": {"random_walk_um_per_sqrt_h": [0.5, 0.5, 0.5]}}
    return simulate(wire_config(name="t", quantity="temperature", unit="degF", period_s=30.0), scenario(drift=drift), 1)


def test_readings_scan_and_truth(run: Run, tmp_path: Path) -> None:
    written = write_run(run, tmp_path / "deep" / "out")
    assert [path.name for path in written] == ["readings.csv", "scan.csv", "truth.csv"]
    assert sorted(p.name for p in (tmp_path / "deep" / "out").iterdir()) == ["readings.csv", "scan.csv", "truth.csv"]

    head, readings = rows(written[0])
    assert head == "# ctwin readings 1"
    assert len(readings) == len(run.record)
    channels = {channel.name: channel for channel in run.record.channels}
    for row, reading in zip(readings, run.readings, strict=True):
        assert row["channel"] == reading.channel
        assert seconds(row["time"]) == pytest.approx(reading.time, abs=1e-6)
        sigma = float(row["sigma"]) if row["sigma"] else float("nan")
        again = channels[reading.channel].admit(0.0, float(row["value"]), sigma)
        assert again.value == pytest.approx(reading.value, rel=1e-8)
        assert again.sigma == pytest.approx(reading.sigma, rel=1e-5, nan_ok=True)
        assert row["quality"] == "simulated"
    fahrenheit = [float(row["value"]) for row in readings if row["channel"] == "t"]
    assert np.mean(fahrenheit) == pytest.approx(21.0 * 1.8 + 32, abs=0.1)

    head, scan = rows(written[1])
    assert head.startswith("# ctwin scan 1")
    assert list(scan[0]) == ["projection", "time", "angle_deg", "kind"]
    assert [row["kind"] for row in scan] == run.frames.kind.tolist()

    head, truth = rows(written[2])
    assert head == "# ctwin truth 1"
    assert ",".join(truth[0]) == (
        "projection,time,angle_deg,source_u_um,source_v_um,source_w_um,object_u_um,object_v_um,object_w_um,"
        "detector_u_um,detector_v_um,detector_w_um,shift_u_px,shift_v_px,magnification,flux"
    )
    assert len(truth) == 60
    assert seconds(truth[7]["time"]) == pytest.approx(run.truth.time[7], abs=1e-6)
    assert float(truth[7]["shift_v_px"]) == pytest.approx(run.truth.shift_px[7, 1], rel=1e-8)
    assert (truth[0]["source_u_um"], truth[0]["magnification"], truth[0]["flux"]) == ("0", "1", "1")


def test_projections_file_is_nxtomo_and_reports_progress(run: Run, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    written = write_run(
        run, tmp_path, projections=True, crop=(40, 30), progress=lambda done, total: calls.append((done, total))
    )
    assert calls[-1] == (63, 63)
    assert [done for done, _ in calls] == [16, 32, 48, 63]
    assert not list(tmp_path.glob(".*"))
    with h5py.File(written[-1]) as file:
        entry = file[file.attrs["default"]]
        assert entry["definition"][()] == b"NXtomo"
        assert [entry[p].attrs["NX_class"] for p in (".", "instrument", "instrument/detector", "sample", "data")] == [
            "NXentry", "NXinstrument", "NXdetector", "NXsample", "NXdata",
        ]  # fmt: skip
        detector = entry["instrument/detector"]
        data = detector["data"][()]
        assert data.shape == (63, 30, 40)
        assert np.flatnonzero(detector["image_key"][()] == 1).tolist() == [25, 51, 62]
        start = datetime.fromisoformat(detector["time"].attrs["start"]).timestamp()
        np.testing.assert_allclose(start + detector["time"][()], run.frames.time)
        np.testing.assert_allclose(entry["sample/rotation_angle"][()], run.frames.angle_deg)
        assert entry["data/data"] == detector["data"]
        for name, unit in (("x_pixel_size", "m"), ("distance", "m"), ("count_time", "s"), ("time", "s")):
            assert detector[name].attrs["units"] == unit
    again = np.stack(list(exposures(run, (40, 30))))
    assert np.array_equal(data, again)
    mean = expected(run, 3, (40, 30))
    assert np.mean((data[3] - mean) ** 2 / mean) == pytest.approx(1.0, abs=0.1)


def test_counts_stop_at_full_scale_and_scatter_as_photons_do() -> None:
    config = nano_config(4, 1.0)
    few = config.model_copy(
        update={"detector": config.detector.model_copy(update={"photons_per_count": 4.0, "full_scale_counts": 1020.0})}
    )
    made = scenario(mass=[{"name": "stage", "time_constant_min": 9.0}], flux={"level_counts": 1000.0})
    flat = list(exposures(simulate(few, made, 1), (60, 50)))[-1].astype(float)
    assert flat.max() == 1020
    assert np.mean(flat < 1000) == pytest.approx(0.5, abs=0.04)
    # σ = sqrt(4000)/4 = 15.8; below the mean nothing is cut off
    assert np.sqrt(np.mean((flat[flat < 1000] - 1000) ** 2)) == pytest.approx(15.8, rel=0.1)


def test_a_file_that_cannot_be_written_leaves_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").mkdir()
    with pytest.raises(OutputError, match=r"truth\.csv: not written: is a folder"):
        write_run(run, tmp_path)
    with pytest.raises(OutputError, match=r"projections\.h5: not written"):
        write_projections(run, tmp_path / "absent" / "projections.h5")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_projections(run, tmp_path / "projections.h5", (8, 8), stop)
    assert not list(tmp_path.glob("*.h5"))
    assert not list(tmp_path.glob(".*"))


def inside(points: np.ndarray, angle_deg: float) -> np.ndarray:
    """Contrast at points of the laboratory (axis at the origin, radius 1), the object turned right-handed about -v."""
    # Rodrigues' formula about k = (0, -1, 0): the object's own point is the laboratory's turned back
    a = -np.deg2rad(angle_deg)
    k = np.array([0.0, -1.0, 0.0])
    own = points * np.cos(a) + np.cross(k, points) * np.sin(a) + np.outer(points @ k, k) * (1 - np.cos(a))
    value = np.zeros(len(points))
    for body in BODIES:
        value += body.contrast * ((((own - body.centre) / body.half) ** 2).sum(axis=1) < 1)
    return value


@pytest.mark.parametrize("angle", [0.0, 33.0, 90.0, 200.0])
def test_phantom_against_counting_along_the_ray(angle: float) -> None:
    rng = np.random.default_rng(5)
    source, axis = np.array([0.1, -0.2, 0.0]), np.array([0.05, 0.02, 4.0])
    toward = np.column_stack([rng.uniform(-0.22, 0.22, (30, 2)), np.ones(30)])
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    found = depth_of_phantom(source, toward, axis, angle, 1.0)
    t = np.linspace(2.0, 6.5, 45001)
    for ray, depth in zip(toward, found, strict=True):
        counted = inside(source + t[:, None] * ray - axis, angle).sum() * (t[1] - t[0]) * OPTICAL_DEPTH / 2
        assert depth == pytest.approx(counted, abs=1e-3)
    assert found.max() > 0.5


def test_markers_cast_the_shadow_of_their_thickness() -> None:
    toward = np.array([[0.0, 0.0, 1.0], [0.6, 0.0, 0.8], [0.0, 1.0, 0.0]])
    origin = np.zeros(3)
    np.testing.assert_allclose(depth_of_sphere(origin, toward, np.array([0, 0, 5.0]), 1.0), [2.0, 0.0, 0.0])
    # a wire along v at w = 5: a ray straight at it crosses a diameter; one tilted towards u misses
    np.testing.assert_allclose(
        depth_of_wire(origin, toward[:2], np.array([0, 0, 5.0]), 90.0, 1.0), [3.0, 0.0], atol=1e-9
    )
    # seen at 45° along its axis the way through is longer by sqrt 2
    slanted = np.array([[0.0, np.sqrt(0.5), np.sqrt(0.5)]])
    np.testing.assert_allclose(
        depth_of_wire(origin, slanted, np.array([0, 0, 5.0]), 90.0, 1.0), 3.0 * np.sqrt(2), rtol=1e-9
    )


def test_the_image_moves_as_the_truth_says() -> None:
    drift = {
        "source": {"creep_um": [0.15, -0.10, 0.0]},
        "object": {"creep_um": [0.02, 0.12, 0.0]},
        "detector": {"creep_um": [40.0, 10.0, 0.0]},
    }
    made = scenario(mass=[{"name": "stage", "time_constant_min": 9.0}], drift=drift)
    run = simulate(nano_config(20, 2.0), made, 1)
    still = replace(run, frames=replace(run.frames, angle_deg=np.zeros_like(run.frames.angle_deg)))

    def centre(frame: int) -> np.ndarray:
        depth = -np.log(expected(still, frame, (96, 96)) / run.flux_counts[frame])
        return np.array([(depth * place).sum() / depth.sum() for place in (np.arange(96), np.arange(96)[:, None])])

    moved = centre(19) - centre(0)
    np.testing.assert_allclose(moved, run.truth.shift_px[19], atol=0.03)
    assert np.abs(run.truth.shift_px[19]).min() > 0.8


def test_a_positive_angle_turns_counter_clockwise_seen_from_above() -> None:
    # above is -v; u points right, w away from the source: what was on the right at 0° is behind the axis at 90°
    right, behind = np.array([1.0, 0.3, 0.0]), np.array([0.0, 0.3, 1.0])
    np.testing.assert_allclose(turned(right, 90.0), behind, atol=1e-12)
    rng = np.random.default_rng(1)
    points = rng.normal(size=(50, 3))
    assert np.allclose(inside(turned(points * 0.5, 70.0), 70.0), inside(points * 0.5, 0.0))


def test_blur_of_spot_and_detector_widens_a_shadow_by_its_variance() -> None:
    config = wire_config()
    wide = config.model_copy(
        update={
            "source": config.source.model_copy(update={"spot_10_percent_um": None, "spot_fwhm_um": (6.0, 0.5)}),
            "detector": config.detector.model_copy(update={"psf_sigma_px": 1.2}),
            "markers": (config.markers[1],),
            "channels": config.channels[3:4],
        }
    )
    shadow = 1.0 - expected(simulate(wide, scenario(), 1), 62, (200, 120)) / 1000.0
    spread = []
    for axis, width in ((1, 200), (0, 120)):
        place = np.expand_dims(np.arange(width), 1 - axis)
        middle = (shadow * place).sum() / shadow.sum()
        spread.append((shadow * (place - middle) ** 2).sum() / shadow.sum())
    # the spot's image is (M - 1)/pixel = 39/50 µm times as wide; a convolution adds variances
    by_spot = [(fwhm / 2.3548 * 39 / 50) ** 2 for fwhm in (6.0, 0.5)]
    assert spread[0] - spread[1] == pytest.approx(by_spot[0] - by_spot[1], rel=0.02)
    # without blur a sphere of radius r casts a shadow with the spread a fifth of r² or a little less
    radius = 30e-6 * 400 / 25 / 50e-6
    assert spread[1] == pytest.approx(0.215 * radius**2 + by_spot[1] + 1.2**2, rel=0.05)
