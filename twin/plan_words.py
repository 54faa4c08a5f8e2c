"""A plan in words for a terminal, and as plain data for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from twin.cadence import Cadence
from twin.plan import DRAWN, SMOOTHED, Plan
from twin.preview_words import expected_facts, more_rows, range_words
from twin.running import Running
from twin.terminal import table


def plan_lines(plan: Plan, since: str) -> Iterator[str]:
    """What the command ``plan`` prints; ``since`` says what waiting times count from."""
    chance = plan.chance
    verdict = "GO" if plan.go else "NO-GO"
    yield (
        f"{verdict}: a scan of {plan.duration_h:g} h begun {plan.wait_h:g} h after {since} keeps {plan.limit_um:g} um "
        f"with {_percent(chance.corrected)} after correction ({_percent(plan.confidence)} wanted), "
        f"{_percent(chance.uncorrected)} without"
    )
    yield "\nHalf-pitch of the tomogram at 10 % MTF"
    yield table([
        ["", "expected", "95 % between"],
        ["promised by the budget", f"{plan.promised_um:.3g} um", ""],
        ["without correction", *range_words(plan.uncorrected)],
        ["with correction", *range_words(plan.corrected)],
    ])  # fmt: skip
    yield f"\nHow long to wait after {since} (probability that the scan keeps its limit)"
    yield table([
        ["wait", "without correction", "with correction"],
        *([f"{c.wait_h:g} h", _percent(c.uncorrected), _percent(c.corrected)] for c in plan.chances),
        [f"until {_percent(plan.confidence)}", *(_hours(h) for h in plan.ready_h)],
    ])  # fmt: skip
    yield f"  shares of {DRAWN} drawn drifts and {SMOOTHED} rehearsed corrections: good to some 2 and 4 % (sigma)"
    yield "\nError budget in the object plane"
    yield table([
        ["", "sigma", "costs of the resolution"],
        *([name, f"{sigma:.0f} nm", _percent(cost)] for name, sigma, cost in plan.budget),
    ])  # fmt: skip
    yield "\nHow often to look"
    for cadence in plan.cadences:
        yield f"  {cadence_words(cadence)}"
    yield "\nWhat the scan may drift by itself, without correction"
    s = plan.stability
    if s.blur_um == 0:
        yield f"  nothing: the budget alone ({plan.promised_um:.3g} um) misses {plan.limit_um:g} um"
    else:
        yield (
            f"  {s.linear_um:.3g} um from the first projection to the last ({1e3 * s.linear_um / plan.duration_h:.3g} nm/h), "
            f"or a random walk of {s.walk_um_per_sqrt_h:.2g} um/sqrt(h)"
        )
        for body, node, kelvin in s.kelvin:
            yield f"  that is {kelvin:.2g} K of {node} for the {body}"
    if plan.more:
        yield "\nOne more sensor, by what the corrected tomogram would resolve"
        yield table(more_rows(plan.more))


def cadence_words(c: Cadence) -> str:
    """One line about how often something must be looked at.

    Examples
    --------
    >>> cadence_words(Cadence("marker readings", 1800.0, 0.11, 0.22))
    'marker readings: every 30 min suffice (0.11 um of drift are left; 0.22 um cost 5 %)'
    """
    if c.what == "bright images":
        noise = f"a pixel's counting noise, {_small(c.allowed_um)}"
        if math.isinf(c.every_s):
            return f"bright images: once; the flux changes by {_small(c.left_um)}, less than {noise}"
        return f"bright images: every {_minutes(c.every_s)}; by then the flux has changed by {noise}"
    rest = f"({c.left_um:.2g} um of drift are left; {c.allowed_um:.2g} um cost 5 %)"
    if math.isinf(c.every_s):
        return f"{c.what}: none are needed {rest}"
    if c.every_s == 0:
        return f"{c.what}: not even one per projection suffices {rest}"
    return f"{c.what}: every {_minutes(c.every_s)} suffice {rest}"


def plan_facts(plan: Plan) -> dict[str, Any]:
    """The same for programs; what is not reached, or not needed, is null."""
    return {
        "go": plan.go,
        "wait_h": plan.wait_h,
        "duration_h": plan.duration_h,
        "limit_um": plan.limit_um,
        "confidence": plan.confidence,
        "half_pitch10_um": plan.promised_um,
        "uncorrected_um": expected_facts(plan.uncorrected),
        "corrected_um": expected_facts(plan.corrected),
        "chances": [asdict(c) for c in plan.chances],
        "ready_h": {"uncorrected": _finite(plan.ready_h[0]), "corrected": _finite(plan.ready_h[1])},
        "budget": [{"term": name, "sigma_nm": sigma, "costs": cost} for name, sigma, cost in plan.budget],
        "cadences": [
            {"what": c.what, "every_s": _finite(c.every_s), "left": c.left_um, "allowed": c.allowed_um}
            for c in plan.cadences
        ],
        "stability": {
            "blur_um": plan.stability.blur_um, "linear_um": plan.stability.linear_um,
            "walk_um_per_sqrt_h": plan.stability.walk_um_per_sqrt_h,
            "kelvin": [{"body": b, "node": n, "kelvin": k} for b, n, k in plan.stability.kelvin],
        },
        "one_more": [{"sensor": m.words, "corrected_um": expected_facts(m.corrected), "gain": m.gain} for m in plan.more],
    }  # fmt: skip


def running_lines(running: Running, confidence: float, clock: Any) -> Iterator[str]:
    """What ``plan --running`` prints; ``clock`` makes text of an instant."""
    yield f"as of {clock(running.time)}; the scan began at {clock(running.started)} and ends at {clock(running.ends)}"
    rows = [["", "keeps its limit to the end", f"keeps it with {_percent(confidence)} until"]]
    for name, keeps, stop in zip(("without correction", "with correction"), running.keeps, running.stop, strict=True):
        until = "not even now" if math.isnan(stop) else ("its end" if stop >= running.ends else clock(stop))
        rows.append([name, _percent(keeps), until])
    yield table(rows)


def running_facts(running: Running) -> dict[str, Any]:
    """The same for programs."""
    return {
        "time_s": running.time, "started_s": running.started, "ends_s": running.ends,
        "keeps": {"uncorrected": running.keeps[0], "corrected": running.keeps[1]},
        "stop_s": {"uncorrected": _finite(running.stop[0]), "corrected": _finite(running.stop[1])},
    }  # fmt: skip


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def _small(part: float) -> str:
    return f"{100 * part:.2g} %"


def _hours(hours: float) -> str:
    return "not within these" if math.isinf(hours) else f"{hours:.1f} h"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
