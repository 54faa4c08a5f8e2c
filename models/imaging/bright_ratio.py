"""The ratio of two bright images, split into flux, shading and structure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from models.estimate import Array, ModelError
from models.imaging.blocks import Blocks, beyond_noise
from models.imaging.bright_change import TERMS, BrightChange, shading_shapes
from models.imaging.light import Light
from models.imaging.shared_noise import shared_noise
from models.imaging.spot_search import find_spot_change

MOST_BLOCKS = 32  # along the longer side
FEWEST_BLOCKS = 8  # along the shorter side, where the window has so many pixels
LEAST_SIDE = 4  # px; smaller blocks share a scintillator's noise with their neighbours
COUNTS = 400.0  # least photons in a block: a ratio of fewer is skewed
OUTLIER = 8.0  # robust σ; a pixel whose ratio is that far from its block's is faulty in one of the images
SMALL = 3  # px; in smaller blocks a faulty pixel isn't told by the block's median
LEAST_NOISE = 1e-9  # of the counts: an image against itself has none
ROUGHNESS = 6.0  # variance of the noise's mean square times the differences it is from, which share blocks (simulated)


def bright_ratio(
    image: NDArray[Any], reference: NDArray[Any], light: Light, frames: int = 1, reference_frames: int = 1
) -> BrightChange:
    """Split the ratio of two bright images into flux, shading and structure.

    The detector's gain, dead pixels and everything that stands still cancel in the ratio. It is taken of sums over
    blocks of pixels and fitted by weighted least squares: a mean, Legendre polynomials to the second order, and,
    where the rest says so, a second spot (:mod:`models.imaging.spot_search`), together.

    Parameters
    ----------
    image, reference : (rows, columns) arrays
        Raw counts, or their mean over several frames.
    light : Light
        Its dark image, dead pixels, full scale and variance per count; its flat image is not used.
    frames, reference_frames : int
        How many frames each is the mean of.

    Notes
    -----
    σ comes from second differences between neighbouring blocks, which shading and a wide second spot don't touch,
    from the noise that neighbouring pixels share, and from the light's variance per count where that is stated and
    the differences don't say more. Structure finer than two blocks counts as noise. Markers, collimator edges and
    other things in the beam move with the spot and look like structure: give a window without them. Light that falls
    differently on an afterglowing or saturating detector is shading or structure here.

    Raises
    ------
    ModelError
        The images differ in shape, or half of the pixels can't be used.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> u = np.linspace(-1, 1, 80)
    >>> first, then = rng.poisson(1e4, (60, 80)), rng.poisson(1.02e4 * (1 + 0.003 * u), (60, 80))
    >>> change = bright_ratio(then, first, Light.plain((60, 80), variance_per_count=1.0))
    >>> [round(x, 4) for x in (change.factor, change.factor_sigma, *change.tilt[0])]
    [1.0201, 0.0002, 0.0049, 0.0007]
    """
    if image.shape != reference.shape or image.shape != light.dark.shape:
        raise ModelError(
            f"bright images of {image.shape} and {reference.shape} pixels, the window has {light.dark.shape}; "
            "give the same region"
        )
    good = ~light.dead & (image < light.full_scale) & (reference < light.full_scale)
    good &= np.isfinite(image) & np.isfinite(reference)
    over, under = np.where(good, image - light.dark, 0.0), np.where(good, reference - light.dark, 0.0)
    known = math.isfinite(light.variance_per_count)
    per_count = light.variance_per_count if known else 1.0
    side = _side(image.shape, float(np.median(under[good])) / per_count if good.any() else 0.0)
    if good.any():
        good &= ~_faulty(over, under, good, side)
    if 2 * np.count_nonzero(good) < good.size:
        raise ModelError(
            "more than half of the bright image's pixels are dead, saturated or at odds with the other image"
        )
    blocks = Blocks.of((image.shape[0], image.shape[1]), side)
    pixels = blocks.sum(good.astype(float))
    sums = blocks.sum(np.where(good, over, 0.0)), blocks.sum(np.where(good, under, 0.0))
    full = (pixels >= 0.5 * blocks.side**2) & (sums[0] > 0) & (sums[1] > 0)
    if np.count_nonzero(full) < 2 * len(TERMS):
        raise ModelError("too few pixels of the bright images can be compared; give a larger window")
    read = np.where(full, light.read_variance * pixels, np.nan)
    u, v = blocks.middles()
    # a single row of blocks tells no shading along v
    told = [k for k, (i, j) in enumerate(TERMS) if i < blocks.count[1] and j < blocks.count[0]]
    base = _base(u, v, image.shape)[[0, *(k + 1 for k in told)]]
    seen = full.ravel()
    spot = None
    for _ in range(2):  # again without the spot, once it is known: its slopes are not noise
        ratio, sigma = _ratio(sums, read, per_count, frames, reference_frames)
        usual = float(np.nanmedian(ratio))
        blocks_hump = 0.0 if spot is None else usual * spot.field(u, v)
        excess, unsure = _roughness(ratio - blocks_hump, sigma)
        pixels_hump = 0.0 if spot is None else spot.field(*(np.arange(n, dtype=float) for n in image.shape[::-1]))
        rest = np.where(good, over - usual * under * (1.0 + pixels_hump), np.nan)
        variance = per_count * (np.abs(over) / frames + usual**2 * np.abs(under) / reference_frames)
        variance += light.read_variance * (1.0 / frames + usual**2 / reference_frames)
        shared, shared_unsure = _shared(rest, variance, known)
        if shared > max(excess, 1.0 if known else 0.0):
            excess, unsure = shared, shared_unsure
        elif known and excess < 1.0 + 3.0 * unsure:
            excess, unsure = 1.0, 0.0
        excess = max(excess, LEAST_NOISE)
        noise = per_count * excess
        ratio, sigma = _ratio(sums, read * excess, noise, frames, reference_frames)
        level, cov = _fit(base[:, seen], ratio.ravel()[seen], sigma.ravel()[seen])
        rest = (ratio - (level @ base).reshape(ratio.shape)) / level[0]
        spread = sigma / level[0]
        spot = find_spot_change(np.where(full, rest, 0.0), np.where(full, spread, np.inf), base, (u, v))
        if spot is None:
            break
    structure = beyond_noise(rest[full], spread[full], unsure / excess)
    if spot is not None:
        # what the spot took part in belongs to it: mean and shading are fitted beside it
        without = ratio - level[0] * spot.field(u, v)
        both = np.concatenate([base, level[0] * spot.slopes(u, v).reshape(len(spot.p), -1)])
        level, cov = _fit(both[:, seen], without.ravel()[seen], sigma.ravel()[seen])
        level, cov = level[: len(base)], cov[: len(base), : len(base)]
    by = np.concatenate([-level[1:, None] / level[0] ** 2, np.eye(len(told)) / level[0]], axis=1)
    shading, shading_cov = np.zeros(len(TERMS)), np.zeros((len(TERMS), len(TERMS)))
    shading[told] = level[1:] / level[0]
    shading_cov[np.ix_(told, told)] = by @ cov @ by.T
    return BrightChange(
        float(level[0]),
        math.sqrt(float(cov[0, 0])),
        shading,
        shading_cov,
        structure,
        float(np.nanmedian(spread)),
        excess if known else math.nan,
        spot,
        float(np.count_nonzero(good) / good.size),
    )


def _ratio(
    sums: tuple[Array, Array], read: Array, per_count: float, frames: int, reference_frames: int
) -> tuple[Array, Array]:
    """Ratio of the sums and its σ, per block; ``nan`` where ``read``, the variance of a frame's reading noise, is.

    ``a/(b + 1)`` of photons a, b has no bias where a/b has one of 1/b; σ follows from a + b alone, which doesn't know
    their ratio: weights that did would pull the mean down.
    """
    one, other = per_count / frames, per_count / reference_frames
    photons = sums[0] / one, sums[1] / other
    told = np.isfinite(read)
    share = float(photons[0][told].sum() / (photons[0][told] + photons[1][told]).sum())
    total = np.where(told, photons[0] + photons[1], np.nan)
    expected = total * share, total * (1.0 - share)
    relative = 1.0 / expected[0] + 1.0 / expected[1]
    relative += read / frames / (one * expected[0]) ** 2 + read / reference_frames / (other * expected[1]) ** 2
    usual = float(share / (1.0 - share) * one / other)
    return np.where(told, sums[0], np.nan) / (sums[1] + other), usual * np.sqrt(relative)


def _side(shape: tuple[int, ...], photons: float) -> int:
    """Side of a block: fine enough to see structure, coarse enough for its noise to be Gaussian and its own."""
    fine = max(1, min(LEAST_SIDE, min(shape) // FEWEST_BLOCKS))
    return max(fine, math.ceil(max(shape) / MOST_BLOCKS), math.ceil(math.sqrt(COUNTS / max(photons, 1e-9))))


def _faulty(over: Array, under: Array, good: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Pixels whose ratio stands out of their neighbours': faulty in one image and not in the other."""
    usual, level = np.median(over[good]), np.median(under[good])
    if not level > 0:
        return np.zeros_like(good)
    gain = np.sqrt(np.maximum(under, level) / level)
    apart = np.where(good, (over - usual / level * under) / gain, 0.0)  # noise that is alike for all pixels
    if side < SMALL:
        apart = apart - median_filter(apart, 5, mode="nearest")
    else:
        blocks = Blocks.of((over.shape[0], over.shape[1]), side)
        apart = apart - blocks.spread(np.median(blocks.split(apart), axis=-1))
    spread = 1.4826 * float(np.median(np.abs(apart[good])))
    return np.asarray(good & (np.abs(apart) > OUTLIER * max(spread, 1e-12)))


def _shared(rest: Array, variance: Array, known: bool) -> tuple[float, float]:
    """Noise of a block over the stated variance where neighbouring pixels surely share some, else 0; and its σ."""
    white = 1.0
    if not known:
        apart = rest / np.sqrt(np.maximum(variance, 1e-300))
        white = (1.4826 * float(np.nanmedian(np.abs(apart - np.nanmedian(apart))))) ** 2
    power = white * shared_noise(rest, white * variance)
    return (power, power * 10.0 / math.sqrt(np.count_nonzero(np.isfinite(rest)))) if power > white else (0.0, 0.0)


def _roughness(ratio: Array, sigma: Array) -> tuple[float, float]:
    """Variance of the noise over the expected one, from second differences of neighbouring blocks; and its σ.

    Mean square of those within 3 robust σ, and the part of a normal distribution's that this is.
    """
    found = []
    for axis in (0, 1):
        if ratio.shape[axis] < 3:
            continue
        bend = np.diff(ratio, 2, axis=axis)
        parts = [np.take(sigma**2, range(k, ratio.shape[axis] - 2 + k), axis=axis) for k in range(3)]
        usual = np.sqrt(parts[0] + 4.0 * parts[1] + parts[2])
        found.append((bend / usual)[np.isfinite(bend / usual)])
    values = np.concatenate(found) if found else np.zeros(0)
    if len(values) < 4:
        return 1.0, math.inf
    robust = 1.4826 * float(np.median(np.abs(values)))
    inside = np.abs(values) <= 3.0 * max(robust, 1e-12)
    power = float(np.mean(values[inside] ** 2)) / 0.9733
    return power, power * math.sqrt(ROUGHNESS / len(values))


def _base(u: Array, v: Array, shape: tuple[int, ...]) -> Array:
    """(1 + terms, blocks) array: one and the shading's polynomials at the blocks' middles."""
    rows, columns = shape
    across, down = np.meshgrid((2.0 * u - (columns - 1)) / columns, (2.0 * v - (rows - 1)) / rows)
    return np.concatenate([np.ones((1, across.size)), shading_shapes(across, down).reshape(len(TERMS), -1)])


def _fit(base: Array, values: Array, sigma: Array) -> tuple[Array, Array]:
    weighted = base / sigma**2
    cov = np.linalg.pinv(weighted @ base.T, rcond=1e-13, hermitian=True)
    return cov @ (weighted @ values), np.asarray(cov, dtype=float)
