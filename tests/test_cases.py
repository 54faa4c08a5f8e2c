"""Bad input, one folder per kind: one clear line per fault, exit code 2, and nothing lost.

A folder in ``tests/cases`` holds ``command`` (the arguments of ctwin), its input, and ``expected.err`` (all that stderr
may hold, exactly). The command runs in a copy of the folder, with ``good/`` beside its files: a small machine, readings and
a scan that nothing is wrong with. ``{case}`` stands for that copy's path. ``new`` lists files (patterns) that may appear;
every other file must be afterwards as it was, ``out/`` of an earlier run included.
"""

from __future__ import annotations

import fnmatch
import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts import registry as sinks
from sensors import registry as sensors
from twin.cli import main
from twin.config import Config
from twin.faults import PATTERNS
from twin.simulate.scenario import Scenario

CASES = Path(__file__).parent / "cases"
GOOD = CASES / "good"
NAMES = sorted(folder.name for folder in CASES.iterdir() if (folder / "command").is_file())
# One of each family also as a process of its own, as a user starts it; it takes a second each.
AS_PROCESS = (
    "arguments-unknown-format",
    "config-several-faults",
    "readings-torn-line",
    "scan-outside-the-readings",
    "store-damaged-for-run",
)
EARLIER = ("corrections.csv", "estimates.csv", "resolution.csv", "alerts.jsonl", "readings.csv", "truth.csv")


@pytest.fixture
def place(request, tmp_path, monkeypatch) -> Path:
    """Copy of a case in the working folder, with results of an earlier run in ``out``."""
    folder = CASES / request.param
    here = tmp_path.resolve()
    shutil.copytree(GOOD, here / "good")
    shutil.copytree(folder, here, dirs_exist_ok=True, ignore=shutil.ignore_patterns("command", "expected.err", "new"))
    (here / "out").mkdir(exist_ok=True)
    for name in EARLIER:
        (here / "out" / name).write_text("of an earlier run\n")
    monkeypatch.chdir(here)
    return here


def arguments(name: str) -> list[str]:
    return shlex.split((CASES / name / "command").read_text(encoding="utf-8"))


def expected(name: str, here: Path) -> str:
    return (CASES / name / "expected.err").read_text(encoding="utf-8").replace("{case}", str(here))


def tree(here: Path) -> dict[str, bytes]:
    return {path.relative_to(here).as_posix(): path.read_bytes() for path in here.rglob("*") if path.is_file()}


def nothing_lost(name: str, before: dict[str, bytes], after: dict[str, bytes]) -> None:
    assert {path: after.get(path) for path in before} == before
    listed = CASES / name / "new"
    patterns = listed.read_text().split() if listed.is_file() else []
    assert [path for path in set(after) - set(before) if not any(fnmatch.fnmatch(path, p) for p in patterns)] == []


@pytest.mark.parametrize("place", NAMES, indirect=True)
def test_bad_input_is_told_in_one_line_and_loses_nothing(place, request, capsys, monkeypatch):
    name = request.node.callspec.params["place"]
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own would keep the program's from stderr
    before = tree(place)
    try:
        code = main(arguments(name))
    except SystemExit as end:  # argparse
        code = end.code
    told = capsys.readouterr()
    assert told.err == expected(name, place)
    assert code == 2
    assert told.out == ""
    nothing_lost(name, before, tree(place))


@pytest.mark.parametrize("place", AS_PROCESS, indirect=True)
def test_bad_input_to_the_command_itself(place, request):
    name = request.node.callspec.params["place"]
    before = tree(place)
    done = subprocess.run(
        [sys.executable, "-m", "twin", *arguments(name)], capture_output=True, text=True, encoding="utf-8", timeout=60,
        env={**os.environ, "PYTHONPATH": str(CASES.parent.parent), "PYTHONUTF8": "1"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected(name, place))
    nothing_lost(name, before, tree(place))


@pytest.mark.parametrize("name", NAMES)
def test_every_case_says_what_it_expects_in_plain_lines(name):
    """A line per fault, none a traceback or a library's own words; each is told once."""
    lines = (CASES / name / "expected.err").read_text(encoding="utf-8").splitlines()
    assert lines
    assert len(set(lines)) == len(lines)
    for line in lines:
        assert line.startswith("ctwin: ")
        for word in (
            "Traceback",
            "pydantic",
            "type=",
            "Errno",
            "object at 0x",
            "Input should",
            "NoneType",
            "argument what",
        ):
            assert word not in line


def test_there_are_enough_kinds():
    families = {name.split("-")[0] for name in NAMES}
    assert families >= {"arguments", "config", "dashboards", "readings", "scan", "simulate", "spool", "store"}
    assert len(NAMES) >= 150


def test_every_pattern_of_a_key_has_words():
    schemas = [Config.model_json_schema(by_alias=True), Scenario.model_json_schema(by_alias=True)]
    schemas += [
        registry.options_of(kind).model_json_schema() for registry in (sinks, sensors) for kind in registry.kinds()
    ]
    found = {pattern for schema in schemas for pattern in patterns(schema)}
    assert len(found) >= 6
    assert found <= set(PATTERNS)


def patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        yield from (pattern for inner in schema.values() for pattern in patterns(inner))
    elif isinstance(schema, list):
        yield from (pattern for inner in schema for pattern in patterns(inner))
