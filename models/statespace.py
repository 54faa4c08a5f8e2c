"""Blocks of states by label, put together into one linear model with its observations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import block_diag, expm

from models.estimate import Array, ModelError


@dataclass(frozen=True, slots=True)
class Block:
    """Some states that evolve together in continuous time: ``dx = (drift x + inputs u) dt + dw``.

    Attributes
    ----------
    names, units : tuple of str, length n
    drift : (n, n) array
        Rate matrix [1/s].
    diffusion : (n, n) array
        Spectral density of the white noise that drives the states [unit²/s].
    mean, cov : (n,), (n, n) arrays
        Prior.
    inputs : mapping of input name to (n,) array
        Rate per unit of a known input.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    drift: Array
    diffusion: Array
    mean: Array
    cov: Array
    inputs: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """How one channel sees the states.

    ``reading = constant + Σ coefficient·x_i + Σ coefficient·x_i·x_j + Σ coefficient·x_i·covariate + noise``

    Attributes
    ----------
    channel : str
    linear : tuple of (state, coefficient)
    products : tuple of (state, state, coefficient)
        Bilinear terms (a sensitivity times a temperature); linearised at the current estimate.
    covariates : tuple of (state, covariate, coefficient)
        States multiplied by a known, varying number and a coefficient.
    constant : float
    floor_sigma : float
        Model error added to the reading's own σ in quadrature.
    step_states : tuple of str
        States whose variance is opened when this channel's gate fails persistently.
    patience : int
        Gate failures in a row that make a step of what would be outliers.
    """

    channel: str
    linear: tuple[tuple[str, float], ...]
    products: tuple[tuple[str, str, float], ...] = ()
    covariates: tuple[tuple[str, str, float], ...] = ()
    constant: float = 0.0
    floor_sigma: float = 0.0
    step_states: tuple[str, ...] = ()
    patience: int = 3


def discretise(drift: Array, diffusion: Array, inputs: Array, dt: float) -> tuple[Array, Array, Array]:
    """Exact transition, process noise and input matrix over ``dt``.

    Van Loan (1978), IEEE Trans. Autom. Control 23, 395: the exponential of ``[[-F, W], [0, F']] dt`` holds both; the
    input matrix comes from the exponential of ``[[F, B], [0, 0]] dt`` (inputs constant over the step).

    Parameters
    ----------
    drift, diffusion : (n, n) arrays [1/s, unit²/s]
    inputs : (n, k) array
    dt : float
        Step [s].

    Examples
    --------
    >>> a, q, _ = discretise(np.array([[-1.0]]), np.array([[2.0]]), np.zeros((1, 0)), 0.5)
    >>> round(float(a[0, 0]), 6), round(float(q[0, 0]), 6)
    (0.606531, 0.632121)
    """
    n, k = inputs.shape
    if dt <= 0:
        raise ModelError("the step dt must be positive")
    # exp(-F dt) overflows for states much faster than the step; a part of the step, doubled, does not
    halvings = max(0, int(np.ceil(np.log2(max(float(np.abs(drift).sum(axis=1).max(initial=0.0)) * dt, 1.0)))))
    part = dt / 2.0**halvings
    big = np.zeros((2 * n, 2 * n))
    big[:n, :n], big[:n, n:], big[n:, n:] = -drift, diffusion, drift.T
    exponential = expm(big * part)
    transition = exponential[n:, n:].T
    noise = transition @ exponential[:n, n:]
    driven = np.zeros((n + k, n + k))
    driven[:n, :n], driven[:n, n:] = drift, inputs
    entered = expm(driven * part)[:n, n:]
    for _ in range(halvings):
        noise = noise + transition @ noise @ transition.T
        entered = entered + transition @ entered
        transition = transition @ transition
    return transition, 0.5 * (noise + noise.T), entered


@dataclass(frozen=True)
class StateSpace:
    """A discrete model on a grid: what the compiled kernel and the reference engine both take."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    inputs: tuple[str, ...]
    covariates: tuple[str, ...]
    observations: tuple[Observation, ...]
    step_s: float
    drift: Array
    diffusion: Array
    input_rates: Array
    transition: Array
    noise: Array
    input_matrix: Array
    mean: Array
    cov: Array
    vague: tuple[str, ...] = ()  # states that nothing ties down: products with them keep to their tangent

    @classmethod
    def assemble(
        cls,
        blocks: Sequence[Block],
        observations: Sequence[Observation],
        step_s: float,
        covariates: Sequence[str] = (),
        vague: Sequence[str] = (),
    ) -> StateSpace:
        """Join blocks (independent a priori) and discretise them exactly at ``step_s`` [s].

        A product of states is treated to second order, which is right where each factor becomes known. A factor that no
        reading ties down (``vague``: the temperature of a node that no thermometer reads, in a room that none reads) is
        known through the product alone: there the second order would take what the readings say for noise.
        """
        names = tuple(name for block in blocks for name in block.names)
        if len(set(names)) != len(names):
            raise ModelError(f"two states share a name: {sorted({n for n in names if names.count(n) > 1})}")
        for observation in observations:
            used = [s for s, _ in observation.linear] + [s for s, _, _ in observation.covariates]
            used += [s for a, b, _ in observation.products for s in (a, b)] + list(observation.step_states)
            for state in used:
                if state not in names:
                    raise ModelError(f"channel {observation.channel!r} looks at {state!r}, which is no state")
        inputs = tuple(dict.fromkeys(name for block in blocks for name in block.inputs))
        drift = block_diag(*(block.drift for block in blocks))
        diffusion = block_diag(*(block.diffusion for block in blocks))
        rates = np.zeros((len(names), len(inputs)))
        row = 0
        for block in blocks:
            for name, column in block.inputs.items():
                rates[row : row + len(block.names), inputs.index(name)] = column
            row += len(block.names)
        parts = [discretise(b.drift, b.diffusion, np.zeros((len(b.names), 0)), step_s)[:2] for b in blocks]
        _, _, input_matrix = discretise(drift, diffusion, rates, step_s)
        return cls(
            names,
            tuple(unit for block in blocks for unit in block.units),
            inputs,
            tuple(covariates),
            tuple(observations),
            step_s,
            drift,
            diffusion,
            rates,
            block_diag(*(a for a, _ in parts)),
            block_diag(*(q for _, q in parts)),
            input_matrix,
            np.concatenate([block.mean for block in blocks]),
            block_diag(*(block.cov for block in blocks)),
            tuple(vague),
        )

    @property
    def channels(self) -> tuple[str, ...]:
        """Observed channels, in the order of the kernel's columns."""
        return tuple(observation.channel for observation in self.observations)

    @property
    def model_id(self) -> str:
        """Hash of everything that defines the state and its evolution (16 hex digits)."""
        digest = hashlib.sha256(
            repr((self.names, self.inputs, self.covariates, self.observations, self.vague)).encode()
        )
        for array in (self.transition, self.noise, self.input_matrix, self.mean, self.cov):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def index(self, name: str) -> int:
        """Position of a state."""
        try:
            return self.names.index(name)
        except ValueError:
            raise ModelError(f"no state {name!r}; there are {', '.join(self.names)}") from None

    def row(self, terms: Mapping[str, float]) -> Array:
        """Vector (n,) that picks a weighted sum of states."""
        vector = np.zeros(len(self.names))
        for name, weight in terms.items():
            vector[self.index(name)] += weight
        return vector
