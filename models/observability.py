"""What a model can know before any reading: covariance of changes over a scan, and the directions no reading tells.

Everything here follows from the model's covariances alone. Names of outputs are the caller's; units are whatever the
outputs have, equal for all that are combined in a direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from models.engine import Steps
from models.estimate import Array, ModelError
from models.rows import Rows
from models.smoother import Smoothed
from models.statespace import Observation, StateSpace

UNSEEN = 0.9  # a combination whose σ the readings leave above this part of what it was is not seen by them
WORTH_NAMING = 0.15  # parts of a combination that move less than this part of the largest one are left out of it


@dataclass(frozen=True, slots=True)
class Direction:
    """A combination of outputs and how well it is known.

    Attributes
    ----------
    weights : tuple of (name, weight)
        The combination, the largest weight being 1; parts that move by less than 15 % of the largest are left out.
    prior, posterior : float
        σ of its change over the scan (rms), without readings and with them.
    """

    weights: tuple[tuple[str, float], ...]
    prior: float
    posterior: float

    @property
    def seen(self) -> bool:
        """Whether the readings narrow it by more than a tenth."""
        return self.posterior <= UNSEEN * self.prior

    def words(self) -> str:
        """The combination in words.

        Examples
        --------
        >>> Direction((("object.v", -0.98), ("source.v", 1.0)), 1.0, 1.0).words()
        'source.v - 0.98 object.v'
        """
        text = ""
        for name, weight in sorted(self.weights, key=lambda item: -abs(item[1])):
            size = "" if abs(abs(weight) - 1.0) < 5e-3 else f"{abs(weight):.2f} "
            sign = ("-" if weight < 0 else "") if not text else (" - " if weight < 0 else " + ")
            text += f"{sign}{size}{name}"
        return text


def directions(names: Sequence[str], prior: Array, posterior: Array) -> tuple[Direction, ...]:
    """Combinations of outputs from the least known to the best known, each independent of the others a priori.

    Solves ``posterior w = λ prior w`` for the weights w; λ is the part of a combination's variance that the readings leave
    (1: not seen at all). The generalised eigenproblem finds the combination about which they say least whatever the
    outputs' scales (as in likelihood-informed subspaces: Spantini et al. 2015, SIAM J. Sci. Comput. 37, A2451, eq. 2.6).

    Parameters
    ----------
    names : q names
    prior, posterior : (q, q) arrays
        Covariance of the outputs' change without and with readings, one unit for all. Outputs without prior variance are
        left out: nothing moves there.

    Examples
    --------
    A sensor that sees the sum of two equal walks tells nothing about their difference:

    >>> least, best = directions(["a", "b"], np.eye(2), np.array([[0.5, -0.5], [-0.5, 0.5]]) + 0.01 * np.eye(2))
    >>> least.words(), round(least.posterior / least.prior, 2)
    ('a - b', 1.0)
    >>> best.words(), best.seen
    ('a + b', True)
    """
    if prior.shape != posterior.shape or len(prior) != len(names):
        raise ModelError("directions need one name per output and two covariances of the same outputs")
    own = np.sqrt(np.diag(prior))
    moving = np.flatnonzero(own > 1e-9 * own.max(initial=0.0))
    if moving.size == 0:
        return ()
    scale = own[moving]
    before = prior[np.ix_(moving, moving)] / np.outer(scale, scale)
    after = posterior[np.ix_(moving, moving)] / np.outer(scale, scale)
    before = before + 1e-12 * np.eye(len(moving))  # outputs that move together exactly leave it singular
    left, vectors = eigh(after, before)
    unseen = left > UNSEEN**2
    found = []
    for weights in np.vstack([_plain(vectors[:, unseen].T), vectors[:, ~unseen].T[::-1]]):
        shares = np.where(np.abs(weights) < WORTH_NAMING * np.abs(weights).max(), 0.0, weights)
        known = np.zeros(len(names))
        known[moving] = shares / scale
        known /= known[np.argmax(np.abs(known))]
        sigma, rest = (float(np.sqrt(max(float(known @ c @ known), 0.0))) for c in (prior, posterior))
        parts = tuple((name, float(w)) for name, w in zip(names, known, strict=True) if w)
        found.append(Direction(parts, sigma, min(rest, sigma)))
    return tuple(found)


def _plain(basis: Array) -> Array:
    """A basis of the same space with as many zeros as there are vectors, by Gauss and Jordan with complete pivoting.

    Equal eigenvalues leave their eigenvectors undetermined within the space they span; this one is the easiest to read.
    """
    rows = basis.copy()
    free = list(range(len(rows)))
    while free:
        part = np.abs(rows[free])
        k, column = np.unravel_index(int(part.argmax()), part.shape)
        row = free.pop(int(k))
        rows[row] /= rows[row, column]
        for other in range(len(rows)):
            if other != row:
                rows[other] -= rows[other, column] * rows[row]
    return rows


def change_cov(smoothed: Smoothed) -> Array:
    """Covariance of the outputs' change since the reference step, from that step on, (T - reference, q, q)."""
    k = smoothed.reference
    own, cross = smoothed.cov[k:], smoothed.cross[k:]
    change = own + own[0] - cross - cross.transpose(0, 2, 1)
    change[0] = 0.0
    return np.asarray(change)


def prior_change_cov(
    model: StateSpace,
    mean: Array,
    cov: Array,
    outputs: Sequence[Observation],
    steps: Steps,
    reference: int,
) -> Array:
    """The same without any reading, exact for Gaussian states and bilinear outputs, (T - reference, q, q).

    For x = y z with Gaussian y, z the covariance of two products has, beyond the linear part, ``C_ik C_jl + C_il C_jk``
    (Isserlis 1918, Biometrika 12, 134): so the uncertainty of a sensitivity counts also where its temperature is expected
    to stay at the reference.

    Parameters
    ----------
    mean, cov : (n,), (n, n) arrays
        Belief one step before the first.
    steps : Steps
        Known inputs and covariates per step; readings are ignored.
    reference : int
        Step that changes are relative to.

    Examples
    --------
    A sensitivity of σ 0.3 on 1 µm/K, and a temperature that walks 1 K in one step from 0: σ² = 1 + 0.3².

    >>> from models.focal import random_walk
    >>> blocks = [random_walk("t", "K", 1.0), random_walk("e", "1", 0.0, 0.3)]
    >>> model = StateSpace.assemble(blocks, [], 1.0)
    >>> out = [Observation("x", (("t", 1.0),), (("t", "e", 1.0),))]
    >>> round(float(prior_change_cov(model, model.mean, model.cov, out, Steps.empty(model, 2), 0)[1, 0, 0]), 6)
    1.09
    """
    rows = Rows.of(model, outputs)
    driven = steps.inputs @ model.input_matrix.T
    x, p = mean, cov
    first: tuple[Array, Array] | None = None
    back = np.zeros_like(p)
    found = []
    for t, push in enumerate(driven):
        x = model.transition @ x + push
        p = model.transition @ p @ model.transition.T + model.noise
        if t < reference:
            continue
        here = rows.at(x, steps.covariates[t])
        if first is None:
            first, back = (here, p), p
            start = here @ p @ here.T + rows.second_order(p, p)
            found.append(np.zeros_like(start))
            continue
        back = model.transition @ back  # Cov(x now, x at the reference)
        own = here @ p @ here.T + rows.second_order(p, p)
        cross = here @ back @ first[0].T + rows.second_order(back, back)
        found.append(own + start - cross - cross.T)
    return np.array(found)
