"""Finding a straight edge in a window by itself, and fitting its line by least squares to every pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, median_filter

from models.estimate import Array
from models.imaging.edge import StraightEdge
from models.imaging.edge_kernel import PARAMETERS, normal_equations, residuals
from models.imaging.light import Light

COARSE = 48  # blocks along the longer side in which an edge is looked for
SMALLEST_VARIANCE = 4e-4  # px²; a blur of 0.02 px is none
ROUNDS = 40
BAND_PX, BAND_SPREADS = 40.0, 15.0  # half width of the band about the edge that is fitted
CONVERGED = 1e-4  # of a pixel's χ²: a step of a hundredth of σ
ALIKE = 25  # pixels next in distance to the edge that a pixel is compared with
OUTLIER = 6.0  # σ; a pixel that far off (a cosmic ray, a pixel that went hot) is left out


def flattened(window: NDArray[Any], light: Light) -> tuple[Array, Array, float]:
    """Counts of average pixels, relative gain (0: left out), and the part of the pixels at full scale."""
    full = window >= light.full_scale
    out = light.dead | full | ~np.isfinite(window) | (light.flat <= 0)
    mean = float(light.flat[~out].mean()) if (~out).any() else 1.0
    gain = np.where(out, 0.0, light.flat / mean)
    image = np.where(out, 0.0, (window - light.dark) / np.where(out, 1.0, gain))
    return np.ascontiguousarray(image, dtype=float), np.ascontiguousarray(gain), float(full.mean())


def find_edge(image: Array, gain: Array, light: Light) -> tuple[StraightEdge, Array] | None:
    """Fit a blurred step to a flat-corrected window; None where none stands out of the noise.

    ``I(u, v) = [A + B E(d)] (1 + g_u u + g_v v)``; d is the distance from the line, E the integral of a Gaussian of σ
    averaged over the square pixel in the line's direction (exact, :func:`models.imaging.edge_kernel.step_at`).
    Levenberg's method, first on blocks of pixels, then on all; variances from the light, or, unknown, from the
    residuals of either side.

    Parameters
    ----------
    image, gain : (rows, columns) arrays
        From :func:`flattened`.
    light : Light

    Returns
    -------
    (StraightEdge, (rows, columns) array) or None
        The edge, and the gain of the pixels that took part: 0 for outliers and beyond a band about the edge.

    Notes
    -----
    Assumes one straight edge across the window. A line spread that isn't Gaussian, or lopsided, changes offset and
    blur but, in a window that the edge crosses evenly, not the angle.

    Examples
    --------
    >>> v, u = np.mgrid[:60, :50]
    >>> step = 300.0 + 600.0 * np.clip(u - 0.1 * v - 20.0, 0.0, 1.0)
    >>> edge, used = find_edge(gaussian_filter(step, 1.5), np.ones(step.shape), Light.plain(step.shape))
    >>> round(edge.angle_deg, 1), round(edge.blur[0], 1)
    (84.3, 1.5)
    """
    block = max(1, math.ceil(max(image.shape) / COARSE))
    small, small_gain = _blocks(image, gain, block)
    start = _first(small, small_gain)
    if start is None:
        return None
    flat_noise = (max(float(np.median(np.abs(small))), 1e-9) ** 2 * 1e-4, 0.0)
    p, _, _ = _fit(small, small_gain, start, _middle(small.shape), flat_noise)
    p[0] *= block
    p[2] = max(p[2] * block**2, 0.25)
    p[5:] /= block
    centre, small_centre = _middle(image.shape), _middle(small.shape)
    nu, nv = math.cos(p[1]), math.sin(p[1])
    moved = [c * block + (block - 1) / 2.0 - f for c, f in zip(small_centre, centre, strict=True)]
    p[0] += nu * moved[0] + nv * moved[1]
    known = math.isfinite(light.variance_per_count)
    noise = (light.read_variance, light.variance_per_count) if known else flat_noise
    if known and noise[0] <= 0.0:
        noise = (
            1e-3 * noise[1] * max(abs(p[3]) + abs(p[4]), 1e-9),
            noise[1],
        )  # a pixel that expects nothing still has a σ
    gain = _near(gain, p, centre)
    kept = gain
    for again in range(3):
        p, matrix, chi2 = _fit(image, kept, p, centre, noise)
        distance, rest = residuals(image, gain, p, centre)
        if not known:
            noise = _noise(distance, rest, kept, p)
        if again < 2:
            kept = _without_outliers(rest, gain, p, distance, noise)
    matrix, _, chi2 = normal_equations(image, kept, p, centre, noise)
    free = np.count_nonzero(kept) - PARAMETERS
    try:
        cov = np.linalg.inv(matrix)
    except np.linalg.LinAlgError:
        return None
    if free < 1 or not np.isfinite(cov).all() or np.any(np.diag(cov) <= 0.0):
        return None
    return StraightEdge(p, cov, centre, noise, float(chi2) / free if known else math.nan), kept


def _near(gain: Array, p: Array, centre: tuple[float, float]) -> Array:
    """Only pixels within a band about the edge: what lies further off says nothing of it, and may be something else."""
    band = max(BAND_PX, BAND_SPREADS * math.sqrt(p[2]))
    v = np.arange(gain.shape[0])[:, None] - centre[1]
    u = np.arange(gain.shape[1])[None, :] - centre[0]
    return np.where(np.abs(math.cos(p[1]) * u + math.sin(p[1]) * v - p[0]) < band, gain, 0.0)


def _middle(shape: tuple[int, ...]) -> tuple[float, float]:
    return (shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0


def _blocks(image: Array, gain: Array, size: int) -> tuple[Array, Array]:
    rows, columns = (n // size for n in image.shape)

    def summed(values: Array) -> Array:
        cut = values[: rows * size, : columns * size]
        return np.asarray(cut.reshape(rows, size, columns, size).sum(axis=(1, 3)))

    weight = summed(gain)
    return np.ascontiguousarray(summed(image * gain) / np.where(weight > 0, weight, 1.0)), weight


def _first(image: Array, gain: Array) -> Array | None:
    """Parameters to begin with: normal along the main axis of the smoothed gradients, the step that divides best."""
    if min(image.shape) < 4 or np.count_nonzero(gain) < 16:
        return None
    weight = gaussian_filter(gain, 1.5, mode="nearest")
    smooth = gaussian_filter(image * gain, 1.5, mode="nearest") / np.where(weight > 0, weight, 1.0)
    by_v, by_u = np.gradient(smooth)
    tensor = np.array([[(by_u**2).sum(), (by_u * by_v).sum()], [(by_u * by_v).sum(), (by_v**2).sum()]])
    normal = np.linalg.eigh(tensor)[1][:, 1]
    if normal @ (by_u.sum(), by_v.sum()) < 0:
        normal = -normal
    cu, cv = _middle(image.shape)
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    distance = (normal[0] * (u - cu) + normal[1] * (v - cv)).ravel()
    order = np.argsort(distance)
    w = gain.ravel()[order]
    below, part = np.cumsum(w), np.cumsum(w * image.ravel()[order])
    if not below[-1] > 0:
        return None
    above = below[-1] - below
    fair = (below > 0.02 * below[-1]) & (above > 0.02 * below[-1])
    low = part / np.where(below > 0, below, 1.0)
    high = (part[-1] - part) / np.where(above > 0, above, 1.0)
    between = np.where(fair, below * above * (high - low) ** 2, -1.0)  # variance between the two sides (Otsu 1979)
    k = int(np.argmax(between))
    step = high[k] - low[k]
    if not step > 0:
        return None
    return np.array([distance[order][k], math.atan2(normal[1], normal[0]), 4.0, low[k], step, 0.0, 0.0])


def _fit(
    image: Array, gain: Array, start: Array, centre: tuple[float, float], noise: tuple[float, float]
) -> tuple[Array, Array, float]:
    p, damping = start.copy(), 1e-3
    matrix, right, chi2 = normal_equations(image, gain, p, centre, noise)
    for _ in range(ROUNDS):
        try:
            step = np.linalg.solve(matrix + damping * np.diag(np.diag(matrix) + 1e-30), right)
        except np.linalg.LinAlgError:
            break
        new = p + step
        new[2] = min(max(new[2], SMALLEST_VARIANCE, 0.1 * p[2]), 10.0 * p[2])
        new[1] = p[1] + min(max(step[1], -0.2), 0.2)
        new_matrix, new_right, new_chi2 = normal_equations(image, gain, new, centre, noise)
        if not new_chi2 <= chi2:
            damping *= 8.0
            if damping > 1e8:
                break
            continue
        done = chi2 - new_chi2 < CONVERGED * new_chi2 / max(image.size, 1)
        p, matrix, right, chi2 = new, new_matrix, new_right, new_chi2
        damping = max(damping * 0.1, 1e-9)
        if done:
            break
    return p, matrix, float(chi2)


def _noise(distance: Array, rest: Array, gain: Array, p: Array) -> tuple[float, float]:
    """Variance on the dark and on the bright side, away from the edge, as a line through both."""
    away = 2.0 * math.sqrt(p[2]) + 1.0
    levels = []
    for side in (distance < -away, distance > away):
        use = side & (gain > 0)
        use = use if np.count_nonzero(use) >= 12 else gain > 0
        levels.append(float(np.mean(rest[use] ** 2 * gain[use])))
    low, step = float(p[3]), float(p[4])
    floor = 1e-12 * max(step * step, 1e-30)
    slope = (levels[1] - levels[0]) / step
    return max(levels[0], floor) - slope * low, slope


def _without_outliers(rest: Array, gain: Array, p: Array, distance: Array, noise: tuple[float, float]) -> Array:
    """Gain, 0 where a pixel stands out of those at the same distance from the edge: a wrong shape is no fault of a pixel."""
    used = np.flatnonzero(gain.ravel() > 0)
    order = used[np.argsort(distance.ravel()[used])]
    values = rest.ravel()[order]
    apart = np.abs(values - median_filter(values, ALIKE, mode="nearest"))
    expected = np.where(distance.ravel()[order] < 0, p[3], p[3] + p[4])
    apart /= np.sqrt(np.maximum(noise[0] + noise[1] * expected, 1e-30) / gain.ravel()[order])
    near = np.abs(distance.ravel()[order]) < 3.0 * math.sqrt(p[2]) + 2.0
    kept = gain.copy()
    for part in (near, ~near):
        if part.any():
            usual = max(float(np.median(apart[part])) / 0.6745, 1.0)
            kept.ravel()[order[part & (apart > OUTLIER * usual)]] = 0.0
    return kept
