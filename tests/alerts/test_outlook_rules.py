"""Rules over forecasts: both sides of a limit, counted from now."""

import numpy as np
import pytest
from scipy.stats import norm

from alerts.expression import compile_when
from alerts.rule import Snapshot, Verdict
from models.estimate import Forecast

TIMES = np.linspace(0.0, 7200.0, 73)
# rises from 0.02 to 0.14 in two hours, σ 0.01
RISING = Forecast("loss_corrected", "1", 0.0, TIMES, 0.02 + 0.12 * TIMES / 7200.0, np.full(73, 0.01))
# falls from 1.4 to 1.0
FALLING = Forecast("width_um", "um", 0.0, TIMES, 1.4 - 0.4 * TIMES / 7200.0, np.full(73, 0.05))


class Plain:
    """A prediction of somebody else's: no arrays, no making time."""

    def probability(self, limit: float, within_s: float) -> float:
        return 0.25

    def time_to(self, limit: float, p: float) -> float:
        return 600.0


def judge(text: str, now: float = 0.0, **forecasts: object) -> Verdict:
    known = {"loss_corrected": RISING, "width_um": FALLING} | forecasts
    return compile_when(text, set(), set(), set(known)).judge(Snapshot(now, forecasts=known))


def test_the_example_of_the_configuration() -> None:
    text = "probability(loss_corrected > 0.10, within = 120 min) > 0.9"
    verdict = judge(text)
    assert verdict.outcome == "violated"
    assert verdict.value == pytest.approx(norm.cdf(4.0))  # at the end: (0.14 - 0.10) / 0.01 σ
    assert judge(text.replace("120 min", "60 min")).value == pytest.approx(norm.cdf(-2.0))


def test_below_is_the_largest_probability_of_any_instant() -> None:
    # of a falling quantity, P(< 1.1) is largest at the end; 1 - max P(> 1.1) would say 0
    verdict = judge("probability(width_um < 1.1, within = 2 h) > 0.9")
    assert verdict.outcome == "violated"
    assert verdict.value == pytest.approx(norm.cdf(2.0))
    assert judge("probability(width_um < 1.1, within = 30 min) > 0.01").outcome == "clear"


def test_time_to_both_sides() -> None:
    above = judge("time_to(loss_corrected > 0.08) < 61 min")
    assert above.outcome == "violated"
    assert above.value == pytest.approx(3600.0)
    below = judge("time_to(width_um < 1.2) < 1 h")
    assert below.outcome == "clear"
    assert below.value == pytest.approx(3600.0)
    # a likelier crossing comes later, by one σ of 84 %
    later = judge("time_to(loss_corrected > 0.08, p = 0.8413447) < 2 h").value
    assert later == pytest.approx(3600.0 + 600.0, abs=1.0)
    assert judge("time_to(loss_corrected > 0.5) < 2 h").outcome == "clear"


def test_an_old_forecast_is_read_from_now_on() -> None:
    assert judge("time_to(loss_corrected > 0.08) < 61 min", now=1200.0).value == pytest.approx(2400.0)
    assert judge("time_to(loss_corrected > 0.08) < 61 min", now=5000.0).value == 0.0
    early, late = (judge("probability(loss_corrected > 0.1, within = 1 h) > 0.9", now=t).value for t in (0.0, 1800.0))
    assert early == pytest.approx(norm.cdf(-2.0))
    assert late == pytest.approx(norm.cdf(1.0))


def test_predictions_of_others() -> None:
    assert judge("probability(x > 1, within = 1 h) > 0.2", x=Plain()).outcome == "violated"
    assert judge("probability(x < 1, within = 1 h) > 0.7", x=Plain()).value == 0.75
    assert judge("time_to(x > 1) < 11 min", x=Plain()).outcome == "violated"
    refused = judge("time_to(x < 1) < 11 min", x=Plain())
    assert refused.outcome == "error"
    assert "Forecast, not Plain" in refused.message


def test_a_forecast_that_fails_is_an_error_of_this_rule() -> None:
    class Broken(Plain):
        def probability(self, limit: float, within_s: float) -> float:
            raise ZeroDivisionError("no variance")

    verdict = judge("probability(x > 1, within = 1 h) > 0.2", x=Broken())
    assert verdict.outcome == "error"
    assert "no variance" in verdict.message


def test_a_forecast_with_an_age_goes_stale() -> None:
    expression = compile_when("probability(w < 1, within = 1 h) > 0.2", set(), set(), {"w"})
    fresh = Snapshot(0.0, forecasts={"w": FALLING}, ages_s={"w": 10.0}, stale_after_s={"w": 1200.0})
    old = Snapshot(0.0, forecasts={"w": FALLING}, ages_s={"w": 1300.0}, stale_after_s={"w": 1200.0})
    assert expression.judge(fresh).outcome == "clear"
    assert expression.judge(old).outcome == "stale"
