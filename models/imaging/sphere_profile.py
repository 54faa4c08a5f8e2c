"""Radial profile of a sphere's shadow behind blur and pixel, with its derivatives, on a fine grid of radii.

The attenuation of a sphere of radius R and attenuation coefficient κ [1/px] in a parallel beam (Beer and Lambert; the chord
is ``2 √(R² - r²)``) is ``1 - exp(-2 κ √(R² - r²))``. A Gaussian of standard deviation σ makes of it, by the plane
convolution in polar coordinates,

    S(ρ) = ∫₀^R (1 - e^{-2κz}) exp(-(ρ² + r²)/2σ²) I₀(ρr/σ²) r dr/σ²,   z = √(R² - r²)

taken with r = R sin θ, which leaves no square root, by Gauss and Legendre's rule. The mean over a square pixel of a function
of ρ alone has the symmetry of the square: ``A₀(ρ) + A₄(ρ) cos 4φ + …``. A₀ and A₄ are taken from two directions
(φ = π/16 and 3π/16, where cos 8φ = 0 and the mean of cos 4φ and of cos 12φ is 0); terms from cos 8φ on are left out.
The variance of the blur acts by the heat equation, ``∂S/∂σ² = ½ ∇²S``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FAST = {"contract", "reassoc"}
PER_PX = 32  # nodes per pixel; between them a parabola about the nearest
NARROWEST_PX = 0.25  # σ below which the profile is continued along its tangent in σ²: the pixel hides the rest
ATTENUATION, SLOPE, HALF_CURVATURE, FOURFOLD, BY_RADIUS, BY_VARIANCE, BY_OPACITY = range(7)
WIDTH = 8  # a node fills one line of the cache
TAIL = 4.5  # σ beyond the edge where the shadow ends: 3e-6 of its depth
PANEL_SIGMA, ORDER, APERTURE = 4.0, 8, 5
NODES, WEIGHTS = np.polynomial.legendre.leggauss(ORDER)
ACROSS, SHARE = np.polynomial.legendre.leggauss(APERTURE)


@njit(cache=True, nogil=True, error_model="numpy")
def _bessel(x):
    """e^-x I₀(x) for x ≥ 0 within 2e-7 (Abramowitz & Stegun 1964, 9.8.1 and 9.8.2)."""
    if x < 3.75:
        t = (x / 3.75) ** 2
        series = 0.0045813
        for c in (0.0360768, 0.2659732, 1.2067492, 3.0899424, 3.5156229, 1.0):
            series = series * t + c
        return series * np.exp(-x)
    t = 3.75 / x
    series = 0.00392377
    for c in (-0.01647633, 0.02635537, -0.02057706, 0.00916281, -0.00157565, 0.00225319, 0.01328592, 0.39894228):
        series = series * t + c
    return series / np.sqrt(x)


@njit(cache=True, nogil=True, error_model="numpy")
def _blurred(count, radius, sigma, kappa):
    """S and what it gains per radius and per ln κ, at ``count`` radii 0, 1/PER_PX, …: (count, 3)."""
    panels = int(np.ceil(0.5 * np.pi * radius / (PANEL_SIGMA * sigma))) + 1
    half = 0.25 * np.pi / panels
    many = panels * ORDER
    at, weight = np.empty(many), np.empty((many, 3))
    for p in range(panels):
        for q in range(ORDER):
            theta = half * (2 * p + 1 + NODES[q])
            z, k = radius * np.cos(theta), p * ORDER + q
            passed = np.exp(-2.0 * kappa * z)
            at[k] = radius * np.sin(theta)
            area = half * WEIGHTS[q] * at[k] / sigma**2
            weight[k, 0] = area * z * -np.expm1(-2.0 * kappa * z)
            weight[k, 1] = area * 2.0 * kappa * radius * passed
            weight[k, 2] = area * z * 2.0 * kappa * z * passed
    out = np.zeros((count, 3))
    first = 0
    for i in range(count):
        rho = i / PER_PX
        while first < many and at[first] < rho - 7.0 * sigma:
            first += 1
        for k in range(first, many):
            apart = (at[k] - rho) / sigma
            if apart > 7.0:
                break
            kernel = np.exp(-0.5 * apart * apart) * _bessel(rho * at[k] / sigma**2)
            for c in range(3):
                out[i, c] += weight[k, c] * kernel
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _differentiate(values, slope, half_curvature):
    """Derivatives by ρ of an even function on the grid that is 0 beyond its end, to fourth order."""
    n = len(values)
    for i in range(n):
        a, b = values[abs(i - 2)], values[abs(i - 1)]
        c, d = values[i + 1] if i + 1 < n else 0.0, values[i + 2] if i + 2 < n else 0.0
        slope[i] = (8.0 * (c - b) - (d - a)) * (PER_PX / 12.0)
        half_curvature[i] = (16.0 * (b + c) - (a + d) - 30.0 * values[i]) * (PER_PX * PER_PX / 24.0)


@njit(cache=True, nogil=True, error_model="numpy")
def profile(radius, variance, kappa):
    """Tabulate the shadow: one row per radius 0, 1/PER_PX, … with the columns named above.

    Parameters
    ----------
    radius : float
        R [px].
    variance : float
        σ² of the blur beside the pixel [px²]; below ``NARROWEST_PX``² the profile is continued along its tangent.
    kappa : float
        Attenuation coefficient [1/px].

    Returns
    -------
    (nodes, WIDTH) array
        A₀, its slope and half its second derivative; A₄/ρ⁴; derivatives of A₀ by R, by σ² and by ln κ.
    """
    sigma = np.sqrt(max(variance, NARROWEST_PX**2))
    count = int((radius + TAIL * sigma + 1.0) * PER_PX) + 2
    wide = count + PER_PX
    bare = _blurred(wide, radius, sigma, kappa)
    slope, half_curvature = np.empty(wide), np.empty(wide)
    _differentiate(bare[:, 0], slope, half_curvature)
    table = np.zeros((count, WIDTH))
    for i in range(count):
        rho = i / PER_PX
        for way in range(2):
            x, y = rho * np.cos((2 * way + 1) * np.pi / 16.0), rho * np.sin((2 * way + 1) * np.pi / 16.0)
            mean = 0.0
            for a in range(APERTURE):
                for b in range(APERTURE):
                    share = 0.25 * SHARE[a] * SHARE[b]
                    r = np.sqrt((x + 0.5 * ACROSS[a]) ** 2 + (y + 0.5 * ACROSS[b]) ** 2)
                    k = int(r * PER_PX + 0.5)
                    beside = r - k / PER_PX
                    mean += share * (bare[k, 0] + beside * (slope[k] + beside * half_curvature[k]))
                    table[i, BY_RADIUS] += 0.5 * share * bare[k, 1]
                    table[i, BY_OPACITY] += 0.5 * share * bare[k, 2]
            table[i, ATTENUATION] += 0.5 * mean
            table[i, FOURFOLD] += (1 - 2 * way) * mean / np.sqrt(2.0)
    table[count - 1] = 0.0
    _differentiate(table[:, ATTENUATION], table[:, SLOPE], table[:, HALF_CURVATURE])
    for i in range(count):
        rho = i / PER_PX
        # A₄ rises as ρ⁴; nearer to the centre than half a pixel rounding would be all of the quotient
        table[i, FOURFOLD] /= max(rho, 0.5) ** 4
        bend = table[i, HALF_CURVATURE]
        table[i, BY_VARIANCE] = bend + (0.5 * table[i, SLOPE] / rho if i else bend)
    beyond = variance - sigma * sigma
    if beyond < 0.0:
        for i in range(count):
            table[i, ATTENUATION] += beyond * table[i, BY_VARIANCE]
        _differentiate(table[:, ATTENUATION], table[:, SLOPE], table[:, HALF_CURVATURE])
    return table
