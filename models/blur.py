"""Resolution in the object plane: static budget, drift histories, and where contrast falls to 10 %.

Convention of every number here: spatial frequency at which the modulation transfer falls to 10 % (``f10``, line pairs per
metre) and half its period (``half_pitch``), in the object plane, on the rotation axis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from models.estimate import Array, ModelError
from models.geometry import ConeBeam

CONVENTION = "half-pitch at 10 % MTF in the object plane, on the axis"
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
TEN_PERCENT_PER_FWHM = np.sqrt(np.log(10.0) / np.log(2.0))  # full width at 10 % of the peak, 1.823 FWHM
WEDGE_DEG = 10.0
GRID = 2049  # frequencies at which a first crossing is looked for
SINC_TEN_PERCENT = 0.908  # sinc(0.9079) = 0.1: beyond it an aperture alone has less than 10 % (to the first zero)


@dataclass(frozen=True, slots=True)
class Resolution:
    """A resolution with the words that make it a number.

    Attributes
    ----------
    f10_lp_per_mm : float
        Frequency of 10 % MTF [line pairs/mm].
    half_pitch10_um : float
        Half its period [µm].
    fwhm_um : float
        FWHM of the Gaussian with the same f10 [µm].
    convention : str
    """

    f10_lp_per_mm: float
    half_pitch10_um: float
    fwhm_um: float
    convention: str = CONVENTION

    @classmethod
    def of(cls, f10_per_m: float) -> Resolution:
        """From f10 in line pairs per metre.

        Examples
        --------
        >>> round(Resolution.of(0.804 / 0.5e-6).half_pitch10_um, 3)
        0.311
        """
        return cls(f10_per_m * 1e-3, 0.5e6 / f10_per_m, 0.804 / f10_per_m * 1e6)


@dataclass(frozen=True, slots=True)
class SecondSpot:
    """A weaker focal spot beside the main one.

    Attributes
    ----------
    part : float
        Of all light, 0 … 1.
    spot_m : float
        Its blur as σ in the object plane [m].
    u_m, v_m : float
        How far its image of the object lies from that by the main one, in the object plane [m].
    """

    part: float
    spot_m: float
    u_m: float
    v_m: float


@dataclass(frozen=True, slots=True)
class Budget:
    """Static blur, terms as σ in the object plane [m], and the pixel aperture in the object plane [m]."""

    spot_m: float
    detector_m: float
    stage_m: float
    vibration_m: float
    aperture_m: float
    second: SecondSpot | None = None

    @property
    def spots(self) -> tuple[tuple[float, Budget, float, float], ...]:
        """Part of the light, budget of a single spot, and where its image lies along u and v [m], for each spot."""
        if self.second is None:
            return ((1.0, self, 0.0, 0.0),)
        two, main = self.second, replace(self, second=None)
        return ((1.0 - two.part, main, 0.0, 0.0), (two.part, replace(main, spot_m=two.spot_m), two.u_m, two.v_m))

    @property
    def sigma_m(self) -> float:
        """Gaussian core: root of the sum of squares [m]."""
        return float(np.sqrt(self.spot_m**2 + self.detector_m**2 + self.stage_m**2 + self.vibration_m**2))


def static_budget(
    pose: ConeBeam,
    spot_fwhm_m: float,
    detector_sigma_px: float,
    stage_m: float = 0.0,
    vibration_m: float = 0.0,
    second: tuple[float, float, float, float] | None = None,
) -> Budget:
    """Spot, detector, stage and vibration in the object plane.

    ``σ² = [σ_f (M-1)/M]² + [σ_d/M]² + stage² + vibration²`` (Gaussian core), aperture p/M. ``second``: part of the light of a
    second spot, its FWHM, and its place beside the main one along u and v [m], which moves the image by -(M-1)/M times that.

    Examples
    --------
    >>> ct = ConeBeam(0.5073e-3, 42.99e-3, 50e-6)
    >>> budget = static_budget(ct, 0.494e-6, 1.0)
    >>> round(budget.spot_m * 1e9), round(budget.detector_m * 1e9)
    (207, 590)
    """
    m = pose.magnification
    lever = (m - 1.0) / m
    two = None
    if second is not None:
        part, width, u, v = second
        two = SecondSpot(part, width / FWHM_PER_SIGMA * lever, -lever * u, -lever * v)
    return Budget(
        spot_fwhm_m / FWHM_PER_SIGMA * lever,
        detector_sigma_px * pose.pixel_m / m,
        stage_m,
        vibration_m,
        pose.pixel_m / m,
        two,
    )


def mtf(budget: Budget, f: Array, blur_var_m2: float = 0.0) -> Array:
    """Static MTF with additional Gaussian blur: ``exp(-2π²(σ² + var) f²) |sinc(f p/M)|``; f in line pairs/m.

    With a second spot, ``(1 - a) MTF1 + a MTF2 exp(2πi f δ)``: along the axis its modulus, in the plane, where opposite
    projections see it on either side, its real part; of both the lesser at each frequency.
    """
    if budget.second is None:
        return _single(budget, f, blur_var_m2)
    plane, axial = np.zeros(len(f)), np.zeros(len(f), complex)
    for part, spot, u, v in budget.spots:
        alone = part * _single(spot, f, blur_var_m2)
        plane += alone * np.cos(2.0 * np.pi * f * u)
        axial += alone * np.exp(2j * np.pi * f * v)
    return np.minimum(np.abs(plane), np.abs(axial))


def _single(budget: Budget, f: Array, blur_var_m2: float) -> Array:
    """Of one spot."""
    gauss = np.exp(-2.0 * np.pi**2 * (budget.sigma_m**2 + blur_var_m2) * f**2)
    return np.asarray(gauss * np.abs(np.sinc(f * budget.aperture_m)))


def f10(budget: Budget, blur_var_m2: float = 0.0) -> float:
    """First frequency where the MTF is 10 % [line pairs/m].

    Examples
    --------
    >>> point = Budget(1e-6, 0.0, 0.0, 0.0, 1e-12)
    >>> round(f10(point) * 1e-6, 4)
    0.3415
    """
    sigma2 = budget.sigma_m**2 + blur_var_m2
    top = SINC_TEN_PERCENT / budget.aperture_m
    if sigma2 > 0:
        top = min(top, np.sqrt(np.log(10.0) / (2.0 * np.pi**2 * sigma2)))

    if budget.second is not None:  # it may touch 10 % more than once
        grid = np.linspace(0.0, top, GRID)[1:]
        return crossing(grid, mtf(budget, grid, blur_var_m2), float(top))

    def excess(f: float) -> float:
        return float(mtf(budget, np.array([f]), blur_var_m2)[0]) - 0.1

    return float(top) if excess(top) >= 0 else float(brentq(excess, 1e-9 * top, top, rtol=1e-12))


def history_mtf(f: Array, x_m: Array) -> Array:
    """Modulation left by displacements x of the frames that are averaged, ``|mean_k exp(2πi f x_k)|``.

    Holds for a radiograph of any history, and for a tomogram along the rotation axis.
    """
    return np.asarray(np.abs(history_wave(f, x_m)))


def history_wave(f: Array, x_m: Array) -> NDArray[np.complex128]:
    """The same with its phase: where the mean of all images lies."""
    return np.asarray(np.exp(2j * np.pi * np.outer(f, x_m)).mean(axis=1))


def inplane_mtf(f: Array, x_m: Array, angle_rad: Array, normal_rad: float) -> Array:
    """Modulation of an in-plane edge with normal ``normal_rad`` in a tomogram.

    Mean over φ ± 10° of ``½[exp(2πi f x(φ)) + exp(-2πi f x(φ+π))]`` after the cos and sin components of x(angle), which
    only move the object, are removed. A scan that does not see both sides of a wedge (180°) uses the side it sees.
    Wrong near the edge of the field of view of a wide cone, where opposite rays are not parallel.
    """
    return np.asarray(np.abs(_inplane(f, x_m, angle_rad, normal_rad)))


def _inplane(f: Array, x_m: Array, angle_rad: Array, normal_rad: float) -> NDArray[np.complex128]:
    base = np.column_stack([np.cos(angle_rad), np.sin(angle_rad), np.ones_like(angle_rad)])
    fit = np.linalg.lstsq(base, x_m, rcond=None)[0]
    rest = x_m - base[:, :2] @ fit[:2]
    parts = []
    for sign, centre in ((1.0, normal_rad), (-1.0, normal_rad + np.pi)):
        near = np.abs((angle_rad - centre + np.pi) % (2 * np.pi) - np.pi) <= np.deg2rad(WEDGE_DEG)
        if near.any():
            parts.append(np.exp(sign * 2j * np.pi * np.outer(f, rest[near])).mean(axis=1))
    if not parts:
        raise ModelError("no projection within 10° of this edge's normal")
    return np.asarray(np.mean(parts, axis=0))


def tomogram_f10(
    budget: Budget, x_m: Array, angle_rad: Array, blur_var_m2: float = 0.0, axial: Budget | None = None
) -> float:
    """Worst f10 of a tomogram over eight in-plane edges and one along the axis [line pairs/m].

    Parameters
    ----------
    x_m : (N, 2) array
        Displacement of the image content in the object plane, u and v, per projection [m].
    angle_rad : (N,) array
    blur_var_m2 : float
        Blur variance from what is only known to σ [m²].
    axial : Budget, optional
        Static blur along the axis of rotation where it is another one than in the plane (a spot that is not round).
    """
    along = budget if axial is None else axial
    limit = max(f10(budget, blur_var_m2), f10(along, blur_var_m2))
    f = np.linspace(0.0, limit, 257)[1:]
    spots = [(part * _single(spot, f, blur_var_m2), u) for part, spot, u, _ in budget.spots]
    faces = [part * _single(spot, f, blur_var_m2) * history_wave(f, x_m[:, 1] + v) for part, spot, _, v in along.spots]
    curves = [np.abs(np.sum(faces, axis=0))]
    for normal in np.arange(8) * np.pi / 4.0:
        near = np.abs((angle_rad - normal + np.pi / 2) % np.pi - np.pi / 2) <= np.deg2rad(WEDGE_DEG)
        if near.any():
            seen = [alone * _inplane(f, x_m[:, 0] + u, angle_rad, float(normal)) for alone, u in spots]
            curves.append(np.abs(np.sum(seen, axis=0)))
    return min(crossing(f, curve, limit) for curve in curves)


def crossing(f: Array, curve: Array, limit: float) -> float:
    """First frequency at which a modulation falls to 10 %, linear between its values; ``limit`` where it never does."""
    below = np.flatnonzero(curve < 0.1)
    if below.size == 0:
        return limit
    k = int(below[0])
    before = (0.0, 1.0) if k == 0 else (float(f[k - 1]), float(curve[k - 1]))
    part = (before[1] - 0.1) / (before[1] - float(curve[k]))
    return before[0] + part * (float(f[k]) - before[0])


def unknown_blur_var(cov: Array) -> float:
    """Blur variance of what is only known with covariance C over N projections: ``tr(C)/N - 1'C1/N²``.

    A common error is a shift, not a blur.

    Examples
    --------
    >>> unknown_blur_var(np.ones((5, 5)))
    0.0
    """
    n = len(cov)
    return float(max(np.trace(cov) / n - cov.sum() / n**2, 0.0))
