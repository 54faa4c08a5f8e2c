"""A picture of a track as SVG: position, blur and flux along the series, with ±2 σ and what is suspect or lost."""

from __future__ import annotations

import numpy as np

from models.estimate import Array
from sensors.reading import Quality
from twin.pictures import plain, ticks
from twin.track import Curve, Track

WIDTH, ROW, TOP, LEFT, RIGHT, POINTS = 1000, 150, 84, 76, 20, 900
LINE, BAND, SUSPECT, LOST, INK, FAINT = "#0062a3", "#9ccbea", "#d97706", "#c2410c", "#1b1f24", "#d9dde3"
_TITLES = {
    "n": "along the normal", "u": "along u", "v": "along v", "size": "size", "blur": "blur (sigma)", "flux": "flux",
    "sfr50": "50 % modulation at", "mtf10": "10 % modulation at", "factor": "flux against the first bright image",
    "tilt_u": "change of brightness across, along u", "tilt_v": "the same along v", "structure": "structure (rms)",
    "spot_growth": "growth of a second spot",
}  # fmt: skip


def track_svg(track: Track, name: str) -> str:
    """Draw a track; a self-contained SVG document: no script, no font, no link.

    A panel for each position, size, blur and flux. At most ``POINTS`` projections are drawn, evenly chosen; all that are
    suspect or lost are marked.

    Parameters
    ----------
    name : str
        Of the series.
    """
    shown = {channel: curve for channel, curve in track.curves.items() if curve.suffix in _TITLES}
    begin = min((float(curve.time[0]) for curve in shown.values() if len(curve)), default=0.0)
    end = max((float(curve.time[-1]) for curve in shown.values() if len(curve)), default=begin)
    unit, scale = ("h", 3600.0) if end - begin >= 7200 else ("min", 60.0) if end - begin >= 120 else ("s", 1.0)
    height = TOP + ROW * len(shown) + 30
    title = f"Track of {plain(', '.join(look.name for look in track.looks))} in {plain(name)}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}"><title>{title}</title>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="17" font-weight="600">{title}</text>',
        f'<text x="16" y="48">{track.seen} images; positions in px from the window\'s first column and row</text>',
        f'<line x1="16" x2="40" y1="64" y2="64" stroke="{LINE}" stroke-width="2"/><text x="46" y="68">measured</text>'
        f'<rect x="116" y="58" width="24" height="11" fill="{BAND}"/><text x="146" y="68">±2 σ</text>'
        f'<circle cx="196" cy="64" r="3" fill="{SUSPECT}"/><text x="206" y="68">suspect</text>'
        f'<line x1="276" x2="276" y1="58" y2="69" stroke="{LOST}" stroke-width="2"/><text x="284" y="68">lost</text>',
    ]
    for row, (channel, curve) in enumerate(shown.items()):
        out.append(_panel(channel, curve, (begin, max(end - begin, 1e-9), scale), TOP + row * ROW))
    out.append(f'<text x="{WIDTH / 2}" y="{height - 8}" text-anchor="middle">{unit} since the first image</text>')
    return "\n".join([*out, "</svg>", ""])


def _panel(channel: str, curve: Curve, span: tuple[float, float, float], top: float) -> str:
    begin, length, scale = span
    wide, upper, lower = WIDTH - LEFT - RIGHT, top + 20, top + ROW - 22
    x = LEFT + (curve.time - begin) / length * wide
    value, sigma = curve.value, np.nan_to_num(curve.sigma)
    there = np.isfinite(value)
    good = there & curve.marked(Quality.GOOD)
    head = f'<text x="{LEFT}" y="{top + 13}" font-weight="600">{plain(channel)}</text>'
    out = [f'{head}<text x="{LEFT + 170}" y="{top + 13}">{_TITLES[curve.suffix]} [{curve.unit}]</text>']
    seen = good if good.any() else there
    low, high = _range(value[seen], sigma[seen])

    def up(values: Array) -> Array:
        return np.clip(lower - (values - low) / (high - low) * (lower - upper), upper, lower)

    for tick, label in ticks(low, high, 3):
        y = float(up(np.array(tick)))
        out.append(
            f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="{FAINT}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" font-size="11">{label}</text>'
        )
    for tick, label in ticks(0.0, length / scale, 6):
        at = LEFT + tick * scale / length * wide
        out.append(f'<text x="{at:.1f}" y="{lower + 14}" text-anchor="middle" font-size="10">{label}</text>')
    drawn = np.flatnonzero(good)
    drawn = drawn[np.unique(np.linspace(0, drawn.size - 1, min(drawn.size, POINTS)).round().astype(int))]
    if drawn.size:
        outline = np.concatenate([up(value[drawn] + 2 * sigma[drawn]), up(value[drawn] - 2 * sigma[drawn])[::-1]])
        around = np.concatenate([x[drawn], x[drawn][::-1]])
        out.append(f'<polygon points="{_points(around, outline)}" fill="{BAND}" fill-opacity="0.75"/>')
        line = _points(x[drawn], up(value[drawn]))
        out.append(f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="1.3"/>')
    for k in np.flatnonzero(there & curve.marked(Quality.SUSPECT)).tolist():
        out.append(f'<circle cx="{x[k]:.1f}" cy="{float(up(value[k])):.1f}" r="2.5" fill="{SUSPECT}"/>')
    for at in np.unique(x[curve.marked(Quality.INVALID)].round()).tolist():  # no more than there are pixels
        out.append(f'<line x1="{at:.0f}" x2="{at:.0f}" y1="{lower - 10}" y2="{lower}" stroke="{LOST}"/>')
    return "\n".join(out)


def _range(value: Array, sigma: Array) -> tuple[float, float]:
    if not value.size:
        return 0.0, 1.0
    low, high = float((value - 2 * sigma).min()), float((value + 2 * sigma).max())
    margin = 0.06 * (high - low) if high - low > 1e-9 * max(abs(low), abs(high)) else max(0.01 * abs(low), 0.01)
    return low - margin, high + margin


def _points(x: Array, y: Array) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
