"""Kinds of sink by name; outsiders add theirs through the entry point group ``ctwin.sinks``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from alerts.sink import Sink

# kind -> module:class. A class has a nested pydantic model ``Options`` (its keys in the configuration)
# and is called with (options, base) where base is the folder that relative paths start from.
KINDS = {
    "console": "alerts.console:ConsoleSink",
    "log": "alerts.console:LogSink",
    "webhook": "alerts.webhook:WebhookSink",
}


def kinds() -> tuple[str, ...]:
    """Names of all kinds, shipped and installed.

    Examples
    --------
    >>> [kind for kind in kinds() if kind in KINDS]
    ['console', 'log', 'webhook']
    """
    return tuple(sorted({*KINDS, *(point.name for point in entry_points(group="ctwin.sinks"))}))


def sink_class(kind: str) -> Any:
    """Class that implements a kind; raises KeyError for an unknown one."""
    if kind in KINDS:
        module, name = KINDS[kind].split(":")
        return getattr(import_module(module), name)
    for point in entry_points(group="ctwin.sinks"):
        if point.name == kind:
            return point.load()
    raise KeyError(kind)


def options_of(kind: str) -> type[BaseModel]:
    """Typed options of a kind, for validating a configuration."""
    return cast("type[BaseModel]", sink_class(kind).Options)


def make(kind: str, options: BaseModel, base: Path) -> Sink:
    """Build a sink of a kind."""
    factory = cast("Callable[[BaseModel, Path], Sink]", sink_class(kind))
    return factory(options, base)
