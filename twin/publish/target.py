"""The seam to a server, and what its answers mean for the lines it was given."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Verdict(StrEnum):
    """What to do next."""

    DELIVERED = "delivered"
    RETRY = "retry"  # server or network: the same again, later
    DENIED = "denied"  # token, database or address: somebody must mend it, nothing is wrong with the lines
    REFUSED = "refused"  # at least one of the lines will never be taken
    TOO_LARGE = "too_large"  # fewer at a time


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer.

    Attributes
    ----------
    verdict : Verdict
    words : str
        The server's own, in one line.
    retry_after_s : float
        How long the server asks to be left alone [s].
    blames_line : bool
        Whether the server says itself that a line is at fault; without that a refusal may concern the whole request.
    """

    verdict: Verdict
    words: str = ""
    retry_after_s: float = 0.0
    blames_line: bool = False


class Target(Protocol):
    """A server that takes line protocol. ``send`` never raises for what a server or a network does."""

    @property
    def name(self) -> str:
        """Which server, for people; without secrets."""

    def send(self, body: bytes) -> Answer:
        """Hand over lines, and wait for the answer."""

    def close(self) -> None:
        """Let go of connections."""


_MEND = {
    401: "the token is missing or wrong: see token_file",
    403: "the token may not write to this bucket: see token_file",
    404: "no such bucket, database or path: create it, or see bucket and api",
}
# How InfluxDB 1, 2 and 3 say that a line, not the request, is at fault.
_LINE_AT_FAULT = re.compile(
    r"unable to parse|partial write|field type conflict|beyond retention|line protocol|max-(values|series)-per|"
    r"invalid (number|field|tag|boolean|timestamp|line)|missing (fields?|tag|measurement)|out of range",
    re.IGNORECASE,
)


def judge(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Meaning of an HTTP answer to a write.

    Only 204 is a success: a proxy or a login page answers 200, and has stored nothing.

    Examples
    --------
    >>> judge(204, "").verdict.value, judge(503, "busy", {"Retry-After": "7"}).retry_after_s
    ('delivered', 7.0)
    >>> judge(404, '{"error":"database not found"}').words
    '404 database not found (no such bucket, database or path: create it, or see bucket and api)'
    """
    words = f"{status} {plain(text)}".strip()
    if status == 204:
        return Answer(Verdict.DELIVERED)
    if status in (400, 422):
        return Answer(Verdict.REFUSED, words, blames_line=bool(_LINE_AT_FAULT.search(text)))
    if status == 413:
        return Answer(Verdict.TOO_LARGE, words)
    if status in (408, 425, 429) or status >= 500:
        return Answer(Verdict.RETRY, words, retry_after(headers or {}))
    mend = _MEND.get(status, "this is not the answer of a write API: see url and api")
    return Answer(Verdict.DENIED, f"{words} ({mend})")


def plain(text: str) -> str:
    """A server's message in one line: what its JSON calls error or message, at most 300 characters."""
    match = re.search(r'"(?:error|message)"\s*:\s*"((?:[^"\\]|\\.)*)"', text)
    words = re.sub(r"\\(.)", r"\1", match[1]) if match else text
    return " ".join(words.split())[:300]


def reason(error: BaseException) -> str:
    """The innermost cause in plain words, without object addresses.

    >>> reason(OSError(111, "Connection refused"))
    'Connection refused'
    """
    inner: BaseException = error
    while isinstance(following := _inside(inner), BaseException) and following is not inner:
        inner = following
    words = inner.strerror if isinstance(inner, OSError) and inner.strerror else str(inner).split(">: ")[-1]
    return plain(words) or type(inner).__name__


def _inside(error: BaseException) -> object:
    for candidate in (getattr(error, "reason", None), *error.args, error.__cause__):
        if isinstance(candidate, BaseException):
            return candidate
    return None


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that ``Retry-After`` asks for (a number or a date), 0 without it; at most an hour."""
    value = next((text for key, text in headers.items() if key.lower() == "retry-after"), "").strip()
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), 3600.0) if seconds == seconds else 0.0


class PublishError(ValueError):
    """Publishing as configured can't work; one line with place and mend."""


class TokenError(Exception):
    """The token file can't be used; the message says which and why, never what is in it."""


def read_token(path: Path | None) -> str:
    """The token in a file (empty without a file). Read at every use, so that a new token needs no restart."""
    if path is None:
        return ""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise TokenError(f"{path}: the token can't be read: {reason}") from None
    if not token or any(ord(letter) < 33 or ord(letter) > 126 for letter in token):
        raise TokenError(f"{path}: no token in it: one line of printable ASCII is needed")
    return token
