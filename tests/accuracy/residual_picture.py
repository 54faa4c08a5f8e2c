"""Picture of the residuals: one panel per scan, residual against time for the peers and for ours with its band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.accuracy.residuals import AMPLITUDE_PX, machine_for, ours
from tests.oracles.known_drift import DriftScan
from tests.oracles.peers import opposite_pairs, reference_images

WIDTH, HEIGHT, LEFT, TOP, GAP, LOW = 1000, 330, 56, 64, 26, 44
REACH = 0.7  # of the vertical axis, in units of A
COLOURS = {"opposite pairs, polynomial": "#c2410c", "reference images": "#8a6d00", "ctwin, noise included": "#0062a3"}


def picture(scans: Sequence[DriftScan], seed: int) -> str:
    """A self-contained SVG."""
    wide = (WIDTH - LEFT - 16 - GAP * (len(scans) - 1)) / len(scans)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" font-family="system-ui, sans-serif" font-size="12" fill="#1b1f24">',
        "<title>Residual drift after correction, in units of the drift's amplitude</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for k, (label, colour) in enumerate(COLOURS.items()):
        x = LEFT + 220 * k
        parts.append(f'<line x1="{x}" y1="20" x2="{x + 26}" y2="20" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x + 32}" y="24">{label}</text>')
    for k, scan in enumerate(scans):
        parts += _panel(scan, seed, LEFT + k * (wide + GAP), wide, first=k == 0)
    return "\n".join([*parts, "</svg>", ""])


def _panel(scan: DriftScan, seed: int, x0: float, wide: float, first: bool) -> list[str]:
    tall = HEIGHT - TOP - LOW
    hours = scan.time / 3600.0

    def place(values: np.ndarray) -> list[tuple[float, float]]:
        # the beginning is where things happen: dense there, sparse later
        pick = np.unique(np.geomspace(1, len(hours), 250).astype(int) - 1)
        height = np.clip(values[pick], -REACH, REACH)
        return [
            (x0 + wide * h / scan.duration_h, TOP + tall * 0.5 * (1.0 - v / REACH))
            for h, v in zip(hours[pick], height, strict=True)
        ]

    def line(values: np.ndarray, colour: str) -> str:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in place(values))
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'

    truth = scan.drift(scan.time)
    found = ours(machine_for(scan), scan, seed).correction
    own, sigma = found.shift_px[:, 1] / AMPLITUDE_PX - truth, found.shift_px_std[:, 1] / AMPLITUDE_PX
    own = own - own.mean()
    band = place(own + 1.96 * sigma) + place(own - 1.96 * sigma)[::-1]
    pairs = opposite_pairs(scan.time, scan.drift) - truth
    colours = list(COLOURS.values())
    parts = [f'<text x="{x0:.1f}" y="{TOP - 10}" font-weight="600">{scan.name}</text>']
    for value in (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6):
        y = TOP + tall * 0.5 * (1.0 - value / REACH)
        parts.append(f'<line x1="{x0:.1f}" y1="{y:.1f}" x2="{x0 + wide:.1f}" y2="{y:.1f}" stroke="#d9dde3"/>')
        if first:
            parts.append(f'<text x="{x0 - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    if first:
        parts.append(
            f'<text x="14" y="{TOP + tall / 2}" transform="rotate(-90 14 {TOP + tall / 2})">residual / A</text>'
        )
    for hour in np.linspace(0.0, scan.duration_h, 5)[:-1]:
        x = x0 + wide * hour / scan.duration_h
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 24}" text-anchor="middle">{hour:.3g} h</text>')
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in band)
    parts.append(f'<polygon points="{points}" fill="#9ccbea" fill-opacity="0.6"/>')
    parts.append(line(pairs - pairs.mean(), colours[0]))
    parts.append(line(reference_images(scan.time, scan.drift) - truth, colours[1]))
    parts.append(line(own, colours[2]))
    return parts
