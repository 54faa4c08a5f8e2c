"""Compiled loops of the hypotheses about steps: their signatures through a step, and the moments of their mixture."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def follow_pass(
    indptr,
    indices,
    values,
    carried,
    signature,
    past,
    score,
    information,
    innovation,
    spread,
    row,
    gain,
    anchored,
):
    """Carry signatures (K, p, n) through one recorded step and collect what its readings say about the sizes.

    ``f ← A f`` for the first ``carried`` hypotheses (the others begin at this step); then per scalar used, in the filter's
    order: ``g = h·f``, ``score += g v/s``, ``information += g g'/s``, ``f ← f - k g``; past (K, p, a) likewise with the gains
    ``anchored`` (m, a).
    """
    hypotheses, p, n = signature.shape
    new = np.empty(n)
    effect = np.empty(p)
    for k in range(carried):
        for c in range(p):
            for i in range(n):
                total = 0.0
                for a in range(indptr[i], indptr[i + 1]):
                    total += values[a] * signature[k, c, indices[a]]
                new[i] = total
            for i in range(n):
                signature[k, c, i] = new[i]
    for j in range(len(spread)):
        s = spread[j]
        if not s > 0.0:
            continue
        support = np.flatnonzero(row[j])
        for k in range(hypotheses):
            for c in range(p):
                total = 0.0
                for i in support:
                    total += row[j, i] * signature[k, c, i]
                effect[c] = total
                score[k, c] += total * innovation[j] / s
            for c in range(p):
                for d in range(p):
                    information[k, c, d] += effect[c] * effect[d] / s
                for i in range(n):
                    signature[k, c, i] -= gain[j, i] * effect[c]
                for i in range(past.shape[2]):
                    past[k, c, i] -= anchored[j, i] * effect[c]


@njit(cache=True, nogil=True)
def moments(signature, probability, size, second, mean, cov):
    """Add to mean (n,) and cov (n, n) what a mixture of shifts f'θ brings; second (K, p, p) is E θθ' of each.

    A share 1 - Σ probability is not shifted at all.
    """
    hypotheses, p, n = signature.shape
    shift = np.zeros(n)
    other = np.empty(n)
    for k in range(hypotheses):
        w = probability[k]
        for c in range(p):
            f = signature[k, c]
            for i in range(n):
                shift[i] += w * size[k, c] * f[i]
                total = 0.0
                for d in range(p):
                    total += second[k, c, d] * signature[k, d, i]
                other[i] = w * total
            for i in range(n):
                fi = f[i]
                if fi != 0.0:
                    for j in range(n):
                        cov[i, j] += fi * other[j]
    for i in range(n):
        mean[i] += shift[i]
        for j in range(n):
            cov[i, j] -= shift[i] * shift[j]
    for i in range(n):
        for j in range(i + 1, n):
            middle = 0.5 * (cov[i, j] + cov[j, i])
            cov[i, j] = middle
            cov[j, i] = middle


@njit(cache=True, nogil=True)
def posterior_pass(prior, score, information, probability, size, second):
    """Posterior of every hypothesis from log prior odds (K,), score (K, p) and information (K, p, p) of sizes ~ N(0, I).

    Fills probability (K,), size (K, p) = M d, second (K, p, p) = M + M d d'M, with M = (I + information)⁻¹.
    """
    hypotheses, p = score.shape
    root = np.empty((p, p))
    inverse = np.empty((p, p))
    log_top = 0.0
    for k in range(hypotheses):
        # Cholesky of I + information, and the inverse of its factor
        log_det = 0.0
        for c in range(p):
            for d in range(c + 1):
                total = information[k, c, d] + (1.0 if c == d else 0.0)
                for e in range(d):
                    total -= root[c, e] * root[d, e]
                root[c, d] = np.sqrt(total) if c == d else total / root[d, d]
            log_det += 2.0 * np.log(root[c, c])
            for d in range(c + 1):
                total = 1.0 if c == d else 0.0
                for e in range(d, c):
                    total -= root[c, e] * inverse[e, d]
                inverse[c, d] = total / root[c, c]
        log_weight = prior[k] - 0.5 * log_det
        for c in range(p):
            total = 0.0
            for d in range(p):
                spread = 0.0
                for e in range(max(c, d), p):
                    spread += inverse[e, c] * inverse[e, d]
                second[k, c, d] = spread
                total += spread * score[k, d]
            size[k, c] = total
            log_weight += 0.5 * total * score[k, c]
        for c in range(p):
            for d in range(p):
                second[k, c, d] += size[k, c] * size[k, d]
        probability[k] = log_weight
        log_top = max(log_top, log_weight)
    whole = np.exp(-log_top)
    for k in range(hypotheses):
        probability[k] = np.exp(probability[k] - log_top)
        whole += probability[k]
    for k in range(hypotheses):
        probability[k] /= whole
