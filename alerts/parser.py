"""Recursive descent from a rule's text to its tree; every name, unit and kind is checked on the way.

    condition  = and-part { "or" and-part }
    and-part   = not-part { "and" not-part }
    not-part   = "not" not-part | comparison
    comparison = sum [ (">" | "<" | ">=" | "<=") sum ]
    sum        = product { ("+" | "-") product }
    product    = unary { ("*" | "/") unary }
    unary      = "-" unary | atom
    atom       = number [ "ms" | "s" | "min" | "h" | "d" ] | name | function | "(" condition ")"
    function   = "probability(" name (">" | "<") sum ", within =" sum ")"
               | "time_to(" name (">" | "<") sum [ ", p =" sum ] ")"
               | "stale(" channel ")" | "age(" channel ")" | "sigma(" name ")" | "abs(" sum ")"

A name with other signs than letters, digits, "_" and "." stands in quotes: 't-tube'.
"""

from __future__ import annotations

from collections.abc import Callable

from alerts import terms as t
from alerts.alert import nearest
from alerts.cursor import Cursor
from alerts.evaluation import constant_value
from alerts.terms import Kind, Term
from alerts.tokens import Token, fault

UNITS_S = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
FUNCTIONS = ("probability", "time_to", "stale", "age", "sigma", "abs")
COMPARISONS = (">", "<", ">=", "<=")
# Bounds the depth of the tree, so that a hostile text can't exhaust the stack; real rules have a handful.
MOST_OPERATIONS = 100


class Parser(Cursor):
    """Reads one condition; ``known`` holds the names allowed as value, channel and forecast."""

    def whole(self) -> Term:
        """Read the whole text as a condition."""
        start = self._now
        if start.kind == "end":
            raise fault(1, "the condition is empty; write one, such as 'loss_corrected > 0.1'")
        tree = self._some()
        if self._now.kind != "end":
            raise self._unexpected("an operator or the end")
        if tree.kind is not Kind.CONDITION:
            raise fault(start.column, f"this is {tree.kind}, not a condition; compare it with something: > < >= <=")
        return tree

    # --- conditions ---------------------------------------------------------
    def _some(self) -> Term:
        parts = self._joined("or", self._every)
        return t.Some(parts) if len(parts) > 1 else parts[0]

    def _every(self) -> Term:
        parts = self._joined("and", self._not)
        return t.Every(parts) if len(parts) > 1 else parts[0]

    def _joined(self, word: str, inner: Callable[[], Term]) -> tuple[Term, ...]:
        starts, parts = [self._now], [inner()]
        while self._take(word):
            starts.append(self._now)
            parts.append(inner())
        if len(parts) > 1:
            for start, part in zip(starts, parts, strict=True):
                self._condition(part, start, f"beside '{word}'")
        return tuple(parts)

    def _not(self) -> Term:
        if not self._take("not"):
            return self._comparison()
        self._deeper()
        start = self._now
        operand = self._not()
        self._depth -= 1
        self._condition(operand, start, "after 'not'")
        return t.Not(operand)

    def _condition(self, term: Term, start: Token, place: str) -> None:
        if term.kind is not Kind.CONDITION:
            raise fault(start.column, f"expected a condition {place}, found {term.kind}; compare it with something")

    def _comparison(self) -> Term:
        start = self._now
        left = self._sum()
        sign = self._now
        if sign.kind != "sign" or sign.text not in (*COMPARISONS, "="):
            return left
        if sign.text == "=":
            raise fault(sign.column, "values are never exactly equal; expected > < >= or <=")
        self._at += 1
        right_start = self._now
        right = self._sum()
        again = self._now
        if again.kind == "sign" and again.text in COMPARISONS:
            raise fault(again.column, "comparisons can't be chained; write 'low < x and x < high'")
        for side, word in ((left, start), (right, right_start)):
            if side.kind is Kind.CONDITION:
                raise fault(word.column, "a condition can't be compared; expected a number or a duration")
        self._same_kind(left, right, sign, "compared with")
        return t.Comparison(sign.text, left, right)

    def _same_kind(self, left: Term, right: Term, at: Token, deed: str) -> None:
        if left.kind is not right.kind:
            raise fault(at.column, f"{left.kind} is {deed} {right.kind}; write the unit: 30 s, 30 min, 30 h")

    # --- numbers ------------------------------------------------------------
    def _sum(self) -> Term:
        return self._arithmetic(("+", "-"))

    def _arithmetic(self, signs: tuple[str, ...]) -> Term:
        inner = self._unary if "*" in signs else lambda: self._arithmetic(("*", "/"))
        left = inner()
        while self._now.kind == "sign" and self._now.text in signs:
            sign = self._now
            self._at += 1
            self._operations += 1
            if self._operations > MOST_OPERATIONS:
                raise fault(sign.column, f"more than {MOST_OPERATIONS} operations; simplify the condition")
            right = inner()
            left = t.Arithmetic(sign.text, left, right, self._kind_of(sign, left, right))
        return left

    def _kind_of(self, sign: Token, left: Term, right: Term) -> Kind:
        if Kind.CONDITION in (left.kind, right.kind):
            raise fault(sign.column, f"{sign.text!r} needs numbers; a condition stands beside it")
        if sign.text in "+-":
            self._same_kind(left, right, sign, "added to" if sign.text == "+" else "reduced by")
            return left.kind
        durations = (left.kind is Kind.DURATION, right.kind is Kind.DURATION)
        if durations == (False, False) or (sign.text == "/" and durations == (True, True)):
            return Kind.NUMBER
        if durations == (True, False) or (sign.text == "*" and durations == (False, True)):
            return Kind.DURATION
        raise fault(sign.column, f"{left.kind} {sign.text} {right.kind} has no meaning here")

    def _unary(self) -> Term:
        sign = self._now
        if not self._take("-"):
            return self._atom()
        self._deeper()
        operand = self._unary()
        self._depth -= 1
        if isinstance(operand, t.Number):
            return t.Number(-operand.value, operand.kind)
        return t.Arithmetic("*", t.Number(-1.0), operand, self._kind_of(sign, operand, operand))

    def _atom(self) -> Term:
        word = self._now
        if word.kind == "number":
            self._at += 1
            return self._quantity(word)
        if self._take("("):
            self._deeper()
            inner = self._some()
            self._depth -= 1
            self._need(")")
            return inner
        if word.kind == "word" and self._words[self._at + 1].text == "(":
            self._at += 2
            return self._function(word)
        if word.kind in ("word", "name"):
            return t.Value(self._name("value"))
        raise self._unexpected("a name, a number or '('")

    def _quantity(self, word: Token) -> t.Number:
        unit = self._now
        if unit.kind != "word":
            return t.Number(float(word.text))
        if unit.text not in UNITS_S:
            raise fault(unit.column, f"{unit.text!r} is no unit of time; expected {', '.join(UNITS_S)}")
        self._at += 1
        return t.Number(float(word.text) * UNITS_S[unit.text], Kind.DURATION)

    # --- functions ----------------------------------------------------------
    def _function(self, word: Token) -> Term:
        self._deeper()
        term = self._body(word)
        self._depth -= 1
        self._need(")")
        return term

    def _body(self, word: Token) -> Term:
        if word.text == "stale":
            return t.Silent(self._name("channel"))
        if word.text == "age":
            return t.Age(self._name("channel"))
        if word.text == "sigma":
            return t.Sigma(self._name("value"))
        if word.text == "abs":
            start = self._now
            operand = self._sum()
            if operand.kind is Kind.CONDITION:
                raise fault(start.column, "abs() needs a number")
            return t.Absolute(operand, operand.kind)
        if word.text not in FUNCTIONS:
            raise fault(word.column, f"there is no function {word.text!r}; {nearest(word.text, FUNCTIONS)}")
        name = self._name("forecast")
        sign = self._now
        if sign.text not in (">", "<"):
            raise self._unexpected(f"'>' or '<' and a limit for {name}")
        self._at += 1
        limit = self._of_kind(Kind.NUMBER, "the limit")
        if word.text == "probability":
            within = self._keyword("within", Kind.DURATION)
            if within is None:
                raise self._unexpected("', within = ' and a duration such as 120 min")
            return t.Chance(name, sign.text == ">", limit, within)
        return t.TimeTo(name, sign.text == ">", limit, self._keyword("p", Kind.NUMBER) or t.Number(0.5))

    def _keyword(self, name: str, kind: Kind) -> Term | None:
        if not self._take(","):
            return None
        if self._now.kind != "word" or self._now.text != name:
            raise self._unexpected(f"'{name} ='")
        self._at += 1
        self._need("=")
        start = self._now
        term = self._of_kind(kind, name)
        if not t.constant(term):
            raise fault(start.column, f"{name} must be the same at every instant; expected {kind} without names")
        value = constant_value(term)
        if value is None:
            raise fault(start.column, f"{name} divides by zero")
        if kind is Kind.NUMBER and not 0.0 < value < 1.0:
            raise fault(start.column, f"{name} is a probability; expected a number between 0 and 1")
        if kind is Kind.DURATION and value < 0.0:
            raise fault(start.column, f"{name} is negative; expected a duration from now on")
        return term

    def _of_kind(self, kind: Kind, what: str) -> Term:
        start = self._now
        term = self._sum()
        if term.kind is not kind:
            mend = "; write its unit: 120 min" if kind is Kind.DURATION else ""
            raise fault(start.column, f"{what} must be {kind}, found {term.kind}{mend}")
        return term
