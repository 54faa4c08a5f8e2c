"""NumPy archives: arrays under the names their consumer uses, and ``about``, a JSON text on frame and provenance."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def npz(arrays: Mapping[str, Any], about: Mapping[str, object]) -> bytes:
    """Bytes of an ``.npz`` file, the same for the same arrays; nothing in it needs pickle.

    Examples
    --------
    >>> file = np.load(io.BytesIO(npz({"DSO": [10.0]}, {"scan": "seven"})))
    >>> file["DSO"].tolist(), json.loads(str(file["about"]))["scan"]
    ([10.0], 'seven')
    """
    buffer = io.BytesIO()
    np.savez(buffer, about=np.array(json.dumps(about, ensure_ascii=False, indent=1)), **arrays)
    return buffer.getvalue()
