"""Many images of one sphere through the tracker: how it fares against the bound of an independent model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np

from models.imaging.fix import Verdict
from models.imaging.light import Light
from models.imaging.sphere import SphereTracker
from tests.accuracy.sphere_image import Sphere, bound, render

NAMES = ("u", "v", "size", "blur")


@dataclass(frozen=True)
class Detector:
    """What stands between the beam and the counts that are written."""

    gain: np.ndarray
    dark: float = 0.0
    read: float = 0.0

    def light(self) -> Light:
        """As it comes from a mean flat and a mean dark image, which know gain and dark well."""
        shape = self.gain.shape
        flat, dark = 1000.0 * self.gain + self.dark, np.full(shape, self.dark)
        return Light.of(flat, dark, shape, variance_per_count=1.0, read_variance=self.read**2)

    def write(self, rng: np.random.Generator, expected: np.ndarray) -> np.ndarray:
        """Counts of one image."""
        counts = rng.poisson(expected * self.gain) + rng.normal(self.dark, self.read, expected.shape)
        return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)


@dataclass(frozen=True)
class Outcome:
    """Of all trials of a cell: the bound [px], errors over the bound and over the stated σ, and the verdicts."""

    bound: dict[str, float]
    efficiency: dict[str, float]
    chi2: dict[str, float]
    bias: dict[str, float]
    verdicts: Counter[str]

    def __str__(self) -> str:
        rows = [
            f"{name}: bound {self.bound[name]:.4f} efficiency {self.efficiency[name]:.3f} χ² {self.chi2[name]:.3f} "
            f"bias {self.bias[name]:+.5f}"
            for name in NAMES
        ]
        return "; ".join(rows) + f"; {dict(self.verdicts)}"


def side(radius: float, blur: float) -> int:
    """Width of the window: the sphere's and as much again, but no wider than 128 px."""
    return int(np.clip(2 * int(2.0 * radius + 4.0 * blur + 6.0), 32, 128))


@cache
def _truths(radius: float, blur: float, contrast: float, slope: float, phases: int) -> list[tuple[Sphere, np.ndarray]]:
    rng, n = np.random.default_rng([1, int(10 * radius), int(10 * blur)]), side(radius, blur)
    spheres = [
        Sphere.of_contrast(
            n / 2 + du, n / 2 + dv, radius, blur, contrast, 1.0, slope_u=slope / n, slope_v=-0.5 * slope / n
        )
        for du, dv in rng.uniform(-0.5, 0.5, (phases, 2))
    ]
    return [(sphere, render(sphere, (n, n))) for sphere in spheres]


@cache
def _bounds(radius: float, blur: float, contrast: float, phases: int) -> list[dict[str, float]]:
    """At one count per pixel of a perfect detector; they go as the root of the counts."""
    return [bound(sphere, image.shape) for sphere, image in _truths(radius, blur, contrast, 0.0, phases)]


def study(
    counts: float,
    radius: float,
    blur: float,
    trials: int,
    contrast: float = 0.9,
    slope: float = 0.0,
    detector: Detector | None = None,
    phases: int = 8,
) -> Outcome:
    """As many series as ``phases``, each at another place within a pixel and started from a rough guess."""
    rng = np.random.default_rng([2, int(counts), int(10 * radius), int(10 * blur)])
    n = side(radius, blur)
    used = detector or Detector(np.ones((n, n)))
    errors, sigmas, bounds, verdicts = [], [], [], Counter()
    for k, (unit, image) in enumerate(_truths(radius, blur, contrast, slope, phases)):
        expected = counts * image
        if detector is None:
            best = {name: value / np.sqrt(counts) for name, value in _bounds(radius, blur, contrast, phases)[k].items()}
        else:
            at = Sphere(unit.u, unit.v, radius, blur, unit.kappa, counts, unit.slope_u, unit.slope_v)
            best = bound(at, (n, n), used.gain, used.read**2 + 1.0 / 12.0)
        light = used.light() if detector else Light.plain((n, n), variance_per_count=1.0)
        tracker = SphereTracker(light, n / 2, n / 2, radius * rng.uniform(0.8, 1.2), blur * rng.uniform(0.7, 1.4))
        for _ in range(trials // phases):
            counted = used.write(rng, expected) if detector else rng.poisson(expected).astype(np.uint16)
            fix = tracker.look(counted)
            verdicts[fix.verdict.value] += 1
            if fix.verdict is not Verdict.LOST:
                true = (unit.u, unit.v, 2.0 * radius, blur)
                errors.append([fix.values[name] - value for name, value in zip(NAMES, true, strict=True)])
                sigmas.append([fix.sigma[name] for name in NAMES])
                bounds.append([best[name] for name in NAMES])
    e, s, b = (np.array(rows).reshape(-1, len(NAMES)) for rows in (errors, sigmas, bounds))
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = (b**2).mean(axis=0)
        parts = (np.sqrt(squares), squares / (e**2).mean(axis=0), ((e / s) ** 2).mean(axis=0), e.mean(axis=0))
    return Outcome(*(dict(zip(NAMES, map(float, part), strict=True)) for part in parts), verdicts)
