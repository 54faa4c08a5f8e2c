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


ALL = [(kind, phase) for kind in ("live", "live change", "correction", *FORECASTS) for phase in PHASES]
# what falls short of the aim, with what 200 machines gave (docs/explanation/honest-sigma.md says why)
TOO_SURE = {("live", "warm-up"): "0.89", ("forecast 8 h", "warm-up"): "0.90"}
TOO_WIDE = {
    ("correction", "after a step"): "1.6",
    ("correction", "steady"): "1.4",
    ("live change", "after a step"): "1.34",
}


def cells(wanted, short):
    return [
        pytest.param(*cell, marks=pytest.mark.xfail(reason=f"reaches {short[cell]}") if cell in short else ())
        for cell in wanted
    ]


@pytest.mark.parametrize(("kind", "phase"), cells(ALL, TOO_SURE))
def test_intervals_hold_the_truth(scores, kind, phase):
    low = 0.90 if phase == "after a step" else 0.91
    assert low <= scores[kind, phase].coverage <= 0.98


# of an absolute position one who is told the sensitivities knows what no estimator can find out: not compared
@pytest.mark.parametrize(("kind", "phase"), cells([c for c in ALL if c[0] != "live"], TOO_WIDE))
def test_intervals_are_nearly_as_narrow_as_those_of_who_knows(scores, kind, phase):
    assert scores[kind, phase].ratio <= 1.3
