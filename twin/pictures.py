"""A picture of a correction as SVG: shifts, source, object, magnification and flux over the projections, with ±2 σ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np

from models.correction import Correction
from models.estimate import Array
from twin.export.exporter import check

WIDTH, ROW_HEIGHT, TOP, BOTTOM = 1000, 172, 78, 16
LEFT, GAP, PAD_TOP, PAD_BOTTOM = 16, 74, 22, 34
POINTS = 400  # per curve; more than a panel has pixels
LINE, BAND, TRUTH, INK, FAINT = "#0062a3", "#9ccbea", "#c2410c", "#1b1f24", "#d9dde3"


@dataclass(frozen=True, slots=True)
class Panel:
    """One curve: field and component of a correction, what is taken off it, its scale, title and unit."""

    field: str
    part: int | None
    title: str
    unit: str
    less: float = 0.0
    scale: float = 1.0

    def values(self, correction: Correction, tail: str = "") -> Array:
        """Curve (or its σ) in the unit of the panel."""
        values = np.asarray(getattr(correction, self.field + tail), dtype=float)
        values = values if self.part is None else values[:, self.part]
        return (values - (0.0 if tail else self.less)) * self.scale


ROWS: tuple[tuple[Panel, ...], ...] = (
    tuple(Panel("shift_px", i, f"image content, {axis}", "px") for i, axis in enumerate("uv")),
    tuple(Panel("source_um", i, f"source, {axis}", "µm") for i, axis in enumerate("uvw")),
    tuple(Panel("object_um", i, f"object, {axis}", "µm") for i, axis in enumerate("uvw")),
    (Panel("magnification", None, "magnification", "ppm", 1.0, 1e6), Panel("flux", None, "flux", "%", 1.0, 100.0)),
)


def correction_svg(correction: Correction, truth: Correction | None = None) -> str:
    """Draw a correction, and the truth beside it where it is known.

    Parameters
    ----------
    correction : Correction
        Drawn as a line with a band of ±2 σ (no band where σ is unknown).
    truth : Correction, optional
        Of the same scan, from a simulator; a dashed line.

    Returns
    -------
    str
        A self-contained SVG document: no script, no font, no link.

    Raises
    ------
    ExportError
        No projection, or a value that is not finite.
    """
    check(correction, "picture")
    height = TOP + len(ROWS) * ROW_HEIGHT + BOTTOM
    hours = float(correction.time[-1] - correction.time[0]) / 3600
    span = f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        f"<title>{plain(correction.scan)}: corrections per projection</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="28" font-size="17" font-weight="600">Corrections of scan {plain(correction.scan)}</text>',
        f'<text x="{LEFT}" y="48">{len(correction)} projections in {span}; '
        "every value is the difference to the first projection; u = column, v = row, w = towards the detector</text>",
        *_legend(truth is not None),
    ]
    for row, panels in enumerate(ROWS):
        wide = (WIDTH - LEFT - GAP * len(panels)) / len(panels)
        for column, panel in enumerate(panels):
            x = LEFT + GAP - 16 + column * (wide + GAP)
            parts.append(_panel(panel, correction, truth, (x, TOP + row * ROW_HEIGHT, wide)))
    return "\n".join([*parts, "</svg>", ""])


def _legend(truth: bool) -> list[str]:
    y = 66
    entries = [
        f'<line x1="{LEFT}" x2="{LEFT + 24}" y1="{y - 4}" y2="{y - 4}" stroke="{LINE}" stroke-width="2"/>'
        f'<text x="{LEFT + 30}" y="{y}">correction</text>',
        f'<rect x="{LEFT + 112}" y="{y - 10}" width="24" height="11" fill="{BAND}"/>'
        f'<text x="{LEFT + 142}" y="{y}">±2 σ of the difference</text>',
    ]
    if truth:
        entries.append(
            f'<line x1="{LEFT + 300}" x2="{LEFT + 324}" y1="{y - 4}" y2="{y - 4}" stroke="{TRUTH}" stroke-width="1.6" '
            f'stroke-dasharray="5 3"/><text x="{LEFT + 330}" y="{y}">truth</text>'
        )
    return entries


def _panel(panel: Panel, correction: Correction, truth: Correction | None, place: tuple[float, float, float]) -> str:
    x0, y0, wide = place
    top, bottom = y0 + PAD_TOP, y0 + ROW_HEIGHT - PAD_BOTTOM
    index, mean = np.asarray(correction.projection, dtype=float), panel.values(correction)
    sigma = 2 * np.nan_to_num(panel.values(correction, "_std"), nan=0.0, posinf=0.0)
    known, true = _truth(panel, truth, index)
    low, high = _range(np.concatenate([mean - sigma, mean + sigma, true]))
    last = max(float(index[-1]), float(index[0]) + 1)

    def across(values: Array) -> Array:
        return np.asarray(x0 + (values - index[0]) / (last - index[0]) * wide)

    def up(values: Array) -> Array:
        return np.asarray(bottom - (values - low) / (high - low) * (bottom - top))

    out = [f'<text x="{x0:.1f}" y="{top - 7:.1f}" font-weight="600">{panel.title} [{panel.unit}]</text>']
    for value, label in ticks(low, high, 4):
        y = float(up(np.array(value)))
        strong = ' stroke="#8a93a0"' if value == 0 else f' stroke="{FAINT}"'
        out.append(f'<line x1="{x0:.1f}" x2="{x0 + wide:.1f}" y1="{y:.1f}" y2="{y:.1f}"{strong}/>')
        out.append(f'<text x="{x0 - 6:.1f}" y="{y + 4:.1f}" text-anchor="end" font-size="11">{label}</text>')
    for value, label in ticks(float(index[0]), last, 5):
        x = float(across(np.array(value)))
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:.1f}" y2="{bottom + 4:.1f}" stroke="{INK}"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle" font-size="11">{label}</text>')
    out.append(
        f'<text x="{x0 + wide / 2:.1f}" y="{bottom + 29:.1f}" text-anchor="middle" font-size="11">projection</text>'
    )
    some = _some(len(index))
    along, under, over = across(index[some]), up((mean - sigma)[some]), up((mean + sigma)[some])
    outline = np.concatenate([np.column_stack([along, over]), np.column_stack([along, under])[::-1]])
    out.append(f'<polygon points="{_points(outline)}" fill="{BAND}" fill-opacity="0.75"/>')
    out.append(_line(along, up(mean[some]), f'stroke="{LINE}" stroke-width="1.6"'))
    if known.size:
        some = _some(len(known))
        out.append(
            _line(across(known[some]), up(true[some]), f'stroke="{TRUTH}" stroke-width="1.4" stroke-dasharray="5 3"')
        )
    return "\n".join(out)


def _truth(panel: Panel, truth: Correction | None, index: Array) -> tuple[Array, Array]:
    if truth is None:
        return np.zeros(0), np.zeros(0)
    known, values = np.asarray(truth.projection, dtype=float), panel.values(truth)
    keep = (known >= index[0]) & (known <= index[-1]) & np.isfinite(values)
    return known[keep], values[keep]


def _some(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Indices of at most POINTS of ``count`` points, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(np.int64))


def _range(values: Array) -> tuple[float, float]:
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if high - low < 1e-12:
        return -1.0, 1.0
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def ticks(low: float, high: float, about: int) -> list[tuple[float, str]]:
    """Round numbers from low to high with their labels.

    Examples
    --------
    >>> ticks(-0.13, 0.52, 4)
    [(0.0, '0.0'), (0.2, '0.2'), (0.4, '0.4')]
    >>> [label for _, label in ticks(0, 1300, 5)]
    ['0', '250', '500', '750', '1000', '1250']
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1.0, 2.0, 2.5, 5.0) if m * power >= rough * 0.85), 10 * power)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    decimals += not math.isclose(round(step, decimals), step, rel_tol=1e-6)
    first, count = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    values = [round(k * step, 12) + 0.0 for k in range(first, count + 1)]
    return [(value, f"{value:.{decimals}f}" if decimals <= 6 else f"{value:.3g}") for value in values]


def _line(x: Array, y: Array, style: str) -> str:
    return f'<polyline points="{_points(np.column_stack([x, y]))}" fill="none" {style}/>'


def _points(points: Array) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points.tolist())


def plain(text: str) -> str:
    """Text that is safe inside SVG, at most 60 characters."""
    return escape("".join(c if c.isprintable() else "?" for c in text[:60]))
