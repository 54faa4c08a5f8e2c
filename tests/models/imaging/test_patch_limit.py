"""A textured patch against the bound, with noise in the reference and without; what it does when there is nothing to see."""

from __future__ import annotations

import numpy as np
import pytest

from models.imaging.fix import Verdict
from models.imaging.light import Light
from models.imaging.patch import PatchTracker
from models.imaging.patch_reference import Reference, References
from tests.oracles.texture import Texture

SHAPE = (128, 96)


def trials(
    texture: Texture, shape: tuple[int, int], counts: float, shift: tuple[float, float], count: int, *, noisy: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Errors and stated σ (N, 2) of first looks, each with a noisy reference of its own or an exact one."""
    rng, light = np.random.default_rng(3), Light.plain(shape, variance_per_count=1.0)
    still, moved = texture.image(shape, 0.0, 0.0, counts), texture.image(shape, *shift, counts)
    errors, sigmas = [], []
    for _ in range(count):
        reference = (
            Reference.measured(rng.poisson(still).astype(np.uint16), light) if noisy else Reference.computed(still)
        )
        fix = PatchTracker(light, References(always=reference)).look(rng.poisson(moved).astype(np.uint16))
        assert fix.verdict is Verdict.GOOD
        errors.append([fix.values["u"] - shift[0], fix.values["v"] - shift[1]])
        sigmas.append([fix.sigma["u"], fix.sigma["v"]])
    return np.array(errors), np.array(sigmas)


def judged(texture: Texture, shape, counts, shift, count, *, noisy):
    errors, sigmas = trials(texture, shape, counts, shift, count, noisy=noisy)
    least = texture.bound(shape, counts, both_noisy=noisy)
    n = errors.shape[0]
    # error at most 1.1 times the bound, within what the scatter of the trials allows
    assert np.all(errors.std(axis=0) < 1.1 * least * (1.0 + 3.0 / np.sqrt(2.0 * n)))
    assert np.all(np.abs(errors.mean(axis=0)) < np.maximum(0.1 * least, 0.002) + 3.0 * least / np.sqrt(n))
    calibration = np.mean((errors / sigmas) ** 2, axis=0)
    assert np.all(np.abs(calibration - 1.0) < 0.1 + 3.0 * np.sqrt(2.0 / n))


@pytest.mark.parametrize("noisy", [True, False])
def test_a_first_look_is_at_the_bound(noisy):
    judged(Texture(np.random.default_rng(1), 2.5), SHAPE, 500.0, (0.3, -0.45), 60, noisy=noisy)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shift", [(0.5, -0.25), (9.7, -6.2)])
@pytest.mark.parametrize(("counts", "length"), [(50.0, 3.0), (1000.0, 1.5), (20000.0, 6.0)])
def test_at_the_bound_over_counts_textures_and_phases(counts, length, shift):
    judged(Texture(np.random.default_rng(2), length), (128, 96), counts, shift, 200, noisy=True)


def test_a_moving_patch_is_followed_by_its_angle():
    """Two angles, two references; the shift is against the reference of the image's own angle."""
    rng, light = np.random.default_rng(4), Light.plain(SHAPE, variance_per_count=1.0)
    textures = {0.0: Texture(rng, 3.0), 90.0: Texture(rng, 3.0)}
    known = {angle: Reference.computed(t.image(SHAPE, 0.0, 0.0, 800.0)) for angle, t in textures.items()}
    tracker = PatchTracker(light, References(known))
    for k in range(12):
        angle, shift = (0.0, 90.0)[k % 2], (0.12 * k, -0.07 * k)
        fix = tracker.look(rng.poisson(textures[angle].image(SHAPE, *shift, 800.0)).astype(np.uint16), angle)
        assert fix.verdict is Verdict.GOOD
        for axis, truth in zip("uv", shift, strict=True):
            assert abs(fix.values[axis] - truth) < 5.0 * fix.sigma[axis]


def test_nothing_to_see_is_lost():
    rng, light = np.random.default_rng(5), Light.plain(SHAPE, variance_per_count=1.0)
    tracker = PatchTracker(light, References(always=Reference.computed(Texture(rng, 3.0).image(SHAPE, 0, 0, 500.0))))
    for image in (
        rng.poisson(500.0, SHAPE),
        np.zeros(SHAPE),
        np.full(SHAPE, 65535),
        Texture(rng, 3.0).image(SHAPE, 0, 0, 500.0),
    ):
        fix = tracker.look(np.asarray(image).astype(np.uint16))
        assert fix.verdict is Verdict.LOST
        assert fix.reason
