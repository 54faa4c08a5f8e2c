"""What is built is whole: the wheel holds every file that the program needs, and works away from the sources."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("twin", "sensors", "models", "alerts", "dashboards")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def sources() -> set[str]:
    """Every file of the packages that belongs into the wheel."""
    left_out = (".pyc", ".nbi", ".nbc")
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not path.name.endswith(left_out)
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sdist and, made from it, the wheel."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return {"wheel": next(out.glob("*.whl")), "sdist": next(out.glob("*.tar.gz"))}


@pytest.fixture(scope="module")
def content(built: dict[str, Path]) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        yield wheel


def test_wheel_holds_the_packages_and_nothing_else(content: zipfile.ZipFile) -> None:
    names = {entry for entry in content.namelist() if ".dist-info/" not in entry}
    assert names == sources()


@pytest.mark.parametrize(
    ("folder", "endings"),
    [
        ("twin/profiles/", {".toml", ".py"}),
        ("twin/simulate/scenarios/", {".toml"}),
        ("dashboards/page/", {".html", ".css", ".js", ".svg", ".LICENSE", ".md"}),
        ("dashboards/grafana/", {".json", ".lint"}),
        ("dashboards/provisioning/", {".yml"}),
    ],
)
def test_data_files_are_in_the_wheel(content: zipfile.ZipFile, folder: str, endings: set[str]) -> None:
    """Independent of the folder's present content: a kind of file that vanishes altogether is noticed, too."""
    found = {Path(n).suffix or Path(n).name for n in content.namelist() if n.startswith(folder)}
    assert found == endings


def test_metadata(content: zipfile.ZipFile) -> None:
    from twin import __version__

    folder = f"ctwin-{__version__}.dist-info"
    about = email.message_from_bytes(content.read(f"{folder}/METADATA"))
    assert about["Name"] == "ctwin"
    assert about["License-Expression"] == "BSD-3-Clause"
    assert about["Requires-Python"] == ">=3.11"
    needs = about.get_all("Requires-Dist") or []
    plain = {line.split(";")[0].split(">")[0].split("=")[0].strip() for line in needs if "extra ==" not in line}
    assert {"numpy", "scipy", "pandas", "filterpy", "influxdb-client", "grafana-api"} <= plain
    heavy = {"itk-rtk", "astra-toolbox", "pytest", "grafana-client", "matplotlib"}
    assert plain & heavy == set()
    assert b"ctwin = twin.cli:main" in content.read(f"{folder}/entry_points.txt")
    licences = {Path(n).name for n in content.namelist() if n.startswith(f"{folder}/licenses/")}
    assert licences == {"LICENSE", "uPlot.LICENSE"}


def test_sdist_can_be_tested(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert sources() <= names
    for file in ("pyproject.toml", "Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"):
        assert file in names
    assert {"tests/test_packaging.py", "docs/index.md", "docs/config.schema.json"} <= names


def test_wheel_works_away_from_the_sources(built: dict[str, Path], tmp_path: Path) -> None:
    """Ours from the wheel, the libraries from this environment; ``.ci/run`` does it with libraries of its own."""
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    own = next(home.glob("lib/python*/site-packages"), home / "Lib" / "site-packages")
    with zipfile.ZipFile(built["wheel"]) as wheel:
        wheel.extractall(own)
    libraries = next(p for p in map(Path, sys.path) if p.name == "site-packages" and (p / "numpy").exists())
    # a copy of the path entry without the editable install's .pth, which would put the sources first
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PYTHONPATH"] = os.pathsep.join([str(own), str(libraries)])
    python = shutil.which("python", path=os.pathsep.join(str(home / d) for d in ("bin", "Scripts")))
    assert python is not None
    script = (
        "import json, sys\n"
        "from importlib.resources import files\n"
        "import alerts, dashboards, models, sensors, twin, twin.profiles\n"
        "from dashboards.build import files as made\n"
        "print(json.dumps({\n"
        "  'places': [m.__file__ for m in (alerts, dashboards, models, sensors, twin)],\n"
        "  'profiles': len([twin.profiles.load_profile(n) for n in twin.profiles.names()]),\n"
        "  'page': (files('dashboards') / 'page' / 'index.html').is_file(),\n"
        "  'grafana': json.loads((files('dashboards') / 'grafana' / 'system.json').read_text())['uid'],\n"
        "  'made': len(made())}))\n"
    )
    run = subprocess.run(
        [python, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert all(Path(place).is_relative_to(own) for place in said["places"]), said["places"]
    assert said["profiles"] >= 2
    assert said["page"] is True
    assert said["grafana"] == "ctwin-system"
    assert said["made"] == 3
