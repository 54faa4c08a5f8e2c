"""A rule's tree applied to a snapshot, in three-valued logic: what isn't known is neither true nor false."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

from alerts import outlook
from alerts import terms as t
from alerts.rule import Outcome, Snapshot, Verdict
from alerts.terms import Term, describe, show

_COMPARE = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}
_MIRROR = {">": "<", "<": ">", ">=": "<=", "<=": ">="}
_CALCULATE = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


class _UnknownError(Exception):
    """A number can't be had: its input is missing or old, or (``broken``) the calculation has no result."""

    def __init__(self, message: str, *, broken: bool = False) -> None:
        super().__init__(message)
        self.broken = broken


@dataclass(frozen=True, slots=True)
class _Finding:
    truth: bool | None
    message: str
    broken: bool = False
    value: float | None = None
    limit: float | None = None
    margin: float | None = None


def verdict(tree: Term, snapshot: Snapshot) -> Verdict:
    """Verdict of a condition on a snapshot."""
    found = _truth(tree, snapshot)
    if found.truth is None:
        return Verdict(Outcome.ERROR if found.broken else Outcome.STALE, message=found.message)
    outcome = Outcome.VIOLATED if found.truth else Outcome.CLEAR
    return Verdict(outcome, found.value, found.limit, found.margin, found.message)


def _truth(term: Term, snapshot: Snapshot) -> _Finding:
    match term:
        case t.Comparison():
            return _compare(term, snapshot)
        case t.Silent():
            return _silent(term.channel, snapshot)
        case t.Not():
            inner = _truth(term.operand, snapshot)
            return _Finding(None if inner.truth is None else not inner.truth, inner.message, inner.broken)
        case t.Every() | t.Some():
            return _join([_truth(part, snapshot) for part in term.parts], deciding=isinstance(term, t.Some))
    return _Finding(None, f"{describe(term)} is no condition", broken=True)


def _join(parts: list[_Finding], *, deciding: bool) -> _Finding:
    """Kleene's ``or`` (deciding = true) and ``and`` (deciding = false)."""
    decided = [p for p in parts if p.truth is deciding]
    unknown = [p for p in parts if p.truth is None]
    chosen = decided or unknown or parts
    truth = deciding if decided else None if unknown else not deciding
    return _Finding(truth, "; ".join(p.message for p in chosen), any(p.broken for p in chosen))


def _silent(channel: str, snapshot: Snapshot) -> _Finding:
    age, limit = snapshot.age(channel), snapshot.stale_after_s.get(channel, math.inf)
    allowed = f" (stale after {show(limit, t.Kind.DURATION)})" if math.isfinite(limit) else ""
    if math.isinf(age):
        message = f"{channel}: no good reading yet"
    else:
        message = f"{channel}: last good reading {show(age, t.Kind.DURATION)} ago{allowed}"
    return _Finding(snapshot.silent(channel), message, value=age, limit=limit)


def _compare(term: t.Comparison, snapshot: Snapshot) -> _Finding:
    sign, left, right = term.sign, term.left, term.right
    if t.constant(left) and not t.constant(right):
        sign, left, right = _MIRROR[sign], right, left
    try:
        value, limit = number(left, snapshot), number(right, snapshot)
    except _UnknownError as unknown:
        return _Finding(None, str(unknown), unknown.broken)
    truth = bool(_COMPARE[sign](value, limit))
    # two infinities of one sign are equal, though their difference is not a number
    margin = 0.0 if value == limit else (value - limit if sign in (">", ">=") else limit - value)
    message = f"{describe(left)} = {show(value, left.kind)}, {'' if truth else 'not '}{sign} {show(limit, right.kind)}"
    if truth:
        names = dict.fromkeys(part.name for part in t.walk(term) if isinstance(part, t.Value))
        message += "".join(f": {snapshot.notes[name]}" for name in names if name in snapshot.notes)
    return _Finding(truth, message, value=value, limit=limit, margin=margin)


def number(term: Term, snapshot: Snapshot) -> float:
    """Value of a numeric term; durations in seconds."""
    value = _number(term, snapshot)
    if math.isnan(value):
        raise _UnknownError(f"{describe(term)} is not a number", broken=True)
    return value


def constant_value(term: Term) -> float | None:
    """Value of a term without names; ``None`` when it has none (a division by zero)."""
    try:
        return number(term, Snapshot(0.0))
    except _UnknownError:
        return None


def _number(term: Term, snapshot: Snapshot) -> float:
    match term:
        case t.Number():
            return term.value
        case t.Value():
            _fresh(term.name, snapshot)
            return _known(term.name, snapshot.values.get(term.name), "value")
        case t.Sigma():
            _fresh(term.name, snapshot)
            return _known(term.name, snapshot.sigmas.get(term.name), "σ")
        case t.Age():
            return snapshot.age(term.channel)
        case t.Absolute():
            return abs(number(term.operand, snapshot))
        case t.Arithmetic():
            left, right = number(term.left, snapshot), number(term.right, snapshot)
            try:
                return float(_CALCULATE[term.sign](left, right))
            except ZeroDivisionError:
                raise _UnknownError(f"{describe(term)} divides by zero", broken=True) from None
        case t.Chance() | t.TimeTo():
            return _expected(term, snapshot)
    raise _UnknownError(f"{describe(term)} is no number", broken=True)


def _expected(term: t.Chance | t.TimeTo, snapshot: Snapshot) -> float:
    _fresh(term.name, snapshot)
    forecast = snapshot.forecasts.get(term.name)
    if forecast is None:
        raise _UnknownError(f"{term.name}: no forecast yet")
    limit = number(term.limit, snapshot)
    try:
        if isinstance(term, t.Chance):
            within = number(term.within, snapshot)
            return outlook.probability(forecast, snapshot.time, limit, within, above=term.above)
        return outlook.time_to(forecast, snapshot.time, limit, number(term.p, snapshot), above=term.above)
    except (ArithmeticError, ValueError, TypeError, LookupError) as error:
        # a forecast that fails must not take the other rules with it
        raise _UnknownError(f"{describe(term)}: {error}", broken=True) from error


def _fresh(name: str, snapshot: Snapshot) -> None:
    """Refuse what has an age and is too old; estimates without one are as fresh as the snapshot."""
    if name in snapshot.ages_s and snapshot.silent(name):
        raise _UnknownError(_silent(name, snapshot).message)


def _known(name: str, value: float | None, what: str) -> float:
    if value is None or math.isnan(value):
        raise _UnknownError(f"{name}: no {what} yet")
    return value
