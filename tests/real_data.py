"""Where real measurements lie; tests that need one say so when it is absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def data_file(relative: str) -> Path:
    """Path of a real measurement, or skip the test."""
    for folder in (os.environ.get("CTWIN_DATA"), ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / relative).exists():
            return Path(folder) / relative
    pytest.skip(f"real data {relative} not found (set CTWIN_DATA to its folder)")
