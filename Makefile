# Every target works on a fresh clone: the environment is made when it is missing, and again when pyproject.toml changes.
# Needs Python 3.11 or newer; another than python3 is chosen by: make PYTHON=python3.12 test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := models sensors alerts dashboards twin

.PHONY: help setup demo test check lint bench schema

help:
	@echo "make demo    a simulated 34-hour scan through the whole service, in accelerated time"
	@echo "make test    the fast tests and the examples in the documentation of the code"
	@echo "make check   format, lint, types, import directions, and all of 'make test'"
	@echo "make bench   the estimator against other libraries; writes benchmarks.json"
	@echo "make schema  docs/config.schema.json anew, after a change of twin/sections.py"
	@echo "make setup   only the environment ($(VENV))"

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"ctwin needs Python 3.11 or newer, $(PYTHON) is {v[0]}.{v[1]}: run make PYTHON=…")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/ctwin demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile
	$(BIN)/python -m pytest -n auto --doctest-modules $(PACKAGES)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

schema: $(READY)
	$(BIN)/python -c 'import json, pathlib, twin.config as c; pathlib.Path("docs/config.schema.json").write_text(json.dumps(c.json_schema(), indent=2) + "\n")'
