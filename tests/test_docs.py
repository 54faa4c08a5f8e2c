"""The documents say what is so: commands parse, keys and defaults are those of the code, links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from alerts import registry as sinks
from sensors import registry as sensors
from sensors.channel import UNITS
from twin import config, profiles, sections
from twin.channels import FORECASTS, VALUES
from twin.cli import COMMANDS, parser

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
ALARMS = ROOT / "docs" / "how-to" / "alarms"
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def without_code(page: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S))


def anchors(page: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    heads = re.findall(r"^#+ +(.*)$", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


# --- links -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text(path))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (anchor and anchor not in anchors(text(found))):
            broken.append(target)
    assert broken == []


def test_every_page_is_reached_from_the_index() -> None:
    seen, waiting = set(), [ROOT / "README.md", ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)", without_code(text(page))):
            found = (page.parent / unquote(target)).resolve()
            if found.is_dir():
                waiting += sorted(found.glob("*.md"))
            elif found.suffix == ".md" and found.exists():
                waiting.append(found)
    assert [name(page) for page in PAGES if page not in seen] == []


# --- commands ----------------------------------------------------------------------------------


def command_lines(page: str) -> Iterator[str]:
    """Every ``ctwin …`` in a code block or between back-ticks, continued lines joined."""
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", page, flags=re.M | re.S):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            found = re.match(r"(?:\$ |PS> )?(?:\S*[/\\])?ctwin(?:\.exe)? (.+)", line.strip())
            if found and "=" not in line.split()[1]:
                yield found[1]
    yield from re.findall(r"`ctwin ([^`\n]+)`", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S))


PLACEHOLDERS = {"URL": "http://127.0.0.1:8086", "N": "1", "S": "1", "MIN": "1", "F": "all"}


def spelled(line: str) -> list[str]:
    """Arguments of a line as a person would type them: comments gone, placeholders that must be numbers filled in."""
    return [PLACEHOLDERS.get(word, word) for word in shlex.split(line, comments=True)]


def mentioned(words: list[str]) -> bool:
    """A command only named (`ctwin check`, `ctwin alerts list CONFIG`), without its options; a text may do that."""
    plain = [word for word in words if word not in ("CONFIG", "PROFILE")]
    return len(plain) == (2 if words[0] in ("alerts", "dashboards", "spool") and len(plain) > 1 else 1)


def test_commands_in_documents_are_real(capsys: pytest.CaptureFixture[str]) -> None:
    wrong, count = [], 0
    for path in PAGES:
        for line in command_lines(text(path)):
            words = spelled(line)
            count += 1
            try:
                parser().parse_args(words)
            except SystemExit as end:
                said = capsys.readouterr().err
                if end.code and not (mentioned(words) and "required" in said):
                    wrong.append(f"{name(path)}: ctwin {line}: {said.strip()}")
            # argparse takes unambiguous beginnings of options; a document gives them in full
            cut = {word for word in words if word.startswith("--")} - OPTIONS
            wrong += [f"{name(path)}: ctwin {line}: {word}" for word in cut]
    assert wrong == []
    assert count > 20


@pytest.mark.parametrize("line", ["chekc a.toml", "check", "replay a.toml --raedings x --out y", "demo --sed 1"])
def test_a_wrong_command_would_be_found(line: str) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(spelled(line))


def subcommands() -> list[tuple[list[str], Any]]:
    found: list[tuple[list[str], Any]] = []

    def walk(words: list[str], here: Any) -> None:
        inner = [a for a in here._actions if hasattr(a, "choices") and isinstance(a.choices, dict)]
        if words and not inner:
            found.append((words, here))
        for action in inner:
            for word, sub in action.choices.items():
                walk([*words, word], sub)

    walk([], parser())
    return found


OPTIONS = {option for _, sub in subcommands() for option in sub._option_string_actions} | {"--version"}


def test_every_command_and_option_is_described() -> None:
    page = text(ROOT / "docs" / "reference" / "commands.md")
    missing = []
    for words, sub in subcommands():
        if f"## `ctwin {words[0]}" not in page:
            missing.append(f"ctwin {words[0]}")
        for action in sub._actions:
            for option in action.option_strings:
                if option.startswith("--") and option != "--help" and f"`{option}" not in page:
                    missing.append(f"ctwin {' '.join(words)} {option}")
    assert missing == []
    assert {words[0] for words, _ in subcommands()} >= set(COMMANDS)


# --- configuration -----------------------------------------------------------------------------

TABLES: dict[str, type[BaseModel]] = {
    "[system]": sections.System, "[geometry]": sections.Geometry, "[source]": sections.Source,
    "[detector]": sections.Detector, "[scan]": sections.ScanPlan, "[estimator]": sections.Estimator,
    "[[node]]": sections.Node, "[[link]]": sections.Link, "[[element]]": sections.Element,
    "[drift.source]": sections.Drift, "[drift.sample]": sections.SampleDrift, "[flux]": sections.Flux,
    "[stage]": sections.Stage, "[[mode]]": sections.Mode, "[[marker]]": sections.Marker,
    "[[sensor]]": sections.SensorSection, "[[channel]]": sections.ChannelSection, "[[alert]]": sections.AlertSection,
    "[[sink]]": sections.SinkSection, "[store]": sections.Store, "[publish.influx]": sections.Influx,
    "[http]": sections.Http, "[vibration]": sections.Vibration,
}  # fmt: skip


def described(page: str, head: str) -> dict[str, str]:
    """Key → default of the first table under a heading whose first code word is ``head``."""
    part = re.search(rf"^##+ [^\n]*`{re.escape(head)}`[^\n]*\n(.*?)(?=^##)", page + "\n##", flags=re.M | re.S)
    assert part is not None, f"no heading with `{head}`"
    table = re.search(r"^\| key \|.*?\n\|[-| ]+\n((?:\|.*\n)*)", part[1], flags=re.M)
    assert table is not None, f"no table under `{head}`"
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]
    return {row[0].strip("`"): row[-1] for row in rows}


def default(field: Any) -> str:
    """A default as the page writes it."""
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ((), ""):
        return "none"
    if isinstance(value, tuple):
        return f"[{', '.join(f'{v:g}' for v in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def expected(model: type[BaseModel]) -> dict[str, str]:
    return {field.alias or key: default(field) for key, field in model.model_fields.items()}


PAGE = ROOT / "docs" / "reference" / "configuration.md"


@pytest.mark.parametrize("head", TABLES)
def test_every_key_and_default_is_documented(head: str) -> None:
    assert described(text(PAGE), head) == expected(TABLES[head])


@pytest.mark.parametrize("kind", sensors.KINDS)
def test_every_key_of_a_sensor_is_documented(kind: str) -> None:
    assert described(text(PAGE), kind) == expected(sensors.options_of(kind))


@pytest.mark.parametrize("kind", sinks.kinds())
def test_every_key_of_a_sink_is_documented(kind: str) -> None:
    row = next(row for row in text(PAGE.with_name("alerts.md")).splitlines() if row.startswith(f"| `{kind}` |"))
    for key in sinks.options_of(kind).model_fields:
        assert f"`{key}`" in row


def test_every_table_of_a_configuration_is_documented() -> None:
    """A table that is new in twin/config.py must be added to TABLES, and so to the page."""

    def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for field in model.model_fields.values():
            for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    yield part
                    yield from models(part)

    containers = {sections.Drifts, sections.Publish}
    assert set(models(config.Config)) - containers == set(TABLES.values())


def test_quantities_and_units_are_documented() -> None:
    page = text(PAGE)
    for quantity, units in UNITS.items():
        assert re.search(rf"^\| `{quantity}` \| {', '.join(map(re.escape, units))} \|", page, flags=re.M), quantity


def test_values_for_rules_are_documented() -> None:
    page = text(PAGE)
    assert [value for value in (*VALUES, *FORECASTS) if f"`{value}`" not in page] == []


def test_materials_are_documented_with_their_coefficients() -> None:
    row = next(row for row in text(PAGE).splitlines() if row.startswith("| `material` |"))
    for material, coefficient in sections.EXPANSION.items():
        assert f"`{material}` {coefficient:g}" in row


def test_committed_schema_is_the_one_of_the_code() -> None:
    committed = json.loads(text(ROOT / "docs" / "config.schema.json"))
    assert committed == json.loads(json.dumps(config.json_schema())), "run 'make schema'"


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_examples_load(path: Path) -> None:
    config.load(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=name)
def test_examples_are_described(path: Path) -> None:
    assert path.name in text(ROOT / "examples" / "README.md")


def test_toml_in_documents_is_valid() -> None:
    """Blocks marked toml parse, and their tables have no unknown key."""
    models = {head.strip("[]"): model for head, model in TABLES.items()}
    models["drift.object"] = sections.Drift
    wrong = []
    for path in PAGES:
        for block in re.findall(r"^```toml\n(.*?)^```", text(path), flags=re.M | re.S):
            for key, value in tomllib.loads(block).items():
                for table in value if isinstance(value, list) else [value]:
                    model = models.get(key)
                    if key == "publish":
                        model, table = sections.Influx, table["influx"]
                    if model is None or not isinstance(table, dict):
                        continue
                    keys = set(expected(model))
                    if key == "sensor":
                        keys |= set(expected(sensors.options_of(table["kind"])))
                    if key == "sink":
                        keys |= set(expected(sinks.options_of(table["kind"])))
                    wrong += [f"{name(path)}: {key}.{unknown}" for unknown in set(table) - keys]
    assert wrong == []


# --- alarms ------------------------------------------------------------------------------------


def shipped_alarms() -> dict[str, str]:
    """Alarm → its guidance, of all profiles and examples."""
    found = {}
    for loaded in (*map(profiles.load_profile, profiles.names()), *map(config.load, EXAMPLES)):
        found.update({alert.name: alert.guidance for alert in loaded.alerts})
    return found


@pytest.mark.parametrize("alarm", sorted(shipped_alarms()))
def test_every_shipped_alarm_has_a_runbook_and_guidance(alarm: str) -> None:
    page = ALARMS / f"{alarm}.md"
    assert page.exists()
    heads = re.findall(r"^## (.*)$", text(page), flags=re.M)
    assert heads == ["What it means", "What to look at", "What to do"]
    assert shipped_alarms()[alarm], "an alarm without guidance helps nobody"


def test_no_runbook_without_its_alarm() -> None:
    assert {page.stem for page in ALARMS.glob("*.md")} == set(shipped_alarms())


# --- README ------------------------------------------------------------------------------------


def test_readme_has_its_parts_in_order() -> None:
    page = text(ROOT / "README.md")
    heads = re.findall(r"^## (.*)$", page, flags=re.M)
    assert heads == [
        "Install", "A demonstration in a minute", "Your first configuration", "A log you already have",
        "Before a scan, and from a record",
        "Corrections into reconstruction", "Grafana", "Where next",
    ]  # fmt: skip
    picture = page.index("docs/images/status-page.png")
    assert page.index("# ctwin") < picture < page.index("## Install")


def test_readme_gives_numbers_of_the_demo_in_one_place() -> None:
    """The block between the marks is made from a run; nothing else in README may state its figures."""
    page = text(ROOT / "README.md")
    block = re.search(r"<!-- demo -->\n(.*?)<!-- /demo -->", page, flags=re.S)
    assert block is not None
    rest = page.replace(block[0], "")
    figures = set(re.findall(r"\d+\.\d+", block[1]))
    assert [figure for figure in re.findall(r"\d+\.\d+(?= (?:px|nm|um|µm))", rest) if figure in figures] == []


def test_documents_name_no_machine_of_ours() -> None:
    """No paths or hosts of the computer something was written on."""
    wrong = [
        f"{name(path)}: {found[0]}"
        for path in PAGES
        if (found := re.search(r"/(?:work|root|tmp)/|\bhome/(?!pi\b)\w+", text(path)))
    ]
    assert wrong == []
