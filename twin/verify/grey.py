"""Grey values as a PNG inside an SVG, without a library of pictures."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from models.estimate import Array


def png(values: Array, low: float, high: float) -> bytes:
    """8-bit grey PNG of an array (rows, columns); ``low`` is black, ``high`` white.

    Examples
    --------
    >>> png(np.zeros((2, 3)), 0.0, 1.0)[:4]
    b'\\x89PNG'
    """
    grey = np.rint(255.0 * np.clip((values - low) / (high - low), 0.0, 1.0)).astype(np.uint8)
    rows, columns = grey.shape
    lines = np.concatenate([np.zeros((rows, 1), dtype=np.uint8), grey], axis=1).tobytes()  # filter 0 before each row
    head = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def image_element(values: Array, low: float, high: float, place: tuple[float, float, float, float]) -> str:
    """SVG ``<image>`` at x, y, width, height, with the PNG in it.

    Examples
    --------
    >>> image_element(np.zeros((2, 3)), 0.0, 1.0, (1.0, 2.0, 30.0, 20.0))[:51]
    '<image x="1.0" y="2.0" width="30.0" height="20.0" p'
    """
    x, y, width, height = place
    data = base64.b64encode(png(values, low, high)).decode("ascii")
    return (
        f'<image x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{data}"/>'
    )
