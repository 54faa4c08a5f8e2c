"""In which way the model doesn't fit its machine, in words for a person."""

from __future__ import annotations

from models.charts import Way
from models.consistency import Misfit
from sensors.timestamps import iso

_SEEN = {
    Way.HIGH: "reads higher than predicted, by {size:.2g} σ on average",
    Way.LOW: "reads lower than predicted, by {size:.2g} σ on average",
    Way.SCATTER: "scatters {root:.2g} times as far as predicted",
    Way.SWINGS: "strays from its predictions in slow swings (correlation {size:.2g})",
    Way.OUTLIERS: "has {percent:.0f} % of its readings refused as outliers",
}
_USUAL = {
    "temperature": {
        Way.HIGH: "something heats there that the model doesn't have, or the thermometer drifts",
        Way.LOW: "something cools there that the model doesn't have, or the thermometer drifts",
        Way.SWINGS: "a time constant is wrong, or something heats there now and then",
    },
    "marker_shift": dict.fromkeys(
        (Way.HIGH, Way.LOW, Way.SWINGS), "source, object or marker moves in a way or at a rate the model doesn't have"
    ),
    "marker_blur": dict.fromkeys(
        (Way.HIGH, Way.LOW, Way.SWINGS),
        "the spot changes faster than the model allows, or the detector's own blur changes",
    ),
    "flux": dict.fromkeys((Way.HIGH, Way.LOW, Way.SWINGS), "the source's output changes faster than the model allows"),
}
_ANY = {
    Way.HIGH: "something the model doesn't have, or the sensor drifts",
    Way.LOW: "something the model doesn't have, or the sensor drifts",
    Way.SCATTER: "its sigma is set too small, the sensor is failing, or there are jumps the model doesn't expect",
    Way.SWINGS: "a time constant or a random walk of the model is wrong",
    Way.OUTLIERS: "a disturbed or failing sensor, or steps the model doesn't expect",
}


def describe(found: Misfit, quantity: str) -> str:
    """Which channel doesn't fit, how, since when, and what that usually means.

    Parameters
    ----------
    quantity : str
        What the channel measures, as in its ``[[channel]]``.

    Examples
    --------
    >>> describe(Misfit("i0", Way.SCATTER, 1.2, 1.7e9, 57, 4.0), "flux").partition("; usually ")[0]
    'i0 scatters 2 times as far as predicted (57 readings since 2023-11-14T22:13:20.000Z)'
    """
    size = abs(found.size)
    seen = _SEEN[found.way].format(size=size, root=size**0.5, percent=100.0 * size)
    usual = _USUAL.get(quantity, {}).get(found.way, _ANY[found.way])
    return f"{found.channel} {seen} ({found.count} readings since {iso(found.since)}); usually {usual}"
