"""Events as plain values: a line of ``alerts.jsonl``, the body of a webhook."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from alerts.alert import AlertError, Event, Severity, State, Transition


def iso(time: float) -> str:
    """Instant as ISO 8601 in UTC with milliseconds.

    Examples
    --------
    >>> iso(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def record(event: Event) -> dict[str, object]:
    """Values of an event for JSON: time also as ISO 8601 in UTC; numbers that JSON lacks (inf) become null.

    Examples
    --------
    >>> e = Event(3, 0.0, "warm-1", "warm", Transition.RAISED, State.ACTIVE, Severity.MAJOR, float("inf"))
    >>> record(e)["key"], record(e)["value"]
    ('warm-1:raised:3', None)
    """
    return {
        "key": event.key,
        "seq": event.seq,
        "time": iso(event.time),
        "time_s": event.time,
        "episode": event.episode,
        "rule": event.rule,
        "transition": str(event.transition),
        "state": str(event.state),
        "severity": str(event.severity),
        "value": _finite(event.value),
        "limit": _finite(event.limit),
        "message": event.message,
        "guidance": event.guidance,
        "by": event.by,
        "comment": event.comment,
        "simulated": event.simulated,
    }


def event_from(values: Mapping[str, object]) -> Event:
    """Rebuild an event from :func:`record` (a line of ``alerts.jsonl``)."""
    names = ("episode", "rule", "message", "guidance", "by", "comment")
    try:
        return Event(
            seq=int(str(values["seq"])),
            time=float(str(values["time_s"])),
            transition=Transition(str(values["transition"])),
            state=State(str(values["state"])),
            severity=Severity(str(values["severity"])),
            value=_number(values.get("value")),
            limit=_number(values.get("limit")),
            simulated=bool(values["simulated"]),
            **{name: str(values.get(name, "")) for name in names},
        )
    except (KeyError, ValueError) as error:
        raise AlertError(f"not an alert event: {error}") from None


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
