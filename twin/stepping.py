"""What a configured machine is expected to step: bodies whose axes jump together."""

from __future__ import annotations

from models.recognition import body_of
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
