"""Oracle: how others correct a slow drift of the source, as physics §9 of the plan has it; plain numpy.

Both look at a few images only, so they need no marker, and what happens between those images is interpolated.
"""

from __future__ import annotations

import numpy as np

IMAGES = 8


def opposite_pairs(time, position, degree=2, pairs=IMAGES, noise=lambda n: np.zeros(n)):
    """nabu's default model (its estimation of motion): pairs of images half a turn apart, drift a polynomial of time.

    time (N,), position (callable: time → position); a scan of one turn, pairs at k/8 of its first half. Only the pairs' own
    differences are seen, so the polynomial has no constant and the result an unknown offset.
    """
    half = 0.5 * (time[-1] - time[0])
    first = time[0] + half * np.arange(pairs) / pairs
    seen = position(first + half) + noise(pairs) - position(first) - noise(pairs)
    scale = time[-1] - time[0]
    powers = range(1, degree + 1)
    basis = np.column_stack([((first + half) / scale) ** k - (first / scale) ** k for k in powers])
    coefficients = np.linalg.lstsq(basis, seen, rcond=None)[0]
    return sum(c * (time / scale) ** k for c, k in zip(coefficients, powers, strict=True))


def reference_images(time, position, images=IMAGES, noise=lambda n: np.zeros(n)):
    """Vendors' way: a reference image after every eighth of the scan, linear between them, held after the last."""
    at = time[0] + (time[-1] - time[0]) * np.arange(images) / images
    return np.interp(time, at, position(at) + noise(images))
