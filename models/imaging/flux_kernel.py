"""Compiled loop of the free rays: one pass over a window, into sums over its pieces."""

from __future__ import annotations

from numba import njit

PIXELS, OFF, COUNTS, GAIN, VARIANCE, MISFIT = range(
    6
)  # sums of a piece: of all good pixels; how many are off; of the rest


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def pieces(window, dark, gain, level, noise, full_scale, outlier, left_out, side, corner, sums):
    """Add a window's pixels to the sums of their pieces; returns how many are at full scale.

    A pixel's gain is 0 where it can't be used. It is off where it lies ``outlier`` standard deviations from ``level``;
    ``noise`` is (variance per count, variance without counts). Pieces are squares of ``side`` px from ``corner`` on, the
    border belongs to the nearest; nothing is added to one that is ``left_out``.
    """
    rows, columns = window.shape
    down, across = left_out.shape
    limit, slope = outlier * outlier, noise[0] * level
    full = 0
    for r in range(rows):
        i = min(max((r - corner[0]) // side, 0), down - 1)
        for j in range(across):
            if left_out[i, j]:
                continue
            first = 0 if j == 0 else corner[1] + j * side
            last = columns if j == across - 1 else corner[1] + (j + 1) * side
            pixels = off = over = 0
            counts = weight = variance = misfit = 0.0
            for c in range(first, last):
                value, g = float(window[r, c]), gain[r, c]
                over += value >= full_scale
                good = g > 0.0 and value < full_scale  # false for what is no number
                net = value - dark[r, c] if good else 0.0
                expected = slope * g + noise[1]
                square = (net - level * g) ** 2
                kept = good and square <= limit * expected
                pixels += good
                off += good and not kept
                counts += net if kept else 0.0
                weight += g if kept else 0.0
                variance += expected if kept else 0.0
                misfit += square / expected if kept else 0.0
            full += over
            sums[i, j, PIXELS] += pixels
            sums[i, j, OFF] += off
            sums[i, j, COUNTS] += counts
            sums[i, j, GAIN] += weight
            sums[i, j, VARIANCE] += variance
            sums[i, j, MISFIT] += misfit
    return full
