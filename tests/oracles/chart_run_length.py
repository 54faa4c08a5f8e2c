"""Oracle: average run length of a cumulative sum by its Markov chain (Brook & Evans 1972, Biometrika 59, 539), dense."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def run_length(below: Callable[[np.ndarray], np.ndarray], limit: float, cells: int = 1200) -> float:
    """Mean number of independent increments until S = max(0, S + increment) reaches ``limit``, from S = 0.

    ``below(x)`` is the increments' distribution function. The range up to the limit is cut into cells of equal width (the
    first, of half a width, is zero).
    """
    width = limit / (cells - 0.5)
    middle = np.arange(cells) * width
    upper = below(middle[None, :] + 0.5 * width - middle[:, None])
    chain = np.diff(upper, axis=1, prepend=0.0)  # the first column gathers all that falls to zero and below
    return float(np.linalg.solve(np.eye(cells) - chain, np.ones(cells))[0])
