"""Compiled loops of a straight edge: a blurred step as pixels see it, its fit's normal equations, binning across it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

PARAMETERS = 7  # offset, angle, blur variance, low level, step, relative gradients along u and v
THIN = 1e-3  # px; an aperture this narrow along the normal is none
REACH = 8.0  # blurs; beyond, a Gaussian step is a plateau to 1e-15
ROOT_HALF = math.sqrt(0.5)
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


@njit(cache=True, nogil=True, error_model="numpy")
def step_at(x, sigma, wide, narrow):
    """Blurred unit step at x averaged over a pixel, with its first and second derivative.

    The pixel, projected on the normal, is a box of ``wide`` convolved with one of ``narrow`` (wide ≥ narrow); the
    averages are differences of the repeated integrals of the normal distribution Φ: ``F1 = x Φ + σ φ``, ``F2 = ½ [(x²
    + σ²) Φ + x σ φ]`` (arguments x/σ).
    """
    edge = 0.5 * (wide + narrow) + REACH * sigma
    if x <= -edge:
        return 0.0, 0.0, 0.0
    if x >= edge:
        return 1.0, 0.0, 0.0
    value = slope = bend = 0.0
    if narrow < THIN:
        for k in range(2):
            sign = 1.0 - 2.0 * k
            y = x + sign * 0.5 * wide
            phi = DENSITY * math.exp(-0.5 * (y / sigma) ** 2)
            cumulative = 0.5 * math.erfc(-y / sigma * ROOT_HALF)
            value += sign * (y * cumulative + sigma * phi)
            slope += sign * cumulative
            bend += sign * phi / sigma
        return value / wide, slope / wide, bend / wide
    for k in range(4):
        sign = 1.0 if k == 0 or k == 3 else -1.0
        half = 0.5 * (wide + narrow) if k == 0 or k == 3 else 0.5 * (wide - narrow)
        y = x + half if k < 2 else x - half
        phi = DENSITY * math.exp(-0.5 * (y / sigma) ** 2)
        cumulative = 0.5 * math.erfc(-y / sigma * ROOT_HALF)
        value += sign * 0.5 * ((y * y + sigma * sigma) * cumulative + y * sigma * phi)
        slope += sign * (y * cumulative + sigma * phi)
        bend += sign * cumulative
    area = wide * narrow
    return value / area, slope / area, bend / area


@njit(cache=True, nogil=True)
def step_profile(x, sigma, wide, narrow):
    """Values and slopes of :func:`step_at` for an array of places."""
    value, slope = np.empty(len(x)), np.empty(len(x))
    for i in range(len(x)):
        value[i], slope[i], _ = step_at(x[i], sigma, wide, narrow)
    return value, slope


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"}, error_model="numpy")
def normal_equations(image, gain, p, centre, noise):
    """Matrix, right side and χ² of one Gauss-Newton step.

    ``gain`` is 0 for pixels left out; a pixel's variance is ``(noise[0] + noise[1] · expected)/gain``, expected
    between the plateaus. ``centre`` (u, v) is where all coordinates are 0.
    """
    rows, columns = image.shape
    offset, low, step, by_u, by_v = p[0], p[3], p[4], p[5], p[6]
    sigma = math.sqrt(p[2])
    nu, nv = math.cos(p[1]), math.sin(p[1])
    wide, narrow = max(abs(nu), abs(nv)), min(abs(nu), abs(nv))
    bottom, top = min(low, low + step), max(low, low + step)
    matrix, right = np.zeros((PARAMETERS, PARAMETERS)), np.zeros(PARAMETERS)
    j = np.zeros(PARAMETERS)
    misfit = 0.0
    for r in range(rows):
        v = r - centre[1]
        for c in range(columns):
            if gain[r, c] <= 0.0:
                continue
            u = c - centre[0]
            value, slope, bend = step_at(nu * u + nv * v - offset, sigma, wide, narrow)
            shade = 1.0 + by_u * u + by_v * v
            level = low + step * value
            weight = gain[r, c] / (noise[0] + noise[1] * min(max(level, bottom), top))
            rest = image[r, c] - level * shade
            j[3] = shade
            j[4] = value * shade
            j[5] = level * u
            j[6] = level * v
            first = 3
            if slope > 0.0:  # on the plateaus only levels and gradients matter
                first = 0
                j[0] = -step * slope * shade
                j[1] = step * slope * shade * (nu * v - nv * u)
                j[2] = 0.5 * step * bend * shade
            misfit += weight * rest * rest
            for a in range(first, PARAMETERS):
                w = weight * j[a]
                right[a] += w * rest
                for b in range(first, a + 1):
                    matrix[a, b] += w * j[b]
    for a in range(PARAMETERS):
        for b in range(a):
            matrix[b, a] = matrix[a, b]
    return matrix, right, misfit


@njit(cache=True, nogil=True, error_model="numpy")
def residuals(image, gain, p, centre):
    """Distance across the edge and residual of every pixel, the gradient taken off; ``nan`` for pixels left out."""
    rows, columns = image.shape
    sigma = math.sqrt(p[2])
    nu, nv = math.cos(p[1]), math.sin(p[1])
    wide, narrow = max(abs(nu), abs(nv)), min(abs(nu), abs(nv))
    distance, rest = np.empty((rows, columns)), np.full((rows, columns), np.nan)
    for r in range(rows):
        for c in range(columns):
            u, v = c - centre[0], r - centre[1]
            d = nu * u + nv * v - p[0]
            distance[r, c] = d
            if gain[r, c] > 0.0:
                value, _, _ = step_at(d, sigma, wide, narrow)
                rest[r, c] = image[r, c] / (1.0 + p[5] * u + p[6] * v) - (p[3] + p[4] * value)
    return distance, rest


@njit(cache=True, nogil=True)
def binned(distance, values, weight, first, width, count):
    """Weighted sums per bin of ``width`` from ``first`` on: weights, weights times values; nan values are left out."""
    total, summed = np.zeros(count), np.zeros(count)
    flat_d, flat_v, flat_w = distance.ravel(), values.ravel(), weight.ravel()
    for i in range(len(flat_d)):
        if not math.isfinite(flat_v[i]):
            continue
        k = math.floor((flat_d[i] - first) / width)
        if 0 <= k < count:
            total[k] += flat_w[i]
            summed[k] += flat_w[i] * flat_v[i]
    return total, summed
