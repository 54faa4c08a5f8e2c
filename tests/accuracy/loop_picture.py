"""Picture of the closed loop: MTF10 that was predicted against that of the reconstruction, one dot per scan."""

from __future__ import annotations

from collections.abc import Sequence

SIZE, LEFT, TOP, LOW = 520, 64, 56, 56
FIRST, LAST = 0.05, 0.35  # cycles per detector pixel at the axis
COLOURS = {"not corrected": "#c2410c", "four fifths corrected": "#0062a3"}


def picture(dots: Sequence[tuple[str, float, float]]) -> str:
    """A self-contained SVG of (kind, predicted, reconstructed)."""
    side = SIZE - LEFT - 16
    high = TOP + side + LOW

    def x(value: float) -> float:
        return LEFT + side * (value - FIRST) / (LAST - FIRST)

    def y(value: float) -> float:
        return TOP + side * (LAST - value) / (LAST - FIRST)

    def band(part: float, colour: str) -> str:
        corners = [
            (FIRST, FIRST * (1 - part)),
            (LAST, LAST * (1 - part)),
            (LAST, LAST * (1 + part)),
            (FIRST, FIRST * (1 + part)),
        ]
        points = " ".join(f"{x(u):.1f},{y(v):.1f}" for u, v in corners)
        return f'<polygon points="{points}" fill="{colour}" clip-path="url(#field)"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {high}" width="{SIZE}" height="{high}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#1b1f24">',
        "<title>Worst MTF10 of each scan: reconstructed against predicted</title>",
        f'<clipPath id="field"><rect x="{LEFT}" y="{TOP}" width="{side}" height="{side}"/></clipPath>',
        f'<rect width="{SIZE}" height="{high}" fill="#ffffff"/>',
        band(0.10, "#eef2f6"),
        band(0.05, "#d8e2ec"),
        f'<line x1="{x(FIRST)}" y1="{y(FIRST)}" x2="{x(LAST)}" y2="{y(LAST)}" stroke="#5b6672"/>',
    ]
    for k in range(7):
        value = FIRST + 0.05 * k
        parts.append(f'<text x="{x(value):.1f}" y="{TOP + side + 18}" text-anchor="middle">{value:.2f}</text>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    parts += [
        f'<text x="{LEFT + side / 2}" y="{TOP + side + 42}" text-anchor="middle">predicted [cycles/px at the axis]</text>',
        f'<text transform="translate(16 {TOP + side / 2}) rotate(-90)" text-anchor="middle">reconstructed by RTK</text>',
    ]
    for k, (kind, colour) in enumerate(COLOURS.items()):
        parts.append(f'<circle cx="{LEFT + 8 + 150 * k}" cy="20" r="4.5" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 18 + 150 * k}" y="24">{kind}</text>')
    parts.append(f'<text x="{LEFT}" y="44" fill="#5b6672">bands: 5 and 10 %; worst of nine edges of each scan</text>')
    for kind, said, found in dots:
        parts.append(
            f'<circle cx="{x(said):.1f}" cy="{y(found):.1f}" r="4.5" fill="{COLOURS[kind]}" fill-opacity="0.8" '
            f'stroke="#ffffff"><title>{kind}: {said:.3f} predicted, {found:.3f} found</title></circle>'
        )
    return "\n".join([*parts, "</svg>", ""])
