"""The rule language: what it means, what it refuses and in which words."""

import math

import pytest

from alerts.alert import AlertError
from alerts.expression import Expression, compile_when, names
from alerts.rule import Outcome, Policy, Snapshot
from alerts.watch import Watch

VALUES = {"t_tube", "t-tube", "i0", "loss_corrected", "loss_uncorrected", "half_pitch10_um", "source_u_um", "nis"}
CHANNELS = {"t_tube", "t-tube", "i0"}
FORECASTS = {"loss_corrected", "half_pitch10_um"}

NOW = Snapshot(
    time=1000.0,
    values={"t_tube": 24.5, "t-tube": 20.0, "i0": 3000.0, "loss_corrected": 0.05, "source_u_um": -2.0, "nis": 9.0},
    sigmas={"source_u_um": 0.25, "loss_corrected": 0.01},
    ages_s={"t_tube": 5.0, "t-tube": 61.0},
    stale_after_s={"t_tube": 60.0, "t-tube": 60.0, "i0": 60.0},
)


def build(text: str) -> Expression:
    return compile_when(text, VALUES, CHANNELS, FORECASTS)


def outcome(text: str, snapshot: Snapshot = NOW) -> str:
    return build(text).judge(snapshot).outcome.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t_tube > 24", "violated"),
        ("t_tube > 24.5", "clear"),
        ("t_tube >= 24.5", "violated"),
        ("t_tube<2.45e1", "clear"),
        ("t_tube <= .245e2", "violated"),
        ("24 < t_tube", "violated"),
        ("not t_tube > 24", "clear"),
        ("not not t_tube > 24", "violated"),
        ("abs(source_u_um) > 1.5", "violated"),
        ("abs(source_u_um) / sigma(source_u_um) > 7.9", "violated"),
        ("abs(source_u_um) / sigma(source_u_um) > 8.1", "clear"),
        # precedence: * before +, left to right, 'and' before 'or'
        ("2 + 3 * 4 - 6 / 2 / 3 > 12.9", "violated"),
        ("2 + 3 * 4 - 6 / 2 / 3 < 13.1", "violated"),
        ("10 - 3 - 2 < 5.5", "violated"),
        ("(2 + 3) * 4 > 19", "violated"),
        ("-source_u_um > 1.9", "violated"),
        ("--source_u_um < -1.9", "violated"),
        ("t_tube > 24 or t_tube > 24 and t_tube > 90", "violated"),
        ("(t_tube > 24 or t_tube > 24) and t_tube > 90", "clear"),
        # durations
        ("age(t_tube) > 4 s", "violated"),
        ("age(t_tube) > 0.1 min", "clear"),
        ("age(t_tube) * 2 >= 10 s", "violated"),
        ("age(t_tube) / 1 min < 0.1", "violated"),
        ("2 h - 119 min >= 60 s and 1 d >= 24 h and 1000 ms <= 1 s", "violated"),
        # silence
        ("stale(t_tube)", "clear"),
        ("stale('t-tube')", "violated"),
        ("stale(i0)", "violated"),  # never seen
        ("age(i0) > 365 d", "violated"),
        # three-valued: what is decided by the rest doesn't wait for what isn't known
        ("i0 > 1", "violated"),  # what has a value and no age is as fresh as the snapshot
        ("'t-tube' > 1", "stale"),
        ("not 't-tube' > 1", "stale"),
        ("'t-tube' > 1 or t_tube > 24", "violated"),
        ("'t-tube' > 1 or t_tube > 90", "stale"),
        ("'t-tube' > 1 and t_tube > 90", "clear"),
        ("'t-tube' > 1 and t_tube > 24", "stale"),
        ("half_pitch10_um > 1", "stale"),  # known by name, no value yet
        ("sigma(i0) > 1", "stale"),
        ("nis / (t_tube - 24.5) > 1", "error"),
        ("nis / (t_tube - 24.5) > 1 or 't-tube' > 1", "error"),
        ("1 > 0", "violated"),  # a watchdog always fires
    ],
)
def test_meaning(text: str, expected: str) -> None:

    assert outcome(text) == expected


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "empty"),
        ("   ", 4, None),
        ("los_corrected > 0.1", 1, "'los_corrected' is no known value; did you mean 'loss_corrected'?"),
        ("1 > 0 and stale(t_tub)", 17, "'t_tub' is no known channel; did you mean"),
        ("stale(loss_corrected)", 7, "no known channel; there are i0, t-tube, t_tube"),
        ("probability(nis > 1, within = 5 min) > 0.5", 13, "no known forecast"),
        ("propability(loss_corrected > 1, within = 5 min) > 0.5", 1, "did you mean 'probability'?"),
        ("t > 1", 1, "write 't-tube' in quotes"),
        ("t_tube", 1, "a number, not a condition"),
        ("age(t_tube)", 1, "a duration, not a condition"),
        ("t_tube > 1 min", 8, "write the unit"),
        ("age(t_tube) > 30", 13, "30 s, 30 min, 30 h"),
        ("t_tube + 5 s > 1", 8, "a number is added to a duration"),
        ("1 / age(t_tube) > 1", 3, "has no meaning"),
        ("age(t_tube) * age(t_tube) > 1 s", 13, "has no meaning"),
        ("1 < t_tube < 3", 12, "can't be chained"),
        ("t_tube = 3", 8, "never exactly equal"),
        ("t_tube == 3", 8, "never exactly equal"),
        ("t_tube > 3 && nis > 1", 12, "write 'and'"),
        ("t_tube > 3 | nis > 1", 12, "write 'or'"),
        ("!t_tube > 3", 1, "write 'not'"),
        ("t_tube ≥ 3", 8, "write '>='"),
        ("t_tube >", 9, "expected a name, a number or '(', found the end"),
        ("(t_tube > 3", 12, "expected ')', found the end"),
        ("t_tube > 3)", 11, "expected an operator or the end, found ')'"),
        ("t_tube > 3 nis > 1", 12, "'nis' is no unit of time; expected ms, s, min, h, d"),
        ("'t_tube > 3", 1, "never closed"),
        ("t_tube and nis > 1", 1, "expected a condition beside 'and'"),
        ("nis > 1 or t_tube", 12, "expected a condition beside 'or'"),
        ("not t_tube", 5, "expected a condition after 'not'"),
        ("(nis > 1) > 2", 1, "a condition can't be compared"),
        ("(nis > 1) + 2 > 1", 11, "needs numbers"),
        ("abs(nis > 1) > 1", 9, "expected ')'"),
        ("probability(loss_corrected > 0.1) > 0.5", 33, "', within = ' and a duration"),
        ("probability(loss_corrected > 0.1, within = 120) > 0.5", 44, "write its unit: 120 min"),
        ("probability(loss_corrected > 0.1, whithin = 2 h) > 0.5", 35, "expected 'within ='"),
        ("probability(loss_corrected > 0.1, within = -2 h) > 0.5", 44, "negative"),
        ("probability(loss_corrected > 0.1, within = age(t_tube)) > 0.5", 44, "without names"),
        ("probability(loss_corrected > 0.1, within = 1 h / 0) > 0.5", 44, "divides by zero"),
        ("probability(loss_corrected > 1 h, within = 1 h) > 0.5", 30, "the limit must be a number"),
        ("probability(loss_corrected, within = 1 h) > 0.5", 27, "'>' or '<' and a limit"),
        ("time_to(loss_corrected > 0.1, p = 1.5) < 1 h", 35, "between 0 and 1"),
        ("time_to(loss_corrected > 0.1) < 30", 31, "write the unit"),
        ("stale()", 7, "the name of a channel"),
        ("stale t_tube", 1, "no known value"),
        ("-(nis > 1) > 1", 1, "needs numbers"),
        ("1" + "+1" * 300 + " > 0", None, "operations"),
        ("(" * 400 + "nis", None, "deep"),
        ("not " * 300 + "nis > 1", None, "deep"),
        ("-" * 300 + "nis > 1", None, "deep"),
        ("nis > 1" + " " * 3000, None, "2000 characters"),
        ("__import__('os') > 0", 1, "no function"),
        ("nis.__class__ > 0", 1, "no known value"),
    ],
)
def test_refusals_name_the_place_and_the_mend(text: str, column: int | None, words: str | None) -> None:
    with pytest.raises(AlertError) as caught:
        build(text)
    message = str(caught.value)
    assert "\n" not in message
    if column is not None and words is not None:
        assert message.startswith(f"column {column}: "), message
    if words is not None:
        assert words in message


def test_names_by_role() -> None:
    found = names(
        build("abs(i0) > 1 and stale(t_tube) or sigma(nis) > age('t-tube') / 1 s * time_to(loss_corrected < 0.1) / 1 h")
    )
    assert found.values == {"i0", "nis"}
    assert found.channels == {"t_tube", "t-tube"}
    assert found.forecasts == {"loss_corrected"}


def test_verdict_tells_value_limit_margin_and_words() -> None:
    verdict = build("24 < t_tube").judge(NOW)
    assert (verdict.value, verdict.limit, verdict.margin) == (24.5, 24.0, 0.5)
    assert verdict.message == "t_tube = 24.5, > 24"
    low = build("t_tube < 24").judge(NOW)
    assert (low.outcome, low.margin, low.message) == (Outcome.CLEAR, -0.5, "t_tube = 24.5, not < 24")
    silent = build("stale('t-tube')").judge(NOW)
    assert silent.message == "t-tube: last good reading 61 s ago (stale after 1 min)"
    assert build("nis > 100 or t_tube > 24").judge(NOW).message == "t_tube = 24.5, > 24"


def test_a_note_is_told_where_its_value_passes_the_limit() -> None:
    noted = Snapshot(0.0, {"nis": 9.0, "t_tube": 1.0}, notes={"nis": "t_room scatters", "i0": "not asked for"})
    assert build("nis > 2").judge(noted).message == "nis = 9, > 2: t_room scatters"
    assert build("t_tube > 3 or nis - t_tube > 2").judge(noted).message == "nis - t_tube = 8, > 2: t_room scatters"
    assert build("nis > 20").judge(noted).message == "nis = 9, not > 20"


def test_nothing_known_is_never_clear() -> None:
    for text in ("t_tube > 1", "sigma(i0) > 1", "probability(loss_corrected > 0.1, within = 2 h) > 0.9"):
        assert outcome(text, Snapshot(0.0)) == "stale"
    assert outcome("t_tube > 1", Snapshot(0.0, {"t_tube": math.nan})) == "stale"
    assert outcome("t_tube > 1", Snapshot(0.0, {"t_tube": math.inf})) == "violated"
    assert outcome("t_tube - i0 > 1", Snapshot(0.0, {"t_tube": math.inf, "i0": math.inf})) == "error"


def test_hysteresis_needs_one_comparison() -> None:
    Watch("one", build("nis > 1"), Policy(hysteresis=0.5))
    with pytest.raises(AlertError, match="two: hysteresis needs a condition that is one comparison"):
        Watch("two", build("nis > 1 or nis < 0"), Policy(hysteresis=0.5))
    with pytest.raises(AlertError, match="for_s: must be a number that is not negative"):
        Policy(for_s=math.nan)
