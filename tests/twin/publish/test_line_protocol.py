"""Lines: floats only, fixed tags, exact instants, names that come back as they were."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.publish.line_protocol import LineError, Tags, instant, line

TAGS = Tags("lab", "ct")


def read_back(text: str) -> tuple[str, dict[str, str], dict[str, float], int]:
    """A reader of its own, from the grammar: split at separators that no backslash precedes."""

    def split(part: str, separator: str) -> list[str]:
        return re.split(r"(?<!\\)" + separator, part)

    def clean(part: str) -> str:
        return re.sub(r"\\([,= ])", r"\1", part)

    head, fields, time = split(text, " ")
    measurement, *tags = split(head, ",")
    pairs = [split(tag, "=") for tag in tags]
    values = [split(pair, "=") for pair in split(fields, ",")]
    return (
        clean(measurement), {clean(k): clean(v) for k, v in pairs}, {clean(k): float(v) for k, v in values}, int(time),
    )  # fmt: skip


names = st.text(st.characters(codec="utf-8", exclude_characters="\\\x7f\x85\u2028\u2029", min_codepoint=32), min_size=1)
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(names, names, names, st.dictionaries(names.filter(lambda n: n not in {"site", "system", "channel", "time"}),
                                            finite, min_size=1))  # fmt: skip
def test_what_is_written_comes_back(site, system, channel, fields):
    text = line(Tags(site, system), "m", channel, 1.0, fields)
    assert text is not None
    assert read_back(text) == ("m", {"channel": channel, "site": site, "system": system}, fields, 10**9)
    assert "\n" not in text


@given(st.text(min_size=1), finite)
def test_any_channel_name_gives_one_readable_line(channel, value):
    text = line(TAGS, "m", channel, 1.0, {"value": value})
    assert text is not None
    assert len(text.splitlines()) == 1
    _, tags, fields, _ = read_back(text)
    assert len(tags) == 3
    assert fields == {"value": value}


@pytest.mark.parametrize("number", [5, True, np.float32(0.5), np.int64(7), 1e300, 5e-324, -0.0])
def test_every_number_is_written_as_a_float(number):
    text = line(TAGS, "m", "c", 0.0, {"value": number})
    assert text is not None
    written = text.split()[1].removeprefix("value=")
    assert re.fullmatch(r"-?\d+\.\d+(e[+-]\d+)?|-?\d+e[+-]\d+", written), written
    assert float(written) == float(number)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_left_out(bad):
    assert (
        line(TAGS, "m", "c", 1.0, {"value": 1.0, "sigma": bad}) == "m,channel=c,site=lab,system=ct value=1.0 1000000000"
    )
    assert line(TAGS, "m", "c", 1.0, {"value": bad}) is None
    assert line(TAGS, "m", "c", bad, {"value": 1.0}) is None


@given(st.integers(0, 4 * 10**15))
def test_microseconds_survive_the_double(microseconds):
    assert instant(microseconds / 1e6) == microseconds * 1000


@pytest.mark.parametrize("field", ["site", "system", "channel", "time"])
def test_a_field_named_like_a_tag_is_refused(field):
    with pytest.raises(LineError, match=field):
        line(TAGS, "m", "c", 1.0, {field: 1.0})


def test_empty_names_are_refused():
    for make in (
        lambda: Tags("", "ct"), lambda: line(TAGS, "", "c", 1.0, {"v": 1.0}), lambda: line(TAGS, "m", "", 1.0, {"v": 1.0}),
    ):  # fmt: skip
        with pytest.raises(LineError, match="empty"):
            make()


def test_a_measurement_cannot_become_a_comment():
    text = line(TAGS, "#m", "c", 1.0, {"v": 1.0})
    assert text is not None
    assert text.startswith("_m,")
