"""What a configured machine is expected to step: bodies whose axes jump together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.recognition import body_of
from models.statespace import StateSpace
from models.steps import Stepping
from twin.assembly import Machine


def steppings(machine: Machine) -> list[Stepping]:
    """One per body that has a rate, with the axes along which its steps have a size."""
    found: dict[str, list[tuple[str, float, float]]] = {}
    for state, (rate, sigma) in machine.step_rates.items():
        if rate > 0 and sigma > 0:
            found.setdefault(body_of(state), []).append((state, rate, sigma))
    return [
        Stepping(body, tuple(s for s, _, _ in rows), tuple(sigma for _, _, sigma in rows), max(r for _, r, _ in rows))
        for body, rows in found.items()
    ]


def expecting(machine: Machine) -> StateSpace:
    """The model with the steps to come in its walks: rate × σ² more variance per second is all that is known of them."""
    model = machine.model
    added = np.zeros(len(model.names))
    for stepping in steppings(machine):
        for state, sigma in zip(stepping.states, stepping.sigma, strict=True):
            added[model.index(state)] += stepping.rate * sigma**2
    return replace(model, diffusion=model.diffusion + np.diag(added), noise=model.noise + np.diag(added) * model.step_s)
