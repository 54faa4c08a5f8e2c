"""Before a scan: will it keep its limit, how long to wait, what the drift may be, and how often to look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from models.blur import Budget, f10
from models.engine import Belief
from models.rehearsal import draw_states, rehearse
from models.rows import Rows
from twin.budget import budget_of
from twin.cadence import Cadence, allowed_blur_m, blur_um, cadences
from twin.config import Config
from twin.preview import SEED, Expected, OneMore, half_pitches_um, one_more, preview
from twin.schedule import schedule

WAITS_H = (0.0, 1.0, 2.0, 4.0, 8.0, 12.0)
CONFIDENCE = 0.95
SMOOTHED, DRAWN, STEPS = 64, 256, 100  # courses with and without correction, and steps of a scan, for probabilities


@dataclass(frozen=True, slots=True)
class Chance:
    """Probability that a scan begun after ``wait_h`` keeps its limit, without correction and with it."""

    wait_h: float
    uncorrected: float
    corrected: float


@dataclass(frozen=True, slots=True)
class Stability:
    """What a scan may drift by itself, without correction, and still keep its limit.

    Attributes
    ----------
    blur_um : float
        σ of all displacement over the scan in the object plane; 0 when the static budget misses the limit already.
    linear_um : float
        As a straight drift from the first projection to the last.
    walk_um_per_sqrt_h : float
        As a random walk (in the mean).
    kelvin : tuple of (body, node, K)
        As a linear change of one node's temperature that moves one element.
    """

    blur_um: float
    linear_um: float
    walk_um_per_sqrt_h: float
    kelvin: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Answers about a planned scan.

    Attributes
    ----------
    chances : tuple of Chance
        The asked-for waiting time among the others, in order.
    wait_h, duration_h, limit_um, confidence : float
        What was asked.
    ready_h : (float, float)
        Waiting time after which the probability reaches ``confidence``, without and with correction; inf: not within
        the longest one tried.
    uncorrected, corrected : Expected
        Half-pitch of the tomogram after the asked-for wait [µm].
    budget : tuple of (term, σ [nm], fraction of resolution it costs)
    cadences : tuple of Cadence
    more : tuple of OneMore
    """

    chances: tuple[Chance, ...]
    wait_h: float
    duration_h: float
    limit_um: float
    promised_um: float
    confidence: float
    ready_h: tuple[float, float]
    uncorrected: Expected
    corrected: Expected
    budget: tuple[tuple[str, float, float], ...]
    cadences: tuple[Cadence, ...]
    stability: Stability
    more: tuple[OneMore, ...]

    @property
    def chance(self) -> Chance:
        """The answer for the asked-for waiting time."""
        return next(c for c in self.chances if c.wait_h == self.wait_h)

    @property
    def go(self) -> bool:
        """Whether the corrected scan keeps its limit with the wanted probability."""
        return self.chance.corrected >= self.confidence


def plan_scan(
    config: Config,
    *,
    wait_h: float | None = None,
    start: Belief | None = None,
    confidence: float = CONFIDENCE,
    progress: Callable[[float], None] | None = None,
) -> Plan:
    """Rehearse a scan after several waiting times, and what follows from it.

    Parameters
    ----------
    config : Config
        Its ``scan`` is the scan that is planned.
    wait_h : float, optional
        From switching on (from ``start``, where given) to the first projection; default ``scan.conditioning_h``, or 0 from
        ``start``.
    start : Belief, optional
        What is known of a machine that runs. Without it the machine has stood and is switched on.

    Notes
    -----
    Probabilities are parts of drawn courses whose tomogram keeps the limit: 256 drifts, and 64 that are rehearsed
    (:func:`models.rehearsal.rehearse`); they are good to some 2 % and 4 % (σ).
    """
    asked = wait_h if wait_h is not None else (0.0 if start is not None else config.scan.conditioning_h)
    waits = sorted({*WAITS_H, asked})
    chances = []
    for k, wait in enumerate(waits):
        chances.append(chance_of(config, wait, start))
        if progress is not None:
            progress(0.7 * (k + 1) / len(waits))
    plan = schedule(config, wait_s=asked * 3600.0, start=start)
    known = preview(config, plan=plan)
    if progress is not None:
        progress(0.75)
    blur = [blur_um(plan, c, known.rehearsal.weight) for c in (known.rehearsal.moved, known.rehearsal.missed)]
    found = Plan(
        tuple(chances),
        asked,
        config.scan.duration_h,
        config.scan.resolution_limit_um,
        known.promised_um,
        confidence,
        (
            _ready([(c.wait_h, c.uncorrected) for c in chances], confidence),
            _ready([(c.wait_h, c.corrected) for c in chances], confidence),
        ),
        known.uncorrected,
        known.corrected,
        tuple(_budget(budget_of(config), *blur)),
        tuple(cadences(config, asked * 3600.0, start)),
        stability(config),
        tuple(one_more(config, known)) if start is None else (),
    )
    if progress is not None:
        progress(1.0)
    return found


def chance_of(config: Config, wait_h: float, start: Belief | None = None) -> Chance:
    """Probability that a scan begun after ``wait_h`` keeps its limit: drawn drifts, and what the smoother misses of them."""
    plan = schedule(config, wait_s=wait_h * 3600.0, start=start, count=STEPS)
    model, outputs = plan.machine.model, plan.machine.outputs
    rows, covariates = Rows.of(model, outputs), plan.steps.covariates[plan.reference :]
    drawn = draw_states(model, plan.prior, plan.steps.inputs, DRAWN, SEED)[:, plan.reference :]
    _, uncorrected = half_pitches_um(plan, np.array([rows.values(course, covariates) for course in drawn]))
    played = rehearse(model, plan.prior, plan.steps, outputs, plan.reference, courses=SMOOTHED, seed=SEED)
    _, corrected = half_pitches_um(plan, played.missed)
    limit = config.scan.resolution_limit_um
    return Chance(wait_h, float(np.mean(uncorrected <= limit)), min(float(played.weight @ (corrected <= limit)), 1.0))


def _ready(points: Sequence[tuple[float, float]], confidence: float) -> float:
    """Shortest wait from which on the probability stays above ``confidence``, between two tried ones by a straight line.

    >>> round(float(_ready([(0.0, 0.2), (1.0, 0.9), (2.0, 1.0)], 0.95)), 6)
    1.5
    """
    last = points[-1]
    if last[1] < confidence:
        return float("inf")
    for before, after in reversed(list(pairwise(points))):
        if before[1] < confidence:
            part = (confidence - before[1]) / (after[1] - before[1])
            return before[0] + part * (after[0] - before[0])
    return points[0][0]


def _budget(budget: Budget, drift_um: float, left_um: float) -> list[tuple[str, float, float]]:
    """Each term's σ [nm] and what of the resolution goes with it, all others kept."""
    terms = {
        "spot": budget.spot_m, "detector": budget.detector_m, "stage": budget.stage_m, "vibration": budget.vibration_m,
    }  # fmt: skip
    whole = f10(budget)
    less: dict[str, dict[str, Any]] = {name: {f"{name}_m": 0.0} for name in terms}
    rows = [(name, sigma * 1e9, 1.0 - whole / f10(replace(budget, **less[name]))) for name, sigma in terms.items()]
    if budget.second is not None:
        beside = float(np.hypot(budget.second.u_m, budget.second.v_m))
        rows.append(("second spot", beside * 1e9, 1.0 - whole / f10(replace(budget, second=None))))
    for name, sigma in (("drift without correction", drift_um), ("drift with correction", left_um)):
        rows.append((name, sigma * 1e3, 1.0 - f10(budget, (sigma * 1e-6) ** 2) / whole))
    return rows


def stability(config: Config) -> Stability:
    """What a scan of this length may drift without correction and still keep its limit.

    A straight drift D blurs with σ = D/√12; a random walk q over T with σ² = q² T/6 in the mean.
    """
    blur = allowed_blur_m(budget_of(config), 0.5e6 / config.scan.resolution_limit_um) * 1e6
    linear = blur * np.sqrt(12.0)
    kelvin = []
    for element in config.elements:
        across = element.metres_per_kelvin * 1e6 * float(np.hypot(element.direction[0], element.direction[1]))
        if element.body in ("source", "object") and across > 0:
            kelvin.append((element.body, element.node, linear / across))
    return Stability(blur, float(linear), float(blur * np.sqrt(6.0 / config.scan.duration_h)), tuple(kelvin))
