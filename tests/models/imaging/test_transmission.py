"""Counts become transmission; pixels that can't tell get their neighbours' mean."""

from __future__ import annotations

import numpy as np
import pytest

from models.estimate import ModelError
from models.imaging.light import Light
from models.imaging.repair import Repair
from models.imaging.transmission import Transmission

SHAPE = (20, 30)


def test_object_out_of_pattern_dark_and_flux():
    rng = np.random.default_rng(1)
    gain, dark = 1000.0 * rng.uniform(0.9, 1.1, SHAPE), rng.uniform(90.0, 110.0, SHAPE)
    truth = np.exp(-rng.uniform(0.0, 2.0, SHAPE))
    found = Transmission(Light.of(gain + dark, dark, SHAPE))(gain * truth * 1.034 + dark, 1.034)
    np.testing.assert_allclose(found, truth, rtol=1e-13)


def test_dead_pixels_get_the_mean_of_their_living_neighbours():
    flat = np.full(SHAPE, 100.0)
    flat[5, 7] = flat[5, 8] = 0.0
    raw = 50.0 + np.arange(SHAPE[1]) * np.ones(SHAPE)
    found = Transmission(Light.of(flat, None, SHAPE))(raw, 1.0)
    columns = np.array([6, 7, 8, 6, 6, 7, 8])  # around (5, 7) without (5, 8)
    assert found[5, 7] == pytest.approx((50.0 + columns.mean()) / 100.0)
    untouched = np.delete(found[5], [7, 8])
    np.testing.assert_array_equal(untouched, np.delete(raw[5], [7, 8]) / 100.0)


def test_numbers_that_are_none_in_one_image_only():
    transmission = Transmission(Light.plain(SHAPE))
    raw = np.full(SHAPE, 7.0)
    raw[0, 0], raw[9, 9] = np.nan, np.inf
    np.testing.assert_allclose(transmission(raw, 1.0), np.full(SHAPE, 7.0), rtol=1e-15)
    np.testing.assert_array_equal(transmission(np.full(SHAPE, 8.0), 1.0), np.full(SHAPE, 8.0))


def test_a_large_hole_is_filled_from_its_nearest_edge():
    image = np.where(np.arange(30) < 15, 1.0, 2.0) * np.ones(SHAPE)
    hole = np.zeros(SHAPE, dtype=bool)
    hole[5:15, 10:20] = True
    filled = np.where(hole, np.nan, image)
    Repair.of(hole)(filled)
    np.testing.assert_array_equal(filled[9:11, 10:20], np.repeat([1.0, 2.0], 5)[None].repeat(2, axis=0))
    np.testing.assert_array_equal(filled[~hole], image[~hole])


def test_nothing_to_replace_and_nothing_to_replace_by():
    image = np.arange(6.0).reshape(2, 3)
    Repair.of(np.zeros((2, 3), dtype=bool))(image)
    np.testing.assert_array_equal(image, np.arange(6.0).reshape(2, 3))
    with pytest.raises(ModelError, match="none of the image's pixels holds a number"):
        Transmission(Light.plain(SHAPE))(np.full(SHAPE, np.nan), 1.0)
