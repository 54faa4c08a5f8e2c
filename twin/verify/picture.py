"""The picture of a verification as SVG: slices side by side at one grey scale, edges marked, responses and MTF below."""

from __future__ import annotations

import numpy as np

from models.estimate import Array
from models.imaging.edge_places import FACE
from models.imaging.volume import Volume
from twin.pictures import INK, plain
from twin.verify.curves import COLOURS, HEIGHT, curves
from twin.verify.grey import image_element
from twin.verify.verified import WITH, Verified
from twin.verify.words import CAPTIONS, with_sigma

FILENAME = "verify.svg"
WIDTH, LEFT, GAP, TOP = 1000, 16, 24, 92
MARK = "#12b886"


def verify_svg(done: Verified) -> str:
    """Draw a verification; a self-contained SVG document: no script, no font, no link."""
    low, high = _scale(done.volumes[WITH])
    wide = (WIDTH - 2 * LEFT - GAP * (len(done.volumes) - 1)) / len(done.volumes)
    parts: list[str] = []
    y = float(TOP)
    level, plane = _levels(done)
    parts.append(_title(y, f"slice across the axis at v = {level * done.unit_um:.4g} µm; u to the right, w up"))
    y += 8
    for k, (name, volume) in enumerate(done.volumes.items()):
        x = LEFT + k * (wide + GAP)
        values = volume.values[::-1, _index(volume, 1, level)]  # w up
        parts.append(image_element(values, low, high, (x, y, wide, wide)))
        parts += [*_marks(done, volume, (x, y, wide, wide), False), _named(name, x, y)]
    y += wide + 26
    if any(edge.orientation == FACE for edge in done.edges):
        tall = wide * done.volumes[WITH].values.shape[1] / done.volumes[WITH].values.shape[2]
        parts.append(_title(y, f"slice along the axis at w = {plane * done.unit_um:.4g} µm; u to the right, v down"))
        y += 8
        for k, (name, volume) in enumerate(done.volumes.items()):
            x = LEFT + k * (wide + GAP)
            parts.append(image_element(volume.values[_index(volume, 2, plane)], low, high, (x, y, wide, tall)))
            parts += [*_marks(done, volume, (x, y, wide, tall), True), _named(name, x, y)]
        y += tall + 26
    for k, edge in enumerate(done.edges):
        parts.append(curves(done, edge, LEFT + (k % 2) * (WIDTH - LEFT) / 2, y + (k // 2) * HEIGHT))
    y += HEIGHT * ((len(done.edges) + 1) // 2) + 8
    ratio, sigma = done.gain()
    u, v, w = (c * done.unit_um for c in done.box.middle)
    title = f"{plain(done.scan)}: edges without and with correction"
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}" width="{WIDTH}" height="{y:.0f}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}"><title>{title}</title>',
        f'<rect width="{WIDTH}" height="{y:.0f}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="28" font-size="17" font-weight="600">{title}</text>',
        f'<text x="{LEFT}" y="48">box of {done.box.size[0] * done.unit_um:.4g} µm about u, v, w = {u:.4g}, {v:.4g}, '
        f"{w:.4g} µm; grey from {low:.3g} to {high:.3g} per mm; "
        + (f"with correction MTF10 is {with_sigma(ratio, sigma)} times that without" if np.isfinite(ratio) else "")
        + "</text>",
        *_legend(done),
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _legend(done: Verified) -> list[str]:
    out = []
    for k, name in enumerate(done.volumes):
        x = LEFT + 190 * k
        out.append(
            f'<line x1="{x}" x2="{x + 24}" y1="64" y2="64" stroke="{COLOURS[name]}" stroke-width="2.4"/>'
            f'<text x="{x + 30}" y="68">{_caption(name)}</text>'
        )
    x = LEFT + 190 * len(done.volumes)
    out.append(
        f'<line x1="{x}" x2="{x + 18}" y1="64" y2="64" stroke="{MARK}" stroke-width="2.4"/>'
        f'<text x="{x + 24}" y="68">edges that were measured</text>'
    )
    return out


def _caption(name: str) -> str:
    return CAPTIONS[name] if name not in ("without", "with") else f"{CAPTIONS[name]} correction"


def _title(y: float, text: str) -> str:
    return f'<text x="{LEFT}" y="{y:.1f}" font-weight="600">{text}</text>'


def _named(name: str, x: float, y: float) -> str:
    """A picture's name on a plate in its corner."""
    wide = 12 + 7.4 * len(_caption(name))
    return (
        f'<rect x="{x + 6:.1f}" y="{y + 6:.1f}" width="{wide:.0f}" height="20" rx="3" fill="#ffffff" fill-opacity="0.85"/>'
        f'<text x="{x + 11:.1f}" y="{y + 20:.1f}" font-weight="600" fill="{COLOURS[name]}">{_caption(name)}</text>'
    )


def _scale(volume: Volume) -> tuple[float, float]:
    low, high = (float(x) for x in np.percentile(volume.values, [0.3, 99.7]))
    margin = 0.05 * max(high - low, 1e-12)
    return low - margin, high + margin


def _levels(done: Verified) -> tuple[float, float]:
    """Where most edges are: v of the slice across the axis, w of the slice along it [px]."""
    across = [p.place[1] for e in done.edges if e.orientation != FACE for p in e.places]
    along = [p.place[2] for e in done.edges if e.orientation == FACE for p in e.places]
    middle = done.box.middle
    return _nearest(across, middle[1]), _nearest(along, middle[2])


def _nearest(values: list[float], otherwise: float) -> float:
    """The one of some values that lies next to their median."""
    return min(values, key=lambda x: abs(x - float(np.median(values)))) if values else otherwise


def _index(volume: Volume, axis: int, at: float) -> int:
    coordinates = volume.axes()[axis]
    return int(np.argmin(np.abs(coordinates - at)))


def _marks(done: Verified, volume: Volume, place: tuple[float, float, float, float], upright: bool) -> list[str]:
    """Lines along the edges where they were measured, also those above or below the slice."""
    x0, y0, wide, tall = place
    first, last = np.array(volume.first), np.array(volume.last)
    scale = wide / (last[0] - first[0] + volume.step)
    out = []
    for edge in done.edges:
        if (edge.orientation == FACE) != upright:
            continue
        for where in edge.places:
            u = x0 + (where.place[0] - first[0] + volume.step / 2) * scale
            if upright:
                y, along = y0 + (where.place[1] - first[1] + volume.step / 2) * scale, np.array([1.0, 0.0])
            else:
                y = y0 + tall - (where.place[2] - first[2] + volume.step / 2) * scale
                along = np.array([-where.normal[2], -where.normal[0]])  # (u, -w) across the normal, on the screen
            half: Array = along / np.linalg.norm(along) * 8.0 * scale
            out.append(
                f'<line x1="{u - half[0]:.1f}" y1="{y - half[1]:.1f}" x2="{u + half[0]:.1f}" y2="{y + half[1]:.1f}" '
                f'stroke="{MARK}" stroke-width="1.5"/>'
            )
    return out
