"""Honest σ of live estimates around steps, on machines made without the product; false steps where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from tests.accuracy.stepping import Followed, follow
from tests.oracles.stepping_machine import Run, simulate

DAYS = 14  # of one machine each, three steps a day


def gathered(runs: list[Run], how: str) -> dict[str, np.ndarray]:
    """Share inside the 95 % interval and interval score (Gneiting & Raftery 2007, eq. 43), after steps and elsewhere."""
    found: dict[str, list[np.ndarray]] = {key: [] for key in ("after", "else", "score after", "score else")}
    for run in runs:
        seen = follow(run, how)
        after = seen.after(run)
        for name, where in (("after", after), ("else", ~after)):
            found[name].append(seen.inside()[where & seen.settled])
            found[f"score {name}"].append(score(seen)[where & seen.settled])
    return {name: np.concatenate(parts).mean() for name, parts in found.items()}


def score(seen: Followed) -> np.ndarray:
    half = 1.96 * seen.std
    return 2.0 * half + 2.0 / 0.05 * np.maximum(np.abs(seen.mean - seen.truth) - half, 0.0)


@pytest.mark.slow
def test_intervals_hold_in_the_hour_after_a_step_and_elsewhere():
    runs = [simulate(7000 + k, 24.0, 3.0) for k in range(DAYS)]
    got, told = gathered(runs, "recognised"), gathered(runs, "told")
    assert got["after"] >= 0.90
    assert 0.93 <= got["else"] <= 0.97
    assert got["score else"] <= 1.1 * told["score else"]
    assert got["score after"] <= 1.6 * told["score after"], "who is told when, not by how much, has half the width"


@pytest.mark.slow
def test_without_steps_there_are_as_few_as_promised():
    """Thirty days in one: at P > 0.95 at most one in twenty events is false, so 1.5/19 a day, 2.4 expected (99 %: 6)."""
    seen = follow(simulate(41, 30.0 * 24.0, 0.0))
    assert sum(e.time > seen.time[0] + 3.0 * 3600.0 for e in seen.events) <= 6


def test_a_step_of_usual_size_is_seen_within_minutes():
    start = 4 * 360
    run = simulate(3, 7.0, jumps=((start, np.array([0.3, -0.25])),))
    seen, plain = follow(run), follow(run, "plain")
    (event,) = [e for e in seen.events if e.time > run.time[start] - 1800.0]
    assert abs(event.time - run.time[start]) <= 600.0
    assert event.told <= run.time[start] + 1200.0
    assert np.all(np.abs(np.array(event.size) * 1e6 - [0.3, -0.25]) <= 2.5 * np.array(event.sigma) * 1e6)
    late = (seen.time > event.told + 300.0) & (seen.time < event.told + 2400.0)
    wrong = np.sqrt(np.mean((seen.mean - seen.truth)[late] ** 2))
    smeared = np.sqrt(np.mean((plain.mean - plain.truth)[late] ** 2))
    assert wrong < 0.6 * smeared
