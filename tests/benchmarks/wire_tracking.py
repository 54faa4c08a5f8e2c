"""Following a wire in a window of 2048 × 128, against image registration, and against reading the window once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import cv2
import numpy as np
from numba import njit
from skimage.registration import phase_cross_correlation

from models.imaging.light import Light
from models.imaging.wire import WireGuess, WireTracker
from models.imaging.wire_frame import Line
from models.imaging.wire_profile import Shape
from tests.oracles.wire_image import Wire, bound

ROWS, COLUMNS, COUNTS, IMAGES, ROUNDS = 2048, 128, 2000.0, 24, 3


@njit
def read(window):  # type: ignore[no-untyped-def]
    """Sum of a window: what reading it once costs."""
    total = np.uint64(0)
    for r in range(window.shape[0]):
        part = np.uint32(0)
        for c in range(window.shape[1]):
            part += window[r, c]
        total += part
    return total


def clock(job: Callable[[np.ndarray], object], images: list[np.ndarray]) -> float:
    """Time of one image [s]; every image is another one, as in a scan."""
    begin = time.perf_counter()
    for image in images:
        job(image)
    return (time.perf_counter() - begin) / len(images)


def peers(reference: np.ndarray) -> dict[str, Callable[[np.ndarray], float]]:
    """Column shift against a first image; with other settings (whitening, Hann window, mean taken off) they are worse."""
    first = reference.astype(np.float32)

    def skimage(image: np.ndarray) -> float:
        return -float(phase_cross_correlation(first, image, upsample_factor=100, normalization=None)[0][1])

    def opencv(image: np.ndarray) -> float:
        return float(cv2.phaseCorrelate(first, image.astype(np.float32))[0][0])

    return {"skimage phase_cross_correlation(upsample 100)": skimage, "cv2.phaseCorrelate": opencv}


def wire_tracking() -> str:
    """A table: time per image, ratio to ours, error in column shift (σ of a Gaussian with its median)."""
    rng = np.random.default_rng(1)
    wire = Wire(ROWS, COLUMNS, 60.0, 0.0, 21.5, 1.0, 1.0, COUNTS)
    drift = np.cumsum(rng.normal(0.0, 0.05, IMAGES))
    drift -= drift[0]
    images = []
    for shift in drift:
        moved = Wire(ROWS, COLUMNS, 60.0 + shift, 0.0, 21.5, 1.0, 1.0, COUNTS)
        images.append(rng.poisson(moved.expected()).astype(np.uint16))
    guess = WireGuess(Line(60.5, 0.0), Shape(0.9, 1.2, 21.0))
    tracker = WireTracker(guess, Light.plain((ROWS, COLUMNS), variance_per_count=1.0))
    ours = np.array([tracker.look(image).values["n"] for image in images])
    jobs: dict[str, Callable[[np.ndarray], object]] = {"ctwin": tracker.look, "reading once": read, **peers(images[0])}
    best = dict.fromkeys(jobs, math.inf)
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            best[name] = min(best[name], clock(job, images))
    error = {"ctwin": float(np.median(np.abs(ours - drift - np.median(ours - drift)))) / 0.6745}
    for name, job in peers(images[0]).items():
        error[name] = float(np.median(np.abs(np.array([job(image) for image in images[1:]]) - drift[1:]))) / 0.6745
    lines = [f"a wire in {ROWS} × {COLUMNS} px of {COUNTS:g} counts; bound {bound(wire)['place']:.5f} px"]
    for name, seconds in best.items():
        wrong = f"{error[name]:.4f} px" if name in error else ""
        lines.append(f"  {name:<46}{seconds * 1e6:>10.0f} µs{seconds / best['ctwin']:>9.2f} × ours   {wrong}")
    lines.append(f"  ctwin is {best['ctwin'] / best['reading once']:.1f} × reading the window once")
    return "\n".join(lines)


if __name__ == "__main__":
    print(wire_tracking())
