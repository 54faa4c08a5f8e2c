"""Warm-up of the flux that a record holds, by likelihood through the same kernel as the estimator."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.engine import Belief, Gate, Steps, compiled
from models.estimate import Array, ModelError
from models.focal import random_walk
from models.packing import Packed
from models.statespace import Block, Observation, StateSpace


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A single-exponential warm-up found in a record.

    Attributes
    ----------
    tau_s, tau_sigma_s : float
        Time constant and its σ [s].
    amplitude, amplitude_sigma : float
        By how much the quantity was below (+) its final value at the first reading; log flux: a fraction.
    evidence : float
        Log likelihood gained over a model without warm-up. Beyond about 10 it is there.
    found : bool
        Evidence above 10, amplitude beyond 4 σ, and a time constant that the record's length can tell.
    """

    tau_s: float
    tau_sigma_s: float
    amplitude: float
    amplitude_sigma: float
    evidence: float
    found: bool


EVIDENCE = 10.0


def find_warm_up(
    model: StateSpace, steps: Steps, channel: str, bank: str, amplitude_sigma: float, tau_s: Array
) -> WarmUp:
    """Time constant and amplitude of a warm-up from the likelihood of one exponential over a grid of τ.

    The bank of time constants that the estimator uses fits any warm-up but names no τ; here it is replaced by one
    exponential, everything else of the channel's model (walk, covariates, ripple) stays.

    Parameters
    ----------
    steps : Steps
        The record on the grid.
    channel : str
        The channel to explain.
    bank : str
        Name of the bank's states, e.g. ``flux.warmup``.
    amplitude_sigma : float
        Prior σ of the amplitude.
    tau_s : (K,) array
        Grid of time constants [s].

    Notes
    -----
    σ of τ is that of the likelihood over the grid (flat prior in log τ), amplitude's σ includes that of τ. Wrong when the
    record is shorter than about one time constant: then τ and amplitude trade off and their σ are large.
    """
    observation = next((o for o in model.observations if o.channel == channel), None)
    if observation is None:
        raise ModelError(f"no channel {channel!r}; there are {', '.join(model.channels)}")
    members = [name for name in model.names if name.startswith(f"{bank}.")]
    keep = [s for s in (*dict(observation.linear), *(s for s, _, _ in observation.covariates)) if s not in members]
    keep += [partner for partner in model.names if partner.endswith(".sin") and partner[:-3] + "cos" in keep]
    j = model.channels.index(channel)
    own = Steps(
        steps.readings[:, [j]],
        steps.variances[:, [j]],
        steps.covariates,
        np.zeros((len(steps), 0)),
        np.zeros((len(steps), 0)),
    )
    results = []
    for tau in [None, *tau_s]:
        reduced = _reduced(model, observation, members, keep, tau, amplitude_sigma)
        blank = Steps.empty(reduced, len(steps))
        part = replace(own, inputs=blank.inputs, opened=blank.opened)
        belief = Belief.prior(reduced)
        record = compiled(reduced, Packed.of(reduced), belief, part, Gate(), False)
        amplitude, sigma = 0.0, 0.0
        if tau is not None:
            i = reduced.index("warmup")
            # carried to the end of the record; back to its beginning
            back = np.exp(
                min(reduced.step_s * len(steps) / tau, 700.0)
            )  # of a τ far below the span nothing is left to carry
            amplitude, sigma = -float(belief.mean[i]) * back, float(np.sqrt(belief.cov[i, i])) * back
        results.append((record.loglik, amplitude, sigma))
    none = results[0][0]
    loglik = np.array([r[0] for r in results[1:]])
    weight = np.exp(loglik - loglik.max())
    weight /= weight.sum()
    amplitude_k = np.array([r[1] for r in results[1:]])
    sigma_k = np.array([r[2] for r in results[1:]])
    tau = float(weight @ tau_s)
    tau_sigma = float(np.sqrt(max(weight @ (tau_s - tau) ** 2, 0.0)))
    mean = float(weight @ amplitude_k)
    spread = float(np.sqrt(weight @ (sigma_k**2 + (amplitude_k - mean) ** 2)))
    evidence = float(loglik.max() + np.log(np.mean(np.exp(loglik - loglik.max()))) - none)
    span = model.step_s * len(steps)
    return WarmUp(
        tau,
        tau_sigma,
        mean,
        spread,
        evidence,
        evidence > EVIDENCE and abs(mean) > 4.0 * spread and tau + 2.0 * tau_sigma < 2.0 * span,
    )


def _reduced(
    model: StateSpace, observation: Observation, members: list[str], keep: list[str], tau: float | None, sigma: float
) -> StateSpace:
    """The channel's model with its bank replaced by one exponential, or by nothing."""
    index = [model.index(name) for name in keep]
    square = np.ix_(index, index)
    blocks = [
        Block(
            tuple(keep),
            tuple(model.units[i] for i in index),
            model.drift[square],
            model.diffusion[square],
            model.mean[index],
            model.cov[square],
        )
    ]
    linear = [(name, weight) for name, weight in observation.linear if name not in members]
    if tau is not None:
        single = random_walk("warmup", "1", 0.0, sigma)
        blocks.append(replace(single, drift=np.array([[-1.0 / tau]])))
        linear.append(("warmup", 1.0))
    seen = replace(observation, linear=tuple(linear), step_states=())
    return StateSpace.assemble(blocks, [seen], model.step_s, model.covariates)
