"""A sphere followed: at the limit, through what happens to markers, and given up where it must be.

Images come from the oracle of tests/accuracy, which shares no code with the tracker.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from models.estimate import ModelError
from models.imaging.fix import Fix, Verdict
from models.imaging.light import Light
from models.imaging.sphere import SphereTracker, magnification_change
from tests.accuracy.sphere_image import Sphere, render
from tests.accuracy.sphere_trials import study

SIDE = 64
RADIUS, BLUR = 6.0, 1.0


def ball(
    u: float = 31.3, v: float = 32.6, counts: float = 2000.0, radius: float = RADIUS, contrast: float = 0.9
) -> Sphere:
    return Sphere.of_contrast(u, v, radius, BLUR, contrast, counts)


@cache
def expected(truth: Sphere) -> np.ndarray:
    return render(truth, (SIDE, SIDE))


def picture(truth: Sphere, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(expected(truth)).astype(np.uint16)


def tracker(light: Light | None = None, u: float = 30.0, v: float = 33.0, radius: float = 5.0) -> SphereTracker:
    return SphereTracker(light or Light.plain((SIDE, SIDE), variance_per_count=1.0), u, v, radius, 0.8)


def near(fix: Fix, truth: Sphere, sigmas: float = 5.0) -> bool:
    return all(abs(fix.values[k] - getattr(truth, k)) < sigmas * fix.sigma[k] for k in "uv")


@pytest.mark.parametrize(("radius", "blur", "counts"), [(2.0, 0.4, 1000.0), (6.0, 1.0, 20.0), (6.0, 2.5, 20_000.0)])
def test_variance_is_the_bound_and_sigma_says_so(radius: float, blur: float, counts: float) -> None:
    """160 trials: the mean of 320 squares scatters by 8 %; three of that is allowed here, the slow study is the judge."""
    out = study(counts, radius, blur, 160, phases=2)
    assert out.verdicts == {"good": 160}
    assert 2.0 / (1.0 / out.efficiency["u"] + 1.0 / out.efficiency["v"]) > 0.76, str(out)
    assert 0.76 < 0.5 * (out.chi2["u"] + out.chi2["v"]) < 1.24, str(out)
    assert 0.66 < out.chi2["size"] < 1.34, str(out)
    for name in "uv":
        assert abs(out.bias[name]) < 0.3 * out.bound[name], str(out)


@pytest.mark.parametrize("radius", [2.0, 6.0, 20.0])
@pytest.mark.parametrize("blur", [0.4, 1.0])
def test_no_place_within_a_pixel_is_favoured(radius: float, blur: float) -> None:
    """Noise-free images at four places: what the model of the pixel leaves out must not move the centre by 0.002 px."""
    for u, v in ((0.0, 0.0), (0.2, 0.3), (0.25, 0.0), (0.5, 0.5)):
        truth = Sphere.of_contrast(32.0 + u, 31.0 + v, radius, blur, 0.9, 50_000.0)
        fix = tracker(u=32.0, v=31.0, radius=radius).look(expected(truth))
        assert fix.verdict is Verdict.GOOD
        assert abs(fix.values["u"] - truth.u) < 2e-4
        assert abs(fix.values["v"] - truth.v) < 2e-4
        for name, value in (("size", 2.0 * radius), ("blur", blur), ("contrast", 0.9)):
            # where the image tells little of the shape, the guess has its weight
            assert abs(fix.values[name] - value) < max(1e-3, 0.03 * fix.sigma[name])


@pytest.mark.parametrize("blur", [0.05, 0.2])
def test_sharper_than_a_pixel(blur: float) -> None:
    """There the profile is continued along a tangent: the blur is only said to be small, the rest stays."""
    truth = Sphere.of_contrast(32.2, 31.3, RADIUS, blur, 0.9, 50_000.0)
    fix = tracker(u=32.0, v=31.0).look(expected(truth))
    assert fix.verdict is Verdict.GOOD
    assert abs(fix.values["u"] - truth.u) < 2e-3
    assert abs(fix.values["v"] - truth.v) < 2e-3
    assert abs(fix.values["size"] - 2.0 * RADIUS) < 2e-3
    assert fix.values["blur"] < 0.25


def test_misfit_is_one_when_noise_is_as_stated() -> None:
    found = [tracker().look(picture(ball(), seed)).misfit for seed in range(20)]
    assert abs(np.mean(found) - 1.0) < 4.0 * np.sqrt(2.0 / (20 * SIDE * SIDE))


@pytest.mark.parametrize("counts_per_unit", [1.0, 7.0, 1e-4])
def test_unknown_noise_is_found(counts_per_unit: float) -> None:
    """Whatever the unit of the counts, also that of an image that was divided by its flat."""
    known, unknown = tracker(), tracker(Light.plain((SIDE, SIDE), full_scale=np.inf))
    image = picture(ball())
    one, other = known.look(image), unknown.look(image * counts_per_unit)
    assert near(other, ball())
    assert np.isnan(other.misfit)
    assert other.sigma["u"] == pytest.approx(one.sigma["u"], rel=0.06)
    assert other.values["u"] == pytest.approx(one.values["u"], abs=0.1 * one.sigma["u"])


def test_moving_sphere_is_followed_and_a_jump_is_found_again() -> None:
    follower = tracker()
    path = [
        (31.0, 32.0),
        (34.5, 30.0),
        (38.1, 26.2),
        (40.0, 26.0),
        (18.0, 44.0),
        (18.2, 44.1),
    ]  # the fifth is 28 px away
    for seed, (u, v) in enumerate(path):
        fix = follower.look(picture(ball(u, v), seed))
        assert fix.verdict is Verdict.GOOD, fix.reason
        assert near(fix, ball(u, v))


@pytest.mark.parametrize("counts", [30.0, 300.0, 50_000.0])
@pytest.mark.parametrize("step", [2.0, 5.0, 9.0])
def test_steps_of_pixels_at_any_light(counts: float, step: float) -> None:
    follower = tracker()
    for seed in range(8):
        truth = ball(26.0 + step * (seed % 2), 32.0 + 0.5 * step * (seed % 2), counts)
        fix = follower.look(picture(truth, seed))
        assert fix.verdict is Verdict.GOOD, fix.reason
        assert near(fix, truth)


def test_one_that_leaves_is_lost_and_found_when_it_comes_back() -> None:
    follower = tracker(u=52.0, v=32.0)
    verdicts = []
    for seed, u in enumerate((52.0, 55.0, 58.0, 61.0, 64.5, 68.0, 75.0, 90.0, 54.0)):
        fix = follower.look(picture(ball(u, 32.0), seed))
        verdicts.append(fix.verdict)
        if fix.verdict is not Verdict.LOST:
            assert near(fix, ball(u, 32.0))
        if u == 61.0:
            assert fix.reason == "partly outside the window"
        if u == 64.5:
            assert fix.reason == "left the window"
    assert verdicts[:2] == [Verdict.GOOD] * 2
    assert verdicts[3] is Verdict.SUSPECT
    assert verdicts[4:8] == [Verdict.LOST] * 4
    assert verdicts[8] is Verdict.GOOD


@pytest.mark.parametrize("through", [0.05, 0.5])
def test_crossed_by_the_object(through: float) -> None:
    """Its edge comes from the left, covers the sphere and goes on; what it leaves of the beam is no even gradient."""
    follower, said = tracker(), []
    for seed, edge in enumerate((5, 15, 29, 33, 37, 15, 5)):
        hidden = expected(ball()).copy()
        hidden[:, :edge] *= through
        fix = follower.look(np.random.default_rng(seed).poisson(hidden).astype(np.uint16))
        said.append(fix.verdict)
        if fix.verdict is Verdict.GOOD:
            assert near(fix, ball())
    assert said[0] is Verdict.GOOD
    assert Verdict.GOOD not in said[2:5]
    assert said[-1] is Verdict.GOOD


@pytest.mark.parametrize(("depth", "edge"), [(0.05, 31), (0.1, 28), (0.3, 35)])
def test_what_veils_it_in_part_makes_it_suspect(depth: float, edge: int) -> None:
    """A weak, sharp shadow beside or on the sphere: no gate sees it, and it moves the centre by many σ."""
    truth = ball(counts=5000.0)
    follower = tracker()
    assert follower.look(picture(truth)).verdict is Verdict.GOOD
    veiled = expected(truth).copy()
    veiled[:, :edge] *= 1.0 - depth
    fix = follower.look(np.random.default_rng(2).poisson(veiled))
    assert fix.verdict is not Verdict.GOOD
    assert fix.reason


def test_saturated() -> None:
    image = np.minimum(picture(ball(counts=60_000.0)), 50_000)
    light = Light.plain((SIDE, SIDE), full_scale=50_000, variance_per_count=1.0)
    assert tracker(light).look(image) == Fix.lost("saturated")
    corner = picture(ball())
    corner[:10, :20] = 65_535
    fix = tracker().look(corner)
    assert (fix.verdict, fix.reason) == (Verdict.SUSPECT, "partly saturated")
    assert near(fix, ball())


def test_drowned_in_noise() -> None:
    follower = tracker()
    assert follower.look(picture(ball())).verdict is Verdict.GOOD
    for seed in range(10):
        dim = picture(ball(counts=3.0, radius=2.0, contrast=0.3), seed)
        assert follower.look(dim).verdict is Verdict.LOST
    assert follower.look(picture(ball())).verdict is Verdict.GOOD


def test_no_sphere_at_all() -> None:
    for seed in range(20):
        empty = np.random.default_rng(seed).poisson(200.0, (SIDE, SIDE))
        assert tracker().look(empty).verdict is Verdict.LOST
    assert tracker().look(np.zeros((SIDE, SIDE))).verdict is Verdict.LOST


def test_a_few_counts_leave_a_suspect() -> None:
    fix = tracker().look(picture(ball(counts=4.0)))
    assert fix.verdict is Verdict.SUSPECT
    assert fix.reason.startswith("position known to")
    assert fix.sigma["u"] > 0.15
    assert near(fix, ball())


def test_smaller_than_its_blur() -> None:
    """R, σ and κ can't be told apart: the position is as exact as the counts allow, the size says that it is a guess."""
    truth = Sphere.of_contrast(31.3, 32.6, 1.0, 2.5, 0.9, 5000.0)
    image = np.random.default_rng(1).poisson(render(truth, (SIDE, SIDE)))
    fix = SphereTracker(Light.plain((SIDE, SIDE), variance_per_count=1.0), 30.0, 33.0, 1.3, 2.0).look(image)
    assert fix.values
    assert near(fix, truth)
    assert fix.sigma["size"] > 0.5
    assert abs(fix.values["size"] - 2.0) < 3.0 * fix.sigma["size"]


def test_dead_hot_and_missing_pixels_and_a_flash() -> None:
    light = Light.plain((SIDE, SIDE), variance_per_count=1.0)
    light.dead[30:32, 36:39] = True
    image = picture(ball()).astype(float)
    image[30:32, 36:39] = 9_999.0
    image[33, 25] = np.nan
    image[28, 28] = 60_000.0  # a cosmic particle
    follower = tracker(light)
    for _ in range(2):
        fix = follower.look(image)
        assert fix.verdict is Verdict.GOOD, fix.reason
        assert near(fix, ball())


def test_flux_that_steps_and_a_gradient() -> None:
    follower = tracker()
    for seed, (counts, slope) in enumerate(((2000.0, 0.0), (3000.0, 0.0), (500.0, 0.003), (20_000.0, -0.003))):
        truth = Sphere.of_contrast(31.3, 32.6, RADIUS, BLUR, 0.9, counts, slope_u=slope, slope_v=slope)
        fix = follower.look(picture(truth, seed))
        assert fix.verdict is Verdict.GOOD, fix.reason
        assert near(fix, truth)


@pytest.mark.parametrize("kind", [">u2", "<u2", "i4", "f4", "f8"])
def test_types_of_detectors(kind: str) -> None:
    image = picture(ball())
    fix = tracker().look(image.astype(kind))
    assert fix.values == tracker().look(image).values


def test_a_window_cut_from_an_image() -> None:
    image = np.full((100, 120), 2000, dtype=np.uint16)
    image[20:84, 30:94] = picture(ball())
    assert tracker().look(image[20:84, 30:94]).values == tracker().look(picture(ball())).values


def test_energies_harden_the_beam_without_moving_the_centre() -> None:
    """Two energies, half of the counts each: the profile isn't the model's, the centre is where it was."""
    truth = ball(counts=20_000.0)
    soft = Sphere.of_contrast(truth.u, truth.v, RADIUS, BLUR, 0.97, 10_000.0)
    hard = Sphere.of_contrast(truth.u, truth.v, RADIUS, BLUR, 0.3, 10_000.0)
    fix = tracker().look(expected(soft) + expected(hard))
    assert abs(fix.values["u"] - truth.u) < 5e-4
    assert abs(fix.values["v"] - truth.v) < 5e-4
    assert 0.02 < fix.values["size"] / (2.0 * RADIUS) - 1.0 < 0.05  # so much may hardening mislead the size


def test_off_the_axis_of_a_cone_beam() -> None:
    """Chords by rays from a point source: diameter and centre are off by what the docstring says, 10° off the axis."""
    angle, radius, distance, finer = np.radians(10.0), 10.0, 4000.0, 10
    along = np.tan(angle)
    at = (np.arange(SIDE * finer) + 0.5) / finer - SIDE / 2
    x, y = distance * along + at[None, :], at[:, None]
    centre, r = distance / 10.0 * np.array([along, 0.0, 1.0]), radius / 10.0
    foot = (x * centre[0] + distance * centre[2]) / np.sqrt(x**2 + y**2 + distance**2)
    chord = 2.0 * np.sqrt(np.maximum(r**2 - (centre @ centre - foot**2), 0.0))
    passed = gaussian_filter(0.1 ** (chord / (2.0 * r)), BLUR * finer, truncate=6.0)
    fix = tracker(radius=9.0).look(20_000.0 * passed.reshape(SIDE, finer, SIDE, finer).mean(axis=(1, 3)))
    assert fix.verdict is Verdict.GOOD
    assert fix.values["size"] / (2.0 * radius) - 1.0 == pytest.approx(angle**2 / 4.0, rel=0.1)
    middle = (SIDE - 1) / 2
    assert fix.values["u"] - middle == pytest.approx(radius**2 * along / distance, rel=0.2)
    assert abs(fix.values["v"] - middle) < 1e-4


def test_wrong_input_says_so_in_one_line() -> None:
    light = Light.plain((SIDE, SIDE))
    wrong = [
        lambda: SphereTracker(light, 70.0, 10.0, 5.0),
        lambda: SphereTracker(light, 10.0, 10.0, 0.0),
        lambda: SphereTracker(light, 10.0, 10.0, 5.0, float("nan")),
        lambda: tracker().look(np.zeros((10, 10))),
        lambda: magnification_change(50.0, 0.0),
    ]
    for job in wrong:
        with pytest.raises(ModelError) as told:
            job()
        assert "\n" not in str(told.value)


def test_magnification_from_the_size() -> None:
    """A sphere that comes 0.5 % nearer to the source: by similar triangles its shadow grows as much."""
    follower = tracker()
    before = follower.look(picture(ball(counts=50_000.0)))
    after = follower.look(picture(ball(counts=50_000.0, radius=RADIUS * 1.005), 2))
    change, sigma = magnification_change(
        after.values["size"], before.values["size"], after.sigma["size"], before.sigma["size"]
    )
    assert sigma < 5e-4
    assert abs(change - 0.005) < 4.0 * sigma
