"""Intervals over machines drawn from the profile's own prior: do they hold the truth, and how narrow are they?

200 machines here; ``python -m tests.accuracy.honest --runs 1000`` prints the table of docs/explanation/honest-sigma.md.
"""

from __future__ import annotations

import pytest

from tests.accuracy.honest import PHASES, judged

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
FORECASTS = ("forecast 0.5 h", "forecast 2 h", "forecast 8 h")


@pytest.fixture(scope="module")
def scores():
    judge = judged("xrm2-nanoct", 200, 1)
    print("\n" + judge.table())
    return judge.scores


@pytest.mark.parametrize("kind", ["live", "live change", "correction", *FORECASTS])
@pytest.mark.parametrize("phase", PHASES)
def test_intervals_hold_the_truth(scores, kind, phase):
    low = 0.90 if phase == "after a step" else 0.91
    assert low <= scores[kind, phase].coverage <= 0.98


@pytest.mark.parametrize("kind", ["correction", *FORECASTS])
@pytest.mark.parametrize("phase", PHASES)
def test_intervals_are_nearly_as_narrow_as_those_of_who_knows(scores, kind, phase):
    assert scores[kind, phase].ratio <= 1.3
