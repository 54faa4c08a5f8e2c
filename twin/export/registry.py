"""Formats by name; outsiders add theirs through the entry point group ``ctwin.exporters``."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from twin.export.exporter import Exporter, ExportError, Setup

GROUP = "ctwin.exporters"
Factory = Callable[[Setup], Exporter]

# format -> module:class; the class is called with a Setup
FORMATS = {
    "table": "twin.export.table:TableExporter",
    "parquet": "twin.export.parquet:ParquetExporter",
    "rtk": "twin.export.rtk:RtkExporter",
    "astra": "twin.export.astra:AstraExporter",
    "cil": "twin.export.cil:CilExporter",
    "leap": "twin.export.leap:LeapExporter",
    "tigre": "twin.export.tigre:TigreExporter",
    "openct": "twin.export.openct:OpenCtExporter",
    "ctsimu": "twin.export.ctsimu:CtsimuExporter",
    "nxtomo": "twin.export.nxtomo:NxTomoExporter",
    "nabu": "twin.export.nabu:NabuExporter",
    "tomopy": "twin.export.tomopy:TomoPyExporter",
    "zeiss": "twin.export.zeiss:ZeissExporter",
    "skyscan": "twin.export.skyscan:SkyScanExporter",
}


def formats() -> tuple[str, ...]:
    """Names of all formats, shipped and installed.

    Examples
    --------
    >>> set(FORMATS) <= set(formats())
    True
    """
    return tuple(sorted({*FORMATS, *(point.name for point in entry_points(group=GROUP))}))


def factory(name: str) -> Factory:
    """Class that writes a format; a shipped one can't be replaced from outside.

    Raises
    ------
    ExportError
        The name is unknown (the message has the nearest one), or an installed exporter can't be imported.
    """
    if name in FORMATS:
        module, attribute = FORMATS[name].split(":")
        return cast("Factory", getattr(import_module(module), attribute))
    for point in entry_points(group=GROUP):
        if point.name == name:
            try:
                return cast("Factory", point.load())
            except Exception as error:
                raise ExportError(
                    f"format {name!r} ({point.value}) can't be loaded: {error}; mend or remove it"
                ) from error
    match = difflib.get_close_matches(name, formats(), n=1, cutoff=0.5)
    hint = f"did you mean {match[0]!r}?" if match else f"there are {', '.join(formats())}"
    raise ExportError(f"format {name!r} is unknown; {hint}")


def make(name: str, setup: Setup) -> Exporter:
    """Exporter of a format for a machine; raises :class:`ExportError` for an unknown one."""
    return factory(name)(setup)
