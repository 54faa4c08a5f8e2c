"""What pydantic finds wrong in a parsed file, in the words of its author: key with the entry's own name, and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

# What a text must look like, by the pattern that it did not fit.
PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "must begin with a letter or digit and hold only letters, digits, '_', '.' and '-'",
    r"^(source|object|detector|marker:[A-Za-z0-9_.-]+)$": "must be source, object, detector or marker:NAME",
    r"^https?://": "must begin with http:// or https://",
    r"^https?://[^\s/]+": "must be an address such as http://HOST:PORT/PATH",
    r"^(\[[0-9A-Fa-f:.]+\]|[^:\s]+):\d{1,5}$": "must be HOST:PORT, such as 127.0.0.1:8321",
    r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$": "must be the name of an HTTP header",
    r"^[\x20-\x7e]*$": "must hold printable ASCII only",
}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "string": "text in quotes",
    "bool": "true or false",
    "tuple": "a list",
    "list": "a list",
    "model": "a table",
    "dict": "a table",
}
_BOUNDS = {
    "greater_than": ("gt", "must be larger than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be smaller than"),
    "less_than_equal": ("le", "must be at most"),
    "string_too_long": ("max_length", "must be no longer than (in characters)"),
    "string_too_short": ("min_length", "must be no shorter than (in characters)"),
}


def nearest(word: str, known: Iterable[str]) -> str:
    """End of a message about an unknown word: the nearest known one, or all of them.

    >>> nearest("rwos", ["rows", "columns"]), nearest("zzz", ["rows", "columns"])
    ("; did you mean 'rows'?", '; allowed: rows, columns')
    """
    known = list(known)
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else f"; allowed: {', '.join(known) or 'none'}"


def describe(data: Any, faults: Iterable[Any], root: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield one line per fault: ``channel[t_tube].unit: …``.

    Parameters
    ----------
    data
        The parsed file, for the names of its entries.
    faults : iterable
        ``ValidationError.errors()``.
    root : type
        Model of the file's root table.
    prefix : str
        Key of the table ``data`` where it is not a whole file.
    """
    found = [(fault, *_place(data, fault["loc"], root)) for fault in faults]
    misspelt: set[tuple[int | str, ...]] = set()
    for fault, _, model in found:
        if fault["type"] == "extra_forbidden":
            match = difflib.get_close_matches(str(fault["loc"][-1]), _keys(model), n=1, cutoff=0.5)
            misspelt.update((*fault["loc"][:-1], key) for key in match)
    for fault, place, model in found:
        if fault["type"] == "missing" and fault["loc"] in misspelt:
            continue  # one mistake, one line: the misspelt key is told
        key = ".".join(part for part in (prefix, place) if part) or "(file)"
        last = fault["loc"][-1] if fault["loc"] else ""
        of_list = isinstance(last, int) and not place.endswith("]")
        yield f"{key}: {f'value {int(last) + 1} ' if of_list else ''}{_words(fault, model)}"


def _words(fault: Any, model: type[BaseModel]) -> str:
    kind, given = fault["type"], fault.get("input")
    context: Mapping[str, Any] = fault.get("ctx") or {}
    last = fault["loc"][-1] if fault["loc"] else ""
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(last), _keys(model))}"
    if kind == "missing":
        return "missing; add it" if isinstance(last, str) else "is missing; add it"
    if kind in ("literal_error", "enum"):
        allowed = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
        if isinstance(given, str):
            return f"{given!r} is not allowed{nearest(given, allowed)}"
        return f"must be {' or '.join(allowed)} (given: {given!r})"
    secret = isinstance(given, str) and "@" in given  # an address with a password must not get into a log
    shown = "" if secret or isinstance(given, dict | list) else f" (given: {given!r})"
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"{PATTERNS.get(pattern, f'does not fit the pattern {pattern}')}{shown}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{words} {context[bound]:g}{shown}"
    if kind == "finite_number":
        return f"must be a finite number{shown}"
    if kind == "too_long":
        return f"has {context['actual_length']} values; {context['max_length']} are allowed"
    wanted = _KINDS.get(kind.split("_")[0])
    if wanted is not None and kind.endswith(("_type", "_parsing", "_from_float")):
        tables = wanted == "a list" and isinstance(given, dict)
        return f"must be a list of tables: write [[{last}]]" if tables else f"must be {wanted}{shown}"
    return f"{fault['msg'].removeprefix('Value error, ')}{shown}"


def _place(data: Any, loc: tuple[int | str, ...], root: type[BaseModel]) -> tuple[str, type[BaseModel]]:
    """Readable key path, and the model whose keys are allowed at its parent."""
    words: list[str] = []
    model, here = root, data
    parts = [part for part in loc if part != "[key]"]
    for index, part in enumerate(parts):
        if isinstance(part, int):
            here = here[part] if isinstance(here, list) and part < len(here) else None
            if index == len(parts) - 1 and not isinstance(here, dict):
                break  # a value of a list: the key is its place
            label = (here.get("name") or here.get("channel")) if isinstance(here, dict) else None
            words[-1] += f"[{label if label and isinstance(label, str) else part + 1}]"
            continue
        words.append(str(part))
        here = here.get(part) if isinstance(here, dict) else None
        if index < len(parts) - 1:
            model = _table(model, str(part)) or model
    return ".".join(words), model


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _table(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return _innermost(field.annotation)
    return None


def _innermost(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_innermost, get_args(annotation)) if found is not None), None)
