"""The picture in docs/explanation/model.md: ``python -m tests.accuracy.step_picture`` writes docs/images/step.svg."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.accuracy.stepping import Followed, follow
from tests.oracles.stepping_machine import simulate

WIDTH, HEIGHT, LEFT, TOP, GAP = 1000, 300, 60, 40, 40
START = 4 * 360
LINE, BAND, TRUTH, INK = "#0062a3", "#9ccbea", "#c2410c", "#1b1f24"


def picture() -> str:
    """Live estimate with 95 % band around a step, with recognition and without, against the truth."""
    run = simulate(3, 7.0, jumps=((START, np.array([0.3, -0.25])),))
    panels = (("with recognition", follow(run)), ("gate only", follow(run, "plain")))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{TOP + HEIGHT + 40}" '
        f'font-family="sans-serif" font-size="13" fill="{INK}">'
    ]
    wide = (WIDTH - LEFT - GAP) / 2
    for number, (title, seen) in enumerate(panels):
        parts += _panel(title, seen, run.time[START], LEFT + number * (wide + GAP), wide)
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, seen: Followed, start: float, left: float, wide: float) -> list[str]:
    hours = (seen.time - start) / 3600.0
    shown = (hours > -1.0) & (hours < 2.0)
    base = seen.truth[shown][0, 0]
    low, high = -7.0, 4.0

    def place(h: np.ndarray, y: np.ndarray) -> str:
        x = left + (h + 1.0) / 3.0 * (wide - 10.0)
        at = TOP + (high - (y - base)) / (high - low) * HEIGHT
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, at, strict=True))

    h, mean, std, truth = hours[shown], seen.mean[shown, 0], seen.std[shown, 0], seen.truth[shown, 0]
    band = place(np.concatenate([h, h[::-1]]), np.concatenate([mean + 1.96 * std, (mean - 1.96 * std)[::-1]]))
    out = [
        f'<text x="{left:.0f}" y="{TOP - 14}">{title}: marker, u [px], 95 %</text>',
        f'<polygon points="{band}" fill="{BAND}"/>',
        f'<polyline points="{place(h, truth)}" fill="none" stroke="{TRUTH}" stroke-dasharray="5 3" stroke-width="1.5"/>',
        f'<polyline points="{place(h, mean)}" fill="none" stroke="{LINE}" stroke-width="1.5"/>',
    ]
    for y in range(int(low) + 1, int(high) + 1, 2):
        x, at = place(np.array([-1.0]), np.array([base + y])).split(",")
        out.append(f'<text x="{float(x) - 8:.0f}" y="{float(at) + 4:.0f}" text-anchor="end">{y}</text>')
    for k in range(-1, 3):
        x, _ = place(np.array([float(k)]), np.array([base])).split(",")
        out.append(f'<text x="{x}" y="{TOP + HEIGHT + 20}" text-anchor="middle">{k:+d} h</text>')
    return out


if __name__ == "__main__":
    Path(__file__).parents[2].joinpath("docs", "images", "step.svg").write_text(picture(), encoding="utf-8")
