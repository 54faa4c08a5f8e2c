"""A textured patch is followed: signs, noise, flat, dead pixels, what hides it, and what it says when it is gone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from models.estimate import ModelError
from models.imaging.fix import Fix, Verdict
from models.imaging.light import Light
from models.imaging.patch import PatchTracker
from models.imaging.patch_reference import Reference, References
from tests.accuracy.patch_textures import Phantom, Speckle, bound

SHAPE = (96, 112)
COUNTS = 2000.0
LIGHT = Light.plain(SHAPE, variance_per_count=1.0)


@pytest.fixture(scope="module")
def speckle() -> Speckle:
    return Speckle(np.random.default_rng(1), 3.0)


def exact(pattern, at=(0.0, 0.0), shape=SHAPE) -> np.ndarray:
    return COUNTS * pattern.at(shape, *at)[0]


def drawn(pattern, at=(0.0, 0.0), seed=1) -> np.ndarray:
    return np.random.default_rng(seed).poisson(exact(pattern, at)).astype(np.uint16)


def against(pattern, light=LIGHT) -> PatchTracker:
    return PatchTracker(light, References(always=Reference.computed(exact(pattern))))


def off(fix: Fix, at: tuple[float, float]) -> float:
    """Larger of the two errors in σ."""
    return max(abs(fix.values[axis] - truth) / fix.sigma[axis] for axis, truth in zip("uv", at, strict=True))


@pytest.mark.parametrize("at", [(0.0, 0.0), (0.4, -0.3), (-10.3, 5.2), (25.0, 20.0)])
def test_positive_is_towards_larger_columns_and_rows(speckle, at):
    fix = against(speckle).look(drawn(speckle, at))
    assert fix.verdict is Verdict.GOOD
    assert off(fix, at) < 4.0
    assert fix.sigma["u"] == pytest.approx(bound(speckle, SHAPE, at, COUNTS)[0], rel=0.05)
    assert fix.values["contrast"] == pytest.approx(np.std(speckle.at(SHAPE, 0, 0)[0]), rel=0.02)
    assert 0.9 < fix.misfit < 1.1


@pytest.mark.parametrize("averaged", [np.inf, 1.0])
@pytest.mark.parametrize("length", [1.5, 3.0, 6.0])
def test_errors_are_at_the_bound_and_as_told(length, averaged):
    rng = np.random.default_rng(5)
    pattern, at = Speckle(rng, length), (0.3, -0.45)
    still, moved = exact(pattern), exact(pattern, at)
    errors, sigmas = [], []
    for _ in range(50):
        reference = Reference.computed(still)
        if np.isfinite(averaged):
            reference = Reference.measured(rng.poisson(still), LIGHT, averaged)
        fix = PatchTracker(LIGHT, References(always=reference)).look(rng.poisson(moved).astype(np.uint16))
        errors.append([fix.values["u"] - at[0], fix.values["v"] - at[1]])
        sigmas.append([fix.sigma["u"], fix.sigma["v"]])
    least = bound(pattern, SHAPE, at, COUNTS, averaged)
    efficiency, calibration = (np.mean(np.square(np.array(errors) / s)) for s in (least, sigmas))
    # 100 numbers of χ²: σ of their mean is 0.14
    assert efficiency < 1.1**2 + 3 * 0.14
    assert 0.9 - 3 * 0.14 < calibration < 1.1 + 3 * 0.14


@pytest.mark.parametrize(("length", "least"), [(1.5, 4e-4), (3.0, 5e-5), (6.0, 5e-5)])
def test_between_the_pixels_nothing_is_shifted(length, least):
    """Image and reference without noise: what is left is the interpolation's, at every phase; 0.002 px is asked for."""
    pattern = Speckle(np.random.default_rng(7), length)
    tracker = against(pattern)
    for phase in np.linspace(0.0, 1.0, 9):
        fix = tracker.look(exact(pattern, (phase, 0.7 * phase)).astype(np.float32))
        assert abs(fix.values["u"] - phase) < least
        assert abs(fix.values["v"] - 0.7 * phase) < least


def test_a_noisy_reference_pulls_to_no_phase(speckle):
    """Interpolated noise is quieter between pixels than on them; what prefers quiet is drawn there."""
    rng = np.random.default_rng(8)
    for phase in (0.25, 0.5, 0.75):
        errors = []
        for _ in range(30):
            reference = Reference.measured(rng.poisson(0.05 * exact(speckle)), LIGHT)
            fix = PatchTracker(LIGHT, References(always=reference)).look(
                (0.05 * exact(speckle, (phase, 0))).astype("f4")
            )
            errors.append((fix.values["u"] - phase) / fix.sigma["u"])
        assert abs(np.mean(errors)) < 0.1 + 3 / np.sqrt(30)


def test_a_phantom_is_followed_as_it_drifts():
    pattern = Phantom(np.random.default_rng(2), SHAPE)
    tracker = against(pattern)
    for k in range(30):
        at = (0.15 * k, -0.08 * k)
        fix = tracker.look(drawn(pattern, at, seed=k))
        assert fix.verdict is Verdict.GOOD
        assert off(fix, at) < 4.5


def test_flat_dark_dead_pixels_and_read_noise_change_nothing(speckle):
    rng, at = np.random.default_rng(3), (0.37, -0.2)
    r, c = np.mgrid[: SHAPE[0], : SHAPE[1]]
    gain = 3.0 * (1.0 + 0.3 * np.sin(c / 30.0) + 0.2 * r / SHAPE[0]) * rng.normal(1.0, 0.05, SHAPE)
    dark = rng.normal(100.0, 5.0, SHAPE)
    dead = rng.random(SHAPE) < 0.01
    light = Light(gain, dark, dead, variance_per_count=1.0, read_variance=400.0)

    def raw(at, seed):
        mean = gain * speckle.at(SHAPE, *at)[0] * COUNTS / 3.0
        noisy = np.random.default_rng(seed).poisson(mean) + rng.normal(0.0, 20.0, SHAPE) + dark
        return np.where(dead, rng.choice([0.0, 65535.0], SHAPE), np.round(noisy)).clip(0, 65535).astype(np.uint16)

    z = []
    for seed in range(12):
        tracker = PatchTracker(light, References(always=Reference.measured(raw((0.0, 0.0), 100 + seed), light)))
        fix = tracker.look(raw(at, seed))
        assert fix.verdict is Verdict.GOOD
        assert 0.9 < fix.misfit < 1.1
        z += [(fix.values[axis] - truth) / fix.sigma[axis] for axis, truth in zip("uv", at, strict=True)]
    assert 0.3 < np.mean(np.square(z)) < 2.0


@pytest.mark.parametrize("measured", [False, True])
def test_noise_that_nobody_stated_is_found(speckle, measured):
    """Three counts per photon and 0.8 times the brightness; σ as if that had been stated."""
    rng, at = np.random.default_rng(4), (0.2, 0.1)
    image = (3.0 * rng.poisson(0.8 * exact(speckle, at) / 3.0)).astype(np.uint16)
    reference = Reference.computed(exact(speckle))
    if measured:
        reference = Reference.measured(3.0 * rng.poisson(exact(speckle) / 3.0), Light.plain(SHAPE))
    silent, told = (
        PatchTracker(Light.plain(SHAPE, variance_per_count=v), References(always=reference)).look(image)
        for v in (float("nan"), 3.0)
    )
    assert np.isnan(silent.misfit)
    assert silent.verdict is Verdict.GOOD
    for axis in "uv":
        assert silent.sigma[axis] == pytest.approx(told.sigma[axis], rel=0.06)
        assert silent.values[axis] == pytest.approx(told.values[axis], abs=0.2 * told.sigma[axis])


@pytest.mark.parametrize("variance_per_count", [0.127, float("nan")])
def test_noise_that_neighbours_share_widens_sigma(speckle, variance_per_count):
    """A scintillator's blur: the variance of a pixel falls to an eighth, that of a large part stays."""
    rng, light = np.random.default_rng(4), Light.plain(SHAPE, variance_per_count=variance_per_count)
    mean, z = exact(speckle, (0.2, 0.1)), []
    for _ in range(15):
        image = mean + gaussian_filter(rng.poisson(mean) - mean, 0.8)
        fix = against(speckle, light).look(np.round(image).astype(np.uint16))
        z += [(fix.values[axis] - truth) / fix.sigma[axis] for axis, truth in zip("uv", (0.2, 0.1), strict=True)]
    assert 0.2 < np.mean(np.square(z)) < 1.1 + 3.0 * np.sqrt(2.0 / 30.0)


def test_exposure_and_contrast_are_free(speckle):
    tracker, rng = against(speckle), np.random.default_rng(6)
    t = speckle.at(SHAPE, 0.3, 0.3)[0]
    for brightness, contrast in ((1.0, 1.0), (0.3, 1.0), (2.0, 0.6), (1.0, 1.3)):
        image = rng.poisson(COUNTS * brightness * (1.0 + contrast * (t - t.mean()))).astype(np.uint16)
        fix = tracker.look(image)
        assert off(fix, (0.3, 0.3)) < 4.0
        assert abs(fix.values["contrast"] - contrast * np.std(t)) < 5.0 * fix.sigma["contrast"] + 1e-3


@pytest.mark.parametrize("kind", ["u1", "u2", ">u2", "i4", "f4", "f8", "cut"])
def test_any_detector_s_numbers_are_read(speckle, kind):
    at, image = (0.4, 0.4), np.minimum(drawn(speckle, (0.4, 0.4)) // 20, 255)
    light = Light.plain(SHAPE, variance_per_count=1.0 / 20.0)
    whole = np.zeros((SHAPE[0] + 5, SHAPE[1] + 9), np.uint16)
    whole[2:-3, 4:-5] = image
    window = whole[2:-3, 4:-5] if kind == "cut" else image.astype(kind)
    fix = PatchTracker(light, References(always=Reference.computed(exact(speckle)))).look(window)
    assert off(fix, at) < 4.5


def test_what_isn_t_a_number_is_left_out(speckle):
    image = drawn(speckle, (0.4, 0.4)).astype(float)
    image[40:50, 60:70] = np.nan
    fix = against(speckle).look(image)
    assert off(fix, (0.4, 0.4)) < 4.0


def test_a_part_that_is_covered_is_told_and_left_out(speckle):
    tracker = against(speckle)
    tracker.look(drawn(speckle, (0.1, 0.1)))
    image = drawn(speckle, (0.4, -0.2))
    image[:, :40] = np.random.default_rng(9).poisson(0.3 * image[:, :40])
    fix = tracker.look(image)
    assert fix.verdict is Verdict.SUSPECT
    assert "covered" in fix.reason
    assert off(fix, (0.4, -0.2)) < 4.0
    assert tracker.look(drawn(speckle, (0.4, -0.2))).verdict is Verdict.GOOD


def test_saturated_pixels_are_left_out_and_many_of_them_told(speckle):
    light = Light.plain(SHAPE, variance_per_count=1.0, full_scale=2500.0)
    image = np.minimum(drawn(speckle, (0.4, -0.2)), 2500).astype(np.uint16)
    fix = against(speckle, light).look(image)
    assert fix.verdict is Verdict.SUSPECT
    assert "saturated" in fix.reason
    assert against(speckle, light).look(np.full(SHAPE, 2500, np.uint16)).verdict is Verdict.LOST


def test_one_grain_of_radiation_covers_nothing(speckle):
    image = drawn(speckle, (0.4, -0.2))
    image[::17, ::13] = 60000
    image[48, 60] = 60000
    assert "covered" not in against(speckle).look(np.where(image == 60000, drawn(speckle, (0.4, -0.2)), image)).reason
    one = drawn(speckle, (0.4, -0.2))
    one[48, 60] = 60000
    assert "covered" not in against(speckle).look(one).reason


@pytest.mark.parametrize(
    "image",
    [
        np.zeros(SHAPE, np.uint16),
        np.full(SHAPE, 65535, np.uint16),
        np.full(SHAPE, np.nan),
        np.random.default_rng(1).poisson(COUNTS, SHAPE).astype(np.uint16),
        drawn(Speckle(np.random.default_rng(99), 3.0)),
    ],
    ids=["dark", "saturated", "no numbers", "even", "another texture"],
)
def test_what_isn_t_the_patch_is_lost_and_found_again(speckle, image):
    tracker = against(speckle)
    assert tracker.look(drawn(speckle)).verdict is Verdict.GOOD
    fix = tracker.look(image)
    assert fix.verdict is Verdict.LOST
    assert fix.reason
    assert fix.values == {}
    again = tracker.look(drawn(speckle, (-6.3, 8.1)))
    assert again.verdict is Verdict.GOOD
    assert off(again, (-6.3, 8.1)) < 4.5


def test_a_jump_is_followed(speckle):
    tracker = against(speckle)
    for k, at in enumerate([(0.0, 0.0), (3.3, -2.1), (2.9, 9.0), (-12.0, 9.0), (0.0, 0.0)]):
        fix = tracker.look(drawn(speckle, at, seed=k))
        assert fix.verdict is Verdict.GOOD
        assert off(fix, at) < 4.5


def test_a_patch_that_walks_out_of_the_window_is_given_up(speckle):
    tracker, lost = against(speckle), False
    for k in range(80):
        at = (0.8 * k, 0.0)
        fix = tracker.look(drawn(speckle, at, seed=k))
        lost = fix.verdict is Verdict.LOST
        if lost:
            break
        assert off(fix, at) < 5.0
    assert lost
    assert at[0] > 0.25 * SHAPE[1]


def test_a_different_scene_with_some_of_the_texture_is_no_good(speckle):
    other = Speckle(np.random.default_rng(77), 3.0, contrast=0.1).at(SHAPE, 0, 0)[0]
    image = np.random.default_rng(1).poisson(exact(speckle) * other).astype(np.uint16)
    fix = against(speckle).look(image)
    assert fix.verdict is not Verdict.GOOD
    assert fix.misfit > 2.0


def test_a_faint_patch_is_uncertain():
    faint = Speckle(np.random.default_rng(3), 6.0, contrast=0.03)
    light = Light.plain(SHAPE, variance_per_count=40.0)
    rng = np.random.default_rng(2)
    fix = PatchTracker(light, References(always=Reference.computed(exact(faint)))).look(
        (40.0 * rng.poisson(exact(faint, (0.3, 0.3)) / 40.0)).astype(np.uint16)
    )
    assert fix.verdict is Verdict.SUSPECT
    assert fix.reason == "uncertain"
    assert off(fix, (0.3, 0.3)) < 4.0


def test_each_angle_has_its_reference():
    patterns = {angle: Speckle(np.random.default_rng(int(angle)), 3.0) for angle in (0.0, 90.0, 180.0, 270.0)}
    tracker = PatchTracker(
        LIGHT, References({a: Reference.computed(exact(p)) for a, p in patterns.items()}, tolerance_deg=0.5)
    )
    for turn in range(3):
        for angle, pattern in patterns.items():
            at = (0.3 * turn, 0.1)
            fix = tracker.look(drawn(pattern, at, seed=turn), angle + 360.0 * turn + 0.2)
            assert fix.verdict is Verdict.GOOD
            assert off(fix, at) < 4.5
    assert tracker.look(drawn(patterns[0.0]), 45.0).reason == "no reference at this angle"


def test_a_first_turn_is_learned(speckle):
    """Nine images average the noise of one; all shifts are against the first image."""
    tracker = PatchTracker(LIGHT)
    start = (0.35, -0.6)
    first = tracker.learn(drawn(speckle, start, seed=0))
    assert (first.values["u"], first.values["v"]) == (0.0, 0.0)
    once = tracker.look(drawn(speckle, start, seed=50)).sigma["u"]
    for k in range(1, 9):
        assert tracker.learn(drawn(speckle, (start[0] + 0.3 * k, start[1]), seed=k)).verdict is Verdict.GOOD
    reference = tracker.references[tracker.references.nearest(float("nan"))]
    assert np.median(reference.averaged) == 9.0
    fix = tracker.look(drawn(speckle, (start[0] + 1.2, start[1] + 0.7), seed=51))
    assert fix.sigma["u"] < 0.8 * once
    # the first image's own place is known no better than one image tells it
    assert np.hypot(fix.values["u"] - 1.2, fix.values["v"] - 0.7) < 5.0 * np.hypot(once, once)


def test_what_doesn_t_fit_is_not_learned(speckle):
    tracker = PatchTracker(LIGHT)
    tracker.learn(drawn(speckle))
    assert tracker.learn(drawn(Speckle(np.random.default_rng(99), 3.0))).verdict is Verdict.LOST
    assert np.max(tracker.references[tracker.references.nearest(0.0)].averaged) == 1.0
    assert PatchTracker(LIGHT).learn(np.random.default_rng(1).poisson(COUNTS, SHAPE)).verdict is Verdict.LOST


def test_wrong_input_is_one_sentence(speckle):
    with pytest.raises(ModelError, match="the window has"):
        against(speckle).look(np.zeros((3, 4)))
    with pytest.raises(ModelError, match="give the same region"):
        PatchTracker(LIGHT, References({5.0: Reference.computed(np.ones((3, 4)))}))
    with pytest.raises(ModelError, match="give the same region"):
        Reference.measured(np.ones((3, 4)), LIGHT)
    with pytest.raises(ModelError, match="above 0"):
        Reference.measured(np.ones(SHAPE), LIGHT, averaged=0.0)
    with pytest.raises(ModelError, match="hardly a pixel"):
        Reference.computed(np.full(SHAPE, np.nan))
    with pytest.raises(ModelError, match="brighter than dark"):
        Reference.computed(-np.ones(SHAPE))
    with pytest.raises(ModelError, match="has no noise to be averaged"):
        against(speckle).learn(drawn(speckle))
    assert PatchTracker(LIGHT, References(always=Reference.computed(np.ones(SHAPE)))).look(drawn(speckle)).reason
    assert PatchTracker(LIGHT).look(drawn(speckle)).reason == "no reference at this angle"
