"""The demonstration without a terminal, as a process of its own: ends by itself, says what README says, leaves its files."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.real_data import ROOT

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def lines_with_numbers(text: str) -> dict[str, list[float]]:
    """Label → numbers of a line of the summary."""
    found = {}
    for line in text.splitlines():
        label = re.split(r"\s{2,}", line.strip())[0]
        if label and label != "```":
            found[label] = [float(n) for n in NUMBER.findall(line.strip()[len(label) :])]
    return found


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demonstration_is_what_readme_says(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "twin", "demo", "--out", str(tmp_path / "demo")],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = lines_with_numbers(done.stdout)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = lines_with_numbers(re.search(r"<!-- demo -->(.*)<!-- /demo -->", readme, re.DOTALL)[1])
    assert len(said) >= 10
    for label, numbers in said.items():
        # the last digit may differ between processors
        assert shown[label] == pytest.approx(numbers, rel=0.02), label
    assert shown["ratio"][0] <= 1.25
    for name in ("corrections.csv", "rtk_geometry.xml", "nabu_translations.txt", "corrections.svg", "report.html"):
        assert (tmp_path / "demo" / name).stat().st_size > 1000
    report = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "Simulated" in report
    assert "<svg" in report
    assert "http" not in re.sub(r"http://www\.w3\.org\S*", "", report)  # opens anywhere, needs nothing else


def test_tutorial_shows_what_check_prints(capsys):
    from twin.cli import main

    assert main(["check", str(ROOT / "twin/profiles/xrm2-nanoct.toml")]) == 0
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    tutorial = (ROOT / "docs/tutorial/first-scan.md").read_text(encoding="utf-8")
    quoted = [" ".join(line.split()) for line in tutorial.splitlines() if line.strip().startswith("shift.")]
    assert len(quoted) == 2
    assert set(quoted) <= set(printed)
