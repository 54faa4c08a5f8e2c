"""The wire: at the bound of an independent model, with an honest σ, and given up honestly."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from models.estimate import ModelError
from models.geometry import wire_normal
from models.imaging.fix import Verdict
from models.imaging.light import Light
from models.imaging.wire import WireGuess, WireTracker
from models.imaging.wire_frame import Line
from models.imaging.wire_profile import Shape, shadow
from tests.oracles.wire_image import Wire, bound

WIRE = Wire(256, 72, 33.3, 0.02, 9.0, 1.0, 0.9, 400.0)


def tracker(wire: Wire, light: Light | None = None, off: float = 1.5, **more: object) -> WireTracker:
    guess = WireGuess(
        Line(wire.place + off, wire.slope + 2e-3), Shape(0.7 * wire.depth, 1.3 * wire.blur, 1.1 * wire.radius)
    )
    return WireTracker(guess, light or Light.plain((wire.rows, wire.columns), variance_per_count=1.0), **more)


def counted(wire: Wire, rng: np.random.Generator) -> np.ndarray:
    return rng.poisson(wire.expected()).astype(np.uint16)


def test_shadow_agrees_with_brute_integration():
    shape = Shape(2.0, 0.6, 7.0)
    wire = Wire(1, 41, 20.25, 0.0, 7.0, 2.0, 0.6, 1.0)
    found = shadow(np.arange(41) - 20.25, shape)[0]
    assert np.abs(found - wire.expected()[0]).max() < 3e-5


def test_at_the_bound_and_calibrated():
    """A few hundred images; the whole grid with thousands is in tests/accuracy."""
    rng, follow, mean = np.random.default_rng(1), tracker(WIRE), WIRE.expected()
    fixes = [follow.look(rng.poisson(mean).astype(np.uint16)) for _ in range(400)]
    assert {fix.verdict for fix in fixes} == {Verdict.GOOD}
    least = bound(WIRE)
    for name, truth, limit in (
        ("n", WIRE.n, least["place"] * WIRE.cosine),
        ("blur", WIRE.blur, least["blur"]),
        ("angle", 90.0 - math.degrees(math.atan(WIRE.slope)), math.degrees(least["slope"] * WIRE.cosine**2)),
    ):
        error = np.array([fix.values[name] for fix in fixes]) - truth
        sigma = np.array([fix.sigma[name] for fix in fixes])
        assert abs(error.mean()) < 4 * limit / math.sqrt(400)
        assert (limit / error.std()) ** 2 > 0.83  # its own scatter over 400 images is 7 %
        assert 0.8 < np.mean((error / sigma) ** 2) < 1.2


def test_flat_wires_and_signs():
    """A wire along u is the transposed one; n and angle as the geometry of the models has them."""
    rng = np.random.default_rng(2)
    for slope in (0.0, 0.15, -0.15):
        wire = replace(WIRE, slope=slope, rows=128)
        image = counted(wire, rng)
        steep = tracker(wire).look(image).values
        guess = WireGuess(Line(wire.place + 1, slope), Shape(1.0, 1.0, 9.0), flat=True)
        flat = WireTracker(guess, Light.plain(image.T.shape)).look(np.ascontiguousarray(image.T)).values
        alpha = math.degrees(math.atan(slope))
        assert steep["angle"] == pytest.approx(90.0 - alpha, abs=0.05)
        assert flat["angle"] % 180.0 == pytest.approx(alpha % 180.0, abs=0.05) or slope == 0.0
        n_u, n_v = wire_normal(90.0 - alpha)
        assert steep["n"] == pytest.approx(n_u * wire.place, abs=0.05)
        n_u, n_v = wire_normal(alpha % 180.0)
        assert flat["n"] == pytest.approx(n_v * wire.place, abs=0.05)


def test_the_normal_of_the_configuration_decides():
    """What a channel means by n is said once, by the marker's angle; a wire that is not quite so changes nothing."""
    image = counted(WIRE, np.random.default_rng(3))
    own, told = tracker(WIRE).look(image), tracker(WIRE, angle_deg=80.0).look(image)
    assert told.values["n"] == pytest.approx(math.sin(math.radians(80.0)) * WIRE.place, abs=0.05)
    assert own.values["n"] == pytest.approx(WIRE.n, abs=0.05)


def test_follows_a_moving_wire_and_finds_one_that_jumped():
    rng, follow = np.random.default_rng(4), tracker(WIRE)
    places = [33.3, 33.5, 34.4, 36.0, 39.0, 39.1, 24.0, 24.1, 52.0]
    for place in places:
        wire = replace(WIRE, place=place)
        fix = follow.look(counted(wire, rng))
        assert fix.verdict is Verdict.GOOD
        assert abs(fix.values["n"] - wire.n) < 5 * fix.sigma["n"]


@pytest.mark.parametrize(
    ("place", "reason"), [(90.0, "left the window|drowned"), (-20.0, "left the window|drowned"), (74.0, "left|partly")]
)
def test_leaves_the_window(place, reason):
    rng, follow = np.random.default_rng(5), tracker(WIRE)
    assert follow.look(counted(WIRE, rng)).verdict is Verdict.GOOD
    fix = follow.look(counted(replace(WIRE, place=place), rng))
    assert fix.verdict is not Verdict.GOOD
    assert any(word in fix.reason for word in reason.split("|"))
    back = follow.look(counted(WIRE, rng))
    assert back.verdict is Verdict.GOOD
    assert abs(back.values["n"] - WIRE.n) < 5 * back.sigma["n"]


def test_partly_covered_is_measured_on_the_rest():
    """A clamp hides a quarter of the wire's length, and its edge stands askew."""
    rng, follow = np.random.default_rng(6), tracker(WIRE)
    follow.look(counted(WIRE, rng))
    errors, mean = [], WIRE.expected()
    mean[:60, 20:] *= 0.35
    for _ in range(100):
        fix = follow.look(rng.poisson(mean).astype(np.uint16))
        assert fix.verdict is Verdict.GOOD
        errors.append((fix.values["n"] - WIRE.n) / fix.sigma["n"])
    assert 0.7 < np.mean(np.square(errors)) < 1.35
    assert abs(np.mean(errors)) < 0.4


def test_crossed_by_an_object_is_given_up():
    rng, follow = np.random.default_rng(7), tracker(WIRE)
    follow.look(counted(WIRE, rng))
    v, u = np.mgrid[: WIRE.rows, : WIRE.columns]
    for shift in (0, 8, 16):  # a body with structure hides nearly all of it
        body = 0.3 + 0.2 * np.sin(u / 3.0 + shift) * np.sin(v / 7.0)
        fix = follow.look(rng.poisson(WIRE.expected() * body).astype(np.uint16))
        assert fix.verdict is not Verdict.GOOD
    assert follow.look(counted(WIRE, rng)).verdict is Verdict.GOOD


def test_saturates():
    light = Light.plain((WIRE.rows, WIRE.columns), full_scale=420.0)
    fix = tracker(WIRE, light).look(np.minimum(counted(WIRE, np.random.default_rng(8)), 420).astype(np.uint16))
    assert (fix.verdict, fix.reason) == (Verdict.LOST, "saturated")


def test_drowns():
    faint = replace(WIRE, depth=0.03, rows=64, counts=8.0)
    rng, follow = np.random.default_rng(9), tracker(faint)
    fix = follow.look(counted(faint, rng))
    assert (fix.verdict, fix.reason) == (Verdict.LOST, "drowned in noise")
    assert fix.values == {}


def test_too_few_counts_are_suspect():
    """Beyond 0.15 px the reading is no longer at the limit, and says so; its σ still holds."""
    few = replace(WIRE, rows=64, counts=2.0)
    assert bound(few)["place"] > 0.15
    rng, follow = np.random.default_rng(10), tracker(few, off=0.5)
    mean = few.expected()
    fixes = [follow.look(rng.poisson(mean).astype(np.uint16)) for _ in range(40)]
    assert {fix.verdict for fix in fixes} <= {Verdict.SUSPECT, Verdict.LOST}
    seen = [fix for fix in fixes if fix.values]
    assert len(seen) > 30
    assert 0.6 < np.mean([((fix.values["n"] - few.n) / fix.sigma["n"]) ** 2 for fix in seen]) < 1.6


def test_flat_dark_dead_pixels_and_read_noise():
    """Gain varies by 5 %, a gradient of 1 %, dead and hot pixels, read noise: the same efficiency after correction."""
    rng = np.random.default_rng(11)
    shape = (WIRE.rows, WIRE.columns)
    gain = rng.normal(1.0, 0.05, shape) * (1.0 + 0.01 * np.linspace(-0.5, 0.5, shape[1]))
    gain[rng.random(shape) < 0.01] = 0.0
    hot = rng.random(shape) < 0.003
    dark = np.full(shape, 100.0)
    flat = 1000.0 * gain + dark
    flat[hot] = 60000.0
    light = Light.of(flat, dark, shape, variance_per_count=1.0, read_variance=9.0)
    assert light.dead[hot].all()
    assert light.dead[gain == 0].all()
    follow, mean = tracker(WIRE, light), WIRE.expected() * gain
    least = bound(WIRE, read_variance=9.0, gain=np.where(light.dead, 0.0, gain))["place"] * WIRE.cosine
    errors, sigmas = [], []
    for _ in range(300):
        image = np.rint(rng.poisson(mean) + rng.normal(0.0, 3.0, shape) + dark)
        image[hot] = 65000.0
        fix = follow.look(image.astype(np.uint16))
        assert fix.verdict is Verdict.GOOD
        errors.append(fix.values["n"] - WIRE.n)
        sigmas.append(fix.sigma["n"])
    assert (least / np.std(errors)) ** 2 > 0.8
    assert abs(np.mean(errors)) < 4 * least / math.sqrt(300)
    assert 0.8 < np.mean(np.square(np.array(errors) / sigmas)) < 1.2


def test_sigma_is_found_without_a_stated_noise_and_counts_what_neighbours_share():
    """A scintillator spreads each photon's light: columns share noise, and a σ from single columns would be too small."""
    for spread in (0.0, 0.7):
        rng = np.random.default_rng(12)
        follow, errors, sigmas = tracker(WIRE, Light.plain((WIRE.rows, WIRE.columns))), [], []
        mean = WIRE.expected()
        for _ in range(500):
            noise = rng.poisson(4.0 * mean) / 4.0 - mean  # four photons a count
            fix = follow.look(mean + (gaussian_filter(noise, spread) if spread else noise))
            errors.append(fix.values["n"] - WIRE.n)
            sigmas.append(fix.sigma["n"])
        assert 0.8 < np.mean(np.square(np.array(errors) / sigmas)) < 1.25


def test_known_diameter_sharpens_the_blur():
    thin = replace(WIRE, radius=1.2, blur=1.0)
    image = counted(thin, np.random.default_rng(13))
    free, known = tracker(thin).look(image), tracker(thin, diameter_px=2.4).look(image)
    assert known.sigma["blur"] < 0.6 * free.sigma["blur"]
    assert abs(known.values["blur"] - 1.0) < 4 * known.sigma["blur"]


def test_sixteen_bits_floats_and_views_give_the_same():
    image = counted(WIRE, np.random.default_rng(14))
    big = np.zeros((300, 200), dtype=np.uint16)
    big[20:276, 50:122] = image
    found = [
        tracker(WIRE).look(x).values["n"]
        for x in (image, image.astype(np.float32), image.astype(float), image.astype(">u2"), big[20:276, 50:122])
    ]
    assert np.ptp(found) < 1e-9


def test_an_image_of_no_numbers_is_lost_and_the_next_is_found():
    rng, follow = np.random.default_rng(15), tracker(WIRE)
    assert follow.look(counted(WIRE, rng)).verdict is Verdict.GOOD
    assert follow.look(np.full((256, 72), np.nan)).verdict is Verdict.LOST
    assert follow.look(np.zeros((256, 72), np.uint16)).verdict is Verdict.LOST
    assert follow.look(counted(WIRE, rng)).verdict is Verdict.GOOD


def test_wrong_windows_are_refused():
    with pytest.raises(ModelError, match="the window has"):
        tracker(WIRE).look(np.zeros((10, 10), np.uint16))
    with pytest.raises(ModelError, match="other axis"):
        WireTracker(WireGuess(Line(1.0, 1.5), Shape(1, 1, 1)), Light.plain((9, 9)))
