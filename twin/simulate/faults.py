"""Faults of a scenario file in words: file, key with the entry's own name, consequence and mend."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel


def describe(where: str, data: Any, fault: Any, root: type[BaseModel]) -> str:
    """One line for one pydantic fault of a file whose root table is ``root``."""
    words: list[str] = []
    model: type[BaseModel] | None = root
    here = data
    parts = [part for part in fault["loc"] if part != "[key]"]
    for index, part in enumerate(parts):
        if isinstance(part, int):
            here = here[part] if isinstance(here, list) and part < len(here) else None
            label = (here.get("name") or here.get("channel")) if isinstance(here, dict) else None
            words[-1] += f"[{label or part + 1}]"
            continue
        words.append(str(part))
        here = here.get(part) if isinstance(here, dict) else None
        if index < len(parts) - 1 and model is not None:
            model = _table(model, part) or model
    place = ".".join(words) or "(file)"
    if fault["type"] == "extra_forbidden" and model is not None:
        known = [field.alias or name for name, field in model.model_fields.items()]
        return f"{where}: {place}: unknown key{_nearest(str(parts[-1]), known)}"
    if fault["type"] == "missing":
        return f"{where}: {place}: missing; add it"
    given = "" if isinstance(fault.get("input"), dict | list) else f" (given: {fault.get('input')!r})"
    return f"{where}: {place}: {fault['msg'].removeprefix('Value error, ')}{given}"


def _nearest(word: str, known: list[str]) -> str:
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else f"; allowed: {', '.join(known)}"


def _table(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return _innermost(field.annotation)
    return None


def _innermost(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_innermost, get_args(annotation)) if found is not None), None)
