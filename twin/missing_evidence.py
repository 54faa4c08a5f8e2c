"""What a record would have to hold to determine a number that this one doesn't."""

from __future__ import annotations

import numpy as np

from models.identify import Found
from twin.calibrate import Calibrated
from twin.free import Free, section_of

LIMIT = {
    "walk": "it is too small to be seen behind the noise of these readings; a longer record narrows it",
    "noise": "other causes of scatter hide it; more readings of this channel narrow it",
    "lag": "readings at shorter intervals while the node's temperature changes fast",
    "link": "a record in which one of the two nodes is heated and the other is not, with thermometers on both",
    "capacity": "a record in which the tube is switched, or its power changed, with a thermometer on the node",
}


def missing_evidence(free: Free, found: Found, calibrated: Calibrated) -> str:
    """One line: why the record doesn't say, and what would."""
    if not found.seen:
        return f"no reading depends on it: {_channel(free)}"
    together = f"known only together with {' and '.join(found.partners)}; needed: " if found.partners else ""
    return together + _needed(free, found, calibrated)


def _channel(free: Free) -> str:
    if free.kind == "noise":
        return "the record holds none of this channel"
    if free.table[0] in ("node", "link"):
        return "a thermometer on the node, or a marker whose body an element ties to it"
    return "a marker that sees the body along this axis"


def _needed(free: Free, found: Found, calibrated: Calibrated) -> str:
    power = calibrated.steps.inputs[:, :1]
    constant = power.size == 0 or float(np.ptp(power)) <= 0.1 * float(np.abs(power).max())
    hours = (calibrated.end_s - calibrated.begin_s) / 3600.0
    if free.kind == "heating":
        if constant:
            return "a record in which the tube is switched, or its power changed: here it was constant"
        return "a longer record after switching, or a thermometer on the node"
    if free.kind == "time_constant":
        return (
            f"a record longer than these {hours:.1f} h in which the room"
            f"{' or the power of the tube' if not constant else ''} changes faster than the time constant"
            f"{'; switching the tube would do, if it heats the node' if constant else ''}"
        )
    if free.kind == "sensitivity":
        node = section_of(calibrated.before, free).node
        if any(name.startswith("element[") for name in found.partners):
            return "markers at two distances, or a record in which the nodes of these elements move apart"
        return (
            f"a record in which the temperature of {node} moves by more than in this one"
            f"{', by switching the tube or' if constant else ','} by the room, or a thermometer on it"
        )
    return LIMIT[free.kind]
