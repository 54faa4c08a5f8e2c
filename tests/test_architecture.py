"""The shape of the source: direction of imports, size of files, and what product code must not contain."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "models": {"models"},
    "dashboards": {"dashboards"},
    "sensors": {"sensors", "models"},
    "alerts": {"alerts", "models"},
    "twin": {"twin", "alerts", "sensors", "models", "dashboards"},
}
SOURCES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
MOST_LINES, MEDIAN_LINES = 400, 120
VENDORED = ROOT / "dashboards" / "page" / "vendor"
SHAPELESS = {"utils", "util", "helpers", "helper", "common", "misc", "types", "manager", "tools", "base"}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), name(path))


def imported(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of every absolute import, wherever it stands."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module


def faults(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and word of everything that has no place in product code."""
    for node in ast.walk(module):
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            yield node.lineno, node.func.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno, "print"
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "relative import"
    for line, module_name in imported(module):
        if module_name.split(".")[0] in ("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"):
            yield line, module_name


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 100
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == set(MAY_IMPORT)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package: str) -> None:
    """As import-linter's contracts, and beyond them: dashboards import nobody of ours."""
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] == package
        for line, module in imported(tree(path))
        if (top := module.split(".")[0]) in MAY_IMPORT and top not in MAY_IMPORT[package]
    ]
    assert wrong == []


def test_contracts_of_import_linter_hold() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists() and not program.with_suffix(".exe").exists():
        pytest.skip("import-linter is not installed; pip install -e .[dev]")
    run = subprocess.run(
        [program, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


def test_simulator_shares_no_physics_with_the_models() -> None:
    """No inverse crime, not even through a third module: importing all of it loads none of the models."""
    script = (
        "import importlib, pkgutil, sys, twin.simulate\n"
        "for found in pkgutil.walk_packages(twin.simulate.__path__, 'twin.simulate.'):\n"
        "    importlib.import_module(found.name)\n"
        "loaded = [m for m in sys.modules if m.split('.')[0] == 'models' or m.startswith('sensors.images')]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else None)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_nothing_unsafe_or_noisy_in_product_code() -> None:
    """The command line writes to the standard streams by name, so that even there no print is left by mistake."""
    assert [f"{name(path)}:{line}: {word}" for path in SOURCES for line, word in faults(tree(path))] == []


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("assert x", "assert"),
        ("def f():\n    return eval('1')", "eval"),
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("print(1)", "print"),
        ("from . import x", "relative import"),
    ],
)
def test_the_search_finds_what_it_is_for(code: str, word: str) -> None:
    assert [found for _, found in faults(ast.parse(code))] == [word]


def test_files_are_small() -> None:
    sizes = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    page = [p for p in (ROOT / "dashboards" / "page").rglob("*.*") if p.suffix in (".js", ".css", ".html")]
    shown = {name(p): len(p.read_text(encoding="utf-8").splitlines()) for p in page if VENDORED not in p.parents}
    assert {file: count for file, count in {**sizes, **shown}.items() if count > MOST_LINES} == {}
    assert median(sizes.values()) <= MEDIAN_LINES


def test_names_of_files_say_what_is_inside() -> None:
    assert [name(path) for path in SOURCES if path.stem in SHAPELESS] == []


def test_test_files_have_names_of_their_own() -> None:
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [file for file, count in names.items() if count > 1] == []
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_public_mathematics_is_documented() -> None:
    """Modules, classes, functions and methods of models without an underscore say what they are."""
    silent = []
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] != "models":
            continue
        module = tree(path)
        classes = [node for node in module.body if isinstance(node, ast.ClassDef)]
        inside = [node for owner in (module, *classes) for node in owner.body]
        for node in (module, *(n for n in inside if isinstance(n, ast.ClassDef | ast.FunctionDef))):
            label = getattr(node, "name", "(module)")
            if not label.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{name(path)}: {label}")
    assert silent == []


def test_letters_of_the_filter_stay_in_the_kernel() -> None:
    """One-letter capitals (F Q H R P K S) are arguments only in the compiled kernel."""
    found = [
        f"{name(path)}:{node.lineno}: {argument.arg}"
        for path in SOURCES
        if name(path) not in ("models/kalman.py", "models/adjoint.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef)
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if len(argument.arg) == 1 and argument.arg.isupper()
    ]
    assert found == []
