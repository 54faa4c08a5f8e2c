"""A picture of a marker's profile averaged over all projections, without and with shifting, as SVG."""

from __future__ import annotations

import numpy as np

from models.estimate import Array
from models.imaging.mean_profile import MeanProfiles, Profile
from models.imaging.profile_flanks import Blurred
from models.imaging.profile_sharpness import Sharpening
from twin.pictures import plain, ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 76, 24, 96, 52
BEFORE, AFTER, INK, FAINT = "#c2410c", "#0062a3", "#1b1f24", "#d9dde3"
PER_PIXEL = 4  # bins drawn per pixel
MARGIN_PX = 6.0  # beside the flanks


def profile_svg(profiles: MeanProfiles, found: Sharpening, name: str) -> str:
    """Draw both averages in parts of the brightness beside the marker, with ±2 σ, and what they say in numbers.

    Parameters
    ----------
    profiles : MeanProfiles
    found : Sharpening
        Of the same profiles.
    name : str
        Of the marker.

    Returns
    -------
    str
        A self-contained SVG document: no script, no font, no link.
    """
    title = f"{plain(name)}, averaged over {profiles.projections} projections"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="{INK}"><title>{title}</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="600">{title}</text>',
        _row(46, BEFORE, f"no correction: {_words(found.before)}"),
        _row(64, AFTER, f"corrected: {_words(found.after)}"),
        f'<text x="16" y="82">line spread {found.ratio[0]:.2f} ± {found.ratio[1]:.2g} times narrower; taken off: σ '
        f"{found.taken_px[0]:.2f} ± {found.taken_px[1]:.2g} px; the shifts scatter {profiles.shift_sigma_px:.2f} px</text>",
    ]
    reach = found.shape.radius + max(MARGIN_PX, 2.0 * found.before.width_10_90[0])
    curves = []
    for profile, measured, colour in ((profiles.before, found.before, BEFORE), (profiles.after, found.after, AFTER)):
        curves.append((colour, _shown(profile, measured, reach)))
    heights = np.concatenate([np.concatenate([y - 2 * s, y + 2 * s]) for _, (_, y, s) in curves])
    low, high = min(float(heights.min()), 0.0), max(float(heights.max()), 1.0)
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(x: Array) -> Array:
        return np.asarray(LEFT + (x + reach) / (2 * reach) * wide)

    def up(y: Array) -> Array:
        return np.asarray(TOP + tall - (y - low) / (high - low) * tall)

    for value, label in ticks(low, high, 5):
        place = float(up(np.array(value)))
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{place:.1f}" y2="{place:.1f}" stroke="{FAINT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{place + 4:.1f}" text-anchor="end" font-size="11">{label}</text>')
    for value, label in ticks(-reach, reach, 8):
        place = float(across(np.array(value)))
        parts.append(
            f'<line x1="{place:.1f}" x2="{place:.1f}" y1="{TOP + tall}" y2="{TOP + tall + 4}" stroke="{INK}"/>'
        )
        parts.append(f'<text x="{place:.1f}" y="{TOP + tall + 18}" text-anchor="middle" font-size="11">{label}</text>')
    parts.append(
        f'<text x="{LEFT + wide / 2:.0f}" y="{HEIGHT - 14}" text-anchor="middle" font-size="11">'
        "distance from the shadow's middle along the normal [px]; counts relative to the brightness beside it</text>"
    )
    for colour, (x, y, sigma) in curves:
        outline = np.concatenate([np.stack([x, y + 2 * sigma]), np.stack([x, y - 2 * sigma])[:, ::-1]], axis=1)
        band = _points(across(outline[0]), up(outline[1]))
        parts.append(f'<polygon points="{band}" fill="{colour}" fill-opacity="0.25"/>')
        parts.append(
            f'<polyline points="{_points(across(x), up(y))}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _row(y: int, colour: str, words: str) -> str:
    line = f'<line x1="16" x2="40" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2"/>'
    return f'{line}<text x="48" y="{y}">{words}</text>'


def _words(measured: Blurred) -> str:
    blur, width = measured.blur, measured.width_10_90
    words = f"blur σ {blur[0]:.2f} ± {blur[1]:.2g} px"
    if np.isfinite(width[0]):
        words += f", flank 10–90 % {width[0]:.2f} ± {width[1]:.2g} px"
    if measured.transfer is not None:
        f10, sigma = measured.transfer.falls_to(0.1)
        if np.isfinite(f10):
            words += f", MTF 10 % at {f10:.3f} ± {sigma:.2g} cycles/px"
    return words


def _shown(profile: Profile, measured: Blurred, reach: float) -> tuple[Array, Array, Array]:
    """Distance from the shadow's middle, value and σ of the bins in the picture, relative to the brightness beside it."""
    thin = profile.thinned(max(1, round(1.0 / PER_PIXEL / profile.width)))
    distance = thin.distance - measured.place_px
    seen = np.isfinite(thin.sigma) & (np.abs(distance) <= reach)
    bright = float(np.nanmax(measured.fitted.value))
    return distance[seen], thin.value[seen] / bright, thin.sigma[seen] / bright


def _points(x: Array, y: Array) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
