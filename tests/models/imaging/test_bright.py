"""Flux of a free window: counting statistics, faulty pixels, things that come in, real air."""

from __future__ import annotations

import h5py
import hdf5plugin  # noqa: F401 (registers the filters that the k11 file needs)
import numpy as np
import pytest
import tifffile

from models.imaging.bright import FreeWindow, free_flux
from models.imaging.fix import Verdict
from models.imaging.light import Light
from tests.real_data import data_file

SHAPE = (48, 64)


def flat_field(rng: np.random.Generator, level: float) -> np.ndarray:
    return level * (1 + 0.05 * rng.standard_normal(SHAPE))


@pytest.mark.parametrize("level", [5.0, 50.0, 5000.0, 45000.0])
@pytest.mark.parametrize("known", [True, False])
def test_counting_sigma(level: float, known: bool) -> None:
    """120 images with a dead and a hot pixel: no bias, χ²/dof 1 within 4 σ of it, never suspect."""
    rng = np.random.default_rng(1)
    flat = flat_field(rng, level)
    light = Light.of(flat, None, SHAPE, full_scale=1e9, variance_per_count=1.0 if known else float("nan"))
    good = ~light.dead
    good[3, 7] = good[30, 30] = False
    z = []
    for _ in range(120):
        image = rng.poisson(flat).astype(float)
        image[3, 7], image[30, 30] = 0.0, 10 * level + 100
        fix = free_flux(image, light)
        assert fix.verdict is Verdict.GOOD, fix.reason
        z.append((fix.values["flux"] - flat[~light.dead].mean()) / fix.sigma["flux"])
    assert abs(np.mean(z)) < 4 / np.sqrt(120)
    assert np.mean(np.square(z)) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 120))
    assert fix.sigma["flux"] == pytest.approx(np.sqrt(level / flat.size), rel=0.06)


@pytest.mark.parametrize("columns", [4, 10, 20, 30])
@pytest.mark.parametrize("transmission", [0.0, 0.5, 0.93])
def test_a_thing_that_comes_in_is_left_out_and_told(columns: int, transmission: float) -> None:
    rng = np.random.default_rng(2)
    flat = flat_field(rng, 5000.0)
    image = rng.poisson(flat * np.where(np.arange(SHAPE[1]) < columns, transmission, 1.0))
    fix = free_flux(image, Light.of(flat, None, SHAPE, variance_per_count=1.0))
    assert fix.verdict is Verdict.SUSPECT
    assert "covers" in fix.reason
    assert fix.values["flux"] == pytest.approx(flat.mean(), abs=4 * fix.sigma["flux"])


def test_no_beam_dead_windows_and_saturation() -> None:
    rng = np.random.default_rng(3)
    light = Light.plain(SHAPE, variance_per_count=1.0, read_variance=4.0)
    assert free_flux(rng.normal(0.0, 2.0, SHAPE), light).verdict is Verdict.LOST
    assert free_flux(np.full(SHAPE, 65535.0), light).verdict is Verdict.LOST
    some = rng.poisson(60000.0, SHAPE).astype(float)
    some[:4] = 65535.0
    fix = free_flux(some, light)
    assert fix.verdict is Verdict.SUSPECT
    assert "full scale" in fix.reason
    # the beam's shape, which that learns, is none
    assert FreeWindow(light).look(some).values["flux"] == pytest.approx(fix.values["flux"], abs=fix.sigma["flux"])


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 5), (1, 200), (200, 1), (8, 8)])
def test_odd_windows_are_answered(shape: tuple[int, int]) -> None:
    light = Light.plain(shape)
    for image in (np.zeros(shape), np.full(shape, np.nan), -np.ones(shape), np.full(shape, 7.0)):
        fix = free_flux(image, light)
        assert fix.verdict is Verdict.GOOD or fix.reason


def test_structure_is_found_with_its_size() -> None:
    """1 % along v has a rms of 0.29 %; and nothing where nothing is (3 σ in 120 images at most twice)."""
    rng = np.random.default_rng(4)
    light = Light.plain(SHAPE, variance_per_count=1.0)
    slope = 1 + 0.01 * (np.arange(SHAPE[0])[:, None] / SHAPE[0] - 0.5)
    fix = free_flux(rng.poisson(40000 * slope * np.ones(SHAPE)), light)
    assert fix.values["structure"] == pytest.approx(0.01 / np.sqrt(12), rel=0.1)
    assert fix.values["structure"] > 5 * fix.sigma["structure"]
    still = [free_flux(rng.poisson(40000.0, SHAPE), light) for _ in range(120)]
    assert sum(f.values["structure"] > 3 * f.sigma["structure"] for f in still) <= 2


def test_the_beams_own_shape_is_no_structure_without_a_flat() -> None:
    """A beam that falls by 6 % towards a corner; a thing that comes in later is told."""
    rng = np.random.default_rng(6)
    v, u = (np.arange(n)[:, None] / n - 0.5 for n in SHAPE)
    beam = 20000 * (1 - 0.04 * (v + 0.5) ** 2 - 0.02 * u.T)
    watched = FreeWindow(Light.plain(SHAPE, variance_per_count=1.0))
    fixes = [watched.look(rng.poisson(0.99**k * beam)) for k in range(8)]
    assert {fix.verdict for fix in fixes} == {Verdict.GOOD}
    for k, fix in enumerate(fixes):
        assert fix.values["flux"] == pytest.approx(0.99**k * beam.mean(), abs=5 * fix.sigma["flux"])
        assert fix.values["structure"] < 0.001
    beam[:, :20] *= 0.9
    assert "covers" in watched.look(rng.poisson(beam)).reason


def test_air_beside_a_tooth() -> None:
    """Stable to 0.14 %: the scatter from projection to projection is the stated σ, and the strip is believed."""
    with h5py.File(data_file("tooth/tooth.h5")) as file:
        data = file["exchange/data"][:, :, :80].astype(float)
        white, dark = (
            file[f"exchange/{name}"][:, :, :80].astype(float).mean(axis=0) for name in ("data_white", "data_dark")
        )
    fixes = [free_flux(image, Light.of(white, dark, white.shape)) for image in data]
    flux = np.array([fix.values["flux"] for fix in fixes])
    sigma = np.array([fix.sigma["flux"] for fix in fixes])
    assert flux.std() / flux.mean() < 0.0014
    assert np.diff(flux).std() / np.sqrt(2) / sigma.mean() == pytest.approx(1.0, abs=0.15)
    assert sum(fix.verdict is Verdict.GOOD for fix in fixes) >= 0.97 * len(fixes)


def test_flux_of_k11_rises() -> None:
    with h5py.File(data_file("k11/k11-18014/k11-18014-imaging.h5")) as file:
        frames = file["entry/detector/detector"]
        first, last = frames[:50].astype(float), frames[-100:-50].astype(float)
        dark = np.concatenate([frames[50:100], frames[-50:]]).astype(float).mean(axis=0)
    light = Light.of(first.mean(axis=0), dark, dark.shape)
    before, after = ([free_flux(frame, light) for frame in frames] for frames in (first, last))
    rise = np.mean([fix.values["flux"] for fix in after]) / np.mean([fix.values["flux"] for fix in before]) - 1
    assert rise == pytest.approx(0.0152, abs=0.0005)
    assert {fix.verdict for fix in before + after} == {Verdict.GOOD}


def test_no_structure_between_neighbours_of_i13() -> None:
    """Its freest part, above the sample, falls by less than 0.4 % in 103 s, as the ion chamber's current does."""
    folder = data_file("i13/image_test/tiffs")
    rows, columns = slice(0, 24), slice(60, 100)
    flat, dark = (tifffile.imread(folder.parent / f"{name}_00001.tiff")[rows, columns] for name in ("flat", "dark"))
    light = Light.of(flat.astype(float), dark.astype(float), flat.shape)
    fixes = [free_flux(tifffile.imread(path)[rows, columns], light) for path in sorted(folder.glob("*.tiff"))]
    assert len(fixes) == 91
    assert all(fix.verdict is Verdict.GOOD for fix in fixes)
    flux = np.array([fix.values["flux"] for fix in fixes])
    assert -0.004 < flux[-10:].mean() / flux[:10].mean() - 1 < 0.0005
