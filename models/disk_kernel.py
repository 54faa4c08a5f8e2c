"""Compiled loop of a disk's rim: the line spread that all projections of a wedge make together."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def add_line_spread(slope, first, step, radius, distance, towards, moved, line):
    """Add ``mean_k slope((radius + d) c_k - x_k) c_k`` for each distance d, slope being linear between its nodes."""
    last = len(slope) - 2
    for i in range(len(distance)):
        r = (radius + distance[i]) / step
        total = 0.0
        for k in range(len(towards)):
            place = r * towards[k] - moved[k] / step - first / step
            low = min(max(int(place), 0), last)
            part = min(max(place - low, 0.0), 1.0)
            total += ((1.0 - part) * slope[low] + part * slope[low + 1]) * towards[k]
        line[i] += total / len(towards)
