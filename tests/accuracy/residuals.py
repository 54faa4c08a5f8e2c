"""Ours, the peers and the smoothers that know more, on the same scans: residuals in units of the drift's amplitude A.

Run as a program (``python -m tests.accuracy.residuals``) it writes the table and the picture of
docs/explanation/others.md; the tests compare that page with a run of their own.

**Residual**: estimated minus true drift. Its rms is taken with the mean removed, since a common shift moves the volume but
blurs nothing. Its largest value is likewise taken with the mean removed, but for reference images, which are absolute: there
it is the largest value itself (so the table this follows has it). ``first`` counts from the first projection instead, as a
correction file does; an error of the first projection then stands in all others.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensors.reading import Reading
from tests.oracles.known_drift import (
    AMPLITUDE_PX,
    MARKER_SIGMA_PX,
    MOUNT_OF_AMPLITUDE,
    SCANS,
    DriftScan,
    efficient,
    knowing,
)
from tests.oracles.peers import opposite_pairs, reference_images
from twin.assembly import Machine, assemble
from twin.config import validate
from twin.correct import Corrected, correct
from twin.scan import Scan

START = 1_700_000_000.0
SEEDS = 24


@dataclass(frozen=True)
class Residual:
    """Of one method on one scan, in units of A; one entry per seed."""

    rms: np.ndarray
    largest: np.ndarray
    first: np.ndarray

    @property
    def mean_rms(self) -> float:
        return float(np.sqrt(np.mean(self.rms**2)))


def residual(courses: list[np.ndarray], scan: DriftScan, absolute: bool = False) -> Residual:
    """Residuals of estimated courses [units of A]."""
    error = np.array(courses) - scan.drift(scan.time)
    apart = error - error.mean(axis=1, keepdims=True)
    first = error - error[:, [0]]
    return Residual(
        np.sqrt(np.mean(apart**2, axis=1)),
        np.abs(error if absolute else apart).max(axis=1),
        np.sqrt(np.mean(first**2, axis=1)),
    )


def machine_for(scan: DriftScan, **source: object) -> Machine:
    """The product's model of the machine: the file beside this one, on the grid of the projections."""
    table = tomllib.loads(Path(__file__).with_name("drift_scans.toml").read_text(encoding="utf-8"))
    geometry = table["geometry"]
    magnification = geometry["source_detector_mm"] / geometry["source_object_mm"]
    um_per_px = geometry["pixel_um"] / magnification
    walk = MOUNT_OF_AMPLITUDE * AMPLITUDE_PX * um_per_px / np.sqrt(scan.duration_h)
    table["estimator"]["grid_s"] = float(scan.time[1])
    table["marker"][0]["mount_random_walk_um_per_sqrt_h"] = float(walk)
    table["scan"] |= {"projections": scan.projections, "duration_h": scan.duration_h}
    table["drift"]["source"] |= source
    return assemble(validate(table, "drift_scans.toml"))


def ours(machine: Machine, scan: DriftScan, seed: int) -> Corrected:
    """The product's corrections of a scan, from the readings of its marker."""
    count = scan.projections
    time = START + scan.time
    readings = [
        Reading("cross_v", float(t), float(z), MARKER_SIGMA_PX) for t, z in zip(time, scan.readings(seed), strict=True)
    ]
    angles = np.linspace(0.0, 360.0, count, endpoint=False)
    frames = Scan(scan.name, np.arange(count), time, angles, ("projection",) * count)
    return correct(machine, [readings], frames)


def product(scan: DriftScan, seeds: range, **source: object) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Courses and their σ, relative to the first projection [units of A]."""
    machine = machine_for(scan, **source)
    found = [ours(machine, scan, seed).correction for seed in seeds]
    return [f.shift_px[:, 1] / AMPLITUDE_PX for f in found], [f.shift_px_std[:, 1] / AMPLITUDE_PX for f in found]


def noisy(method, scan: DriftScan, seeds: range) -> list[np.ndarray]:
    """A peer's courses when each of its images has the marker's noise; it looks at the sample, so no mount moves."""
    courses = []
    for seed in seeds:
        rng = np.random.default_rng([7, seed])
        noise = lambda n, rng=rng: MARKER_SIGMA_PX / AMPLITUDE_PX * rng.normal(size=n)  # noqa: E731
        courses.append(method(scan.time, scan.drift, noise=noise))
    return courses


def compare(scan: DriftScan, seeds: range) -> dict[str, Residual]:
    """All methods on one scan, the last four on the same readings."""
    know, bound = knowing(scan), efficient(scan)
    walk = float(np.sqrt(11.0 / scan.duration_h) * 0.0357)
    own = {
        "ours": {},
        "ours, a walk of the source allowed as well": {"random_walk_um_per_sqrt_h": [0.0, walk, 0.0]},
        "ours, τ stated as 2 min to 10 h": {"warmup_min": [2.0, 600.0]},
    }
    readings = [scan.readings(seed) for seed in seeds]
    return {
        "pairs": residual([opposite_pairs(scan.time, scan.drift)], scan),
        "references": residual([reference_images(scan.time, scan.drift)], scan, absolute=True),
        "pairs, noise": residual(noisy(opposite_pairs, scan, seeds), scan),
        "references, noise": residual(noisy(reference_images, scan, seeds), scan, absolute=True),
        "knows τ": residual([know.drift(z) / AMPLITUDE_PX for z in readings], scan),
        "must find τ, at best": residual([bound.drift(z, scan.truth_px) / AMPLITUDE_PX for z in readings], scan),
        **{name: residual(product(scan, seeds, **stated)[0], scan) for name, stated in own.items()},
    }


def cell(found: Residual) -> str:
    """As the table gives it: rms / largest; over several seeds the mean, and the worst seed's in brackets."""
    if len(found.rms) == 1:
        return f"{found.rms[0]:.3f} / {found.largest[0]:.3f}"
    return f"{found.mean_rms:.4f} ({found.rms.max():.4f}) / {found.largest.mean():.3f} ({found.largest.max():.3f})"


def table(results: dict[str, dict[str, Residual]]) -> str:
    """Markdown: one row per method, one column per scan."""
    names = {
        "pairs": "8 opposite pairs, degree-2 polynomial; noise-free",
        "references": "8 reference images, linear; noise-free",
        "pairs, noise": "8 opposite pairs, degree-2 polynomial; each image ± 0.1 A",
        "references, noise": "8 reference images, linear; each image ± 0.1 A",
        "knows τ": "smoother that knows τ, the walk and the noise",
        "must find τ, at best": "least anyone can have who must find τ (Cramér–Rao)",
        "ours": "**ctwin**",
        "ours, a walk of the source allowed as well": "ctwin, a walk of the source of 0.02 A allowed as well",
        "ours, τ stated as 2 min to 10 h": "ctwin, τ stated as 2 min to 10 h",
    }
    lines = [f"| | {' | '.join(results)} |", "|---|" + "---|" * len(results)]
    lines += [f"| {label} | {' | '.join(cell(r[key]) for r in results.values())} |" for key, label in names.items()]
    ratios = [
        [r["ours"].mean_rms / r[other].mean_rms for r in results.values()]
        for other in ("knows τ", "must find τ, at best")
    ]
    lines += [
        f"| {label} | {' | '.join(f'{ratio:.2f}' for ratio in row)} |"
        for label, row in zip(
            ("ctwin's rms in that of the smoother that knows τ", "… and of who must find it, at best"),
            ratios,
            strict=True,
        )
    ]
    return "\n".join(lines) + "\n"


PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "others.md"
MARKS = ("<!-- residuals -->\n", "<!-- /residuals -->")


def block_of(page: str) -> str:
    """What stands between the marks."""
    return page.split(MARKS[0])[1].split(MARKS[1])[0]


def main() -> None:
    """Write the table and the picture of the page."""
    from tests.accuracy.residual_picture import picture

    results = {scan.name: compare(scan, range(SEEDS)) for scan in SCANS}
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(MARKS[0])[0], page.split(MARKS[1])[1]
    PAGE.write_text(before + MARKS[0] + table(results) + MARKS[1] + after, encoding="utf-8")
    (PAGE.parents[1] / "images" / "residuals.svg").write_text(picture(SCANS, seed=0), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
