"""A verification as lines of text and as a table."""

from __future__ import annotations

import math

from models.imaging.edge_places import FACE
from twin.terminal import table
from twin.verify.verified import SHIFT, WITH, WITHOUT, Verified

FILENAME = "verify.csv"
CAPTIONS = {WITHOUT: "without", WITH: "with", SHIFT: "shift only"}


def told(done: Verified) -> list[str]:
    """Lines for a terminal."""
    u, v, w = (c * done.unit_um for c in done.box.middle)
    wide, tall = (s * done.unit_um for s in done.box.size)
    names = tuple(done.volumes)
    both = (WITHOUT, WITH)
    groups = (("MTF10 [lp/mm]", names), ("half-pitch [um]", names), ("predicted [um]", both))
    rows = [["edges", "", *(word for group, of in groups for word in (group, *[""] * (len(of) - 1)))]]
    rows.append(["looking at", "places", *(CAPTIONS[name] for _, of in groups for name in of)])
    for edge in done.edges:
        rows.append([
            edge.words, str(len(edge.places)),
            *(with_sigma(*done.mtf10(edge, name)) for name in names),
            *(_number(done.half_pitch_um(edge, name)) for name in names),
            *(_number(done.predicted_um(edge, name)) for name in both),
        ])  # fmt: skip
    lines = [
        f"{done.scan}: {wide:.4g} x {tall:.4g} x {wide:.4g} um about u, v, w = {u:.4g}, {v:.4g}, {w:.4g} um, "
        f"voxel {done.box.step * done.unit_um:.3g} um",
        table(rows),
    ]
    for name in names[1:]:
        ratio, sigma = done.gain(name)
        with_what = "correction" if name == WITH else "the shift alone"
        if not math.isfinite(ratio):
            lines.append(f"  with {with_what} MTF10 can't be compared: no edge is told in both")
            continue
        lines.append(f"  with {with_what} MTF10 is {with_sigma(ratio, sigma)} times that without (mean over the edges)")
    lines += [] if done.predicted.edges else ["  predicted: none, for the scan is less than a whole turn"]
    if done.worse:
        lines.append(
            "  WORSE with correction than without: a sign of u, v or the angle, or a scan that isn't that of the readings?"
        )
    return lines


def with_sigma(value: float, sigma: float) -> str:
    """A number with its σ, to as many digits as that allows; "none" where there is none.

    Examples
    --------
    >>> with_sigma(474.551, 19.5), with_sigma(0.98765, 0.0123), with_sigma(math.nan, math.nan)
    ('475 ± 20', '0.988 ± 0.012', 'none')
    """
    if not math.isfinite(value):
        return "none"
    if not 0 < sigma < math.inf:
        return f"{value:.4g}"
    decimals = max(0, 1 - math.floor(math.log10(sigma)))
    return f"{value:.{decimals}f} ± {sigma:.{decimals}f}"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "none"


def verify_csv(done: Verified) -> str:
    """As a table; an edge along the axis has no normal, and what isn't known is empty."""
    names = tuple(done.volumes)
    columns = ["normal_deg", "places", "u_um", "v_um", "w_um"]
    for name in names:
        columns += [
            f"mtf10_{name}_lp_per_mm", f"mtf10_{name}_lp_per_mm_std", f"half_pitch_{name}_um", f"width_10_90_{name}_um",
        ]  # fmt: skip
    columns += ["predicted_without_um", "predicted_with_um"]
    lines = ["# ctwin verify 1; half-pitch at 10 % MTF; ASTM E1695", ",".join(columns)]
    for edge in done.edges:
        where = [sum(p.place[k] for p in edge.places) / len(edge.places) * done.unit_um for k in range(3)]
        values = [edge.looks_deg if edge.orientation != FACE else math.nan, len(edge.places), *where]
        for name in names:
            values += [*done.mtf10(edge, name), done.half_pitch_um(edge, name), done.width_um(edge, name)]
        values += [done.predicted_um(edge, name) for name in (WITHOUT, WITH)]
        lines.append(",".join(f"{value:.6g}" if math.isfinite(value) else "" for value in values))
    return "\n".join([*lines, ""])
