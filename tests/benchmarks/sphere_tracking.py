"""A sphere followed through a window of 128 × 128 pixels: how long it takes, and how exact it is, beside others.

The yardsticks: reading the window once (a compiled sum of its counts, in the detector's own type) and
``skimage.registration.phase_cross_correlation`` (upsample 100) of the same window with the first one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numba import njit
from skimage.registration import phase_cross_correlation

from models.imaging.light import Light
from models.imaging.sphere import SphereTracker
from tests.accuracy.sphere_image import Sphere, bound, render

SIDE, RADIUS, BLUR, CONTRAST, COUNTS = 128, 25.0, 1.0, 0.9, 2000.0
IMAGES, ROUNDS, STEP_PX = 40, 5, 0.05


@dataclass(frozen=True)
class SphereSpeed:
    """Best times per window [s] and rms errors [px] of one series."""

    read_s: float
    ours_s: float
    peer_s: float
    ours_px: float
    peer_px: float
    bound_px: float

    @property
    def readings(self) -> float:
        """Our time as a multiple of reading the window once."""
        return self.ours_s / self.read_s

    @property
    def ratio(self) -> float:
        """The peer's time over ours."""
        return self.peer_s / self.ours_s


@njit(cache=True, nogil=True)
def _read(window: np.ndarray) -> int:
    total = 0
    for row in window:
        for count in row:
            total += count
    return total


def _series(rng: np.random.Generator) -> tuple[list[Sphere], list[np.ndarray]]:
    """A slow drift, as a warming tube makes it; pixels of noise are new in each image."""
    centre = SIDE / 2 + np.cumsum(rng.normal(0.0, STEP_PX, (IMAGES, 2)), axis=0)
    truth = [Sphere.of_contrast(u, v, RADIUS, BLUR, CONTRAST, COUNTS) for u, v in centre]
    return truth, [rng.poisson(render(sphere, (SIDE, SIDE))).astype(np.uint16) for sphere in truth]


def _best(job: Callable[[np.ndarray], object], images: list[np.ndarray]) -> float:
    """Mean time per image of the best of several rounds."""
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for image in images:
            job(image)
        times.append((time.perf_counter() - begin) / len(images))
    return min(times)


def measure() -> SphereSpeed:
    """Follow one series with both; the first image is the peer's reference and our start."""
    truth, images = _series(np.random.default_rng(8))
    tracker = SphereTracker(Light.plain((SIDE, SIDE), variance_per_count=1.0), SIDE / 2, SIDE / 2, RADIUS, BLUR)
    reference = images[0].astype(float)

    def peer(image: np.ndarray) -> np.ndarray:
        return phase_cross_correlation(reference, image, upsample_factor=100)[0]

    true = np.array([(s.u, s.v) for s in truth])
    fixes = [tracker.look(image) for image in images]
    ours = np.array([(fix.values["u"], fix.values["v"]) for fix in fixes]) - true
    theirs = np.array([-peer(image)[::-1] for image in images[1:]]) - (true[1:] - true[0])
    _read(images[0])
    return SphereSpeed(
        min(_best(_read, images) for _ in range(10)),
        _best(tracker.look, images),
        _best(peer, images[:10]),
        float(np.sqrt((ours**2).mean())),
        float(np.sqrt((theirs**2).mean())),
        bound(truth[0], (SIDE, SIDE))["u"],
    )


def sphere_tracking() -> str:
    """What was measured, in one line."""
    found = measure()
    return (
        f"\nsphere {SIDE}×{SIDE}, R {RADIUS:g} px, {COUNTS:g} counts: {found.ours_s * 1e6:.0f} µs per window, "
        f"{found.readings:.1f} × reading it ({found.read_s * 1e6:.1f} µs), "
        f"{found.ratio:.0f} × faster than phase_cross_correlation "
        f"({found.peer_s * 1e3:.1f} ms); rms error {found.ours_px:.4f} px (bound {found.bound_px:.4f}), "
        f"its {found.peer_px:.4f} px"
    )
