"""Compiled part of :mod:`models.expectation`: how far one belief's innovations lie from another's."""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def share(d, more, work, indptr, indices, values, row, gain, innovation, spread):
    """Carry d (n,) and more (n, n) through A (compressed rows) and the updates of a step; change innovation, spread (m,)."""
    n = d.shape[0]
    old = d.copy()
    for i in range(n):
        d[i] = 0.0
        for j in range(n):
            work[i, j] = 0.0
        for a in range(indptr[i], indptr[i + 1]):
            w, c = values[a], indices[a]
            d[i] += w * old[c]
            for j in range(n):
                work[i, j] += w * more[c, j]
    for i in range(n):
        for j in range(n):
            total = 0.0
            for a in range(indptr[j], indptr[j + 1]):
                total += values[a] * work[i, indices[a]]
            more[i, j] = total
    for j in range(innovation.shape[0]):
        if not spread[j] > 0.0:
            continue
        moved = 0.0
        seen = 0.0
        for i in range(n):
            total = 0.0
            for a in range(n):
                if row[j, a] != 0.0:
                    total += more[i, a] * row[j, a]
            old[i] = total  # more h
            moved += row[j, i] * d[i]
        for i in range(n):
            seen += row[j, i] * old[i]
        innovation[j] -= moved
        spread[j] += max(seen, 0.0)
        for i in range(n):
            d[i] -= gain[j, i] * moved
            for a in range(n):
                more[i, a] += gain[j, i] * seen * gain[j, a] - gain[j, i] * old[a] - old[i] * gain[j, a]
