"""A configuration file changed in place: values, comments, arrays over lines, missing keys and tables."""

from __future__ import annotations

import tomllib

import pytest

from twin import profiles
from twin.config_edit import Edit, edited

TEXT = """# head
ctwin = 1

[[node]]
name = "a"        # the first
tau = 20.0        # from the manual # and more
[[node]]
name = "b # no comment"
walk = [
  0.1,  # u
  0.2,
]
[drift.source]
walk = [0.1, 0.1, 0.2]
[[node]]
name = 'c'
"""


def node(index, key, value, comment=""):
    return Edit(("node",), index, key, value, comment)


def test_a_value_is_replaced_and_its_comment_kept():
    new = edited(TEXT, [node(0, "tau", "14.25", "calibrated 2026-01-01: 14.25 ± 0.1 from 9 readings")])
    assert 'name = "a"        # the first\n' in new
    line = next(line for line in new.splitlines() if line.startswith("tau"))
    assert line == "tau = 14.25       # from the manual # and more; calibrated 2026-01-01: 14.25 ± 0.1 from 9 readings"
    assert new.splitlines()[:5] == TEXT.splitlines()[:5]
    assert new.splitlines()[6:] == TEXT.splitlines()[6:]


def test_a_second_calibration_replaces_the_comment_of_the_first():
    first = edited(TEXT, [node(0, "tau", "14.0", "calibrated 2026-01-01: 14.0 ± 2 from 9 readings")])
    second = edited(first, [node(0, "tau", "15.0", "calibrated 2026-02-01: 15.0 ± 1 from 99 readings")])
    assert "2026-01-01" not in second
    assert "# from the manual # and more; calibrated 2026-02-01: 15.0 ± 1 from 99 readings\n" in second


@pytest.mark.parametrize(("index", "name"), [(0, "a"), (1, "b # no comment"), (2, "c")])
def test_a_missing_key_joins_its_own_table(index, name):
    data = tomllib.loads(edited(TEXT, [node(index, "lag", "3.0", "new")]))
    assert [n.get("lag") for n in data["node"]] == [3.0 if n["name"] == name else None for n in data["node"]]


def test_an_array_over_several_lines_is_one_value():
    new = edited(TEXT, [node(1, "walk", "[0.3, 0.4]", "x")])
    assert tomllib.loads(new)["node"][1]["walk"] == [0.3, 0.4]
    assert "walk = [0.3, 0.4]  # x\n" in new


def test_several_edits_at_once():
    edits = [
        node(2, "lag", "1.0"), node(0, "tau", "2.0"), Edit(("drift", "source"), None, "walk", "[1, 2, 3]"),
        Edit(("flux",), None, "floor", "0.5"), Edit(("flux",), None, "walk", "0.25"), node(0, "lag", "4.0"),
    ]  # fmt: skip
    data = tomllib.loads(edited(TEXT, edits))
    assert data["node"][0] == {"name": "a", "tau": 2.0, "lag": 4.0}
    assert data["node"][2] == {"name": "c", "lag": 1.0}
    assert data["drift"]["source"]["walk"] == [1, 2, 3]
    assert data["flux"] == {"floor": 0.5, "walk": 0.25}


def test_line_ends_of_windows_stay():
    new = edited(TEXT.replace("\n", "\r\n"), [node(0, "tau", "2.0", "x"), node(1, "lag", "4.0")])
    assert new.count("\n") == new.count("\r\n")


def test_a_file_without_a_last_line_end():
    assert tomllib.loads(edited("[a]\nx = 1", [Edit(("a",), None, "y", "2")]))["a"] == {"x": 1, "y": 2}


@pytest.mark.parametrize("name", profiles.names())
def test_no_edit_changes_nothing(name):
    assert edited(profiles.text(name), []) == profiles.text(name)


@pytest.mark.parametrize("name", profiles.names())
def test_every_number_of_a_profile_can_be_reached(name):
    text = profiles.text(name)
    before = tomllib.loads(text)
    for index, table in enumerate(before["channel"]):
        if "sigma" in table:
            after = tomllib.loads(edited(text, [Edit(("channel",), index, "sigma", "0.75", "c")]))
            assert after["channel"][index]["sigma"] == 0.75
            after["channel"][index]["sigma"] = table["sigma"]
            assert after == before
