"""Ratio of two bright images: factor, shading and structure with honest σ; real series that rise, and that don't."""

from __future__ import annotations

from itertools import pairwise

import h5py
import hdf5plugin  # noqa: F401 (registers the filters that the k11 file needs)
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models.estimate import ModelError
from models.imaging.bright_change import UNSEEN
from models.imaging.bright_ratio import bright_ratio
from models.imaging.fix import Verdict
from models.imaging.light import Light
from tests.real_data import data_file

Array = NDArray[np.float64]


def field(shape: tuple[int, int], tilt_u: float = 0.0, tilt_v: float = 0.0, bow: float = 0.0) -> Array:
    """1 + changes: end to end along u, along v; centre against ends along u."""
    rows, columns = shape
    u = (np.arange(columns) - (columns - 1) / 2) / columns
    v = ((np.arange(rows) - (rows - 1) / 2) / rows)[:, None]
    return 1 + tilt_u * u + tilt_v * v - bow * (2 * u) ** 2 + 0 * v


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("shape", [(22, 26), (96, 120), (48, 200)])
def test_factor_and_tilts_are_calibrated(shape: tuple[int, int], known: bool) -> None:
    """80 pairs of single frames; fixed pattern of the detector 5 %, some dead pixels."""
    rng = np.random.default_rng(1)
    gain = 1 + 0.05 * rng.standard_normal(shape)
    gain[rng.random(shape) < 0.003] = 0.0
    light = Light.plain(shape, variance_per_count=1.0 if known else float("nan"))
    change = field(shape, 0.004, -0.003)
    z, structures = [], []
    for _ in range(80):
        found = bright_ratio(rng.poisson(8100 * gain * change), rng.poisson(8000 * gain), light)
        (tilt_u, sigma_u), (tilt_v, sigma_v) = found.tilt
        z.append([(found.factor - 1.0125) / found.factor_sigma, (tilt_u - 0.004) / sigma_u, (tilt_v + 0.003) / sigma_v])
        structures.append(found.structure[0] / found.structure[1])
        assert found.spot is None
    z = np.array(z)
    assert np.all(np.abs(z.mean(axis=0)) < 4 / np.sqrt(80))
    assert np.all(np.abs(np.mean(z**2, axis=0) - 1) < 4.5 * np.sqrt(2 / 80))
    assert np.count_nonzero(np.array(structures) > 3) <= 3


def test_few_counts_make_no_bias() -> None:
    """5 counts per pixel: the ratio is taken of sums, not of pixels."""
    rng = np.random.default_rng(2)
    shape = (128, 160)
    light = Light.plain(shape, variance_per_count=1.0)
    found = [bright_ratio(rng.poisson(5.5, shape), rng.poisson(5.0, shape), light) for _ in range(40)]
    z = [(change.factor - 1.1) / change.factor_sigma for change in found]
    assert abs(np.mean(z)) < 0.7
    assert found[0].factor_sigma == pytest.approx(1.1 * np.sqrt((1 / 5.5 + 1 / 5) / np.prod(shape)), rel=0.1)


def test_frames_and_faulty_pixels_count() -> None:
    rng = np.random.default_rng(3)
    shape = (64, 80)
    light = Light.of(None, np.full(shape, 100.0), shape, variance_per_count=1.0)
    image = rng.poisson(10000.0, (16, *shape)).mean(axis=0) + 100.0
    reference = rng.poisson(10000.0, (4, *shape)).mean(axis=0) + 100.0
    image[20, 20], reference[40, 10] = 30000.0, 0.0
    found = bright_ratio(image, reference, light, frames=16, reference_frames=4)
    assert found.factor == pytest.approx(1.0, abs=4 * found.factor_sigma)
    assert found.factor_sigma == pytest.approx(np.sqrt((1 / 16 + 1 / 4) / (10000 * np.prod(shape))), rel=0.1)
    assert found.misfit == pytest.approx(1.0, abs=0.3)
    assert found.covered == pytest.approx(1 - 2 / np.prod(shape), abs=1e-9)


def test_shading_is_reported_with_its_size() -> None:
    rng = np.random.default_rng(4)
    shape = (96, 120)
    light = Light.plain(shape, variance_per_count=1.0)
    change = field(shape, 0.01, 0.0, 0.006)
    found = bright_ratio(rng.poisson(50000 * change), rng.poisson(np.full(shape, 50000.0)), light)
    assert found.shading_range == pytest.approx(np.ptp(change), rel=0.1)
    assert found.shading_rms[0] == pytest.approx(change.std(), rel=0.05)
    assert found.structure[0] < 3 * found.structure[1]
    values = found.fix().values
    assert values["tilt_u"] == pytest.approx(0.01, abs=5 * found.fix().sigma["tilt_u"])
    assert set(values) == {"factor", "tilt_u", "tilt_v", "shading", "structure", *UNSEEN}
    assert found.fix().verdict is Verdict.GOOD


def test_noise_that_neighbours_share_is_no_structure() -> None:
    """A scintillator smears noise over a pixel: σ of the factor still holds (40 pairs)."""
    rng = np.random.default_rng(5)
    shape = (120, 160)
    light = Light.plain(shape)
    z, spots = [], 0
    for _ in range(40):
        image, reference = (1000 + gaussian_filter(rng.standard_normal(shape), 1.0) * 30 for _ in range(2))
        found = bright_ratio(image, reference, light)
        z.append((found.factor - 1) / found.factor_sigma)
        spots += found.spot is not None
    assert np.mean(np.square(z)) == pytest.approx(1.0, abs=0.9)
    assert spots <= 1


def test_wrong_input_is_one_line() -> None:
    light = Light.plain((20, 30))
    with pytest.raises(ModelError, match="give the same region") as told:
        bright_ratio(np.ones((20, 31)), np.ones((20, 30)), light)
    assert "\n" not in str(told.value)
    with pytest.raises(ModelError, match="more than half"):
        bright_ratio(np.full((20, 30), 70000.0), np.ones((20, 30)), light)
    with pytest.raises(ModelError, match="too few pixels"):
        bright_ratio(np.ones((20, 30)), np.ones((20, 30)), light)


def test_an_image_against_itself() -> None:
    image = np.random.default_rng(1).poisson(100.0, (40, 50))
    found = bright_ratio(image, image, Light.plain((40, 50)))
    assert found.factor == pytest.approx(1.0, abs=1e-6)
    assert found.spot is None


def test_k11_rises_evenly() -> None:
    """First against last flats: +1.52 % within 0.05, no tilt, no structure; odd against even ones: nothing."""
    with h5py.File(data_file("k11/k11-18014/k11-18014-imaging.h5")) as file:
        frames = file["entry/detector/detector"]
        first, last = frames[:50].astype(float), frames[-100:-50].astype(float)
        dark = np.concatenate([frames[50:100], frames[-50:]]).astype(float).mean(axis=0)
    light = Light.of(None, dark, dark.shape)
    rise = bright_ratio(last.mean(axis=0), first.mean(axis=0), light, 50, 50)
    assert rise.factor == pytest.approx(1.0152, abs=0.0005)
    assert rise.factor_sigma < 0.00015
    for half in (first, last):
        still = bright_ratio(half[1::2].mean(axis=0), half[::2].mean(axis=0), light, 25, 25)
        assert still.factor == pytest.approx(1.0, abs=0.0005)
        for change in (rise, still):
            assert change.spot is None
            assert change.structure[0] < 3 * change.structure[1]
            assert all(abs(tilt) < 3.3 * sigma for tilt, sigma in change.tilt)


def test_i13_is_still_from_frame_to_frame() -> None:
    """Neighbouring projections, above the sample: no structure, no second spot in any of 90 pairs."""
    folder = data_file("i13/image_test/tiffs")
    rows, columns = slice(0, 30), slice(60, 150)
    images = [tifffile.imread(path)[rows, columns].astype(float) for path in sorted(folder.glob("*.tiff"))]
    dark = tifffile.imread(folder.parent / "dark_00001.tiff")[rows, columns].astype(float)
    light = Light.of(None, dark, dark.shape)
    changes = [bright_ratio(after, before, light) for before, after in pairwise(images)]
    assert [change.spot for change in changes] == [None] * 90
    assert sum(change.structure[0] > 3 * change.structure[1] for change in changes) <= 2
    assert all(abs(change.factor - 1) < 0.004 for change in changes)


def test_tooths_flats_are_alike() -> None:
    with h5py.File(data_file("tooth/tooth.h5")) as file:
        white = file["exchange/data_white"][:].astype(float).reshape(10, 2, 640)
        dark = file["exchange/data_dark"][:].astype(float).mean(axis=0)
    light = Light.of(None, dark, dark.shape)
    found = bright_ratio(white[5:].mean(axis=0), white[:5].mean(axis=0), light, 5, 5)
    assert found.factor == pytest.approx(1.0, abs=0.001)
    assert found.spot is None
    assert found.structure[0] < 3 * found.structure[1]
