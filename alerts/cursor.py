"""The parser's place in the words of a rule, and what it says when it finds something else there."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from alerts.alert import AlertError, nearest
from alerts.tokens import Token, fault, tokens

# Bounds the parser's recursion, so that a hostile text can't exhaust the stack.
MOST_NESTED = 30


class Cursor:
    """Where the parser stands in the words, and what it may find there."""

    def __init__(self, text: str, known: Mapping[str, AbstractSet[str]]) -> None:
        self._words = tuple(tokens(text))
        self._at = 0
        self._depth = 0
        self._operations = 0
        self._known = known

    @property
    def _now(self) -> Token:
        return self._words[self._at]

    def _take(self, text: str) -> bool:
        found = self._now.kind == "sign" and self._now.text == text
        self._at += found
        return found

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._unexpected(f"{text!r}")

    def _name(self, role: str) -> str:
        word = self._now
        if word.kind not in ("word", "name"):
            raise self._unexpected(f"the name of a {role}")
        known = self._known[role]
        if word.text not in known:
            quoted = next((n for n in sorted(known) if n.startswith(f"{word.text}-")), None)
            if word.kind == "word" and quoted is not None:
                raise fault(word.column, f"{word.text!r} is no known {role}; write {quoted!r} in quotes")
            raise fault(word.column, f"{word.text!r} is no known {role}; {nearest(word.text, known)}")
        self._at += 1
        return word.text

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise fault(self._now.column, f"nested more than {MOST_NESTED} deep; simplify the condition")

    def _unexpected(self, expected: str) -> AlertError:
        found = "the end" if self._now.kind == "end" else repr(self._now.text)
        return fault(self._now.column, f"expected {expected}, found {found}")
