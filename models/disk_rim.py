"""How sharp a disk's rim is in a tomogram whose projections were displaced: filtered backprojection, solved for that edge.

The pairing of opposite projections (:func:`models.blur.inplane_mtf`) takes each edge for straight and for seen by the two
projections along it alone. A rim of finite radius is seen by all within some degrees, and a jump between two projections
(a step, or the end of a scan that has drifted) draws a streak along the edge there. Both are in here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from models.blur import WEDGE_DEG, Budget, crossing, history_wave
from models.disk_kernel import add_line_spread
from models.estimate import Array

PER_PIXEL = 8  # nodes of the filtered projection, per pixel aperture or σ of the blur, whichever is less
ALONG = 11  # places along the rim within a wedge
REACH_PX = 9.0  # apertures to either side of the rim that its response is taken over, at least
REACH_SIGMA = 5.0  # and in standard deviations of blur and displacement together
TAPER = 0.25  # power of a Hann window over that reach
FREQUENCIES = 1201


@dataclass(frozen=True, slots=True)
class FilteredDisk:
    """Ramp-filtered projection of a disk of unit density, blurred, on a grid.

    ``q(t) = 1`` for |t| < R and ``1 - |t|/√(t² - R²)`` outside (the Hilbert transform of the projection's derivative,
    Kak and Slaney 1988, section 3.3), convolved with the static blur and the interpolation of the backprojection.

    Attributes
    ----------
    radius_m : float
    first_m, step_m : float
        Of the grid.
    slope : (K,) array
        Derivative dq/dt at its nodes [1/m].
    """

    radius_m: float
    first_m: float
    step_m: float
    slope: Array

    @classmethod
    def of(cls, budget: Budget, radius_m: float, reach_m: float, blur_var_m2: float = 0.0) -> FilteredDisk:
        """Of a static budget.

        Parameters
        ----------
        radius_m : float
            Of the disk [m].
        reach_m : float
            How far beyond the rim it is needed [m].
        blur_var_m2 : float
            Blur variance beside the budget's [m²].
        """
        sigma = float(np.sqrt(budget.sigma_m**2 + blur_var_m2))
        # as fine as the narrower of the two blurs asks for, down to a quarter of the wider one
        wide, narrow = max(budget.aperture_m, sigma), min(budget.aperture_m, sigma)
        step = max(narrow, wide / 4.0) / PER_PIXEL
        half = int(np.ceil((radius_m + reach_m) / step)) + 1
        edges = (np.arange(2 * half + 1) - half) * step
        outside = np.maximum(np.abs(edges) - radius_m, 0.0)
        beyond = np.sqrt(outside * (np.abs(edges) + radius_m))
        integral = edges - np.sign(edges) * beyond  # of q from 0
        q = np.diff(integral) / step
        n = next_fast_len(2 * len(q), True)
        f = np.fft.rfftfreq(n, step)
        blur = np.exp(-2.0 * np.pi**2 * sigma**2 * f**2) * np.sinc(f * budget.aperture_m) ** 3
        padded = np.pad(q, (0, n - len(q)), mode="edge")
        padded[len(q) :] = q[-1] + (q[0] - q[-1]) * np.linspace(0.0, 1.0, n - len(q))
        smooth = irfft(rfft(padded) * blur, n)[: len(q)]
        return cls(radius_m, float(edges[0]) + step, step, np.diff(smooth) / step)


def rim_f10(
    budget: Budget,
    x_m: Array,
    angle_rad: Array,
    normals_rad: Array,
    radius_m: float,
    blur_var_m2: float = 0.0,
    source_object_m: float = np.inf,
) -> Array:
    """First frequency at which the modulation of a disk's rim is 10 %, for each normal [line pairs/m].

    The rim within ±10° of a normal is averaged by distance, as ASTM E1695 does; ``d/dr`` of the reconstruction
    ``f(r, φ) = mean_θ q(r cos(φ - θ) - x(θ))`` is its line spread. The sine and cosine parts of x are removed: they only move
    the disk.

    Parameters
    ----------
    budget : Budget
        The pixel aperture counts once for the pixel and twice for a linear interpolation of projections.
    x_m : (N,) array
        Displacement of the image content in the object plane along u [m].
    angle_rad : (N,) array
        Of the projections, over a full turn in even steps.
    normals_rad : (K,) array
        Directions in which edges look: the angles at which u lies along them.
    radius_m : float
        Of the disk [m].
    blur_var_m2 : float
        Blur variance of what is only known to σ [m²].
    source_object_m : float
        Source to axis [m]; infinite for parallel rays.

    Notes
    -----
    Rays of a cone are taken to parallel ones without their weights: right where it is narrow across the disk. Where the
    projections are so few that their streaks show, those are in the result.

    Examples
    --------
    >>> sharp = Budget(1e-6, 0.0, 0.0, 0.0, 1e-12)
    >>> still = rim_f10(sharp, np.zeros(720), np.arange(720) * np.pi / 360, np.array([0.3]), 100e-6)
    >>> round(float(still[0]) * 1e-6, 2)
    0.35
    """
    base = np.column_stack([np.cos(angle_rad), np.sin(angle_rad), np.ones_like(angle_rad)])
    fit = np.linalg.lstsq(base, x_m, rcond=None)[0]
    fan = float(np.arcsin(radius_m / source_object_m))
    middle = np.cos(fan) * base[:, :2] @ fit[:2]  # where the disk's own middle is seen
    rest = x_m - base[:, :2] @ fit[:2]
    wide = max(spot.sigma_m**2 + u**2 for _, spot, u, _ in budget.spots)
    spread = np.sqrt(wide + blur_var_m2 + float(np.mean(rest**2)))
    reach = max(REACH_PX * budget.aperture_m, REACH_SIGMA * float(spread) + float(np.ptp(rest)) / 2.0)
    turn = np.mod(angle_rad - angle_rad[0], 2.0 * np.pi)
    order = np.argsort(turn)
    turn, x, middle = turn[order], x_m[order], middle[order]
    far = 1.5 * reach + float(np.abs(x_m).max())
    disks = [(part, FilteredDisk.of(spot, radius_m, far + abs(u), blur_var_m2), u) for part, spot, u, _ in budget.spots]
    sigma = float(np.sqrt(budget.sigma_m**2 + blur_var_m2))
    step = max(min(budget.aperture_m, sigma), max(budget.aperture_m, sigma) / 4.0) / 4.0
    d = np.arange(-np.ceil(reach / step), np.ceil(reach / step) + 1) * step
    window = np.cos(0.5 * np.pi * d / (d[-1] + step)) ** (2.0 * TAPER)
    narrow = np.sqrt(float(spread) ** 2 - wide + budget.sigma_m**2)
    f = np.linspace(0.0, 0.6 / max(budget.aperture_m, float(narrow)) * 2.0, FREQUENCIES)
    waves = np.exp(-2j * np.pi * np.outer(f, d))
    out = []
    for normal in normals_rad:
        line = np.zeros_like(d)
        for phi in normal + np.deg2rad(WEDGE_DEG) * np.linspace(-1.0, 1.0, ALONG):
            # parallel rays at angle α and distance t are the cone's from the stage's angle α - asin(t/SOD)
            towards = np.cos(phi - angle_rad[order])
            seen = np.mod(turn - np.arcsin(radius_m / source_object_m * towards), 2.0 * np.pi)
            moved = np.interp(seen, turn, x) - middle
            for part, disk, u in disks:
                alone = np.zeros_like(d)
                add_line_spread(disk.slope, disk.first_m, disk.step_m, radius_m, d, towards, moved + u, alone)
                line += part * alone
        line -= np.polyval(np.polyfit(d[np.abs(d) > 0.66 * reach], line[np.abs(d) > 0.66 * reach], 0), d)
        modulus = np.abs(waves @ (line * window))
        modulus /= modulus[0]
        out.append(crossing(f, modulus, float(f[-1])))
    return np.array(out)


def axial_f10(budget: Budget, x_m: Array, blur_var_m2: float = 0.0) -> float:
    """The same of a face across the axis: all projections take part in it alike [line pairs/m].

    ``|mean_k exp(2πi f x_k)|`` times the static modulation and that of the linear interpolation. Right near the plane of the
    source; elsewhere a cone beam blurs faces by itself.

    Parameters
    ----------
    x_m : (N,) array
        Displacement along v [m].

    Examples
    --------
    >>> round(axial_f10(Budget(1e-6, 0.0, 0.0, 0.0, 1e-12), np.zeros(9)) * 1e-6, 3)
    0.342
    """
    spread = float(np.sqrt(budget.sigma_m**2 + blur_var_m2))
    f = np.linspace(0.0, 1.2 / max(budget.aperture_m, spread), FREQUENCIES)
    modulation = np.zeros(len(f), complex)
    for part, spot, _, v in budget.spots:
        gauss = np.exp(-2.0 * np.pi**2 * (spot.sigma_m**2 + blur_var_m2) * f**2)
        modulation += part * gauss * history_wave(f, x_m + v)
    return crossing(f, np.abs(modulation * np.sinc(f * budget.aperture_m) ** 3), float(f[-1]))
