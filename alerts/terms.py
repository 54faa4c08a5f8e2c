"""What a rule's text means: a tree of frozen terms, each number with its kind (plain, or a duration in seconds)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum


class Kind(StrEnum):
    """What a term yields."""

    NUMBER = "a number"
    DURATION = "a duration"
    CONDITION = "a condition"


@dataclass(frozen=True, slots=True)
class Number:
    """A number, or a duration in seconds."""

    value: float
    kind: Kind = Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Value:
    """A channel or an estimate by its name."""

    name: str
    kind: Kind = Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Sigma:
    """σ of a value."""

    name: str
    kind: Kind = Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Age:
    """Age of a channel's last good reading."""

    channel: str
    kind: Kind = Kind.DURATION


@dataclass(frozen=True, slots=True)
class Silent:
    """Whether a channel is stale."""

    channel: str
    kind: Kind = Kind.CONDITION


@dataclass(frozen=True, slots=True)
class Chance:
    """Largest probability that a forecast quantity is beyond a limit within a time."""

    name: str
    above: bool
    limit: Term
    within: Term
    kind: Kind = Kind.NUMBER


@dataclass(frozen=True, slots=True)
class TimeTo:
    """Time until the probability that a forecast quantity is beyond a limit reaches p."""

    name: str
    above: bool
    limit: Term
    p: Term
    kind: Kind = Kind.DURATION


@dataclass(frozen=True, slots=True)
class Absolute:
    """Magnitude."""

    operand: Term
    kind: Kind


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Sum, difference, product or quotient."""

    sign: str
    left: Term
    right: Term
    kind: Kind


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two terms of one kind compared."""

    sign: str
    left: Term
    right: Term
    kind: Kind = Kind.CONDITION


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary."""

    operand: Term
    kind: Kind = Kind.CONDITION


@dataclass(frozen=True, slots=True)
class Every:
    """Conditions joined by ``and``."""

    parts: tuple[Term, ...]
    kind: Kind = Kind.CONDITION


@dataclass(frozen=True, slots=True)
class Some:
    """Conditions joined by ``or``."""

    parts: tuple[Term, ...]
    kind: Kind = Kind.CONDITION


Term = Number | Value | Sigma | Age | Silent | Chance | TimeTo | Absolute | Arithmetic | Comparison | Not | Every | Some
TERMS = (Number, Value, Sigma, Age, Silent, Chance, TimeTo, Absolute, Arithmetic, Comparison, Not, Every, Some)


def walk(term: Term) -> Iterator[Term]:
    """Yield a term and all terms inside it."""
    yield term
    for entry in fields(term):
        inner = getattr(term, entry.name)
        for part in inner if isinstance(inner, tuple) else (inner,):
            if isinstance(part, TERMS):
                yield from walk(part)


def constant(term: Term) -> bool:
    """Whether a term is the same at every instant."""
    return all(isinstance(part, Number | Arithmetic | Absolute) for part in walk(term))


def show(value: float, kind: Kind) -> str:
    """Write a number for people; durations with the unit that suits them.

    Examples
    --------
    >>> show(7200.0, Kind.DURATION), show(0.1319999, Kind.NUMBER)
    ('2 h', '0.132')
    """
    if kind is not Kind.DURATION:
        return f"{value:.4g}"
    for unit, seconds in (("h", 3600.0), ("min", 60.0)):
        if abs(value) >= 2 * seconds or value == seconds:
            return f"{value / seconds:.4g} {unit}"
    return f"{value:.4g} s"


def describe(term: Term) -> str:
    """Write a term as the rule language does."""
    match term:
        case Number():
            return show(term.value, term.kind)
        case Value():
            return term.name
        case Sigma():
            return f"sigma({term.name})"
        case Age():
            return f"age({term.channel})"
        case Silent():
            return f"stale({term.channel})"
        case Chance():
            sign = ">" if term.above else "<"
            return f"probability({term.name} {sign} {describe(term.limit)}, within = {describe(term.within)})"
        case TimeTo():
            return f"time_to({term.name} {'>' if term.above else '<'} {describe(term.limit)}, p = {describe(term.p)})"
        case Absolute():
            return f"abs({describe(term.operand)})"
        case Arithmetic() | Comparison():
            return f"{_inside(term.left)} {term.sign} {_inside(term.right)}"
        case Not():
            return f"not {_inside(term.operand)}"
        case Every() | Some():
            return (" and " if isinstance(term, Every) else " or ").join(_inside(part) for part in term.parts)


def _inside(term: Term) -> str:
    joined = isinstance(term, Arithmetic | Comparison | Every | Some)
    return f"({describe(term)})" if joined else describe(term)
