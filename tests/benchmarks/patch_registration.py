"""Following a textured patch against scikit-image and OpenCV: time and error in the same run, and against reading alone.

Peers get their best setting: ``phase_cross_correlation`` with upsampling 100 and ``normalization=None`` (its default is
biased), ``phaseCorrelate`` with and without a Hann window (the smaller error counts); both get images that are converted
to float already. All take turns on the same images; the best of several rounds counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import skimage
from numba import njit
from skimage.registration import phase_cross_correlation

from models.imaging.light import Light
from models.imaging.patch import PatchTracker
from models.imaging.patch_reference import Reference, References
from tests.accuracy.patch_textures import Speckle, bound

COLUMNS = {
    "read, cached": 12, "read, from memory": 12, "steady": 8, "drift": 8, "first": 8, "reference": 10, "opencv": 8,
    "skimage": 9,
}  # fmt: skip
SHAPES = ((2048, 128), (256, 256), (128, 128))
LENGTHS_PX, COUNTS = (3.0, 1.5), (50, 2000, 20000)
REFERENCES = IMAGES = 24  # each image has a noisy reference of its own
ROUNDS, SLOW_ROUNDS = 10, 3
SLOW_IMAGES = 12  # that scikit-image is given
DRIFT_PX = 0.02  # per image: 20 px over a scan of 1000 images, the most that is seen
JITTER_PX = 0.2  # how well the shift is known before
MEMORY_MB = 300  # more than a cache holds


@njit(cache=True, nogil=True, fastmath={"reassoc"}, error_model="numpy")
def total(window):
    """Sum of a window's counts: the least that reading it once costs."""
    s = 0
    for r in range(window.shape[0]):
        row = np.uint32(0)
        for c in range(window.shape[1]):
            row += np.uint32(window[r, c])
        s += row
    return s


@dataclass(frozen=True)
class Scene:
    """Images of a patch that has moved a little, its shifts, and noisy images of it unmoved."""

    pattern: Speckle
    shape: tuple[int, int]
    counts: float
    still: list[np.ndarray]
    images: list[np.ndarray]
    shifts: np.ndarray

    @classmethod
    def drawn(cls, shape: tuple[int, int], counts: float, length_px: float) -> Scene:
        rng = np.random.default_rng(1)
        pattern, shifts = Speckle(rng, length_px), rng.uniform(-JITTER_PX, JITTER_PX, (IMAGES, 2))
        images = [rng.poisson(counts * pattern.at(shape, *at)[0]).astype(np.uint16) for at in shifts]
        still = counts * pattern.at(shape, 0.0, 0.0)[0]
        return cls(pattern, shape, counts, [rng.poisson(still) for _ in range(REFERENCES)], images, shifts)

    def tracker(self, reference: int = 0) -> PatchTracker:
        light = Light.plain(self.shape, variance_per_count=1.0)
        return PatchTracker(light, References(always=Reference.measured(self.still[reference], light)))


def skimage_shift(still: np.ndarray, moved: np.ndarray) -> tuple[float, float]:
    (v, u), *_ = phase_cross_correlation(still, moved, upsample_factor=100, normalization=None)
    return -u, -v


def opencv_shift(still: np.ndarray, moved: np.ndarray, window: np.ndarray | None = None) -> tuple[float, float]:
    return cv2.phaseCorrelate(still, moved, window)[0] if window is not None else cv2.phaseCorrelate(still, moved)[0]


def seconds(job: Callable[[], object]) -> float:
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def best(jobs: dict[str, Callable[[int], object]], rounds: dict[str, int]) -> dict[str, float]:
    """Best time per image of each job; they take turns."""
    found = dict.fromkeys(jobs, np.inf)
    for k in range(max(rounds.values())):
        for name, job in jobs.items():
            if k < rounds[name]:
                found[name] = min(found[name], seconds(lambda job=job, k=k: job(k)))
    return found


def times(shape: tuple[int, int]) -> dict[str, float]:
    """Seconds per image of reading, of ours, and of the peers."""
    scene = Scene.drawn(shape, 2000.0, LENGTHS_PX[0])
    count = max(2, int(MEMORY_MB * 1e6 / (2 * shape[0] * shape[1])))
    memory = np.zeros((count, *shape), np.uint16)
    memory[:] = scene.images[0]
    still = scene.still[0].astype(np.float32)
    floats = [image.astype(np.float32) for image in scene.images]
    steady, starting = scene.tracker(), scene.tracker()
    for image in scene.images:  # compiles, and makes the templates of places that are visited again and again
        steady.look(image)
    starting.look(scene.images[0])
    drifting = scene.tracker()
    rng = np.random.default_rng(2)
    drift = [
        rng.poisson(2000.0 * scene.pattern.at(shape, DRIFT_PX * k, 0.0)[0]).astype(np.uint16) for k in range(IMAGES)
    ]
    drifting.look(drift[0])
    total(scene.images[0])

    def first(k: int) -> None:
        starting.restart()
        starting.look(scene.images[k % IMAGES])

    def drifted() -> float:
        """Seconds for images after the first; no templates are left from the round before."""
        drifting.restart()
        drifting.look(drift[0])
        return seconds(lambda: [drifting.look(image) for image in drift[1:]])

    jobs = {
        "read, cached": lambda k: total(scene.images[0]),
        "read, from memory": lambda k: total(memory[k * 7 % count]),
        "steady": lambda k: steady.look(scene.images[k % IMAGES]),
        "first": first,
        "reference": lambda k: scene.tracker().look(scene.images[k % IMAGES]),
        "opencv": lambda k: opencv_shift(still, floats[k % IMAGES]),
        "skimage": lambda k: skimage_shift(still, floats[k % IMAGES]),
    }
    rounds = {name: 10 * ROUNDS if name in ("read, cached", "read, from memory", "steady") else ROUNDS for name in jobs}
    rounds |= {"skimage": SLOW_ROUNDS, "reference": SLOW_ROUNDS}
    found = best(jobs, rounds)
    return found | {"drift": min(drifted() for _ in range(SLOW_ROUNDS)) / (IMAGES - 1)}


def errors(shape: tuple[int, int], counts: float, length_px: float) -> dict[str, float]:
    """rms error [px] of ours, of the peers, and the bound, with noise in image and reference."""
    scene = Scene.drawn(shape, counts, length_px)
    trackers = [scene.tracker(k) for k in range(REFERENCES)]
    hann = cv2.createHanningWindow(shape[::-1], cv2.CV_32F)
    squares: dict[str, list[float]] = {"ours": [], "opencv": [], "opencv, Hann": [], "skimage": []}
    for k, (image, at) in enumerate(zip(scene.images, scene.shifts, strict=True)):
        still, moved = scene.still[k % REFERENCES].astype(np.float32), image.astype(np.float32)
        fix = trackers[k % REFERENCES].look(image)
        found = {
            "ours": (fix.values["u"], fix.values["v"]),
            "opencv": opencv_shift(still, moved),
            "opencv, Hann": opencv_shift(still, moved, hann),
        }
        if k < SLOW_IMAGES:
            found["skimage"] = skimage_shift(still, moved)
        for name, shift in found.items():
            squares[name] += list((np.array(shift) - at) ** 2)
    out = {name: float(np.sqrt(np.mean(values))) for name, values in squares.items()}
    out["opencv"] = min(out["opencv"], out.pop("opencv, Hann"))
    return out | {"bound": float(np.mean(bound(scene.pattern, shape, (0.0, 0.0), counts, 1.0)))}


def patch_registration() -> str:
    """Tables of times and errors."""
    lines = [
        f"\ntextured patch (correlation length {LENGTHS_PX[0]:g} px, shift known to {JITTER_PX} px before), scikit-image "
        f"{skimage.__version__} (upsampling 100), OpenCV {cv2.__version__}; times in µs per image",
        f"{'window':<11}{'read cached':>12}{'read memory':>12}{'steady':>8}{'drift':>8}{'first':>8}{'reference':>10}"
        f"{'OpenCV':>8}{'skimage':>9}   steady: × reading, OpenCV/ours, skimage/ours",
    ]
    for shape in SHAPES:
        t = times(shape)
        lines.append(
            f"{shape[0]}x{shape[1]:<6}"
            + "".join(f"{t[name] * 1e6:>{width}.0f}" for name, width in COLUMNS.items())
            + f"   {t['steady'] / t['read, from memory']:.1f}, {t['opencv'] / t['steady']:.1f}, "
            f"{t['skimage'] / t['steady']:.0f}"
        )
    lines.append(
        f"steady: to and fro within {JITTER_PX} px; drift: {DRIFT_PX} px per image, templates made as it goes; first: place "
        "unknown; reference: the same, and the reference new"
    )
    lines.append(
        f"\n{'window':<11}{'length':>7}{'counts':>7}{'ours':>10}{'bound':>10}{'OpenCV':>10}{'skimage':>10}   rms error, px"
    )
    for shape in SHAPES:
        for length_px in LENGTHS_PX:
            for counts in COUNTS:
                e = errors(shape, counts, length_px)
                lines.append(
                    f"{shape[0]}x{shape[1]:<6}{length_px:>7g}{counts:>7}"
                    + "".join(f"{e[name]:>10.5f}" for name in ("ours", "bound", "opencv", "skimage"))
                )
    return "\n".join(lines)
