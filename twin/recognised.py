"""Recognised steps as rules, the page, the store and the published series know them: in display units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from models.steps import StepEvent
from sensors.timestamps import iso

RECENT_S = 3600.0
SHOWN = 10  # of the page


def axes_of(event: StepEvent) -> dict[str, tuple[float, float]]:
    """Size and σ per axis of a body [µm], of ``flux`` as a relative change, of temperatures [K].

    Examples
    --------
    >>> axes_of(StepEvent(1.0, 0.0, 0.0, "source", ("source.u.walk",), (2e-7,), (5e-8,), 0.99))
    {'u_um': (0.2, 0.05)}
    """
    out = {}
    for state, size, sigma in zip(event.states, event.size, event.sigma, strict=True):
        if event.name == "flux":
            out["relative"] = (math.expm1(size), math.exp(size) * sigma)
        elif state.startswith(f"{event.name}.") and state.split(".")[1] in ("u", "v", "w"):
            out[f"{state.split('.')[1]}_um"] = (round(size * 1e6, 9), round(sigma * 1e6, 9))
        else:
            out[f"{state}_k"] = (size, sigma)
    return out


def largest(events: Iterable[StepEvent], now: float) -> dict[str, float]:
    """Values for rules: the largest step recognised within the last hour, 0 if there was none.

    A body's is the length of the step [µm]; that of the flux its relative change with its sign, breakdowns included.
    """
    found = {"source_step_um": 0.0, "object_step_um": 0.0, "flux_step": 0.0}
    for event in events:
        if not now - RECENT_S < event.told <= now:
            continue
        axes = axes_of(event)
        if event.name in ("source", "object"):
            name, value = f"{event.name}_step_um", math.hypot(*(size for size, _ in axes.values()))
        elif event.name == "flux":
            name, value = "flux_step", axes["relative"][0]
        else:
            continue
        if abs(value) > abs(found[name]):
            found[name] = value
    return found


def described(event: StepEvent) -> dict[str, Any]:
    """One step as JSON: the page's and the store's form."""
    return {
        "kind": event.kind, "of": event.name, "time": iso(event.time), "not_before": iso(event.since),
        "recognised": iso(event.told), "probability": event.probability,
        "size": {axis: {"mean": size, "std": sigma} for axis, (size, sigma) in axes_of(event).items()},
    }  # fmt: skip


def page_list(events: Sequence[StepEvent]) -> list[dict[str, Any]]:
    """The last steps, newest first."""
    return [described(event) for event in reversed(events)][:SHOWN]
