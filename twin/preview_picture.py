"""A preview as a picture: σ of each motion without and with readings, half-pitch of the tomogram, what a sensor would buy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from twin.config import Config
from twin.pictures import BAND, FAINT, INK, LINE, TRUTH, plain, ticks
from twin.preview import Expected, OneMore, Preview

WIDTH, ROW, LEFT, RIGHT, HEAD = 1000, 26, 300, 60, 64
Bar = tuple[str, float, float | None, tuple[float, float] | None]  # label, value, fainter value behind, range


def preview_svg(config: Config, known: Preview, more: Sequence[OneMore]) -> str:
    """Draw a preview as a self-contained SVG document: no script, no font, no link."""
    motions: list[Bar] = [
        (f"{name}", known.posterior[name], before, None)
        for name, before in known.prior.items()
        if name.split(".")[0] in ("source", "object") and before > 0
    ]
    worth: list[Bar] = [
        ("promised by the budget", known.promised_um, None, None),
        ("without correction", *_bar(known.uncorrected)),
        ("with correction", *_bar(known.corrected)),
        *((f"  with {one.words}", *_bar(one.corrected)) for one in more),
    ]
    parts: list[str] = []
    y = 70.0
    for title, bars, limit in (
        ("σ of the change since the first projection, rms over the scan [µm]; pale: without readings", motions, None),
        ("half-pitch of the tomogram at 10 % MTF [µm]; lines: 95 % of the drifts expected", worth, known.limit_um),
    ):
        parts += _chart(title, bars, limit, y)
        y += HEAD + ROW * len(bars)
    scan = f"scan of {config.scan.duration_h:g} h, {config.scan.conditioning_h:g} h after switching on"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" width="{WIDTH}" height="{y:.0f}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}">',
        f"<title>{plain(config.system.name)}: what will be known</title>",
        f'<rect width="{WIDTH}" height="{y:.0f}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="17" font-weight="600">What will be known: {plain(config.system.name)}</text>',
        f'<text x="16" y="48">from the model alone, before any reading; {scan}</text>',
        *parts, "</svg>", "",
    ])  # fmt: skip


def _bar(value: Expected) -> tuple[float, None, tuple[float, float]]:
    return value.mean, None, (value.low, value.high)


def _chart(title: str, bars: Sequence[Bar], limit: float | None, top: float) -> list[str]:
    """One chart of horizontal bars from zero, with its axis below."""
    reach = [max(value, behind or 0.0, span[1] if span else 0.0) for _, value, behind, span in bars]
    high = 1.05 * max([*reach, limit or 0.0, 1e-9])
    wide = WIDTH - LEFT - RIGHT
    bottom = top + 14 + ROW * len(bars)
    out = [f'<text x="16" y="{top:.0f}" font-weight="600">{title}</text>']
    for value, label in ticks(0.0, high, 6):
        x = LEFT + value / high * wide
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 10:.0f}" y2="{bottom:.0f}" stroke="{FAINT}"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 15:.0f}" text-anchor="middle" font-size="11">{label}</text>')
    for k, (label, value, behind, span) in enumerate(bars):
        y = top + 14 + ROW * k
        out.append(f'<text x="{LEFT - 10}" y="{y + 15:.0f}" text-anchor="end">{plain(label.strip())}</text>')
        if behind is not None:
            out.append(_rect(y, behind / high * wide, BAND))
        out.append(_rect(y, value / high * wide, LINE))
        end = max(value, behind or 0.0)
        if span is not None:
            low, far = (LEFT + v / high * wide for v in span)
            out.append(
                f'<line x1="{low:.1f}" x2="{far:.1f}" y1="{y + 11:.0f}" y2="{y + 11:.0f}" stroke="{INK}" stroke-width="2"/>'
            )
            end = max(end, span[1])
        out.append(
            f'<text x="{LEFT + end / high * wide + 6:.1f}" y="{y + 15:.0f}" font-size="11">{_short(value)}</text>'
        )
    if limit is not None:
        x = LEFT + limit / high * wide
        out.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 8:.0f}" y2="{bottom:.0f}" stroke="{TRUTH}" stroke-width="1.6" '
            f'stroke-dasharray="5 3"/><text x="{x + 4:.1f}" y="{top + 12:.0f}" font-size="11" fill="{TRUTH}">limit</text>'
        )
    return out


def _rect(y: float, length: float, colour: str) -> str:
    return f'<rect x="{LEFT}" y="{y + 3:.0f}" width="{max(length, 0.5):.1f}" height="{ROW - 9}" fill="{colour}"/>'


def _short(value: float) -> str:
    return np.format_float_positional(value, precision=3, fractional=False, trim="-")
