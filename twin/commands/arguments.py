"""Words of the command line that must be more than text; a wrong one is told with what would be right."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from urllib.parse import urlsplit


def seed(text: str) -> int:
    """Seed of a simulation."""
    if not (text.isascii() and text.isdecimal()):
        raise ArgumentTypeError(f"{text!r} is no seed; give a whole number from 0")
    return int(text)


def duration(text: str) -> float:
    """Length of time, from 0, in the unit that the option names."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ArgumentTypeError(f"{text!r} is no length of time; give a number from 0")
    return value


def positive(text: str) -> float:
    """A number above 0, in the unit that the option names."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not above 0; give a number like 1.5")
    return value


def fraction(text: str) -> float:
    """A probability between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise ArgumentTypeError(f"{text!r} is no probability; give a number between 0 and 1, like 0.95")
    return value


def address(text: str) -> str:
    """Address of a server."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ArgumentTypeError(f"{text!r} is no address; write http://HOST:PORT")
    return text
