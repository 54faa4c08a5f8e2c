"""A picture of what an accelerometer heard: third-octave levels with the machine's modes, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from twin.sections import Mode

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 340, 76, 24, 64, 52
BAR, MODE, INK, FAINT = "#0062a3", "#c2410c", "#1b1f24", "#d9dde3"


def spectrum_svg(heard: Mapping[str, Any], modes: Sequence[Mode]) -> str:
    """Draw the last spectrum of one accelerometer.

    Parameters
    ----------
    heard : mapping
        An entry of ``vibration`` in the page's state (:func:`twin.vibration.vibration_state`).
    modes : sequence of Mode
        Of the machine; those along the accelerometer's axis are drawn.

    Returns
    -------
    str
        A self-contained SVG document; without bands, a picture that says so.
    """
    bands = [
        (f, level)
        for f, level in zip(heard["spectrum"]["frequency_hz"], heard["spectrum"]["rms_um_per_s2"], strict=True)
        if level > 0
    ]
    title = f"Vibration at {_plain(str(heard['channel']))}, along {_plain(str(heard['axis']))}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}"><title>{title}</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="600">{title}</text>',
        f'<text x="16" y="46">rms acceleration of the base in third-octave bands [µm/s²]{_meaning(heard)}</text>',
    ]
    if not bands:
        return "\n".join([*parts, f'<text x="{LEFT}" y="{HEIGHT / 2:.0f}">no spectrum yet</text>', "</svg>", ""])
    own = [mode for mode in modes if mode.axis == heard["axis"]]
    shown = [f for f, _ in bands] + [mode.frequency_hz for mode in own]
    left, right = math.log10(min(shown)) - 0.08, math.log10(max(shown)) + 0.08
    low = math.floor(math.log10(min(level for _, level in bands)) - 0.05)
    high = math.ceil(math.log10(max(level for _, level in bands)) + 0.05)
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(f: float) -> float:
        return LEFT + (math.log10(f) - left) / (right - left) * wide

    def up(level: float) -> float:
        return TOP + tall - (math.log10(level) - low) / (high - low) * tall

    for decade in range(low, high + 1):
        y = up(10.0**decade)
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="{FAINT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" font-size="11">{10.0**decade:g}</text>')
    for f in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000):
        if left <= math.log10(f) <= right:
            x = across(f)
            parts.append(f'<text x="{x:.1f}" y="{TOP + tall + 18}" text-anchor="middle" font-size="11">{f}</text>')
    parts.append(
        f'<text x="{LEFT + wide / 2:.0f}" y="{HEIGHT - 14}" text-anchor="middle" font-size="11">frequency [Hz]</text>'
    )
    for f, level in bands:
        begin, end = across(f * 2.0 ** (-1 / 6)), across(f * 2.0 ** (1 / 6))
        y = up(level)
        parts.append(
            f'<rect x="{begin + 0.5:.1f}" y="{y:.1f}" width="{end - begin - 1:.1f}" height="{TOP + tall - y:.1f}" '
            f'fill="{BAR}"/>'
        )
    for number, mode in enumerate(own):
        x = across(mode.frequency_hz)
        words = f"{mode.frequency_hz:g} Hz, {mode.body}"
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + tall}" stroke="{MODE}" stroke-width="1.6" '
            f'stroke-dasharray="5 3"/><text x="{x + 4:.1f}" y="{TOP + 11 + 13 * (number % 4)}" fill="{MODE}" font-size="11">'
            f"{words}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def _meaning(heard: Mapping[str, Any]) -> str:
    if heard["blur_nm"] is None:
        return ""
    return f"; blur {heard['blur_nm']:.3g} nm, jitter {heard['jitter_nm'] or 0.0:.2g} nm in the object plane"


def _plain(text: str) -> str:
    return escape("".join(c if c.isprintable() else "?" for c in text[:60]))
