"""What commands share that are about a service: its store, and asking it when it runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import requests

from twin.config import Config, load
from twin.history import HistoryError


class NoAnswerError(Exception):
    """Nobody answers where the service should."""


class RefusedError(Exception):
    """The service says no; the message is its own."""


def store_of(given: argparse.Namespace) -> tuple[Config, Path]:
    """Configuration of a command and the file of its store, which must be there."""
    config = load(given.config)
    path = given.config.resolve().parent / config.store.folder / "history.sqlite"
    if not path.is_file():
        raise HistoryError(f"{path.parent}: no store there; has the service of this configuration run yet?")
    return config, path


def ask(config: Config, path: str, fields: dict[str, str]) -> dict[str, Any]:
    """Ask the running service, which is the store's only writer, to change something; its answer."""
    try:
        answer = requests.post(
            f"http://{config.http.listen}{path}", json=fields, headers={"x-ctwin": "1"}, timeout=30.0
        )
    except requests.RequestException:
        raise NoAnswerError from None
    try:
        said = dict(json.loads(answer.text))
    except ValueError:
        raise RefusedError(f"what answers at {config.http.listen} is no ctwin; look at http.listen") from None
    if not answer.ok:
        raise RefusedError(str(said.get("error", answer.reason)))
    return said
