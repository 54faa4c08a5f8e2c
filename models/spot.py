"""Size of the focal spot: its variance per axis as a state, seen as the blur of a marker's edge.

The variance σ_f² is the state, not the width, for the square of a blur is linear in it. FWHM = 2.3548 σ_f of a Gaussian spot.
"""

from __future__ import annotations

import numpy as np

from models.blur import FWHM_PER_SIGMA
from models.estimate import Array
from models.focal import random_walk
from models.geometry import ConeBeam
from models.statespace import Block, Observation

SPOT = ("spot.u", "spot.v")


def spot_blocks(
    fwhm_m: tuple[float, float], relative_sigma: float, walk_m_per_sqrt_s: tuple[float, float]
) -> list[Block]:
    """Spot variance along u and v [m²]: a random walk about the stated FWHM.

    A small change dF of the width changes the variance by ``2 F dF/2.3548²``; prior and walk are those of the width, taken
    at the stated one.

    Parameters
    ----------
    fwhm_m : (float, float)
        Stated FWHM along u, v [m].
    relative_sigma : float
        σ of the prior of the FWHM, relative to it.
    walk_m_per_sqrt_s : (float, float)
        Random walk of the FWHM [m/√s].

    Notes
    -----
    The two axes are independent: a spot that grows at an angle to them makes two axes grow. Wrong when a spot is far from its
    stated size: a walk of the width is then another one of the variance (twice the width, twice the walk).

    Examples
    --------
    >>> u, v = spot_blocks((1e-6, 2e-6), 0.1, (0.0, 0.0))
    >>> round(float(u.mean[0]) * 1e12, 4), round(float(np.sqrt(u.cov[0, 0]) / u.mean[0]), 3)
    (0.1803, 0.2)
    """
    blocks = []
    for name, fwhm, walk in zip(SPOT, fwhm_m, walk_m_per_sqrt_s, strict=True):
        variance = float((fwhm / FWHM_PER_SIGMA) ** 2)
        slope = float(2.0 * fwhm / FWHM_PER_SIGMA**2)
        blocks.append(random_walk(name, "m2", slope * walk, 2.0 * variance * relative_sigma, variance))
    return blocks


def blur_observation(
    channel: str, pose: ConeBeam, source_marker_m: float, normal: tuple[float, float], psf_sigma_px: float
) -> Observation:
    """Square of a marker's blur [px²] along ``normal`` (u, v): ``((M_m - 1)/p)² (n_u² σ_u² + n_v² σ_v²) + psf²``.

    For a tilted wire the two axes mix: one scalar. The blur is σ of the edge beside the pixel aperture, of a Gaussian.

    Notes
    -----
    The detector's blur is taken as known. What it grows by is taken for a growing spot, unless two markers at different
    distances see both. Motion within an exposure blurs the marker as well.

    Examples
    --------
    >>> ct = ConeBeam(10e-3, 500e-3, 50e-6)
    >>> blur_observation("ball_blur_u", ct, 10e-3, (1.0, 0.0), 1.0).constant
    1.0
    """
    gain = (pose.source_detector_m / source_marker_m - 1.0) / pose.pixel_m
    terms = tuple((name, (gain * n) ** 2) for name, n in zip(SPOT, normal, strict=True) if n != 0.0)
    return Observation(channel, terms, constant=psf_sigma_px**2, step_states=tuple(name for name, _ in terms))


def blur_reading(blur_px: float, sigma_px: float, usual_px: float) -> tuple[float, float]:
    """Square of a blur without its bias, and the variance of that: ``b² - σ²``, ``4 B² σ² + 2 σ⁴``.

    B is the channel's usual blur, not b itself: a reading that happens to be small would otherwise count as exact, and
    pull the mean down by 4 σ²/b².

    Examples
    --------
    >>> z, variance = blur_reading(3.0, 0.1, 3.0)
    >>> round(z, 2), round(variance**0.5, 3)
    (8.99, 0.6)
    """
    return blur_px**2 - sigma_px**2, 4.0 * usual_px**2 * sigma_px**2 + 2.0 * sigma_px**4


def fwhm_interval(variance_m2: float, sigma_m2: float, z: float = 1.96) -> tuple[float, float]:
    """Interval of the FWHM [m] from that of the variance, which is the Gaussian one."""
    low, high = variance_m2 - z * sigma_m2, variance_m2 + z * sigma_m2
    return float(FWHM_PER_SIGMA * np.sqrt(max(low, 0.0))), float(FWHM_PER_SIGMA * np.sqrt(max(high, 0.0)))


def fwhm(variance_m2: float, sigma_m2: float) -> tuple[float, float]:
    """FWHM [m] and its σ: half the interval of ±1 σ of the variance, which doesn't grow beyond bounds near 0.

    Examples
    --------
    >>> width, sigma = fwhm(1e-12, 1e-14)
    >>> round(width * 1e6, 4), round(sigma / width, 4)
    (2.3548, 0.005)
    """
    low, high = fwhm_interval(variance_m2, sigma_m2, 1.0)
    return float(FWHM_PER_SIGMA * np.sqrt(max(variance_m2, 0.0))), 0.5 * (high - low)


def object_plane_gain(pose: ConeBeam) -> float:
    """Blur variance in the object plane per spot variance: ``((M - 1)/M)²``."""
    return ((pose.magnification - 1.0) / pose.magnification) ** 2


def spot_states(names: tuple[str, ...]) -> Array:
    """Indices of the spot's states, along u and v; empty where the spot is taken as stated."""
    return np.array([names.index(name) for name in SPOT if name in names], dtype=int)
