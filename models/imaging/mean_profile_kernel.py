"""Compiled loops of the averaged profile: pixels into the bins of their place along a normal."""

from __future__ import annotations

from numba import njit

LIGHT, COUNTS, NOISE = range(3)  # rows of the sums: gain, counts, half squared changes from image to image


@njit(cache=True, nogil=True, error_model="numpy")
def deposit(counts, noise, gain, across, along, first, per_pixel, sums):
    """Add pixels at (u, v) to the bins of ``across u + along v - first``, in pixels over ``per_pixel`` bins each."""
    rows, columns = counts.shape
    bins = sums.shape[1]
    for r in range(rows):
        start = (along * r - first) * per_pixel
        for c in range(columns):
            place = start + across * c * per_pixel
            if gain[r, c] > 0.0 and 0.0 <= place < bins:
                k = int(place)
                sums[LIGHT, k] += gain[r, c]
                sums[COUNTS, k] += counts[r, c]
                sums[NOISE, k] += noise[r, c]


@njit(cache=True, nogil=True, error_model="numpy")
def take(window, dark, full_scale, gain, before, counts, noise, seen, all_counts, all_noise, all_gain):
    """Counts above dark of a window, the gain of the pixels it shows, and half their squared change since ``before``.

    The last three collect the same over all windows; ``before`` becomes this window, ``nan`` at first.
    """
    rows, columns = window.shape
    for r in range(rows):
        for c in range(columns):
            value = float(window[r, c])
            if gain[r, c] > 0.0 and value < full_scale:
                counts[r, c] = value - dark[r, c]
                change = counts[r, c] - before[r, c]
                noise[r, c] = 0.5 * change * change if change == change else 0.0
                seen[r, c] = gain[r, c]
                before[r, c] = counts[r, c]
                all_counts[r, c] += counts[r, c]
                all_noise[r, c] += noise[r, c]
                all_gain[r, c] += gain[r, c]
            else:
                seen[r, c] = 0.0
