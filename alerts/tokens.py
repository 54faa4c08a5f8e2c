"""Words of the rule language, each with the column at which it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from alerts.alert import AlertError

MOST_CHARACTERS = 2000
RESERVED = ("and", "or", "not")
_PATTERN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<word>[^\W\d][\w.]*)
    |(?P<quoted>'[^']*'|"[^"]*")
    |(?P<sign>>=|<=|[><()+\-*/,=])""",
    re.VERBOSE,
)
_INSTEAD = {"&": "write 'and'", "|": "write 'or'", "!": "write 'not'", "≥": "write '>='", "≤": "write '<='"}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a rule: its kind (number, word, name, sign, end), its text and its column (from 1)."""

    kind: str
    text: str
    column: int


def fault(column: int, message: str) -> AlertError:
    """Error with its place in the rule."""
    return AlertError(f"column {column}: {message}")


def tokens(text: str) -> Iterator[Token]:
    """Split a rule into words; the last one has the kind ``end``."""
    if len(text) > MOST_CHARACTERS:
        raise AlertError(f"a rule has at most {MOST_CHARACTERS} characters (given: {len(text)}); split it into two")
    place = 0
    while place < len(text):
        match = _PATTERN.match(text, place)
        if match is None:
            character = text[place]
            if character in "'\"":
                raise fault(place + 1, f"a name is opened with {character} and never closed")
            mend = _INSTEAD.get(character, "expected a name, a number, an operator or a parenthesis")
            raise fault(place + 1, f"{character!r} has no meaning here; {mend}")
        kind = match.lastgroup or ""
        if kind == "quoted":
            yield Token("name", match.group()[1:-1], place + 1)
        elif kind == "word" and match.group() in RESERVED:
            yield Token("sign", match.group(), place + 1)
        elif kind != "space":
            yield Token(kind, match.group(), place + 1)
        place = match.end()
    yield Token("end", "", len(text) + 1)
