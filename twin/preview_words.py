"""A preview in words for a terminal, and as plain data for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from models.observability import Direction
from twin.config import Config
from twin.preview import LITTLE, Expected, Mixed, OneMore, Preview
from twin.terminal import table

UNITS = {"source": "um", "object": "um", "shift": "px", "flux": "1"}
WORTH_SAYING = 0.1  # a direction is told when its σ is above this part of the half-pitch that is promised


def preview_lines(config: Config, known: Preview, more: Sequence[OneMore]) -> Iterator[str]:
    """What the command ``check`` prints about a planned scan."""
    scan = config.scan
    after = f", {scan.conditioning_h:g} h after switching on" if scan.conditioning_h else ", from a cold start"
    yield f"\nWhat will be known over a scan of {scan.duration_h:g} h{after} (sigma of the change since the first projection)"
    yield table(_rows(known))
    unseen = told(known)
    if unseen:
        yield "  these channels can't tell:"
        for direction in unseen:
            yield f"    {direction.words()} (sigma {direction.posterior:.2g} um; {direction.prior:.2g} um without readings)"
    for mixed in known.mixed:
        yield f"  {mixed_words(mixed, known.uncorrected, known.corrected)}"
    yield "\nHalf-pitch of the tomogram at 10 % MTF (expected over the drift that the configuration describes)"
    yield table([
        ["", "expected", "95 % between"],
        ["promised by the budget", f"{known.promised_um:.3g} um", ""],
        ["without correction", *range_words(known.uncorrected)],
        ["with correction", *range_words(known.corrected)],
    ])  # fmt: skip
    yield f"  correction is expected to gain {known.gain:.2f}x"
    if more:
        yield "\nOne more sensor, by what the corrected tomogram would resolve"
        yield table(more_rows(more))


def mixed_words(mixed: Mixed, uncorrected: Expected, corrected: Expected) -> str:
    """What a marker that rides on a moving mount can't tell, in one line.

    Examples
    --------
    >>> mixed = Mixed("wire_n", "wire", "wire", (0.22, 0.17), (0.19, 0.16), ("v",))
    >>> print(mixed_words(mixed, Expected(1.5, 1.1, 2.4), Expected(1.5, 1.1, 2.4)))
    wire_n: the wire 'wire' can't separate source from mount (sigma along it: source 0.22 -> 0.17 um, mount 0.19 -> 0.16 \
um) and sees nothing of v; correction will gain little: 1.00x (1.5 um without, 1.5 um with)
    """
    blind = f" and sees nothing of {' and '.join(mixed.blind)}" if mixed.blind else ""
    text = (
        f"{mixed.channel}: the {mixed.kind} {mixed.marker!r} can't separate source from mount (sigma along it: source "
        f"{mixed.source[0]:.2g} -> {mixed.source[1]:.2g} um, mount {mixed.mount[0]:.2g} -> {mixed.mount[1]:.2g} um){blind}"
    )
    gain = uncorrected.mean / corrected.mean
    if gain <= LITTLE:
        text += (
            f"; correction will gain little: {gain:.2f}x "
            f"({uncorrected.mean:.3g} um without, {corrected.mean:.3g} um with)"
        )
    return text


def told(known: Preview) -> list[Direction]:
    """Directions that the readings don't see and that are wide enough to matter for the resolution."""
    return [d for d in known.directions if not d.seen and d.posterior > WORTH_SAYING * known.promised_um]


def preview_facts(known: Preview, more: Sequence[OneMore]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "half_pitch10_um": known.promised_um,
        "limit_um": known.limit_um,
        "sigma_without_readings": known.prior,
        "sigma_with_readings": known.posterior,
        "hidden": known.hidden(),
        "directions": [
            {"words": d.words(), "weights": dict(d.weights), "sigma_without_um": d.prior, "sigma_with_um": d.posterior,
             "seen": d.seen} for d in known.directions
        ],
        "mixed": [
            {"channel": m.channel, "marker": m.marker, "source_um": list(m.source), "mount_um": list(m.mount),
             "blind": list(m.blind), "words": mixed_words(m, known.uncorrected, known.corrected)} for m in known.mixed
        ],
        "uncorrected_um": expected_facts(known.uncorrected),
        "corrected_um": expected_facts(known.corrected),
        "gain": known.gain,
        "one_more": [
            {"sensor": one.words, "corrected_um": expected_facts(one.corrected), "gain": one.gain, "sigma": one.posterior}
            for one in more
        ],
    }  # fmt: skip


def expected_facts(value: Expected) -> dict[str, float]:
    """An expected value and its range as plain data."""
    return {"expected": value.mean, "low": value.low, "high": value.high}


def range_words(value: Expected) -> list[str]:
    """Expected value and range as two cells of a table."""
    return [f"{value.mean:.3g} um", f"{value.low:.3g} and {value.high:.3g} um"]


def _rows(known: Preview) -> list[list[str]]:
    rows = [["", "without readings", "with them"]]
    for name, before in known.prior.items():
        if before > 0:
            unit = UNITS[name.split(".")[0]]
            rows.append([name, f"{before:.3g} {unit}", f"{known.posterior[name]:.3g} {unit}"])
    return rows


def more_rows(more: Sequence[OneMore]) -> list[list[str]]:
    """Table of what one more sensor would buy."""
    shown = [n for n in ("source.u", "source.v", "object.u", "object.v") if any(one.posterior[n] > 0 for one in more)]
    rows = [["", "with correction", "gains further", *(f"sigma {n}" for n in shown)]]
    for one in more:
        sigmas = [f"{one.posterior[n]:.2g} um" for n in shown]
        rows.append([one.words, f"{one.corrected.mean:.3g} um", f"{one.gain:.2f}x", *sigmas])
    return rows
