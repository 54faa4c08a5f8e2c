"""Small JSON bodies of requests that change something."""

from __future__ import annotations

import json

from starlette.requests import Request

MAX_BODY = 4096


class BodyError(ValueError):
    """A body can't be taken; ``status`` is the answer's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def text_fields(request: Request, form: str, allowed: frozenset[str]) -> dict[str, str]:
    """Fields of a JSON object of texts; ``form`` says what is expected.

    Raises
    ------
    BodyError
        415, 413 or 400, with the reason.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise BodyError(415, "send JSON: content-type application/json")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise BodyError(413, f"the body is longer than {MAX_BODY} bytes")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):  # the latter from a thousand open brackets
        raise BodyError(400, "the body is not JSON") from None
    if not isinstance(fields, dict) or not set(fields) <= allowed:
        raise BodyError(400, f"the body must be {form}")
    if not all(isinstance(value, str) for value in fields.values()):
        raise BodyError(400, f"{' and '.join(sorted(allowed))} must be strings")
    return {key: value.strip() for key, value in fields.items()}
