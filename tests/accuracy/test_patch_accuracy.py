"""Shifts of textured patches over counts, textures, windows and phases: error against the bound, bias, and stated σ.

A thousand trials or more per cell; with a noisy reference each trial has a reference of its own. Errors may be
1.1 times the bound, or half of the better peer's; where a speckle's reference drowns in noise, the bound is that of a
Gaussian texture of known spectrum. The slow suite takes some of the cells; ``python -m tests.accuracy.test_patch_accuracy``
takes all (25 min).
"""

from __future__ import annotations

import numpy as np
import pytest

from models.imaging.fix import SUSPECT_SIGMA_PX, Verdict
from models.imaging.light import Light
from models.imaging.patch import PatchTracker
from models.imaging.patch_reference import Reference, References
from tests.accuracy.patch_textures import Pattern, Phantom, Speckle, bound, dimmer_bound

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

TEXTURES, TRIALS = 4, 1000
CONTRAST = 0.15
PHASES = (0.0, 0.2, 0.4, 0.5, 0.7)
LONG, SQUARE, SMALL = (2048, 128), (256, 256), (128, 128)
CELLS = [
    *(
        (SMALL, counts, kind, averaged)
        for counts in (50, 500, 20000)
        for kind in (1.5, 3, 6)
        for averaged in (np.inf, 1)
    ),
    *((SMALL, counts, "phantom", averaged) for counts in (2000, 20000) for averaged in (np.inf, 1)),
    *((SQUARE, counts, "phantom", averaged) for counts in (500,) for averaged in (np.inf, 1)),
    *((SQUARE, 2000, kind, 1) for kind in (1.5, 6)),
    *((LONG, counts, kind, np.inf) for counts in (50, 20000) for kind in (1.5, 3)),
    *((LONG, counts, 3, 1) for counts in (50, 20000)),
]

CHECKED = [  # one of each kind of texture, noise and window
    (SMALL, 50, 1.5, 1), (SMALL, 500, 3, 1), (SMALL, 20000, 6, 1), (SMALL, 50, 3, np.inf), (SMALL, 500, 6, np.inf),
    (SMALL, 20000, 1.5, np.inf), (SMALL, 2000, "phantom", 1), (SQUARE, 500, "phantom", np.inf), (LONG, 20000, 3, np.inf),
]  # fmt: skip


def drawn(kind: float | str, rng: np.random.Generator, shape: tuple[int, int]) -> Pattern:
    return Phantom(rng, shape) if kind == "phantom" else Speckle(rng, float(kind), CONTRAST)


@pytest.mark.parametrize(("shape", "counts", "kind", "averaged"), CHECKED)
def test_error_bias_and_sigma(shape, counts, kind, averaged):
    rng, light = np.random.default_rng([shape[0], counts]), Light.plain(shape, variance_per_count=1.0)
    errors, leasts, sigmas, phases = [], [], [], []
    for _ in range(TEXTURES):
        pattern = drawn(kind, rng, shape)
        still = counts * pattern.at(shape, 0.0, 0.0)[0]
        tracker = PatchTracker(light, References(always=Reference.computed(still)))
        for phase in PHASES:
            far = 10.0 if phase == 0.7 else 0.0
            at = far + phase, -far + 1.3 * phase
            moved, least = counts * pattern.at(shape, *at)[0], bound(pattern, shape, at, counts, averaged)
            if kind != "phantom" and np.isfinite(averaged):
                shared = (shape[0] - abs(at[1])) * (shape[1] - abs(at[0]))
                drowned = dimmer_bound(float(kind), CONTRAST, shared, counts, averaged)
                clear = drowned_free(float(kind), shared, counts, averaged)
                least = least * max(1.0, drowned / clear)
            for _ in range(TRIALS // TEXTURES // len(PHASES)):
                if np.isfinite(averaged):
                    reference = Reference.measured(rng.poisson(still), light, averaged)
                    tracker = PatchTracker(light, References(always=reference))
                fix = tracker.look(rng.poisson(moved).astype(np.uint16))
                assert fix.verdict is Verdict.GOOD or fix.sigma["u"] > 0.9 * SUSPECT_SIGMA_PX
                errors.append((fix.values["u"] - at[0], fix.values["v"] - at[1]))
                sigmas.append((fix.sigma["u"], fix.sigma["v"]))
                leasts.append(least)
                phases.append(phase)
    error, sigma, least = np.array(errors), np.array(sigmas), np.array(leasts)
    ratio, chi2 = np.sqrt(np.mean((error / least) ** 2)), np.mean((error / sigma) ** 2)
    biases = {p: error[np.array(phases) == p].mean(axis=0) / sigma.mean(axis=0) for p in PHASES}
    worst = max(float(np.abs(b).max()) for b in biases.values())
    print(
        f"{shape} {counts} {kind} {averaged}: error {ratio:.3f} of the bound of {least.mean():.5f} px, chi2 {chi2:.3f}, "
        f"bias at any phase up to {worst:.2f} sigma"
    )
    assert ratio < 1.1 or np.sqrt(np.mean(error**2)) < 0.5 * peers(kind, shape, counts, averaged)
    assert 0.9 < chi2 < 1.1
    each = TRIALS // len(PHASES)
    for bias in biases.values():
        assert np.all(np.abs(bias) < np.maximum(0.1, 0.002 / sigma.mean(axis=0)) + 3.5 / np.sqrt(each))


def peers(kind: float | str, shape: tuple[int, int], counts: float, averaged: float) -> float:
    """rms error of the better of scikit-image and OpenCV at their best settings, in the same situation."""
    cv2 = pytest.importorskip("cv2")
    registration = pytest.importorskip("skimage.registration")
    rng, hann = np.random.default_rng(1), cv2.createHanningWindow(shape[::-1], cv2.CV_32F)
    squares: list[list[float]] = [[], [], []]
    for _ in range(TEXTURES):
        pattern = drawn(kind, rng, shape)
        for phase in PHASES:
            at = phase, 1.3 * phase
            still, moved = (counts * pattern.at(shape, *shift)[0] for shift in ((0.0, 0.0), at))
            for _ in range(2):
                one = still if np.isinf(averaged) else rng.poisson(still * averaged) / averaged
                pair = one.astype(np.float32), rng.poisson(moved).astype(np.float32)
                (v, u), *_ = registration.phase_cross_correlation(*pair, upsample_factor=100, normalization=None)
                found = (-u, -v), cv2.phaseCorrelate(*pair)[0], cv2.phaseCorrelate(*pair, hann)[0]
                for errors, shift in zip(squares, found, strict=True):
                    errors += list((np.array(shift) - at) ** 2)
    theirs = [float(np.sqrt(np.mean(errors))) for errors in squares]
    print(f"peers: {', '.join(f'{e:.5f}' for e in theirs)} px")
    return min(theirs)


def drowned_free(length: float, pixels: float, counts: float, averaged: float) -> float:
    """Bound of the same texture and noise if no frequency drowned."""
    omega_squared = 2.0 / length**2
    return float(np.sqrt((1.0 + 1.0 / averaged) / (counts * pixels * CONTRAST**2 * omega_squared)))


if __name__ == "__main__":
    for cell in CELLS:
        test_error_bias_and_sigma(*cell)
