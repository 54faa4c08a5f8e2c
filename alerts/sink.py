"""The seam of delivery: a notice goes out, and the sink says whether it arrived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from alerts.alert import Event
from alerts.record import iso, record


@dataclass(frozen=True, slots=True)
class Notice:
    """What a sink is given: one event, and which system it is about.

    ``event.state`` and ``event.severity`` tell how the episode stands after it, so each notice can be
    understood alone; a receiver that has missed one is right again with the next.
    """

    event: Event
    system: str = ""
    site: str = ""

    @property
    def key(self) -> str:
        """Idempotency key: equal for all attempts, different for any other notice of any system."""
        return ":".join(part for part in (self.site, self.system, self.event.key) if part)

    def payload(self) -> dict[str, object]:
        """Body for machines (format version 1)."""
        return {"version": 1, **record(self.event), "key": self.key, "system": self.system, "site": self.site}

    def line(self) -> str:
        """One line for people; signs that steer a terminal are taken out, for operators' words are in it.

        Examples
        --------
        >>> from alerts.alert import Event, Severity, State, Transition
        >>> e = Event(7, 0.0, "warm-1", "warm", Transition.RAISED, State.ACTIVE, Severity.MAJOR, message="31 > 30")
        >>> Notice(e, "ct1").line()
        '1970-01-01T00:00:00.000Z ct1 MAJOR warm raised: 31 > 30 [warm-1]'
        """
        event = self.event
        words = [iso(event.time), self.system, event.severity.upper(), event.rule, f"{event.transition}:"]
        if event.by:
            words += ["by", event.by, f"({event.comment})" if event.comment else ""]
        words += [event.message, f"[{event.episode}]", "SIMULATED" if event.simulated else ""]
        text = " ".join(word for word in words if word)
        return "".join(sign if sign.isprintable() else " " for sign in text)


@dataclass(frozen=True, slots=True)
class Delivered:
    """It arrived."""


@dataclass(frozen=True, slots=True)
class Retry:
    """It didn't arrive, and may later. ``after_s``: no sooner than this, where the receiver said so [s]."""

    reason: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver will never take it; ``reason`` holds its words."""

    reason: str


Outcome = Delivered | Retry | Refused


class Sink(Protocol):
    """Where notices go.

    ``deliver`` may block (it has a thread to itself) but must end within its own time limit. It may be given
    the same notice again, because a crash can fall between arrival and its record: the key tells.
    """

    def deliver(self, notice: Notice) -> Outcome:
        """Send a notice, and say what became of it."""


@runtime_checkable
class Closing(Protocol):
    """A sink that holds something to be given back."""

    def close(self) -> None:
        """Give back connections and files."""
