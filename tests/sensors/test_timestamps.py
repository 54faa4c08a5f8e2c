import itertools
import math
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.reading import SensorError
from sensors.timestamps import CAUSES, TimestampPolicy, WallClock, iso, parse_time

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2023-11-14T22:13:20+00:00", NOW),
        ("2023-11-14 23:13:20.250+01:00", NOW + 0.25),
        (" 1700000000.5 ", NOW + 0.5),
        ("1.7e9", NOW),
    ],
)
def test_both_notations(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2023-11-14T22:13:20", "no zone; append Z"),
        ("14.11.2023 22:13", "neither ISO 8601"),
        ("", "neither"),
        ("nan", "neither"),
        ("1_700_000_000", "neither"),
        ("1700000000000", "not milli"),
        ("inf", "neither"),
    ],
)
def test_what_is_no_time_says_why(text, words):
    with pytest.raises(ValueError, match=words):
        parse_time(text)


@given(st.floats(0, 4e9))
def test_posix_seconds_keep_every_bit(seconds):
    assert parse_time(repr(seconds)) == seconds


def test_iso_is_readable():
    assert parse_time(iso(NOW + 0.125)) == NOW + 0.125


def test_summer_time_ends_without_running_backwards():
    clock = WallClock("Europe/Zurich")
    stamps = [
        "2023-10-29T02:30:00",
        "2023-10-29T02:59:00",
        "2023-10-29T02:00:00",
        "2023-10-29T02:30:00",
        "2023-10-29T03:00:00",
    ]
    times = [clock.seconds(datetime.fromisoformat(s)) for s in stamps]
    assert [b - a for a, b in itertools.pairwise(times)] == [29 * 60, 60, 30 * 60, 30 * 60]
    assert times[0] == parse_time("2023-10-29T02:30:00+02:00")


def test_the_skipped_hour_of_spring_runs_on():
    clock = WallClock("Europe/Zurich")
    times = [clock.seconds(datetime.fromisoformat(s)) for s in ("2023-03-26T01:59:00", "2023-03-26T03:01:00")]
    assert times[1] - times[0] == 120


def test_unknown_timezone_names_the_mend():
    for name in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(SensorError, match="give a name such as"):
            WallClock(name)


def test_each_cause_is_counted_per_channel_and_none_blinds_the_channel():
    policy = TimestampPolicy()
    judged = [
        policy.judge("a", NOW, NOW),
        policy.judge("b", NOW - 100, NOW),  # another channel may be older
        policy.judge("a", 0.0, NOW),
        policy.judge("a", math.nan, NOW),
        policy.judge("a", NOW + 1801, NOW),
        policy.judge("a", math.inf),
        policy.judge("a", NOW - 1, NOW),
        policy.judge("a", NOW, NOW),
        policy.judge("a", NOW + 1800, NOW),  # exactly 30 min is still believed
    ]
    assert judged == [None, None, "before_1991", "before_1991", "ahead", "ahead", "backwards", "identical", None]
    assert policy.counts == {"a": {"before_1991": 2, "ahead": 2, "backwards": 1, "identical": 1}}


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(NOW - 10, NOW + 4000), st.none() | st.just(NOW))),
    st.integers(0, 30),
)
def test_a_restored_policy_judges_like_the_one_that_ran_on(stream, cut):
    whole = TimestampPolicy()
    verdicts = [whole.judge(*item) for item in stream]
    first = TimestampPolicy()
    begun = [first.judge(*item) for item in stream[:cut]]
    second = TimestampPolicy(first.last)
    assert begun + [second.judge(*item) for item in stream[cut:]] == verdicts
    refused = sum(sum(by.values()) for by in whole.counts.values())
    assert refused == sum(v is not None for v in verdicts)
    assert all(v is None or v in CAUSES for v in verdicts)
