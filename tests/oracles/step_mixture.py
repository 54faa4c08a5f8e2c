"""Exact belief when one step may have happened at one of several instants: a mixture of dense Gaussians, no recursion."""

from __future__ import annotations

import numpy as np
from scipy.stats import multivariate_normal


def trajectory(A, Q, mean, cov, count):
    """Joint mean (T·n,) and covariance of the states at steps 1 … T, from independent noises mapped through powers of A."""
    n = len(mean)
    power = [np.linalg.matrix_power(A, k) for k in range(count + 1)]
    mu = np.concatenate([power[t + 1] @ mean for t in range(count)])
    sources = [(np.vstack([power[t + 1] for t in range(count)]), cov)]
    for s in range(count):
        reach = np.vstack([power[t - s] if t >= s else np.zeros((n, n)) for t in range(count)])
        sources.append((reach, Q))
    return mu, sum(reach @ c @ reach.T for reach, c in sources)


def exact_mixture(A, Q, mean, cov, H, variances, readings, shocks):
    """Moments of the last state, and the probability of each hypothesis.

    Parameters
    ----------
    readings, variances : (T, m) arrays, nan = missing
    shocks : list of (weight, step index, (n, n) covariance of the shock); the weight is relative to 1 for no shock
    """
    count, n = len(readings), len(mean)
    mu, joint = trajectory(A, Q, mean, cov, count)
    seen = np.argwhere(np.isfinite(readings))
    rows = np.zeros((len(seen), count * n))
    for k, (t, j) in enumerate(seen):
        rows[k, t * n : (t + 1) * n] = H[j]
    z = np.array([readings[t, j] for t, j in seen])
    noise = np.diag([variances[t, j] for t, j in seen])
    found = []
    for weight, start, shock in [(1.0, 0, np.zeros((n, n))), *shocks]:
        reach = np.vstack(
            [np.linalg.matrix_power(A, t - start) if t >= start else np.zeros((n, n)) for t in range(count)]
        )
        prior = joint + reach @ shock @ reach.T
        spread = rows @ prior @ rows.T + noise
        gain = prior @ rows.T @ np.linalg.inv(spread)
        posterior = (mu + gain @ (z - rows @ mu))[-n:], (prior - gain @ rows @ prior)[-n:, -n:]
        found.append((np.log(weight) + multivariate_normal(rows @ mu, spread).logpdf(z), *posterior))
    log = np.array([item[0] for item in found])
    share = np.exp(log - log.max())
    share /= share.sum()
    middle = sum(p * m for p, (_, m, _) in zip(share, found, strict=True))
    whole = sum(p * (c + np.outer(m - middle, m - middle)) for p, (_, m, c) in zip(share, found, strict=True))
    return middle, whole, share
