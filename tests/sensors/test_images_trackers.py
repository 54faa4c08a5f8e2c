"""The trackers of models/imaging behind a look: found by themselves, in narrow windows, against references."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sensors.images.illumination import Illumination
from sensors.images.looking import Look, Looker
from sensors.images.region import Region
from sensors.images.series import Contents, Frame

ROWS, COLUMNS = 160, 200
TILT = math.tan(math.radians(3.0))


class Images:
    """A series of images made for a test."""

    def __init__(self, images, angles=None):
        self.images = images
        angles = angles or [math.nan] * len(images)
        frames = [Frame(k, angle_deg=a, place=f"image {k}") for k, a in enumerate(angles)]
        self.contents = Contents("made", frames, images[0].shape)

    def image(self, position, rows=slice(None), columns=slice(None)):
        return self.images[position][rows, columns]

    def close(self):
        pass


def wire(at, seed=1, flat=False):
    """A wire of radius 5 px, blur 1.5 px, that crosses the middle row (of a flat one: column) at ``at``."""
    rows, columns = (COLUMNS, ROWS) if flat else (ROWS, COLUMNS)
    fine = (np.arange(columns * 8) + 0.5) / 8.0 - 0.5
    kernel = np.exp(-0.5 * (np.arange(-64, 65) / 12.0) ** 2)
    image = []
    for row in range(rows):
        off = (fine - at - TILT * (row - (rows - 1) / 2.0)) * math.cos(math.atan(TILT))
        passed = np.exp(-0.08 * 2.0 * np.sqrt(np.maximum(25.0 - off**2, 0.0)))
        seen = np.convolve(np.pad(passed, 64, mode="edge"), kernel / kernel.sum(), "valid")
        image.append(seen.reshape(columns, 8).mean(axis=1))
    counts = np.random.default_rng(seed).poisson(2000.0 * np.array(image)).astype(np.uint16)
    return np.ascontiguousarray(counts.T) if flat else counts


def looker(*looks, **how):
    return Looker(looks, Illumination(lambda path: Images([path]), photons_per_count=1.0, **how))


def column_at(fix, row):
    """Column of a wire at a row of its window, from its distance along the normal from the middle of the left edge."""
    angle = math.radians(fix.values["angle"])
    return fix.values["n"] / math.sin(angle) + row / math.tan(angle)


@pytest.mark.parametrize("window", [None, "60:140,0:160", "85:112,30:120", "70:150,90:160"])
def test_a_wire_is_where_it_is_in_every_window(window):
    one = looker(Look("wire", "wire", None if window is None else Region.parse(window)))
    fix = one.look(Images([wire(100.3)]), 0)["wire"]
    part = one.windows["wire"]
    assert window is None or str(part) == window
    middle = (part.v0 + part.v1 - 1) / 2.0
    at = part.u0 + column_at(fix, 0.0) - 100.3 - TILT * (middle - (ROWS - 1) / 2.0)
    assert fix.verdict.value == "good"
    assert abs(at) < 4.0 * fix.sigma["n"]
    assert fix.sigma["n"] < 0.03
    assert fix.values["angle"] == pytest.approx(87.0, abs=0.2)


def test_a_wire_along_u():
    one = looker(Look("wire", "wire", Region.parse("40:180,70:120")))
    fix = one.look(Images([wire(90.6, flat=True)]), 0)["wire"]
    part = one.windows["wire"]
    middle = (part.u0 + part.u1 - 1) / 2.0
    row = 90.6 + TILT * (middle - (COLUMNS - 1) / 2.0) - part.v0
    assert fix.values["angle"] == pytest.approx(3.0, abs=0.2)
    assert abs(fix.values["n"]) == pytest.approx(row * math.cos(math.atan(TILT)), abs=5.0 * fix.sigma["n"])


def test_of_two_wires_the_one_in_the_window():
    both = np.minimum(wire(40.0), wire(150.0, 2))
    one = looker(
        Look("right", "wire", Region.parse("120:180,0:160")), Look("left", "wire", Region.parse("10:70,0:160"))
    )
    fixes = one.look(Images([both]), 0)
    assert column_at(fixes["right"], 0.0) + 120 == pytest.approx(150.0, abs=0.05)
    assert column_at(fixes["left"], 0.0) + 10 == pytest.approx(40.0, abs=0.05)


def test_crossed_wires():
    rows = wire(80.0, 3, flat=True).astype(float)
    cross = np.minimum(wire(100.0), rows).astype(np.uint16)
    one = looker(Look("cross", "cross", Region.parse("50:150,30:130")))
    fix = one.look(Images([cross]), 0)["cross"]
    u0, v0 = 100.0, 80.0
    for _ in range(20):
        u0, v0 = 100.0 + TILT * (v0 - (ROWS - 1) / 2.0), 80.0 + TILT * (u0 - (COLUMNS - 1) / 2.0)
    assert fix.values["u"] + 50 == pytest.approx(u0, abs=0.05)
    assert fix.values["v"] + 30 == pytest.approx(v0, abs=0.05)


def sphere(u, v, radius=14.0, seed=5):
    at = [(np.arange(size * 4) + 0.5) / 4.0 - 0.5 for size in (ROWS, COLUMNS)]
    chord = 2.0 * np.sqrt(np.maximum(radius**2 - (at[1] - u) ** 2 - (at[0][:, None] - v) ** 2, 0.0))
    mean = 2000.0 * np.exp(-0.05 * chord).reshape(ROWS, 4, COLUMNS, 4).mean(axis=(1, 3))
    return np.random.default_rng(seed).poisson(mean).astype(np.uint16)


@pytest.mark.parametrize("window", [None, "60:130,40:110", "78:114,60:98"])
def test_a_sphere_is_where_it_is_in_every_window(window):
    one = looker(Look("ball", "sphere", None if window is None else Region.parse(window)))
    fix = one.look(Images([sphere(96.4, 78.7)]), 0)["ball"]
    part = one.windows["ball"]
    assert fix.verdict.value == "good"
    assert fix.values["u"] + part.u0 == pytest.approx(96.4, abs=4.0 * fix.sigma["u"])
    assert fix.values["v"] + part.v0 == pytest.approx(78.7, abs=4.0 * fix.sigma["v"])
    assert fix.values["size"] == pytest.approx(28.0, abs=0.2)
    assert fix.sigma["u"] < 0.05


def texture(seed, shift=0):
    from scipy.ndimage import gaussian_filter

    rough = gaussian_filter(np.random.default_rng(7).normal(size=(ROWS, COLUMNS)), 2.0, mode="wrap")
    mean = 2000.0 * (1.0 + 0.2 * np.roll(rough, shift, axis=1) / rough.std())
    return np.random.default_rng(seed).poisson(mean).astype(np.uint16)


def test_a_patch_against_its_first_image_and_against_a_reference():
    window = Region.parse("40:160,20:140")
    one = looker(Look("patch", "patch", window))
    images = Images([texture(1), texture(2, 3)])
    first, second = one.look(images, 0)["patch"], one.look(images, 1)["patch"]
    assert first.values["u"] == pytest.approx(0.0, abs=0.02)
    assert second.values["u"] == pytest.approx(3.0, abs=0.02)
    referred = looker(Look("patch", "patch", window, reference=texture(3, 1)))
    assert referred.look(images, 1)["patch"].values["u"] == pytest.approx(2.0, abs=0.02)


def test_a_reference_for_each_angle():
    one = Looker(
        [Look("patch", "patch", Region.parse("40:160,20:140"), reference="both")],
        Illumination(lambda path: Images([texture(4), texture(5, 40)], [0.0, 90.0]), photons_per_count=1.0),
    )
    images = Images([texture(1, 1), texture(2, 42)])
    assert one.look(images, 0, 0.0)["patch"].values["u"] == pytest.approx(1.0, abs=0.02)
    assert one.look(images, 1, 90.0)["patch"].values["u"] == pytest.approx(2.0, abs=0.02)
    assert one.look(images, 1, 45.0)["patch"].verdict.value == "lost"


def test_free_rays():
    one = looker(Look("free", "flux", Region.parse("0:60,0:160")))
    fix = one.look(Images([wire(150.0)]), 0)["free"]
    assert fix.values["flux"] == pytest.approx(2000.0, abs=4.0 * fix.sigma["flux"])
    assert fix.sigma["flux"] == pytest.approx(math.sqrt(2000.0 / (60 * 160)), rel=0.3)
