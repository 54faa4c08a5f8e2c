"""A sink that posts each notice as JSON to a web server."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import requests
from pydantic import BaseModel, ConfigDict, Field

from alerts.sink import Delivered, Notice, Outcome, Refused, Retry

# Answers that say "not now": request timeout, too early, too many requests; and all of 5xx.
_LATER = (408, 425, 429)
_MOST_WORDS = 300

HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")]


class _Bearer(requests.auth.AuthBase):
    """Sets the token itself: with any other way requests lets a ~/.netrc entry overwrite the header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class WebhookSink:
    """Posts each notice to a URL.

    A 2xx answer is an arrival. 408, 425, 429, 5xx, redirections and failing connections are tried again
    (``Retry-After`` is honoured, both as seconds and as a date); any other 4xx is a refusal, and the server's
    words are kept. The header ``Idempotency-Key`` and the field ``key`` of the body are equal in all attempts.
    """

    class Options(BaseModel):
        """Keys of a sink of kind ``webhook``."""

        model_config = ConfigDict(frozen=True, extra="forbid")
        url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
        timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
        headers: dict[HeaderName, HeaderValue] = {}
        token_file: str | None = None

    def __init__(self, options: Options, base: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._options = options
        self._token = (base or Path()) / options.token_file if options.token_file else None
        self._clock = clock
        self._session = requests.Session()
        # the path and the user part of a webhook's address are often its secret: they stay out of all messages
        parts = urlsplit(options.url)
        self._place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def deliver(self, notice: Notice) -> Outcome:
        """Post a notice and read the answer."""
        try:
            token = self._read_token()
        except (OSError, ValueError) as error:
            return Retry(f"token_file {self._token}: {error}")
        key = notice.key.encode("ascii", "backslashreplace").decode()  # a header takes no other signs
        headers = {**self._options.headers, "Content-Type": "application/json", "Idempotency-Key": key}
        try:
            with self._session.post(
                self._options.url,
                data=json.dumps(notice.payload(), ensure_ascii=False, allow_nan=False).encode(),
                headers=headers,
                auth=_Bearer(token),
                timeout=self._options.timeout_s,
                allow_redirects=False,  # a redirected POST arrives as a GET without a body
                stream=True,
            ) as answer:
                return self._read(answer)
        except requests.exceptions.InvalidURL:
            return Refused(f"{self._place}: not a valid address; mend the sink's url")
        except requests.exceptions.Timeout:
            return Retry(f"{self._place}: no answer within {self._options.timeout_s:g} s")
        except (requests.exceptions.RequestException, OSError) as error:
            cause = getattr(error.args[0], "reason", error) if error.args else error
            return Retry(f"{self._place}: {_short(str(cause))}")

    def close(self) -> None:
        """Close the connections kept open."""
        self._session.close()

    def _read_token(self) -> str:
        """Token of the file, read anew each time, so that a changed one counts without a restart."""
        if self._token is None:
            return ""
        token = self._token.read_text(encoding="utf-8").strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError("holds no token; write it as one word of ASCII signs")
        return token

    def _read(self, answer: requests.Response) -> Outcome:
        status = answer.status_code
        if 200 <= status < 300:
            return Delivered()
        words = f"{self._place}: {status} {answer.reason or ''}".rstrip()
        if 300 <= status < 400:
            target = answer.headers.get("Location", "elsewhere")
            return Retry(f"{words}: redirects to {_short(target)}; write the final address as url")
        said = _short(_body(answer))
        words = f"{words}: {said}" if said else words
        if status in _LATER or status >= 500:
            return Retry(words, retry_after(answer.headers.get("Retry-After"), self._clock()))
        return Refused(words)


def retry_after(header: str | None, now: float) -> float | None:
    """Read a ``Retry-After`` header (RFC 9110 §10.2.3): seconds to wait, or ``None`` if it says nothing usable.

    Examples
    --------
    >>> retry_after("120", 0.0), retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 0.0), retry_after("soon", 0.0)
    (120.0, 60.0, None)
    """
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _body(answer: requests.Response) -> str:
    try:
        return next(answer.iter_content(_MOST_WORDS), b"").decode("utf-8", "replace")
    except (requests.exceptions.RequestException, OSError):
        return ""  # the status alone decides; its words were cut off


def _short(text: str) -> str:
    return " ".join(text.split())[:_MOST_WORDS]
