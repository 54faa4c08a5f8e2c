"""Random streams by name, so that adding an instrument changes no other one's noise."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Generator of one named source of chance.

    The child of ``SeedSequence(seed)`` is chosen by the CRC-32 of the name rather than by counting calls to
    ``spawn``: a counted child changes when something is inserted before it, a named one does not.

    Examples
    --------
    >>> float(stream(1, "room").random()) == float(stream(1, "room").random())
    True
    >>> float(stream(1, "room").random()) == float(stream(1, "t_stage").random())
    False
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),)))
