"""What one projection says, as values by the addresses of channels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.imaging.fix import Fix, Verdict
from sensors.images.looking import Look
from sensors.images.series import NAN, Series
from sensors.images.trackers import SUFFIXES
from sensors.reading import Quality

# address -> quantity and unit of what is told of every projection, whatever is looked at in it
OF_EVERY = {"projection": ("projection", "number"), "angle": ("angle", "deg")}
_QUALITY = {Verdict.GOOD: Quality.GOOD, Verdict.SUSPECT: Quality.SUSPECT, Verdict.LOST: Quality.INVALID}


@dataclass(frozen=True, slots=True)
class Value:
    """What a projection says for one address; value and σ in the unit of its suffix (``nan``: none)."""

    value: float
    sigma: float = NAN
    quality: Quality = Quality.GOOD


@dataclass(frozen=True, slots=True)
class Sighting:
    """All that one projection says.

    Attributes
    ----------
    number : int
        Of the projection in its series.
    time : float
        Mid-exposure [s since 1970].
    values : mapping of str to Value
        By address; of every look that is for this kind of image, but for what such an image has nothing to say about.
    fixes : mapping of str to Fix
        By look, for their reasons.
    """

    number: int
    time: float
    values: Mapping[str, Value]
    fixes: Mapping[str, Fix] = field(default_factory=dict)


def values_of(looks: Sequence[Look], fixes: Mapping[str, Fix]) -> dict[str, Value]:
    """Fixes as values by address; a lost marker gives an invalid value for every one of its addresses."""
    return {
        f"{look.name}_{suffix}": _value(fix, suffix)
        for look in looks
        if (fix := fixes.get(look.name)) is not None
        for suffix in SUFFIXES[look.marker]
        if suffix in fix.values or fix.verdict is Verdict.LOST
    }


def _value(fix: Fix, suffix: str) -> Value:
    value = fix.values.get(suffix, math.nan)
    if not math.isfinite(value):
        return Value(NAN, NAN, Quality.INVALID)
    sigma = fix.sigma.get(suffix, math.nan)
    return Value(float(value), float(sigma) if sigma > 0 else NAN, _QUALITY[fix.verdict])


def told_of(number: int, angle_deg: float) -> dict[str, Value]:
    """Number and, where somebody tells it, angle of a projection as values by address.

    Examples
    --------
    >>> told_of(7, 3.5)["angle"].value, list(told_of(7, float("nan")))
    (3.5, ['projection'])
    """
    told = {"projection": Value(float(number))}
    if math.isfinite(angle_deg):
        told["angle"] = Value(angle_deg)
    return told


def streams_of(series: Series, index: int) -> dict[str, Value]:
    """What the vendor's own streams say of a projection, by their names."""
    return {s.name: Value(float(s.values[index])) for s in series.contents.streams if index < len(s.values)}
