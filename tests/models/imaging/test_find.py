"""Markers are found by themselves beside a sample; nothing is found where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from models.imaging.find import find_cross, find_wires
from models.imaging.find_sphere import find_spheres
from models.imaging.light import Light
from tests.accuracy.sphere_image import Sphere, render
from tests.oracles.wire_image import Wire

ROWS, COLUMNS = 300, 400


def sample(rng: np.random.Generator, middle: float = 130.0) -> np.ndarray:
    """Transmission of a rod with straight, vertical sides and grains in it: the worst neighbour of a wire."""
    v, u = np.mgrid[:ROWS, :COLUMNS]
    depth = 1.2 * np.sqrt(np.maximum(1.0 - ((u - middle) / 60.0) ** 2, 0.0))
    for _ in range(40):
        r, x, y = rng.uniform(3, 20), middle + rng.uniform(-45, 45), rng.uniform(0, ROWS)
        depth += 0.4 * np.sqrt(np.maximum(1.0 - ((u - x) ** 2 + (v - y) ** 2) / r**2, 0.0))
    return np.exp(-depth)


@pytest.mark.parametrize(("place", "slope", "radius"), [(300.3, 0.03, 9.0), (260.0, -0.17, 3.0), (330.8, 0.0, 1.0)])
def test_a_wire_beside_a_sample(place, slope, radius):
    rng = np.random.default_rng(int(place))
    wire = Wire(ROWS, COLUMNS, place, slope, radius, 1.0, 1.0, 400.0)
    image = rng.poisson(wire.expected() * sample(rng)).astype(np.uint16)
    found = find_wires(image, Light.plain(image.shape))[0]
    assert not found.guess.flat
    assert found.region.u0 + found.guess.line.place == pytest.approx(place, abs=0.1)
    assert found.guess.line.slope == pytest.approx(slope, abs=1e-3)
    assert found.region.u0 <= place - radius - 20
    assert found.region.u1 >= place + radius + 20


def test_a_flat_wire():
    rng = np.random.default_rng(5)
    wire = Wire(COLUMNS, ROWS, 240.6, 0.02, 5.0, 0.7, 1.2, 200.0)
    image = rng.poisson(wire.expected().T).astype(np.uint16)
    found = find_wires(image, Light.plain(image.shape))[0]
    assert found.guess.flat
    assert found.region.v0 + found.guess.line.place == pytest.approx(240.6, abs=0.1)


def test_a_cross():
    rng = np.random.default_rng(6)
    column, row = (
        Wire(ROWS, COLUMNS, 300.3, 0.05, 5.0, 1.0, 1.0, 400.0),
        Wire(COLUMNS, ROWS, 90.5, -0.04, 5.0, 1.0, 1.0, 1.0),
    )
    image = rng.poisson(column.expected() * row.expected().T).astype(np.uint16)
    region, guesses = find_cross(image, Light.plain(image.shape))
    v = 90.5 - 0.04 * (300.3 - (COLUMNS - 1) / 2.0)
    assert region.u0 < 290
    assert region.v1 > v + 20
    assert {guess.flat for guess in guesses} == {True, False}


def test_nothing_in_noise_nor_in_a_sample_alone():
    rng = np.random.default_rng(7)
    light = Light.plain((ROWS, COLUMNS))
    assert find_wires(rng.poisson(50.0, (ROWS, COLUMNS)).astype(np.uint16), light) == []
    assert find_cross(rng.poisson(50.0, (ROWS, COLUMNS)).astype(np.uint16), light) is None
    assert find_wires(np.zeros((ROWS, COLUMNS), np.uint16), light) == []
    assert find_wires(np.zeros((4, 4), np.uint16), Light.plain((4, 4))) == []


@pytest.mark.parametrize(("u", "v", "radius"), [(300.3, 80.7, 12.0), (350.0, 200.0, 4.0), (320.0, 150.0, 30.0)])
def test_a_sphere_beside_a_sample(u, v, radius):
    rng = np.random.default_rng(int(radius))
    ball = render(Sphere.of_contrast(u, v, radius, 1.0, 0.7, 1.0), (ROWS, COLUMNS))
    image = rng.poisson(500.0 * ball * sample(rng)).astype(np.uint16)
    found = find_spheres(image, Light.plain(image.shape))[0]
    assert found.region.u0 + found.guess.u == pytest.approx(u, abs=0.2)
    assert found.region.v0 + found.guess.v == pytest.approx(v, abs=0.2)
    assert found.guess.radius == pytest.approx(radius, rel=0.05)


def test_no_sphere_in_noise():
    rng = np.random.default_rng(8)
    assert find_spheres(rng.poisson(50.0, (200, 200)).astype(np.uint16), Light.plain((200, 200))) == []
    assert find_spheres(np.zeros((200, 200), np.uint16), Light.plain((200, 200))) == []
