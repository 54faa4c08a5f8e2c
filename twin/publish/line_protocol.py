"""Line protocol of our own: floats only, one fixed set of tags, nothing that any server of the family would refuse.

Source of the grammar: InfluxData, "Line protocol reference" (v1 and v2 documentation). Three choices keep one text good
for InfluxDB 1, 2, 3 and VictoriaMetrics:

- every field is a float (InfluxDB refuses a point whose field changes its type; so never ``5i``);
- the tags are always ``channel, site, system`` (InfluxDB 3 makes the tag set of a table immutable, and forbids a tag
  and a field of one name);
- a time is a whole number of microseconds written in nanoseconds, so that writing a line twice is writing it once.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

RESERVED = frozenset({"site", "system", "channel", "time"})

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


class LineError(ValueError):
    """A line can't be written: a name is empty or reserved. A mistake of the caller, never of the data."""


@dataclass(frozen=True, slots=True)
class Tags:
    """Which machine a series belongs to; the third tag, ``channel``, differs per line."""

    site: str
    system: str

    def __post_init__(self) -> None:
        name(self.site), name(self.system)


@functools.lru_cache(maxsize=4096)
def name(text: str, also: str = ",= ") -> str:
    r"""A measurement, tag or field name with the protocol's separators escaped.

    Control characters become ``_`` (they can't be carried) and a backslash becomes ``/`` (before a separator, or at the
    end, servers read it differently).

    Examples
    --------
    >>> print(name("tube head=1"))
    tube\ head\=1
    """
    if not text:
        raise LineError("a measurement, tag or field can't have an empty name")
    clean = _CONTROL.sub("_", text).replace("\\", "/")
    for separator in also:
        clean = clean.replace(separator, "\\" + separator)
    return clean


def instant(time: float) -> int:
    """A time [s since 1970] as a whole number of nanoseconds, rounded to 1 µs (what a double resolves until 2255).

    Examples
    --------
    >>> instant(1795210542.1234564)
    1795210542123456000
    """
    return round(time * 1e6) * 1000


def line(tags: Tags, measurement: str, channel: str, time: float, fields: Mapping[str, float]) -> str | None:
    """One line without its end, or None if no finite field (or no finite time) is left to write.

    Parameters
    ----------
    tags : Tags
    measurement, channel : str
    time : float
        [s since 1970]
    fields : mapping of str to float
        NaN and infinite values are left out.

    Raises
    ------
    LineError
        An empty name, or a field named like a tag.

    Examples
    --------
    >>> line(Tags("lab", "ct 1"), "ctwin_reading", "t_tube", 1.5, {"value": 295, "sigma": float("nan")})
    'ctwin_reading,channel=t_tube,site=lab,system=ct\\\\ 1 value=295.0 1500000000'
    """
    if not math.isfinite(time):
        return None
    kept: list[str] = []
    for key, value in fields.items():
        number = float(value)  # also turns an int or a numpy scalar into what repr writes as a float
        if key in RESERVED:
            raise LineError(f"a field can't be called {key!r}: that is a tag's name or the time's")
        if math.isfinite(number):
            kept.append(f"{name(key)}={number!r}")
    if not kept:
        return None
    # tags in alphabetical order, as the reference recommends for speed
    head = f"{_measurement(measurement)},channel={name(channel)},site={name(tags.site)},system={name(tags.system)}"
    return f"{head} {','.join(kept)} {instant(time)}"


def _measurement(text: str) -> str:
    clean = name(text, also=", ")
    # a line that begins with # is a comment, and is lost without a word
    return "_" + clean[1:] if clean.startswith("#") else clean
