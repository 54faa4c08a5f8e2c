"""Crossed wires: the crossing at its bound, and what is said when one of them is gone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from models.estimate import ModelError
from models.imaging.cross import CrossTracker, crossing
from models.imaging.fix import Verdict
from models.imaging.light import Light
from models.imaging.wire import WireGuess
from models.imaging.wire_frame import Line
from models.imaging.wire_profile import Shape
from tests.oracles.wire_image import Wire

ROWS, COLUMNS = 140, 160
COLUMN = Wire(ROWS, COLUMNS, 80.37, 0.05, 6.0, 1.0, 1.0, 300.0)
ROW = Wire(COLUMNS, ROWS, 66.71, -0.03, 6.0, 1.0, 1.0, 1.0)


def meeting(column: Wire, row: Wire) -> tuple[float, float]:
    """Solved as two linear equations, not by the product's formula."""
    matrix = np.array([[1.0, -column.slope], [-row.slope, 1.0]])
    right = [
        column.place - column.slope * (ROWS - 1) / 2.0, row.place - row.slope * (COLUMNS - 1) / 2.0,
    ]  # fmt: skip
    u, v = np.linalg.solve(matrix, right)
    return float(u), float(v)


def expected(column: Wire = COLUMN, row: Wire = ROW) -> np.ndarray:
    return column.expected() * row.expected().T


def tracker() -> CrossTracker:
    shape = Shape(0.8, 1.2, 5.5)
    guesses = (WireGuess(Line(66.0, -0.03), shape, True), WireGuess(Line(81.0, 0.05), shape))
    return CrossTracker(guesses, Light.plain((ROWS, COLUMNS), variance_per_count=1.0))


def test_crossing_of_lines():
    assert crossing(Line(80.37, 0.05), Line(66.71, -0.03), (ROWS, COLUMNS)) == pytest.approx(meeting(COLUMN, ROW))


def test_the_crossing_moves_and_its_sigma_holds():
    rng, follow, errors = np.random.default_rng(1), tracker(), []
    for k in range(60):
        column = replace(COLUMN, place=80.37 + 0.7 * math.sin(k / 20.0))
        row = replace(ROW, place=66.71 - 0.5 * math.sin(k / 15.0))
        fix = follow.look(rng.poisson(column.expected() * row.expected().T).astype(np.uint16))
        assert fix.verdict is Verdict.GOOD
        truth = meeting(column, row)
        errors.append([(fix.values[a] - t) / fix.sigma[a] for a, t in zip("uv", truth, strict=True)])
    # of 60: χ² per degree of freedom is known to 0.18, its mean to 0.13 σ
    assert np.all(np.abs(np.mean(errors, axis=0)) < 0.42)
    assert np.all(np.abs(np.mean(np.square(errors), axis=0) - 1.0) < 0.55)


def test_one_wire_gone():
    rng, follow = np.random.default_rng(2), tracker()
    assert follow.look(rng.poisson(expected()).astype(np.uint16)).verdict is Verdict.GOOD
    fix = follow.look(rng.poisson(COLUMN.expected()).astype(np.uint16))
    assert fix.verdict is Verdict.LOST
    assert fix.reason.startswith("wire along the rows: ")


def test_two_parallel_wires_are_no_cross():
    guess = WireGuess(Line(66.0, 0.0), Shape(1.0, 1.0, 5.0))
    with pytest.raises(ModelError, match="along the rows"):
        CrossTracker((guess, guess), Light.plain((ROWS, COLUMNS)))
