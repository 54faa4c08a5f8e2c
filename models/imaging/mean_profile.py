"""A marker's profile averaged over all projections, as they are and shifted back: what a correction is worth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimate import Array, ModelError
from models.geometry import wire_normal
from models.imaging.light import Light
from models.imaging.mean_profile_kernel import COUNTS, LIGHT, NOISE, deposit, take

OVERSAMPLING = 8  # bins per pixel
MOST_BINS = 200_000


@dataclass(frozen=True, slots=True)
class Profile:
    """Mean counts along the normal.

    Attributes
    ----------
    distance : (K,) array
        Middle of each bin [px].
    value : (K,) array
        Counts of an average pixel; ``nan`` in a bin that no pixel met.
    sigma : (K,) array
        Standard deviation of it; ``inf`` there.
    """

    distance: Array
    value: Array
    sigma: Array

    @property
    def width(self) -> float:
        """Width of a bin [px]."""
        return float(self.distance[1] - self.distance[0])

    def thinned(self, by: int) -> Profile:
        """Bins taken together by weight, ``by`` at a time.

        Examples
        --------
        >>> Profile(np.arange(4.0), np.array([1.0, 3.0, np.nan, 5.0]), np.array([1.0, 1.0, np.inf, 1.0])).thinned(2).value
        array([2., 5.])
        """
        cut = len(self.distance) // by * by
        seen = np.isfinite(self.sigma[:cut]).reshape(-1, by)
        weight = np.where(seen, 1.0 / np.where(seen, self.sigma[:cut].reshape(-1, by), 1.0) ** 2, 0.0)
        total = weight.sum(axis=1)
        safe = np.where(total > 0, total, np.nan)
        value = (weight * np.where(seen, self.value[:cut].reshape(-1, by), 0.0)).sum(axis=1) / safe
        sigma = np.where(total > 0, 1.0 / np.sqrt(np.where(total > 0, total, 1.0)), np.inf)
        return Profile(self.distance[:cut].reshape(-1, by).mean(axis=1), value, sigma)


@dataclass(frozen=True, slots=True)
class MeanProfiles:
    """Both averages.

    Attributes
    ----------
    before, after : Profile
        Without and with shifting.
    projections : int
        How many took part.
    skipped : int
        How many had no shift.
    shift_sigma_px : float
        Standard deviation of the shifts: the blur that shifting should take away.
    """

    before: Profile
    after: Profile
    projections: int
    skipped: int
    shift_sigma_px: float


def mean_profiles(
    windows: Iterable[NDArray[Any]],
    shifts_px: Iterable[float],
    along_deg: float,
    light: Light,
    place_px: float | None = None,
    half_px: float = 40.0,
) -> MeanProfiles:
    """Average a window over projections along the normal of a marker, with and without shifting.

    No image is interpolated: every pixel's counts are put where its centre lies along the normal, less the shift,
    into bins of an eighth of a pixel; the mean of a bin is counts over gain. So shifting blurs nothing but by the
    bin's own width, 0.036 px rms. Windows are taken one at a time; memory doesn't grow with their number.

    Parameters
    ----------
    windows : iterable of (rows, columns) arrays
        Raw counts of the same window of every projection.
    shifts_px : iterable of float
        Where the marker stands along its normal in each projection, measured or predicted, to a common constant [px];
        ``nan`` leaves the projection out.
    along_deg : float
        Direction of the marker from u towards v; the normal is :func:`models.geometry.wire_normal`'s.
    light : Light
        Of the window.
    place_px : float, optional
        Where distances are counted from, as ``n·(u, v)`` [px]; by default the window's middle.
    half_px : float
        How far the profiles reach to either side [px].

    Notes
    -----
    σ comes from the change of each pixel from one projection to the next, so drift doesn't count as noise (jumps
    from one to the next do, on the marker's flanks), and supposes that pixels are independent. Flux may change:
    brighter projections weigh more. A wire along the pixels shows few sub-pixel positions where nothing is shifted;
    bins that no pixel met stay empty. A wrong ``along_deg`` blurs both.

    Raises
    ------
    ModelError
        Fewer than two windows with a shift, more windows than shifts or fewer, another shape than the light's, or a
        profile too long.

    Examples
    --------
    >>> u = np.arange(40.0)
    >>> images = [np.tile(100.0 - 50.0 * (np.abs(u - 20.0 - s) < 3), (8, 1)) for s in (0, 1, 2)]
    >>> found = mean_profiles(images, [0, 1, 2], 90.0, Light.plain((8, 40)), half_px=10.0)
    >>> float(np.nanmin(found.after.value)), round(found.shift_sigma_px, 3)
    (50.0, 0.816)
    """
    normal = wire_normal(along_deg)
    rows, columns = light.flat.shape
    middle = normal[0] * (columns - 1) / 2.0 + normal[1] * (rows - 1) / 2.0
    origin = middle if place_px is None else place_px
    bins = 2 * math.ceil(half_px * OVERSAMPLING)
    if not 0 < bins <= MOST_BINS:
        raise ModelError(
            f"a profile of {half_px:g} px to either side; give between 1 and {MOST_BINS // 2 // OVERSAMPLING}"
        )
    first = -0.5 * bins / OVERSAMPLING
    good = ~light.dead & (light.flat > 0)
    gain = np.where(good, light.flat / (light.flat[good].mean() if good.any() else 1.0), 0.0)
    moved = np.zeros((3, bins))
    counts, noise, seen = (np.zeros((rows, columns)) for _ in range(3))
    total = [np.zeros((rows, columns)) for _ in range(3)]
    last = np.full((rows, columns), np.nan)
    count = skipped = 0
    mean = square = start = 0.0
    for number, (window, shift) in enumerate(zip_longest(windows, shifts_px)):
        if window is None or shift is None:
            raise ModelError(f"windows and shifts differ in number after {number}; give one shift for every projection")
        if np.shape(window) != (rows, columns):
            raise ModelError(
                f"projection {number} has a window of {np.shape(window)} pixels, its light {(rows, columns)}"
            )
        at = float(shift)
        if not math.isfinite(at):
            skipped += 1
            continue
        if count == 0:
            start = at
        take(np.asarray(window), light.dark, light.full_scale, gain, last, counts, noise, seen, *total)
        deposit(counts, noise, seen, *normal, origin + at - start + first, OVERSAMPLING, moved)
        count += 1
        step = at - start - mean
        mean += step / count
        square += step * (at - start - mean)
    if count < 2:
        raise ModelError(f"an average needs two projections with a shift, there are {count}")
    still = np.zeros((3, bins))
    deposit(total[0], total[1], total[2], *normal, origin + first, OVERSAMPLING, still)
    more = count / (count - 1)  # the first image has no change
    distance = first + (np.arange(bins) + 0.5) / OVERSAMPLING
    return MeanProfiles(
        _profile(distance, still, more), _profile(distance, moved, more), count, skipped, math.sqrt(square / count)
    )


def _profile(distance: Array, sums: Array, more: float) -> Profile:
    """Means and their σ; ``more`` pixels were met per pixel whose change is known."""
    seen = (sums[LIGHT] > 0) & (sums[NOISE] > 0)
    light = np.where(seen, sums[LIGHT], 1.0)
    return Profile(
        distance,
        np.where(seen, sums[COUNTS] / light, np.nan),
        np.where(seen, np.sqrt(more * sums[NOISE]) / light, np.inf),
    )
