"""Edge responses and modulation transfer of one orientation as a part of an SVG."""

from __future__ import annotations

import math

import numpy as np

from models.estimate import Array
from twin.pictures import FAINT, INK, LINE, TRUTH, ticks
from twin.verify.compare import Oriented
from twin.verify.verified import SHIFT, WITH, WITHOUT, Verified
from twin.verify.words import with_sigma

HEIGHT, PANEL, TALL = 196, 200, 128
COLOURS = {WITHOUT: TRUTH, WITH: LINE, SHIFT: "#5f3dc4"}


def curves(done: Verified, edge: Oriented, x: float, y: float) -> str:
    """Edge response on the left and MTF on the right of a place (x, y) in the picture."""
    found = {name: stacked for name, stacked in edge.found.items() if stacked is not None}
    head = f"edges looking at {edge.words}" if edge.words[0].isdigit() else f"edges {edge.words}"
    count = f"{len(edge.places)} place{'s' if len(edge.places) > 1 else ''}"
    out = [f'<text x="{x:.1f}" y="{y + 14:.1f}" font-weight="600">{head}, {count}</text>']
    reach = max(stacked.response.reach for stacked in found.values()) * done.unit_um
    left, top = x + 30, y + 24
    out += _frame((left, top), (-reach, reach), (-0.15, 1.15), "µm from the edge", [0.0, 0.5, 1.0])
    for name, stacked in found.items():
        response = stacked.response
        curve = np.clip(response.step(response.distance)[0] + response.smoothed(response.distance)[0], -0.15, 1.15)
        out.append(_line((left, top), response.distance * done.unit_um, curve, (-reach, reach), (-0.15, 1.15), name))
    left += PANEL + 42
    highest = 1e3 / done.unit_um * _highest([stacked.mtf10[0] for stacked in found.values()])
    out += _frame((left, top), (0.0, highest), (0.0, 1.0), "lp/mm", [0.1, 0.5, 1.0])
    for name, stacked in found.items():
        f = stacked.transfer.frequency * 1e3 / done.unit_um
        keep = f <= highest
        out.append(
            _line(
                (left, top), f[keep], np.clip(stacked.transfer.value[keep], 0.0, 1.0), (0.0, highest), (0.0, 1.0), name
            )
        )
        value, sigma = done.mtf10(edge, name)
        if math.isfinite(value) and value <= highest:
            at = left + value / highest * PANEL
            out.append(f'<circle cx="{at:.1f}" cy="{top + 0.9 * TALL:.1f}" r="3.4" fill="{COLOURS[name]}"/>')
        words = with_sigma(value, sigma)
        out.append(
            f'<text x="{left + PANEL - 4:.1f}" y="{top + 14 + 14 * list(COLOURS).index(name):.1f}" text-anchor="end" '
            f'fill="{COLOURS[name]}" font-size="11">MTF10 {words}</text>'
        )
    return "\n".join(out)


def _highest(mtf10: list[float]) -> float:
    """Frequency axis, in cycles per pixel: beyond the sharpest 10 %, no more than there is."""
    told = [value for value in mtf10 if math.isfinite(value)]
    return min(1.6 * max(told), 1.0) if told else 0.6


def _frame(
    place: tuple[float, float], across: tuple[float, float], up: tuple[float, float], unit: str, levels: list[float]
) -> list[str]:
    x, y = place
    out = []
    for level in levels:
        at = y + TALL - (level - up[0]) / (up[1] - up[0]) * TALL
        out.append(f'<line x1="{x:.1f}" x2="{x + PANEL:.1f}" y1="{at:.1f}" y2="{at:.1f}" stroke="{FAINT}"/>')
        out.append(f'<text x="{x - 5:.1f}" y="{at + 4:.1f}" text-anchor="end" font-size="10">{level:g}</text>')
    for value, label in ticks(*across, 4):
        at = x + (value - across[0]) / (across[1] - across[0]) * PANEL
        out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y + TALL:.1f}" y2="{y + TALL + 4:.1f}" stroke="{INK}"/>')
        out.append(f'<text x="{at:.1f}" y="{y + TALL + 15:.1f}" text-anchor="middle" font-size="10">{label}</text>')
    out.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{PANEL}" height="{TALL}" fill="none" stroke="{FAINT}"/>')
    out.append(
        f'<text x="{x + PANEL / 2:.1f}" y="{y + TALL + 29:.1f}" text-anchor="middle" font-size="11">{unit}</text>'
    )
    return out


def _line(
    place: tuple[float, float], x: Array, y: Array, across: tuple[float, float], up: tuple[float, float], name: str
) -> str:
    px = place[0] + (x - across[0]) / (across[1] - across[0]) * PANEL
    py = place[1] + TALL - (y - up[0]) / (up[1] - up[0]) * TALL
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px.tolist(), py.tolist(), strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="1.6"/>'
