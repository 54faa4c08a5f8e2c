"""A picture of a calibration as SVG: innovations of each channel before and after, in their own predicted σ."""

from __future__ import annotations

from itertools import pairwise
from xml.sax.saxutils import escape

import numpy as np

from models.estimate import Array
from models.likelihood import innovations
from twin.calibrate import Calibrated
from twin.pictures import ticks

WIDTH, ROW, TOP, LEFT, RIGHT = 1000, 120, 84, 64, 16
BEFORE, AFTER, BAND, INK, FAINT = "#c2410c", "#0062a3", "#e7eef5", "#1b1f24", "#d9dde3"
BINS = 250  # columns across; each shows the root mean square of its innovations


def calibration_svg(calibrated: Calibrated) -> str:
    """Root mean square of innovations over their predicted σ along the record, one panel per channel; 1 is a model that fits.

    A self-contained SVG document: no script, no font, no link.
    """
    panels = []
    given = {f.name: f.parameter.start for f in calibrated.free}
    for values, colour in ((given, BEFORE), (calibrated.result.values(), AFTER)):
        ((model, steps),) = calibrated.build(values)
        used = calibrated.result.used[0]
        there = used.copy()
        ratio = np.full(used.shape, np.nan)
        found = innovations([(model, steps)], [used])
        ratio[there] = found.value / np.sqrt(found.variance)
        panels.append((ratio, colour))
    columns = [j for j in range(len(model.channels)) if np.isfinite(panels[0][0][:, j]).any()]
    height = TOP + ROW * len(columns) + 40
    hours = (calibrated.end_s - calibrated.begin_s) / 3600.0
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        f"<title>{escape(calibrated.before.system.name)}: residuals before and after calibration</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="17" font-weight="600">Calibration of {escape(calibrated.before.system.name)}'
        "</text>",
        '<text x="16" y="48">root mean square of reading minus prediction, over its predicted σ: '
        "1 is a model that fits, more is one that is too sure</text>",
        f'<line x1="16" x2="40" y1="64" y2="64" stroke="{BEFORE}" stroke-width="2"/><text x="46" y="68">before</text>'
        f'<line x1="106" x2="130" y1="64" y2="64" stroke="{AFTER}" stroke-width="2"/><text x="136" y="68">after</text>',
    ]
    for row, j in enumerate(columns):
        curves = [(_binned(ratio[:, j]), colour) for ratio, colour in panels]
        out.append(_panel(model.channels[j], curves, hours, TOP + row * ROW))
    out.append(f'<text x="{WIDTH / 2}" y="{height - 8}" text-anchor="middle" font-size="11">hours of the record</text>')
    return "\n".join([*out, "</svg>", ""])


def _binned(ratio: Array) -> Array:
    """Position 0 … 1 and root mean square of at most BINS stretches that hold a reading, (K, 2)."""
    edges = np.linspace(0, len(ratio), min(BINS, len(ratio)) + 1).astype(int)
    rows = []
    for first, last in pairwise(edges):
        part = ratio[first:last]
        part = part[np.isfinite(part)]
        if part.size:
            rows.append(((first + last) / (2.0 * len(ratio)), float(np.sqrt(np.mean(part**2)))))
    return np.array(rows)


def _panel(name: str, curves: list[tuple[Array, str]], hours: float, y0: float) -> str:
    wide, top, bottom = WIDTH - LEFT - RIGHT, y0 + 20, y0 + ROW - 14
    high = max(2.0, *(float(curve[:, 1].max()) for curve, _ in curves)) * 1.05
    overall = ", ".join(f"{np.sqrt(np.mean(curve[:, 1] ** 2)):.3g}" for curve, _ in curves)

    def up(value: float) -> float:
        return bottom - value / high * (bottom - top)

    out = [f'<text x="{LEFT}" y="{y0 + 13}" font-weight="600">{escape(name)}</text>']
    out.append(f'<text x="{WIDTH - RIGHT}" y="{y0 + 13}" text-anchor="end">rms before, after: {overall}</text>')
    for value, label in ticks(0.0, high, 3):
        out.append(
            f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{up(value):.1f}" y2="{up(value):.1f}" stroke="{FAINT}"/>'
            f'<text x="{LEFT - 6}" y="{up(value) + 4:.1f}" text-anchor="end" font-size="11">{label}</text>'
        )
    out.append(
        f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{up(1):.1f}" y2="{up(1):.1f}" stroke="#8a93a0" '
        'stroke-dasharray="4 3"/>'
    )
    for value, label in ticks(0.0, max(hours, 1e-3), 6):
        x = LEFT + value / max(hours, 1e-3) * wide
        out.append(f'<text x="{x:.1f}" y="{bottom + 12}" text-anchor="middle" font-size="10">{label}</text>')
    for curve, colour in curves:
        points = " ".join(f"{LEFT + x * wide:.1f},{up(y):.1f}" for x, y in curve.tolist())
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
    return "\n".join(out)
