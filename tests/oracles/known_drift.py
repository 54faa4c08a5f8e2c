"""Oracle: the scans of exponential drift on which methods are compared, and the smoothers that know more than ours may.

A marker is measured in every projection, ``z = offset + A(1 - exp(-t/τ)) + mount + noise`` [px], the mount a random walk.
Written with numpy from these words; it shares no code with the product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HOUR, MINUTE = 3600.0, 60.0
AMPLITUDE_PX = 10.0
MARKER_SIGMA_PX = 1.0
MOUNT_OF_AMPLITUDE = 0.02  # σ of the mount's walk at the end of the scan


@dataclass(frozen=True)
class DriftScan:
    """A scan: projections at equal intervals, the first at the switch-on of the tube."""

    duration_h: float
    tau_min: float
    projections: int

    @property
    def name(self) -> str:
        return f"{self.duration_h:g} h, τ {self.tau_min:g} min"

    @property
    def time(self) -> np.ndarray:
        """Mid-exposures [s]."""
        return np.linspace(0.0, self.duration_h * HOUR, self.projections)

    def drift(self, time: np.ndarray) -> np.ndarray:
        """Drift in units of A."""
        return 1.0 - np.exp(-time / (self.tau_min * MINUTE))

    @property
    def truth_px(self) -> np.ndarray:
        """Drift of the projections [px]."""
        return AMPLITUDE_PX * self.drift(self.time)

    def walk_cov(self) -> np.ndarray:
        """Covariance of the mount [px²]."""
        t = self.time
        return (MOUNT_OF_AMPLITUDE * AMPLITUDE_PX) ** 2 * np.minimum.outer(t, t) / t[-1]

    def readings(self, seed: int) -> np.ndarray:
        """Measured positions of the marker [px]."""
        rng = np.random.default_rng([seed, int(self.duration_h), int(self.tau_min)])
        t = self.time
        steps = np.sqrt(np.diff(t, prepend=0.0) / t[-1]) * MOUNT_OF_AMPLITUDE * AMPLITUDE_PX
        mount = np.cumsum(steps * rng.normal(size=len(t)))
        offset = rng.uniform(100.0, 2000.0)
        noise = MARKER_SIGMA_PX * rng.normal(size=len(t))
        return offset + self.truth_px + mount + noise


SCANS = (DriftScan(11.0, 19.5, 1600), DriftScan(11.0, 106.0, 1600), DriftScan(34.0, 106.0, 1000))


class Fit:
    """Generalised least squares: what the readings say about some courses, the mount being noise of known covariance.

    The first column is the unknown offset, the others are courses that belong to the drift.
    """

    def __init__(self, scan: DriftScan, courses: np.ndarray) -> None:
        noise = scan.walk_cov() + MARKER_SIGMA_PX**2 * np.eye(scan.projections)
        design = np.column_stack([np.ones(scan.projections), courses])
        weighted = np.linalg.solve(noise, design)
        self.courses = courses
        self.cov = np.linalg.inv(design.T @ weighted)
        self.weights = self.cov @ weighted.T

    def drift(self, readings: np.ndarray, about: np.ndarray | float = 0.0) -> np.ndarray:
        """Estimated drift [px]: ``about`` and what the courses add to it."""
        return about + self.courses @ (self.weights @ (readings - about))[1:]

    def expected_rms(self) -> float:
        """Of its error, the mean taken off, in units of A."""
        spread = self.courses - self.courses.mean(axis=0)
        cov = self.cov[1:, 1:]
        return float(np.sqrt(np.einsum("ti,ij,tj->", spread, cov, spread) / len(spread))) / AMPLITUDE_PX


def knowing(scan: DriftScan) -> Fit:
    """The smoother that knows the true model: τ, the mount's walk and the noise; not amplitude and offset.

    The limit of Gaussian conditioning on the joint of all states and readings as the priors of the two go to infinity.
    """
    return Fit(scan, scan.drift(scan.time)[:, None])


def efficient(scan: DriftScan) -> Fit:
    """The Cramér–Rao bound for whoever must find τ as well: the model linearised about the truth, τ a free parameter."""
    t, tau = scan.time, scan.tau_min * MINUTE
    return Fit(scan, np.column_stack([scan.drift(t), -AMPLITUDE_PX * t / tau * np.exp(-t / tau)]))
