"""Oracle: everything that a scan of a turning sample tells, from covariance functions alone (dense; no recursion).

Written from the physics, not from the product: a stage that walks in the laboratory carries a sample that creeps in its own
frame; the object is where the stage stands plus the creep turned right-handed about -v. Walks have covariance
``q² min(t - t0, s - t0)``, Fourier coefficients of the stage and offsets of windows are constants. All lengths in µm.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


def rotation(angle_deg: float) -> np.ndarray:
    """Right-handed about -v: Rodrigues' formula in the frame u, v, w."""
    axis = np.array([0.0, -1.0, 0.0])
    angle = np.deg2rad(angle_deg)
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


@dataclass
class Turning:
    """A scan: instants [s], angles [deg]; intensities [µm/√h]; prior σ of the stage's coefficients [µm] per axis."""

    time: np.ndarray
    angle_deg: np.ndarray
    begin: float
    stage: float
    creep: float
    coefficient_um: np.ndarray = field(default_factory=lambda: np.zeros((3, 0)))  # (axis, harmonic)

    def prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Map from the unknowns (stage 3N, creep 3N, cos and sin coefficients) to the object (3N), and their covariance."""
        n = len(self.time)
        walk = np.minimum.outer(self.time - self.begin, self.time - self.begin) / 3600.0
        harmonics = self.coefficient_um.shape[1]
        to_object = np.zeros((3 * n, 6 * n + 6 * harmonics))
        for i, angle in enumerate(self.angle_deg):
            turn = rotation(angle)
            for a in range(3):
                to_object[3 * i + a, 3 * i + a] = 1.0
                to_object[3 * i + a, 3 * n + 3 * i : 3 * n + 3 * i + 3] = turn[a]
                for k in range(harmonics):
                    at = 6 * n + 2 * (a * harmonics + k)
                    phase = (k + 1) * np.deg2rad(angle)
                    to_object[3 * i + a, at : at + 2] = np.cos(phase), np.sin(phase)
        cov = np.zeros((to_object.shape[1],) * 2)
        for a in range(3):
            cov[a : 3 * n : 3, a : 3 * n : 3] = self.stage**2 * walk
            cov[3 * n + a : 6 * n : 3, 3 * n + a : 6 * n : 3] = self.creep**2 * walk
        own = np.repeat(self.coefficient_um.ravel() ** 2, 2)
        cov[6 * n :, 6 * n :] = np.diag(own)
        return to_object, cov

    def posterior(self, px_per_um: float, value: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of the object (3N) given readings (N, 2) along u and v with unknown offsets [px]."""
        to_object, cov = self.prior()
        n = len(self.time)
        joint = to_object @ cov @ to_object.T
        seen = np.concatenate([np.arange(0, 3 * n, 3), np.arange(1, 3 * n, 3)])
        sight = np.zeros((2 * n, 3 * n))
        sight[np.arange(2 * n), seen] = px_per_um
        offset = np.kron(np.eye(2), np.ones((n, 1)))
        spread = sight @ joint @ sight.T + sigma**2 * np.eye(2 * n) + 1e8 * offset @ offset.T
        gain = np.linalg.solve(spread, sight @ joint).T
        return gain @ value.T.ravel(), joint - gain @ sight @ joint

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A truth from the prior: object (N, 3) [µm]."""
        to_object, cov = self.prior()
        values, vectors = np.linalg.eigh(cov)
        unknown = vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.standard_normal(len(values)))
        return (to_object @ unknown).reshape(-1, 3)
