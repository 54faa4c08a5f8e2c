"""Text files of image shifts: a head of comments with the residual, then one row per projection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.correction import Correction
from models.estimate import Array
from twin.export.exporter import Setup
from twin.export.residual import residual_words
from twin.export.words import SHIFT_APPLIED, comments


def head(correction: Correction, setup: Setup, first: str, *words: str) -> list[str]:
    """Comment lines without their ``#``: what the file is, the caller's words, the residual, scan and provenance."""
    return [
        first,
        *words,
        f"rows: {len(correction)} projections in the order of the scan, flats and darks not counted",
        f"applied: {SHIFT_APPLIED}",
        residual_words(correction, setup),
        *comments(correction),
    ]


def rows(columns: Sequence[Array], separator: str, first: Sequence[int] = ()) -> list[str]:
    """Rows of shifts [px] with nine decimals, after an index where ``first`` gives one.

    Examples
    --------
    >>> rows([np.array([0.25]), np.array([-0.0])], ",", [7])
    ['7,0.250000000,0.000000000']
    """
    numbers = np.column_stack(columns) + 0.0
    texts = [separator.join(f"{value:.9f}" for value in row) for row in numbers.tolist()]
    return [f"{index}{separator}{text}" for index, text in zip(first, texts, strict=True)] if len(first) else texts
